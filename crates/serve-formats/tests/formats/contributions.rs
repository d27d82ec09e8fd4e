//! Contributions and importances against the libraries' own, for every golden model that its library explains: LightGBM's
//! `pred_contrib` to 1e-9, XGBoost's `pred_contribs` to what its `f32` sums allow.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serve_core::Target;
use serve_core::explain::{ExplainOptions, Explainer, Importance, Importances};
use serve_formats::{Format, ImportedModel, import, read_golden};

use crate::cases::{chain, coded, model_file};

struct Told {
    name: String,
    json: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/contributions")
}

fn told(library: &str) -> Vec<Told> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let told: Vec<Told> = files
        .iter()
        .filter_map(|file| {
            let name = file.file_name()?.to_str()?.strip_suffix(".json")?;
            let name = name.strip_prefix(library)?.strip_prefix('-')?;
            let json = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            (!name.contains(".model")).then(|| Told { name: name.to_owned(), json })
        })
        .collect();
    assert!(told.len() > 20, "{} cases of {library}", told.len());
    told
}

/// The model and the rows that were explained.
fn subject(library: &str, case: &Told) -> (ImportedModel, Vec<Vec<f64>>) {
    let read = |bytes: Vec<u8>| {
        coded(import(&bytes, Format::Auto).unwrap_or_else(|error| panic!("{}: {}", case.name, chain(&error))))
    };
    if let Some(inputs) = case.json["inputs"].as_array() {
        let kind = if library == "lightgbm" { "txt" } else { "json" };
        let file = folder().join(format!("{library}-{}.model.{kind}", case.name));
        let model = read(fs::read(file).unwrap());
        let picked = case.json["rows"].as_array().unwrap();
        let rows = picked.iter().map(|at| numbers(&inputs[at.as_u64().unwrap() as usize])).collect();
        return (model, rows);
    }
    let model = read(model_file(library, &case.name));
    let golden = fs::read(folder().join(format!("../{library}/{}/golden.csv", case.name))).unwrap();
    let golden = read_golden(&golden, &model).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let picked = case.json["rows"].as_array().unwrap().iter();
    let rows = picked.map(|at| golden.rows[at.as_u64().unwrap() as usize].clone()).collect();
    (model, rows)
}

fn numbers(list: &Value) -> Vec<f64> {
    let number = |value: &Value| match value.as_str() {
        Some(text) => text.parse().unwrap(),
        None => value.as_f64().unwrap_or(f64::NAN),
    };
    list.as_array().unwrap().iter().map(number).collect()
}

fn explainer(model: &ImportedModel) -> Explainer {
    let target = Target { name: "target".to_owned(), task: model.task.clone() };
    let options = ExplainOptions { sums_of_averages: model.source.library == "lightgbm" };
    Explainer::new(&model.signature().unwrap(), &model.estimator, &target, options).unwrap()
}

/// The largest difference, over the largest magnitude of the row's numbers, at least 1.
fn check(library: &str, tolerance: f64) {
    let (mut worst, mut compared) = (0.0_f64, 0);
    for case in told(library) {
        let (model, rows) = subject(library, &case);
        let explainer = explainer(&model);
        let expected = case.json["contributions"].as_array().unwrap();
        assert_eq!(
            (rows.len(), explainer.names()),
            (expected.len(), &*model.feature_names()),
            "{}",
            case.name
        );
        for (number, (row, expected)) in rows.iter().zip(expected).enumerate() {
            let expected = numbers(expected);
            let explanation = explainer.explain(row).unwrap();
            let got: Vec<f64> = explanation
                .outputs()
                .flat_map(|output| [output.contributions, &[output.base_value]].concat())
                .collect();
            assert_eq!(got.len(), expected.len(), "{}", case.name);
            let scale = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
            for (got, expected) in got.iter().zip(&expected) {
                let difference = (got - expected).abs() / scale;
                assert!(
                    difference <= tolerance,
                    "{}, row {number}: expected {expected}, got {got}",
                    case.name
                );
                worst = worst.max(difference);
                compared += 1;
            }
        }
        check_importances(&case, &model);
    }
    println!("{library}: {compared} numbers, largest difference {worst:.1e}");
}

fn check_importances(case: &Told, model: &ImportedModel) {
    let importances = Importances::of(&model.signature().unwrap(), &model.estimator).unwrap();
    let values = |importance: &Option<Importance>| {
        importance.as_ref().map(|found| found.iter().map(|(_, value)| value).collect::<Vec<_>>())
    };
    if case.json["split"].is_null() {
        assert_eq!((importances.gain, importances.split), (None, None), "{}", case.name);
        return;
    }
    assert_eq!(values(&importances.split), Some(numbers(&case.json["split"])), "{}", case.name);
    let expected = numbers(&case.json["gain"]);
    let Some(got) = values(&importances.gain) else {
        assert!(expected.iter().all(|gain| *gain == 0.0), "{}: there are gains", case.name);
        return;
    };
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-6 * expected.abs(), "{}: {got}, expected {expected}", case.name);
    }
}

#[test]
fn lightgbm_models_are_explained_as_lightgbm_does() {
    check("lightgbm", 1e-9);
}

#[test]
fn xgboost_models_are_explained_as_xgboost_does() {
    check("xgboost", 2e-6);
}
