//! One training: split, fit, lower, measure, and let smartcore answer the golden rows. Nothing here reads a file or a
//! clock; who is called when belongs to [`Identity`], which the caller brings.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use serve_core::manifest::Direction;
use serve_core::reference::{Columns, Reference};
use serve_core::{
    BundleBuilder, DecisionPolicy, Estimator, Golden, Metrics, Model, ModelName, ModelVersion, Pipeline,
    Signature, SourceInfo, Target, Task,
};

use crate::covers;
use crate::dataset::{Dataset, timestamp};
use crate::error::TrainError;
use crate::evaluation::{answer, measure};
use crate::fitted::{self, Lesson};
use crate::golden_rows::{self, LIBRARY, LIBRARY_VERSION};
use crate::report::{Part, Report};
use crate::settings::{Algorithm, Hyperparameters, InvalidSetting, Learner, Metric};
use crate::split;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// What to train.
    pub algorithm: Algorithm,
    /// With which settings.
    pub hyperparameters: Hyperparameters,
    /// The share of the rows, the last in time, that is held out to measure on; above 0 and below 1.
    pub holdout: f64,
    /// Seed of everything that is random.
    pub seed: u64,
    /// The figure that versions are compared by.
    pub primary: Metric,
    /// What the data is called in the manifest, e.g. its file's name.
    pub data: Option<String>,
}

impl TrainOptions {
    /// The algorithm with its defaults: a fifth of the rows is held out, the seed is 0, versions compare by accuracy.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            hyperparameters: Hyperparameters::default(),
            holdout: 0.2,
            seed: 0,
            primary: Metric::default(),
            data: None,
        }
    }
}

/// What a trained model is called, and when it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The model's name.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// The feature set it is served from, if any.
    pub feature_set: Option<String>,
    /// Now, RFC 3339 UTC; the training date too.
    pub created: String,
}

/// A trained, lowered and measured model with its proof, ready to be named.
#[derive(Debug, Clone)]
pub struct Trained {
    target: Target,
    signature: Signature,
    estimator: Estimator,
    hyperparameters: BTreeMap<String, Value>,
    golden: Golden,
    reference: Reference,
    report: Report,
}

impl Trained {
    /// What there is to tell about it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Everything that its bundle is made of; [`BundleBuilder::build`] runs the proof.
    #[must_use]
    pub fn into_builder(self, identity: Identity) -> BundleBuilder {
        let library =
            SourceInfo { library: LIBRARY.to_owned(), version: Some(LIBRARY_VERSION.to_owned()), file: None };
        BundleBuilder {
            name: identity.name,
            version: identity.version,
            feature_set: identity.feature_set,
            max_age: None,
            model_type: Some(self.report.algorithm.to_owned()),
            target: self.target,
            signature: self.signature,
            estimator: self.estimator,
            decision: DecisionPolicy::Argmax,
            metrics: self.report.metrics,
            hyperparameters: self.hyperparameters,
            training_date: Some(identity.created.clone()),
            created: identity.created,
            source: library,
            golden: self.golden,
            reference: Some(self.reference),
            source_bytes: None,
        }
    }
}

/// Trains a model on the earlier part of a dataset and measures it on the later part.
///
/// Deterministic: the same dataset and options give the same model, bit for bit, on one platform.
///
/// # Errors
/// When a setting cannot be used, a part of the data is too small or lacks a class (see
/// [`TrainError::fault`]), or smartcore fails.
pub fn train(dataset: &Dataset, options: &TrainOptions) -> Result<Trained, TrainError> {
    let learner = options.hyperparameters.resolve(options.algorithm, dataset.features().len())?;
    let classes = dataset.classes();
    if options.primary == Metric::RocAuc && classes.len() != 2 {
        let (expected, got) = ("one that is defined for more than two classes", "roc_auc".to_owned());
        return Err(InvalidSetting::Value { setting: "metric", expected, got }.into());
    }
    let first = split::by_time(dataset, options.holdout)?;
    let (rows, labels) = dataset.part(0, first);
    let lesson = Lesson { rows, features: dataset.features(), labels, classes: classes.len() };
    let fitted = fitted::fit(&learner, lesson, options.seed)?;
    let estimator = covers::counted(fitted.estimator()?, rows)?;
    let target = Target {
        name: dataset.target().to_owned(),
        task: Task::Classification { classes: classes.to_vec() },
    };
    let signature = Signature::of_numbers(dataset.features())?;
    let pipeline = Pipeline::new(signature.clone(), &estimator, target.clone(), DecisionPolicy::Argmax)?;
    Ok(Trained {
        target,
        signature,
        hyperparameters: record(&learner, options),
        golden: golden_rows::make(fitted.as_ref(), dataset.rows(), first)?,
        reference: reference(dataset, first, &pipeline)?,
        report: report(dataset, first, &pipeline, &estimator, options)?,
        estimator,
    })
}

fn record(learner: &Learner, options: &TrainOptions) -> BTreeMap<String, Value> {
    let mut record = learner.record();
    record.insert("seed".to_owned(), json!(options.seed));
    record.insert("holdout".to_owned(), json!(options.holdout));
    record
}

fn report(
    dataset: &Dataset,
    first: usize,
    pipeline: &Pipeline,
    estimator: &Estimator,
    options: &TrainOptions,
) -> Result<Report, TrainError> {
    let end = dataset.labels().len();
    let (rows, labels) = dataset.part(first, end);
    let (training, holdout) = (Part::of(dataset, 0, first), Part::of(dataset, first, end));
    let answered = answer(pipeline, rows, "held-out")?;
    let metrics = Metrics {
        primary: Some(options.primary.as_str().to_owned()),
        direction: Some(Direction::of_metric(options.primary.as_str())),
        min_rows: None,
        holdout: measure(&answered, labels, &training.shares()),
        holdout_rows: Some(holdout.rows as u64),
        data: Some(describe(dataset, first, options.data.as_deref())),
    };
    let trees = match &estimator.model {
        Model::Trees(trees) => Some((trees.tree_count(), trees.node_count())),
        _ => None,
    };
    Ok(Report {
        algorithm: options.algorithm.as_str(),
        rows: dataset.counts(),
        entity_columns: dataset.entity_columns().to_vec(),
        features: dataset.features().len(),
        classes: dataset.classes().to_vec(),
        training,
        holdout,
        metrics,
        trees,
    })
}

/// E.g. `2023-12-30 to 2025-03-29, the last 20 % of btc.csv`.
fn describe(dataset: &Dataset, first: usize, data: Option<&str>) -> String {
    let rows = dataset.labels().len();
    let share = ((rows - first) as f64 / rows as f64 * 1000.0).round() / 10.0;
    let last = format!("the last {share} % of {}", data.unwrap_or("the data"));
    match dataset.times() {
        Some(times) => format!("{}, {last}", timestamp::describe(times[first], times[rows - 1])),
        None => last,
    }
}

/// How the training rows and their probabilities are distributed.
fn reference(dataset: &Dataset, first: usize, pipeline: &Pipeline) -> Result<Reference, TrainError> {
    let (rows, _) = dataset.part(0, first);
    let answered = answer(pipeline, rows, "training")?;
    let window = Part::of(dataset, 0, first).window;
    let features = Columns { names: dataset.features(), values: rows };
    let scores = Columns { names: dataset.classes(), values: answered.probabilities.view() };
    Ok(Reference::of(window, features, scores))
}
