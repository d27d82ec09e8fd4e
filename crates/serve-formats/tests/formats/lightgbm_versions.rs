//! LightGBM of several versions, every objective, boosting and kind of leaf (`tests/golden/make_lightgbm_versions.py`): the
//! text and the dump give the same model, sums have the library's bits, and answers are within 1e-12.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::Link;
use serve_core::tree::{Aggregation, Shape, Tree};
use serve_core::{Estimator, Task, TreeEnsemble, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::{chain, coded, pipeline};

const VERSIONS: [&str; 3] = ["2.3.1", "3.3.5", "4.7.0"];
const TOLERANCE: f64 = 1e-12;

struct Golden {
    name: String,
    text: ImportedModel,
    dump: ImportedModel,
    rows: Vec<Vec<f64>>,
    raw: Vec<Vec<f64>>,
    answers: Vec<Vec<f64>>,
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        number => number.as_f64().unwrap(),
    }
}

fn table(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(number).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn read(folder: &Path) -> Golden {
    let name = folder.display().to_string();
    let model = |file: &str, format| {
        let bytes = fs::read(folder.join(file)).unwrap();
        coded(import(&bytes, format).unwrap_or_else(|error| panic!("{name}/{file}: {}", chain(&error))))
    };
    let golden: Value = serde_json::from_slice(&fs::read(folder.join("golden.json")).unwrap()).unwrap();
    Golden {
        text: model("model.txt", Format::LightGbm),
        dump: model("dump.json", Format::Auto),
        rows: table(&golden["rows"]),
        raw: table(&golden["raw"]),
        answers: table(&golden["answers"]),
        name,
    }
}

fn goldens() -> Vec<Golden> {
    let folder = |version: &&str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/lightgbm-");
        let mut cases: Vec<PathBuf> = fs::read_dir(format!("{}{version}", root.display()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        cases.sort();
        assert!(cases.len() >= 9, "{version}: {} cases", cases.len());
        cases
    };
    VERSIONS.iter().flat_map(folder).map(|folder| read(&folder)).collect()
}

fn trees(model: &ImportedModel) -> (Shape, Vec<Tree>) {
    let Model::Trees(trees) = &model.estimator.model else { panic!("it has trees") };
    (trees.shape().clone(), trees.trees().collect())
}

/// The library's raw scores of a forest are sums, not means.
fn sums(model: &ImportedModel) -> Estimator {
    let (shape, trees) = trees(model);
    let shape = Shape { aggregation: Aggregation::Sum, ..shape };
    Estimator::of(Model::Trees(TreeEnsemble::new(shape, &trees).unwrap()), Link::IDENTITY)
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// What the library answers: for two classes it tells the second one's probability alone.
fn whole(answer: &[f64], task: &Task) -> Vec<f64> {
    match answer {
        [p] if task.is_classification() => vec![1.0 - p, *p],
        _ => answer.to_vec(),
    }
}

#[test]
fn lightgbm_of_every_version_objective_and_boosting_answers_as_it_does() {
    for golden in goldens() {
        let (names, sums) = (golden.text.feature_names(), sums(&golden.text));
        let pipeline = pipeline(&golden.text);
        for (number, row) in golden.rows.iter().enumerate() {
            let place = format!("{}, row {number} {row:?}", golden.name);
            let raw = naive::scores(&sums, &names, row).unwrap();
            let expected = &golden.raw[number];
            assert!(
                raw.len() == expected.len() && raw.iter().zip(expected).all(|(a, b)| same(*a, *b)),
                "{place}: expected raw scores {expected:?}, got {raw:?}"
            );
            let answer = naive::scores(&golden.text.estimator, &names, row).unwrap();
            let expected = whole(&golden.answers[number], &golden.text.task);
            let close = |(a, b): (&f64, &f64)| same(*a, *b) || (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
            assert!(
                answer.len() == expected.len() && answer.iter().zip(&expected).all(close),
                "{place}: expected {expected:?}, got {answer:?}"
            );
            if answer.iter().all(|score| score.is_finite()) {
                assert_eq!(pipeline.predict(row).unwrap().scores(), answer, "{place}");
            }
        }
    }
}

/// The text has gains of six digits, so these are compared as such; all else must have the same bits.
#[test]
fn lightgbm_text_and_dump_give_the_same_model() {
    for Golden { name, text, dump, .. } in goldens() {
        assert_eq!((&text.task, &text.features), (&dump.task, &dump.features), "{name}");
        assert_eq!(
            (&text.objective, &text.estimator.link),
            (&dump.objective, &dump.estimator.link),
            "{name}"
        );
        let ((shape, mut own), (dump_shape, mut dumped)) = (trees(&text), trees(&dump));
        assert_eq!(shape, dump_shape, "{name}");
        for (tree, dump) in own.iter_mut().zip(&mut dumped) {
            let gains =
                (std::mem::take(&mut tree.statistics.gain), std::mem::take(&mut dump.statistics.gain));
            assert!(gains.0.len() == gains.1.len() && gains.0.len() == tree.nodes.len(), "{name}");
            for (a, b) in gains.0.iter().zip(&gains.1) {
                assert!((a - b).abs() <= 1e-5 * b.abs(), "{name}: gains {a} and {b}");
            }
        }
        assert_eq!(own, dumped, "{name}");
        assert!(own.iter().all(|tree| tree.statistics.cover.len() == tree.nodes.len()), "{name}");
    }
}
