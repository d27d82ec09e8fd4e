//! A small finished bundle for the examples in the documentation and for tests of other crates. Not part of the API.

use std::collections::BTreeMap;

use crate::bundle::{Bundle, BundleBuilder};
use crate::decision::DecisionPolicy;
use crate::ensemble::Model;
use crate::golden::{Golden, GoldenSource, Tolerance};
use crate::linear::LinearModel;
use crate::link::{Link, LinkFunction};
use crate::manifest::{Metrics, SourceInfo, Target, Task};
use crate::naive;
use crate::pipeline::Estimator;
use crate::signature::Signature;

/// A logistic regression over `a` and `b` under the given name and version, whose intercept tells versions apart.
#[must_use]
pub fn logistic(name: &str, version: &str, intercept: f64) -> BundleBuilder {
    let model = LinearModel::new(2, vec![1.0, 2.0], vec![intercept]).expect("the counts fit");
    let estimator = Estimator::of(Model::Linear(model), Link::new(LinkFunction::Logistic { scale: 1.0 }));
    let names = ["a".to_owned(), "b".to_owned()];
    let rows = vec![vec![0.5, 1.0], vec![-1.0, 0.25]];
    let scores = rows.iter().map(|row| naive::scores(&estimator, &names, row).expect("no transforms"));
    let golden = Golden {
        source: GoldenSource::Naive,
        by: "serve-core naive evaluator".to_owned(),
        tolerance: Tolerance::F64,
        scores: scores.collect(),
        rows,
    };
    BundleBuilder {
        name: name.parse().expect("a model name"),
        version: version.parse().expect("a version"),
        feature_set: None,
        max_age: None,
        model_type: Some("logistic_regression".to_owned()),
        target: Target {
            name: "direction".to_owned(),
            task: Task::Classification { classes: vec!["down".to_owned(), "up".to_owned()] },
        },
        signature: Signature::of_numbers(names).expect("two names"),
        estimator,
        decision: DecisionPolicy::Argmax,
        metrics: Metrics::default(),
        hyperparameters: BTreeMap::new(),
        training_date: None,
        created: "2026-01-01T00:00:00Z".to_owned(),
        source: SourceInfo { library: "by hand".to_owned(), version: None, file: None },
        golden,
        reference: None,
        source_bytes: None,
    }
}

/// [`logistic`] built.
#[must_use]
pub fn logistic_bundle() -> Bundle {
    logistic("doctest", "v1", 0.0).build().expect("the bundle proves")
}
