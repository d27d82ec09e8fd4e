//! A bundle of format 2 as it was written once and lies in `tests/fixtures/bundle-format-2/`: what format 1 did not have.
//! Every later release must load it and give these answers. It was made by `write_the_fixture` below:
//! `cargo test -p serve-core --test it -- --ignored format_two`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serve_core::graph::{Binary, Dtype, GraphBuilder};
use serve_core::link::Precision;
use serve_core::tree::{Leaf, Shape, Statistics};
use serve_core::{
    Bundle, BundleBuilder, BundleError, CheckedRow, Datatype, DecisionPolicy, EngineLoader, Estimator,
    Golden, GoldenSource, Input, LinearModel, Link, Member, Metrics, MissingPolicy, Model, ModelLoader, Node,
    Signature, SourceInfo, Target, Task, Tolerance, Tree, Value, WeightedEnsemble, naive,
};

use crate::models::{split, trees};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundle-format-2")
}

fn open() -> Bundle {
    let read = |name: &str| fs::read(folder().join(name)).expect("the fixture is whole");
    Bundle::open::<BundleError>(read("manifest.json"), |name, _| Ok(read(name))).expect("the fixture opens")
}

fn signature() -> Signature {
    let colour = Input {
        datatype: Datatype::Bytes,
        vocabulary: Some(vec!["red".to_owned(), "green".to_owned()]),
        unknown: Some(-1.0),
        missing: MissingPolicy::Nan,
        ..Input::number("colour")
    };
    Signature::new(vec![Input::number("price").missing(MissingPolicy::Nan), colour]).expect("valid")
}

/// Linear leaves and statistics, a graph with trees inside, a linear model in `f32`: two numbers each.
fn model() -> Model {
    let linear = |constant, terms| Node::Leaf(Leaf::Linear { constant, terms, otherwise: -1.5 });
    let tree = |output, slope| Tree {
        output,
        nodes: vec![
            split(1, 0.5, false, 1, 2),
            linear(0.25, vec![(0, slope), (1, 0.1)]),
            linear(1.0, vec![]),
        ],
        statistics: Statistics { cover: vec![10.0, 6.0, 4.0], gain: vec![2.5, 0.0, 0.0] },
    };
    let shape = Shape { inputs: 2, outputs: 2, ..Shape::default() };
    let leaves = trees(shape, &[tree(0, 0.5), tree(1, -0.75)]);

    let mut graph = GraphBuilder::new(2);
    let row = graph.columns(vec![1, 0], Dtype::F32).expect("two columns");
    let step = graph.row_constant(vec![0.1, 10.0], Dtype::F32).expect("a row");
    let sum = graph.binary(Binary::Add, row, step).expect("of one shape");
    let graph = Model::Graph(graph.finish(sum).expect("a graph"));

    let weights = vec![0.1, 0.2, -0.3, 0.4];
    let single = LinearModel::new(2, weights, vec![0.5, 0.7]).expect("fits").with_precision(Precision::F32);
    let member = |weight, model| Member { weight, estimator: Estimator::of(model, Link::default()) };
    let members = vec![member(0.5, leaves), member(0.25, graph), member(0.25, Model::Linear(single))];
    Model::Ensemble(WeightedEnsemble::new(members).expect("the weights are positive"))
}

fn rows() -> Vec<Vec<f64>> {
    vec![vec![2.5, 0.0], vec![-1.0, 1.0], vec![1e-3, -1.0], vec![16_777_217.0, 0.5]]
}

fn builder() -> BundleBuilder {
    let estimator = Estimator::of(model(), Link::default());
    let names = ["price", "colour"].map(str::to_owned);
    let scores = |row: &Vec<f64>| naive::scores(&estimator, &names, row).expect("no transforms");
    let golden = Golden {
        source: GoldenSource::Naive,
        by: "serve-core naive evaluator".to_owned(),
        tolerance: Tolerance::F64,
        scores: rows().iter().map(scores).collect(),
        rows: rows(),
    };
    BundleBuilder {
        name: "fixture".parse().expect("a name"),
        version: "v2.0".parse().expect("a version"),
        feature_set: None,
        max_age: None,
        model_type: Some("blend".to_owned()),
        target: Target {
            name: "demand".to_owned(),
            task: Task::MultiRegression { outputs: vec!["today".to_owned(), "tomorrow".to_owned()] },
        },
        signature: signature(),
        estimator,
        decision: DecisionPolicy::Argmax,
        metrics: Metrics::default(),
        hyperparameters: BTreeMap::new(),
        training_date: None,
        created: "2026-11-21T00:00:00Z".to_owned(),
        source: SourceInfo { library: "by hand".to_owned(), ..SourceInfo::default() },
        golden,
        reference: None,
        source_bytes: None,
    }
}

#[test]
fn the_fixture_means_what_it_meant() {
    let bundle = open();
    assert_eq!(bundle.manifest().format, 2);
    assert_eq!(bundle.manifest().signature, signature());
    let opened = serve_core::envelope::open_model(bundle.file("model.bin").expect("there")).expect("opens");
    assert_eq!(opened, (model(), Link::default()));
}

#[test]
fn the_fixture_answers_to_the_last_bit() {
    let bundle = open();
    let pipeline = EngineLoader.load(&bundle).expect("the fixture loads");
    bundle.golden().expect("reads").prove(&pipeline).expect("the golden rows are answered");
    let mut row = CheckedRow::new();
    let given = [("price", Value::Number(2.5)), ("colour", Value::Text("mauve".into()))];
    pipeline.signature().read_named(&given, &mut row).expect("admitted");
    assert_eq!(row.values(), [2.5, -1.0]);
    let prediction = pipeline.predict_checked(&row).expect("answered");
    assert_eq!(prediction.scores(), SCORES);
}

const SCORES: [f64; 2] = [0.612_500_008_940_696_7, 2.149_999_995_529_652];

#[test]
#[ignore = "writes the fixture, which was done once; later releases read it as it is"]
fn write_the_fixture() {
    assert!(!folder().exists(), "the fixture is there, and a published bundle never changes");
    let bundle = builder().build().expect("the bundle proves");
    fs::create_dir_all(folder()).expect("the folder is made");
    for (name, bytes) in bundle.files() {
        fs::write(folder().join(name), bytes).expect("the file is written");
    }
    fs::write(folder().join("manifest.json"), bundle.manifest_bytes()).expect("the manifest is written");
}
