//! Pipelines of scikit-learn as `tools/export_sklearn.py` writes them: JSON with numbers and names, and nothing that could
//! be run. The form is versioned and described in `docs/importing/sklearn.md`.
//!
//! A file is a list of nodes, each of which uses earlier ones only, so it cannot nest or go in circles. It carries rows that
//! scikit-learn answered; they become the model's golden rows.

mod assemble;
mod encode;
mod file;
mod functions;
mod lower;
mod number;
mod tree;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serve_core::{Golden, GoldenSource, SourceInfo, Task, Tolerance};

use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, ImportedModel, unusable};
use file::{Answer, FeatureFile, File, GoldenFile, Head, TaskName};

/// The format's name in the file.
const FORMAT: &str = "serve-sklearn";
/// The version of the form that is read.
const VERSION: u64 = 1;

/// Reads an exported pipeline. `O(bytes)`.
///
/// # Errors
/// When it is broken, or of another version.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let head: Head = parse(bytes)?;
    if head.format != FORMAT {
        return Err(ImportError::invalid(path("format"), format!("{FORMAT:?}"), shown(&head.format)));
    }
    if head.version != VERSION {
        let what = format!("version {} of the form", head.version);
        return Err(ImportError::Unsupported { place: path("version"), what, supported: "version 1" });
    }
    let file: File = parse(bytes)?;
    let task = task(&file)?;
    let features = features(&file)?;
    let estimator = assemble::estimator(&file)?;
    let golden = golden(&file, features.len(), task.scores())?;
    let model = ImportedModel {
        estimator,
        features,
        task,
        source: SourceInfo {
            library: "scikit-learn".to_owned(),
            version: Some(file.sklearn.clone()),
            file: None,
        },
        objective: file.model.clone(),
        operators: BTreeMap::new(),
        hyperparameters: BTreeMap::from([
            ("model".to_owned(), file.model.clone().into()),
            ("answer".to_owned(), file.answer.as_str().into()),
        ]),
        tolerance: Tolerance::F64,
        notes: notes(&file),
        golden: Some(golden),
    };
    check_widths(&model)?;
    Ok(model)
}

fn path(path: impl Into<String>) -> Place {
    Place::Path(path.into())
}

/// Reads twice where it fails: the second reading knows the path, which the first would pay for at every number.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    if let Ok(parsed) = serde_json::from_slice(bytes) {
        return Ok(parsed);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let failed = |at: String, source: serde_json::Error| {
        let place = if at == "." { format!("line {}", source.line()) } else { at };
        ImportError::SklearnJson { place: path(place), source }
    };
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // Keys come from the file.
        let at = error.path().to_string().escape_debug().take(200).collect();
        failed(at, error.into_inner())
    })?;
    deserializer.end().map_err(|source| failed(".".to_owned(), source))?;
    Ok(parsed)
}

fn task(file: &File) -> Result<Task, ImportError> {
    match (file.task, &file.classes, file.outputs) {
        (TaskName::Classification, Some(classes), None) => {
            if let Some((name, problem)) = unusable(classes.iter().map(String::as_str)) {
                return Err(ImportError::invalid(
                    path("classes"),
                    "distinct labels",
                    format!("{name:?} {problem}"),
                ));
            }
            Ok(Task::Classification { classes: classes.clone() })
        }
        (TaskName::Regression, None, Some(1)) => Ok(Task::Regression),
        // Their number is held against the nodes' before it is used for more than names.
        (TaskName::Regression, None, Some(outputs @ 2..=4096)) => {
            Ok(Task::MultiRegression { outputs: (0..outputs).map(|output| format!("y{output}")).collect() })
        }
        (TaskName::Regression, None, Some(outputs)) => {
            Err(ImportError::invalid(path("outputs"), "1 to 4096 outputs", outputs.to_string()))
        }
        (TaskName::Classification, ..) => {
            Err(ImportError::Missing { place: path("classes"), what: "classes".to_owned() })
        }
        (TaskName::Regression, ..) => {
            Err(ImportError::Missing { place: path("outputs"), what: "outputs".to_owned() })
        }
    }
}

fn features(file: &File) -> Result<Vec<Feature>, ImportError> {
    if file.features.is_empty() {
        return Err(ImportError::invalid(path("features"), "at least one feature", "none"));
    }
    if let Some((name, problem)) = unusable(file.features.iter().map(|feature| feature.name.as_str())) {
        return Err(ImportError::invalid(
            path("features"),
            "distinct names",
            format!("{} {problem}", shown(name)),
        ));
    }
    file.features.iter().enumerate().map(|(number, feature)| self::feature(number, feature)).collect()
}

fn feature(number: usize, file: &FeatureFile) -> Result<Feature, ImportError> {
    if let Some(words) = &file.vocabulary {
        let distinct = words.iter().collect::<std::collections::HashSet<_>>().len() == words.len();
        if words.is_empty() || !distinct {
            let place = path(format!("features[{number}].vocabulary"));
            return Err(ImportError::invalid(
                place,
                "distinct texts, at least one",
                format!("{} texts", words.len()),
            ));
        }
    } else if file.unknown.is_some() {
        let place = path(format!("features[{number}].unknown"));
        return Err(ImportError::invalid(place, "none without a vocabulary", "a code"));
    }
    Ok(Feature {
        name: file.name.clone(),
        categorical: file.vocabulary.is_some(),
        vocabulary: file.vocabulary.clone(),
        unknown: file.unknown,
        required: file.required,
        ..Feature::default()
    })
}

fn golden(file: &File, width: usize, scores: usize) -> Result<Golden, ImportError> {
    let GoldenFile { rows, scores: answers } = &file.golden;
    if rows.is_empty() || rows.len() != answers.len() {
        let got = format!("{} rows and {} scores", rows.len(), answers.len());
        return Err(ImportError::invalid(path("golden"), "as many rows as scores, at least one", got));
    }
    for (name, lists, expected) in [("rows", rows, width), ("scores", answers, scores)] {
        if let Some(row) = lists.iter().position(|list| list.len() != expected) {
            let place = path(format!("golden.{name}[{row}]"));
            return Err(ImportError::invalid(
                place,
                format!("{expected} numbers"),
                lists[row].len().to_string(),
            ));
        }
    }
    Ok(Golden {
        source: GoldenSource::Reference,
        by: format!("scikit-learn {}", file.sklearn),
        tolerance: Tolerance::F64,
        rows: rows.iter().map(|row| number::plain(row)).collect(),
        scores: answers.iter().map(|row| number::plain(row)).collect(),
    })
}

fn notes(file: &File) -> Vec<String> {
    let note = match file.answer {
        Answer::Predict => {
            "the classifier has no predict_proba: the class that it predicts gets 1 and the others 0"
        }
        Answer::DecisionFunction => "the value is that of decision_function: an outlier's is below 0",
        Answer::PredictProba | Answer::Value => return Vec::new(),
    };
    vec![note.to_owned()]
}

fn check_widths(model: &ImportedModel) -> Result<(), ImportError> {
    use serve_core::ensemble::Model;
    let raw = match &model.estimator.model {
        Model::Linear(linear) => linear.outputs(),
        Model::Trees(trees) => trees.outputs(),
        Model::Graph(graph) => graph.outputs(),
        _ => return Ok(()),
    };
    let (expected, got) = (model.task.scores(), model.estimator.link.outputs(raw));
    let takes_one =
        model.estimator.link.outputs(raw) == 2 && raw != 1 && model.estimator.link.outputs(1) == 2;
    if expected == got && !takes_one {
        return Ok(());
    }
    Err(ImportError::invalid(
        path("output"),
        format!("{expected} scores"),
        format!("{raw} before the link function"),
    ))
}
