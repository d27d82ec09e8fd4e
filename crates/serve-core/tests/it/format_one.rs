//! A bundle of format 1 as it was written once and lies in `tests/fixtures/bundle-format-1/`. Every later release must
//! load it and give these answers. It is never written again; a newer format gets a fixture of its own.
//!
//! It was made by `write_the_fixture` below:
//! `cargo test -p serve-core --test it -- --ignored write_the_fixture`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::json;
use serve_core::golden::GoldenSource;
use serve_core::link::Precision;
use serve_core::reference::{Distribution, Reference};
use serve_core::scaler::{Affine, MinMaxScaler};
use serve_core::tree::{Missing, Shape, Test};
use serve_core::{
    Answer, Bundle, BundleBuilder, BundleError, CheckedRow, Datatype, DecisionPolicy, EngineLoader,
    Estimator, Golden, Input, Link, Member, Metrics, MissingPolicy, Model, ModelLoader, Node, Pipeline,
    Range, Scaler, Signature, SourceInfo, Target, Task, Tolerance, Transform, Tree, Value, WeightedEnsemble,
    naive,
};

use crate::models::{leaf, linear, logistic, split, trees};

const DIGEST: &str = "df6cd495cfb824926e28ecbd36a5068c6083ea7db191698e4acb079264450a28";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundle-format-1")
}

fn open() -> Bundle {
    let read = |name: &str| fs::read(folder().join(name)).expect("the fixture is whole");
    Bundle::open::<BundleError>(read("manifest.json"), |name, _| Ok(read(name))).expect("the fixture opens")
}

fn load() -> Pipeline {
    EngineLoader.load(&open()).expect("the fixture loads")
}

#[test]
fn the_fixture_is_the_one_that_was_published() {
    let bundle = open();
    assert_eq!(bundle.digest().to_string(), DIGEST);
    let files: Vec<_> = bundle.files().map(|(name, _)| name).collect();
    assert_eq!(files, ["golden.json", "model.bin", "reference.json", "source/model.txt"]);
    assert_eq!(bundle.file("source/model.txt").expect("there"), b"the imported file, untouched\n");
    let reference: Reference =
        serde_json::from_slice(bundle.file("reference.json").expect("there")).expect("reads");
    assert_eq!((reference.rows, reference.features.len()), (4, 3));
}

#[test]
fn the_fixture_proves_itself() {
    let golden = open().golden().expect("reads");
    assert_eq!((golden.source, golden.rows.len()), (GoldenSource::Naive, 5));
    golden.prove(&load()).expect("the golden rows are answered");
}

#[test]
fn the_fixture_means_what_it_meant() {
    let pipeline = load();
    assert_eq!(pipeline.signature(), &signature());
    let bundle = open();
    let manifest = bundle.manifest();
    assert_eq!((manifest.format, manifest.name.as_str(), manifest.version.as_str()), (1, "fixture", "v1.0"));
    assert_eq!((&manifest.transforms, &manifest.scaler), (&transforms(), &Some(scaler())));
    assert_eq!(manifest.metrics.holdout["accuracy"], 0.75);
    let (model, link) =
        serve_core::envelope::open_model(bundle.file("model.bin").expect("there")).expect("opens");
    assert_eq!((model, link), (self::model(), Link::default()));
}

#[test]
fn the_fixture_answers_a_request_to_the_last_bit() {
    let (pipeline, mut row) = (load(), CheckedRow::new());
    let given = [("colour", Value::Text("green".into())), ("price", Value::Number(2.5))];
    pipeline.signature().read_named(&given, &mut row).expect("admitted");
    assert_eq!((row.values(), row.imputed()), (&[2.5, 0.25, 1.0][..], &[1][..]));
    let prediction = pipeline.predict_checked(&row).expect("answered");
    assert_eq!(prediction.scores(), [0.195_626_128_956_804_6, 0.804_373_871_043_195_5]);
    assert_eq!((prediction.answer(), pipeline.label(&prediction)), (Answer::Class(1), Some("up")));
    assert_eq!(prediction.confidence(), Some(prediction.scores()[1]));
}

fn signature() -> Signature {
    let vocabulary = ["red", "green", "blue"].map(str::to_owned).to_vec();
    Signature::new(vec![
        Input { range: Some(Range { min: Some(0.0), max: None }), ..Input::number("price") },
        Input::number("share").missing(MissingPolicy::TrainingMean(0.25)),
        Input {
            datatype: Datatype::Bytes,
            vocabulary: Some(vocabulary),
            missing: MissingPolicy::Nan,
            ..Input::number("colour")
        },
    ])
    .expect("valid")
}

fn transforms() -> Vec<Transform> {
    vec![
        Transform::Log1p { columns: vec!["price".into()] },
        Transform::Clip { columns: vec!["share".into()], min: Some(-1.0), max: Some(1.0) },
        Transform::Interaction { left: "price".into(), right: "share".into() },
    ]
}

fn scaler() -> Scaler {
    Scaler::Standard(Affine {
        center: Some(vec![1.1, 0.2, 0.0, 0.3]),
        scale: Some(vec![0.7, 1.3, 1.0, 2.1]),
        clip: None,
    })
}

/// Trees with a categorical split and missing values, and a logistic regression with transforms and a scaler of its own.
fn model() -> Model {
    let colour = Node::Split {
        feature: 2,
        test: Test::InSet(vec![0b110]),
        missing: Missing { left: true, zero: false },
        left: 1,
        right: 2,
    };
    let first = vec![colour, split(0, 0.125, true, 3, 4), leaf(-0.7), leaf(0.2), leaf(0.9)];
    let second = vec![split(3, -0.1, false, 1, 2), leaf(-0.35), leaf(0.15)];
    let shape = Shape {
        inputs: 4,
        outputs: 1,
        base: vec![0.05],
        input_precision: Precision::F32,
        ..Shape::default()
    };
    let trees = [first, second].map(|nodes| Tree { output: 0, nodes, ..Tree::default() });
    let prepared = Estimator {
        transforms: vec![
            Transform::Select { columns: vec!["share".into(), "price".into()] },
            Transform::Polynomial {
                columns: vec!["share".into(), "price".into()],
                degree: 2,
                interaction_only: false,
                include_bias: false,
            },
        ],
        scaler: Some(Scaler::MinMax(MinMaxScaler {
            min: vec![0.1; 5],
            scale: vec![0.5; 5],
            clip: Some((-2.0, 2.0)),
        })),
        model: linear(&[vec![0.3, -0.2, 0.1, 0.6, -0.4]], vec![0.05]),
        link: logistic(1.0),
    };
    let forest = Estimator::of(self::trees(shape, &trees), logistic(2.0));
    let members =
        vec![Member { weight: 0.75, estimator: forest }, Member { weight: 0.25, estimator: prepared }];
    Model::Ensemble(WeightedEnsemble::new(members).expect("the weights are positive"))
}

fn builder() -> BundleBuilder {
    let estimator =
        Estimator { transforms: transforms(), scaler: Some(scaler()), model: model(), link: Link::default() };
    let names = ["price", "share", "colour"].map(str::to_owned);
    let rows = vec![
        vec![2.5, 0.25, 1.0],
        vec![0.0, -3.0, 0.0],
        vec![10.0, 0.5, 2.0],
        vec![1.0, 1.0, f64::NAN],
        vec![7.25, -0.0, 99.0],
    ];
    let scores = rows.iter().map(|row| naive::scores(&estimator, &names, row).expect("transforms apply"));
    let golden = Golden {
        source: GoldenSource::Naive,
        by: "serve-core naive evaluator".to_owned(),
        tolerance: Tolerance::F64,
        scores: scores.collect(),
        rows,
    };
    let column = |name: &str, values: [f64; 4]| Distribution::of(name, values.into_iter());
    BundleBuilder {
        name: "fixture".parse().expect("a name"),
        version: "v1.0".parse().expect("a version"),
        feature_set: Some("fixtures".to_owned()),
        max_age: None,
        model_type: Some("voting".to_owned()),
        target: Target {
            name: "direction".to_owned(),
            task: Task::Classification { classes: vec!["down".to_owned(), "up".to_owned()] },
        },
        signature: signature(),
        estimator,
        decision: DecisionPolicy::Thresholds { thresholds: vec![0.6, 0.5], otherwise: "down".to_owned() },
        metrics: Metrics {
            primary: Some("accuracy".to_owned()),
            direction: None,
            min_rows: None,
            holdout: BTreeMap::from([("accuracy".to_owned(), 0.75), ("log_loss".to_owned(), 0.5)]),
            holdout_rows: Some(100),
            data: Some("rows made up for this fixture".to_owned()),
        },
        hyperparameters: BTreeMap::from([("weights".to_owned(), json!([0.75, 0.25]))]),
        training_date: Some("2025-10-03T21:19:54Z".to_owned()),
        created: "2026-01-01T00:00:00Z".to_owned(),
        source: SourceInfo {
            library: "by hand".to_owned(),
            version: Some("1".to_owned()),
            file: Some("model.txt".to_owned()),
        },
        golden,
        reference: Some(Reference {
            rows: 4,
            window: Some(("2025-01-01T00:00:00Z".to_owned(), "2025-10-01T00:00:00Z".to_owned())),
            features: vec![
                column("price", [0.0, 1.0, 2.5, 10.0]),
                column("share", [-3.0, 0.25, 0.5, f64::NAN]),
                column("colour", [0.0, 1.0, 1.0, 2.0]),
            ],
            scores: vec![column("down", [0.1, 0.2, 0.3, 0.4]), column("up", [0.9, 0.8, 0.7, 0.6])],
        }),
        source_bytes: Some(b"the imported file, untouched\n".to_vec()),
    }
}

#[test]
#[ignore = "writes the fixture, which was done once; later releases read it as it is"]
fn write_the_fixture() {
    assert!(!folder().exists(), "the fixture is there, and a published bundle never changes");
    let bundle = builder().build().expect("the bundle proves");
    fs::create_dir_all(folder().join("source")).expect("the folder is made");
    for (name, bytes) in bundle.files() {
        fs::write(folder().join(name), bytes).expect("the file is written");
    }
    fs::write(folder().join("manifest.json"), bundle.manifest_bytes()).expect("the manifest is written");
}
