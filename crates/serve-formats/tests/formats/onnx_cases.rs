//! Every golden ONNX case (`tests/golden/onnx`, made by `make_onnx.py`): our answers are onnxruntime's, by the naive
//! evaluator, alone and in a batch. The folder in `SERVE_ONNX_CASES`, if set, is read instead, to compare more than is
//! committed. Run with `--nocapture` for what was reached.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::naive;
use serve_formats::{Feature, Format, ImportedModel, import, sample_golden};

use crate::cases::{chain, pipeline};

struct OnnxCase {
    name: String,
    folder: PathBuf,
    json: Value,
}

fn cases() -> Vec<OnnxCase> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/onnx");
    let root = env::var_os("SERVE_ONNX_CASES").map_or(own, PathBuf::from);
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases in {}", root.display());
    let case = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let json = fs::read(folder.join("case.json")).unwrap();
        OnnxCase { name, json: serde_json::from_slice(&json).unwrap(), folder }
    };
    folders.into_iter().map(case).collect()
}

/// A number as the cases write it.
fn number(cell: &Value) -> f64 {
    match cell {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap(),
    }
}

/// A cell as the model sees it; `None` is a text that is refused.
fn cell(cell: &Value, feature: &Feature) -> Option<f64> {
    let Some(words) = &feature.vocabulary else { return Some(number(cell)) };
    let text = cell.as_str().unwrap();
    words.iter().position(|word| word == text).map(|code| code as f64).or(feature.unknown)
}

/// Relative to the greatest score of the row: probabilities near 0 come of differences.
fn close(expected: f64, got: f64, bound: f64) -> bool {
    if expected.is_finite() { (got - expected).abs() <= bound } else { !got.is_finite() }
}

#[derive(Default)]
struct Reached {
    worst: f64,
    equal: usize,
    refused: usize,
    labels: usize,
}

fn check_row(
    case: &OnnxCase,
    model: &ImportedModel,
    number_of: usize,
    row: &[f64],
    reached: &mut Reached,
) -> Option<String> {
    let expected: Vec<f64> = case.json["scores"][number_of].as_array()?.iter().map(number).collect();
    let got = naive::scores(&model.estimator, &model.feature_names(), row).unwrap();
    let label = case.json["labels"][number_of].as_str();
    let best = (1..got.len()).fold(0, |best, i| if got[i] > got[best] { i } else { best });
    let ours = model.task.classes().get(best).map(String::as_str);
    let finite = got.iter().all(|score| score.is_finite());
    let same_label = label.is_none() || ours.is_none() || label == ours || !finite;
    reached.labels += usize::from(!same_label);
    if expected.len() != got.len() || model.notes.iter().any(|note| note.contains("file's label and 0")) {
        // The scores are the label's.
        return (!same_label).then(|| format!("row {number_of}: expected label {label:?}, got {ours:?}"));
    }
    let scale = expected.iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
    for (expected, got) in expected.iter().zip(&got) {
        let got = f64::from(*got as f32);
        if !close(*expected, got, 1e-6 + case.json["tolerance"].as_f64().unwrap() * scale) {
            return Some(format!("row {number_of} {row:?}: expected {expected}, got {got}"));
        }
        reached.worst = reached.worst.max((got - expected).abs() / scale.max(1.0));
    }
    let bits = |x: &f64| (*x as f32 + 0.0).to_bits();
    reached.equal += usize::from(expected.iter().map(bits).eq(got.iter().map(bits)) || !finite);
    None
}

/// The pipeline gives the naive evaluator's bits, alone and in a batch.
fn check_engine(case: &OnnxCase, model: &ImportedModel, rows: &[Vec<f64>]) -> Option<String> {
    let pipeline = pipeline(model);
    let sampled = sample_golden(model, pipeline.signature(), 6);
    if let Err(error) = sampled.prove(&pipeline) {
        return Some(format!("sampled rows: {}", chain(&error)));
    }
    let width = model.features.len();
    let flat: Vec<f64> = rows.concat();
    let view = ndarray::ArrayView2::from_shape((rows.len(), width), &flat).unwrap();
    let mut batch = serve_core::BatchPrediction::default();
    pipeline.predict_batch(view, &mut batch).unwrap();
    for (number, row) in rows.iter().enumerate() {
        let Ok(alone) = pipeline.predict(row) else { continue };
        let naive = naive::scores(&model.estimator, &model.feature_names(), row).unwrap();
        let bits = |scores: &[f64]| scores.iter().map(|x| (x + 0.0).to_bits()).collect::<Vec<_>>();
        let together = batch.get(number).map(|prediction| bits(prediction.scores())).ok();
        if bits(alone.scores()) != bits(&naive) || together != Some(bits(&naive)) {
            return Some(format!(
                "{}, row {number} {row:?}: naive {naive:?}, alone {:?}",
                case.name,
                alone.scores()
            ));
        }
    }
    None
}

fn check(case: &OnnxCase) -> Result<String, String> {
    let bytes = fs::read(case.folder.join("model.onnx")).unwrap();
    let model = import(&bytes, Format::Auto).map_err(|error| chain(&error))?;
    let mut reached = Reached::default();
    let mut rows = Vec::new();
    for (place, row) in case.json["rows"].as_array().unwrap().iter().enumerate() {
        let cells = row.as_array().unwrap();
        if cells.len() != model.features.len() {
            return Err(format!("{} features, the rows have {}", model.features.len(), cells.len()));
        }
        let row: Option<Vec<f64>> = cells.iter().zip(&model.features).map(|(c, f)| cell(c, f)).collect();
        let refused = case.json["scores"][place].is_null();
        let lacks = |row: &Vec<f64>| row.iter().zip(&model.features).any(|(x, f)| f.required && x.is_nan());
        let missing = row.as_ref().is_some_and(lacks);
        let nothing = |scores: &Vec<Value>| scores.iter().any(|score| !number(score).is_finite());
        if missing && !case.json["scores"][place].as_array().is_none_or(nothing) {
            return Err(format!("row {place} has an answer and would be refused"));
        }
        let Some(row) = row.filter(|_| !refused && !missing) else {
            if !refused && !missing {
                return Err(format!("row {place} is refused"));
            }
            reached.refused += 1;
            continue;
        };
        if let Some(problem) = check_row(case, &model, place, &row, &mut reached) {
            return Err(problem);
        }
        rows.push(row);
    }
    if let Some(problem) = check_engine(case, &model, &rows) {
        return Err(problem);
    }
    let kind = match &model.estimator.model {
        Model::Trees(_) => "trees",
        Model::Linear(_) => "linear",
        Model::Graph(_) => "graph",
        _ => "other",
    };
    let Reached { worst, equal, refused, labels } = reached;
    Ok(format!(
        "{kind:<6} {:>3} rows, {equal:>3} bit-equal, worst {worst:.1e}, {refused} refused, {labels} other labels",
        rows.len()
    ))
}

#[test]
fn onnx_models_answer_as_onnxruntime_does() {
    let mut failed = Vec::new();
    for case in cases() {
        match check(&case) {
            Ok(reached) => println!("{:<32} {reached}", case.name),
            Err(problem) => failed.push(format!("{}: {problem}", case.name)),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// The comparison above is content with labels where the scores are the label's: these must not be.
#[test]
fn probabilities_are_never_replaced_by_labels() {
    let named = |case: &OnnxCase| {
        let name = &case.name;
        name.starts_with("columns-") || name.starts_with("svc-scaled") || name.ends_with("-probability")
    };
    let cases: Vec<OnnxCase> = cases().into_iter().filter(named).collect();
    assert!(cases.len() > 8 || env::var_os("SERVE_ONNX_CASES").is_some());
    for case in cases {
        let model = import(&fs::read(case.folder.join("model.onnx")).unwrap(), Format::Onnx).unwrap();
        let scores = case.json["scores"][0].as_array().unwrap().len();
        assert_eq!(model.task.classes().len(), scores, "{}", case.name);
        assert!(!model.notes.iter().any(|note| note.contains("file's label")), "{}", case.name);
    }
}

#[test]
fn a_summary_has_the_operators_of_the_file() {
    let counts = |name: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let model = import(&fs::read(case.folder.join("model.onnx")).unwrap(), Format::Onnx).unwrap();
        let summary = model.summary();
        let operators: Vec<String> =
            summary.operators.iter().map(|(name, count)| format!("{count} {name}")).collect();
        (operators.join(", "), summary.objective)
    };
    if env::var_os("SERVE_ONNX_CASES").is_some() {
        return;
    }
    let told = |operators: &str, objective: &str| (operators.to_owned(), objective.to_owned());
    assert_eq!(counts("tree-regressor"), told("1 TreeEnsembleRegressor", "TreeEnsembleRegressor"));
    assert_eq!(
        counts("columns-logistic"),
        told("1 Cast, 1 LinearClassifier, 1 Normalizer, 3 Reshape, 3 Slice", "LinearClassifier SOFTMAX")
    );
    assert_eq!(counts("form-hummingbird-gemm").1, "none named");
}
