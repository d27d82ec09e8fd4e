//! XGBoost's model files, JSON (`doc/model.schema` in its repository) and UBJSON; the rules were checked against XGBoost
//! 3.2. Files of every version since 1.0 are read: older ones lack keys that have defaults.
//!
//! Inputs are compared in `f32`, and scores are `f32` sums that start from `base_score`. `x < t` goes left, which is
//! `x <= t.next_down()`. The trees after `best_iteration` count, as in `Booster.predict` and `inplace_predict`.

mod base_score;
mod categories;
mod category_sets;
mod document;
mod file;
mod forest;
mod linear;
mod logarithm;
mod notes;
mod objective;
mod tree;
mod ubjson;

use std::collections::BTreeMap;

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::{Link, Precision};
use serve_core::{Estimator, SourceInfo, Tolerance};

use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, ImportedModel};
use document::Document;
use file::{Body, DartBooster, Head, LinearBooster, TreeBooster};
use forest::Forest;
use objective::Objective;

const BOOSTERS: &str = "gbtree, dart, gblinear";

/// Reads an XGBoost JSON model.
///
/// # Errors
/// When it is broken or uses what cannot be answered exactly.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    read(Document::Json(bytes))
}

/// Reads the same in UBJSON.
///
/// # Errors
/// As [`import`].
pub(crate) fn import_ubjson(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    read(Document::Ubjson(bytes))
}

/// What a booster becomes.
struct Lowered {
    model: Model,
    features: Vec<Feature>,
    notes: Vec<String>,
    hyperparameters: BTreeMap<String, Value>,
}

fn read(document: Document) -> Result<ImportedModel, ImportError> {
    let head: Head = document.read()?;
    let booster = head.learner.gradient_booster.name.as_str();
    let lowered = match booster {
        "gbtree" => trees(&head, document.read::<Body<TreeBooster>>()?.learner.gradient_booster.into()),
        "dart" => trees(&head, document.read::<Body<DartBooster>>()?.learner.gradient_booster.into()),
        "gblinear" => linear(&head, &document.read::<Body<LinearBooster>>()?.learner.gradient_booster),
        _ => {
            let place = Place::Path("learner.gradient_booster.name".to_owned());
            let what = format!("the booster {}", shown(booster));
            Err(ImportError::Unsupported { place, what, supported: BOOSTERS })
        }
    };
    let (objective, mut lowered) = lowered?;
    lowered.notes.extend(objective.note.map(str::to_owned));
    let hyperparameters = &mut lowered.hyperparameters;
    hyperparameters.insert("booster".to_owned(), booster.into());
    hyperparameters.extend(notes::hyperparameters(&head));
    let link = Link { function: objective.link, precision: Precision::F32 };
    Ok(ImportedModel {
        task: objective.task,
        estimator: Estimator::of(lowered.model, link),
        features: lowered.features,
        source: SourceInfo { library: "xgboost".to_owned(), version: head.version(), file: None },
        objective: head.learner.objective.name.clone(),
        operators: BTreeMap::new(),
        hyperparameters: lowered.hyperparameters,
        tolerance: Tolerance::F32,
        notes: lowered.notes,
        golden: None,
    })
}

fn trees(head: &Head, forest: Forest) -> Result<(Objective, Lowered), ImportError> {
    let objective = Objective::read(head, forest.most_outputs())?;
    let base = base_score::margins(head, &objective, !forest.model.trees.is_empty())?;
    let (mut features, mut notes) = categories::features(&head.learner, forest.path, &forest.model.cats.enc)?;
    let model = forest.lower(base, &mut features)?;
    notes.extend(notes::best_iteration(head, forest.rounds(objective.outputs)));
    let mut hyperparameters = BTreeMap::from([("trees".to_owned(), forest.model.trees.len().into())]);
    if let Some(parallel) = &forest.model.gbtree_model_param.num_parallel_tree {
        hyperparameters.insert("num_parallel_tree".to_owned(), notes::number(parallel));
    }
    Ok((objective, Lowered { model, features, notes, hyperparameters }))
}

fn linear(head: &Head, booster: &LinearBooster) -> Result<(Objective, Lowered), ImportError> {
    let objective = Objective::read(head, booster.most_outputs())?;
    let base = base_score::margins(head, &objective, !booster.model.weights.is_empty())?;
    let (features, notes) = categories::features(&head.learner, "learner.gradient_booster.model", &[])?;
    let model = booster.lower(&base, features.len())?;
    Ok((objective, Lowered { model, features, notes, hyperparameters: BTreeMap::new() }))
}
