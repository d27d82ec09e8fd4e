//! XGBoost's JSON model (`doc/model.schema` in its repository; its rules were checked against XGBoost 3.2). Files of
//! every version since 1.0 are read: older ones lack keys that have defaults.
//!
//! Inputs are compared in `f32`, and scores are `f32` sums that start from `base_score`. `x < t` goes left, which is
//! `x <= t.next_down()`. The trees after `best_iteration` count, as in `Booster.predict`.

mod base_score;
mod categories;
mod file;
mod objective;
mod tree;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::{Link, LinkFunction, Precision};
use serve_core::tree::{CategoryRounding, InvalidTrees, Shape};
use serve_core::{Estimator, SourceInfo, Task, Tolerance, TreeEnsemble};

use crate::error::{ImportError, Place};
use crate::imported::{ImportedModel, numbered_classes};
use file::{File, Head};
use objective::Objective;

const MODEL: &str = "learner.gradient_booster.model";

/// Reads an XGBoost JSON model.
///
/// # Errors
/// When it is broken or uses what cannot be answered exactly.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let head: Head = parse(bytes)?;
    let objective = Objective::read(&head)?;
    let file: File = parse(bytes)?;
    let model = &file.learner.gradient_booster.model;
    model.check(objective.outputs)?;
    let (mut features, notes) = categories::features(&file.learner)?;
    let base = base_score::read(&head, &objective)?;
    let trees = tree::lower_all(model, &mut features)?;
    let shape = Shape {
        inputs: features.len() as u32,
        outputs: objective.outputs as u32,
        base,
        input_precision: Precision::F32,
        sum_precision: Precision::F32,
        category_rounding: CategoryRounding::Floor,
        ..Shape::default()
    };
    let ensemble = TreeEnsemble::new(shape, &trees).map_err(located)?;
    let function = objective.link;
    let link = Link { function, precision: Precision::F32 };
    Ok(ImportedModel {
        task: if function == LinkFunction::Identity {
            Task::Regression
        } else {
            numbered_classes(objective.outputs.max(2))
        },
        estimator: Estimator::of(Model::Trees(ensemble), link),
        features,
        source: SourceInfo { library: "xgboost".to_owned(), version: head.version(), file: None },
        objective: head.learner.objective.name.clone(),
        hyperparameters: hyperparameters(&head, &file),
        tolerance: Tolerance::F32,
        notes,
        golden: None,
    })
}

/// Reads twice where it fails: the second reading knows the path, which the first would pay for at every number.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    if let Ok(parsed) = serde_json::from_slice(bytes) {
        return Ok(parsed);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let failed = |path: String, source: serde_json::Error| {
        let place = if path == "." { format!("line {}", source.line()) } else { path };
        ImportError::Json { place: Place::Path(place), source }
    };
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // Keys come from the file.
        let path = error.path().to_string().escape_debug().take(200).collect();
        failed(path, error.into_inner())
    })?;
    deserializer.end().map_err(|source| failed(".".to_owned(), source))?;
    Ok(parsed)
}

fn located(error: InvalidTrees) -> ImportError {
    let (place, problem) = match error {
        InvalidTrees::Node { tree, node, problem } => {
            (format!("{MODEL}.trees[{tree}]"), format!("node {node}: {problem}"))
        }
        InvalidTrees::Tree { tree, problem } => (format!("{MODEL}.trees[{tree}]"), problem),
        other => (MODEL.to_owned(), other.to_string()),
    };
    ImportError::Graph { place: Place::Path(place), problem }
}

fn hyperparameters(head: &Head, file: &File) -> BTreeMap<String, Value> {
    let model = &file.learner.gradient_booster.model;
    let number =
        |text: &str| serde_json::from_str::<serde_json::Number>(text).map_or(text.into(), Value::from);
    let mut kept = BTreeMap::from([
        ("trees".to_owned(), model.trees.len().into()),
        (
            "base_score".to_owned(),
            number(head.learner.learner_model_param.base_score.trim_matches(['[', ']'])),
        ),
    ]);
    if let Some(parallel) = &model.gbtree_model_param.num_parallel_tree {
        kept.insert("num_parallel_tree".to_owned(), number(parallel));
    }
    for name in ["best_iteration", "best_score"] {
        if let Some(Value::String(text)) = head.learner.attributes.get(name) {
            kept.insert(name.to_owned(), number(text));
        }
    }
    kept
}
