//! XGBoost of several versions, every objective and booster (`tests/golden/make_xgboost_versions.py`): JSON and UBJSON
//! give the same model, and its sums and answers have the library's bits.

use std::fs;
use std::path::Path;

use serde_json::Value;
use serve_core::link::Link;
use serve_core::{Estimator, Task, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::{chain, pipeline};

const VERSIONS: [&str; 4] = ["1.2.1", "1.7.6", "2.1.4", "3.2.0"];

struct Golden {
    name: String,
    model: ImportedModel,
    rows: Vec<Vec<f64>>,
    margins: Vec<Vec<f64>>,
    answers: Vec<Vec<f64>>,
    /// What `predict` says where it says the class alone.
    classes: Option<Vec<usize>>,
}

fn numbers(table: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect();
    table.as_array().unwrap().iter().map(row).collect()
}

fn read(folder: &Path) -> Golden {
    let name = folder.display().to_string();
    let import_file = |file: &str, format| {
        let bytes = fs::read(folder.join(file)).ok()?;
        Some(import(&bytes, format).unwrap_or_else(|error| panic!("{name}/{file}: {}", chain(&error))))
    };
    let model = import_file("model.json", Format::Auto).unwrap();
    for binary in
        [Format::Auto, Format::XgBoost].into_iter().filter_map(|format| import_file("model.ubj", format))
    {
        assert_eq!(binary.estimator, model.estimator, "{name}");
        assert_eq!((&binary.task, &binary.features), (&model.task, &model.features), "{name}");
        assert_eq!(
            (&binary.notes, &binary.hyperparameters),
            (&model.notes, &model.hyperparameters),
            "{name}"
        );
        assert_eq!((&binary.source, &binary.objective), (&model.source, &model.objective), "{name}");
    }
    let golden: Value = serde_json::from_slice(&fs::read(folder.join("golden.json")).unwrap()).unwrap();
    assert_eq!(golden["objective"].as_str(), Some(model.objective.as_str()), "{name}");
    let classes = golden["classes"].as_array();
    let class = |class: &Value| usize::try_from(class.as_u64().unwrap()).unwrap();
    Golden {
        rows: numbers(&golden["rows"]),
        margins: numbers(&golden["margins"]),
        answers: numbers(&golden["answers"]),
        classes: classes.map(|list| list.iter().map(class).collect()),
        name,
        model,
    }
}

fn golden(version: &str) -> Vec<Golden> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(format!("xgboost-{version}"));
    let mut folders: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases of {version}");
    folders.iter().map(|folder| read(folder)).collect()
}

/// Units in the last place of an `f32`.
fn units(a: f64, b: f64) -> u32 {
    let (a, b) = (a as f32, b as f32);
    let place = |x: f32| if x < 0.0 { -i64::from(x.abs().to_bits()) } else { i64::from(x.abs().to_bits()) };
    u32::try_from((place(a) - place(b)).unsigned_abs()).unwrap_or(u32::MAX)
}

fn distance(got: &[f64], expected: &[f64], place: &str) -> u32 {
    assert_eq!(got.len(), expected.len(), "{place}");
    got.iter().zip(expected).map(|(got, expected)| units(*got, *expected)).max().unwrap()
}

/// The most that margins and answers are away, and how many answers there are.
fn check(golden: &Golden) -> (u32, u32, usize) {
    let Golden { name, model, .. } = golden;
    let names = model.feature_names();
    let link = Link { precision: model.estimator.link.precision, ..Link::IDENTITY };
    let raw = Estimator { link, ..model.estimator.clone() };
    let pipeline = pipeline(model);
    let (mut margins, mut answers) = (0, 0);
    for (number, row) in golden.rows.iter().enumerate() {
        let place = format!("{name}, row {number}");
        let margin = naive::scores(&raw, &names, row).unwrap();
        margins = margins.max(distance(&margin, &golden.margins[number], &place));
        let prediction = pipeline.predict(row).unwrap_or_else(|error| panic!("{place}: {error}"));
        let scores = prediction.scores();
        assert_eq!(scores, naive::scores(&model.estimator, &names, row).unwrap(), "{place}");
        let expected = &golden.answers[number];
        let scores = if expected.len() < scores.len() { &scores[1..] } else { scores };
        answers = answers.max(distance(scores, expected, &place));
        if let Some(classes) = &golden.classes {
            assert_eq!(prediction.class(), Some(classes[number]), "{place}");
        }
    }
    (margins, answers, golden.rows.len())
}

#[test]
fn sums_and_answers_have_the_librarys_bits() {
    for version in &VERSIONS[1..] {
        for golden in golden(version) {
            let (margins, answers, rows) = check(&golden);
            assert!(rows > 10, "{}", golden.name);
            assert_eq!((margins, answers), (0, 0), "{}", golden.name);
            assert_eq!(golden.model.source.version.as_deref(), Some(*version));
        }
    }
}

/// XGBoost 1.2 added the base score last; what later versions compute from its files is what we do.
#[test]
fn files_from_before_the_order_of_sums_changed_are_close() {
    for golden in golden("1.2.1") {
        let (margins, answers, _) = check(&golden);
        assert!(margins <= 16 && answers <= 16, "{}: {margins} {answers}", golden.name);
    }
}

#[test]
fn tasks_follow_the_objective() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let three = || Task::Classification { classes: names(&["0", "1", "2"]) };
    for golden in golden("3.2.0") {
        let case = golden.name.rsplit('/').next().unwrap().to_owned();
        let expected = match case.as_str() {
            "multi-softmax" | "multi-softprob" | "constant-labels" => three(),
            name if name.ends_with("-classes") => three(),
            "several-targets" | "vector-targets" | "no-rounds-targets" => {
                Task::MultiRegression { outputs: names(&["output_0", "output_1"]) }
            }
            "several-labels" => {
                Task::MultiRegression { outputs: names(&["output_0", "output_1", "output_2"]) }
            }
            "reg-quantileerror" => {
                Task::MultiRegression { outputs: names(&["quantile_0.1", "quantile_0.5", "quantile_0.9"]) }
            }
            "binary-logitraw" => Task::Regression,
            name if name.starts_with("binary") || name.starts_with("base-score") => {
                Task::Classification { classes: names(&["0", "1"]) }
            }
            "dart"
            | "forest-slice"
            | "balanced"
            | "constant"
            | "no-rounds-binary"
            | "no-rounds-base-score" => Task::Classification { classes: names(&["0", "1"]) },
            _ => Task::Regression,
        };
        assert_eq!(golden.model.task, expected, "{case}");
        let noted = matches!(case.as_str(), "multi-softmax" | "several-labels" | "binary-logitraw");
        assert_eq!(golden.model.notes.len(), usize::from(noted), "{case}: {:?}", golden.model.notes);
    }
}
