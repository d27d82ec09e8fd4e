//! Damaged and hostile ONNX files: each is read or refused with its place, never more; what is read must predict, and
//! its bundle's bytes must come back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serve_core::ensemble::Model;
use serve_core::{envelope, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::pipeline;
use crate::onnx_writer::{Message, floats, ints, node, value};

/// Longest time for one damaged file of some kilobytes, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);

fn file(case: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/onnx").join(case);
    fs::read(folder.join("model.onnx")).unwrap()
}

const FILES: [&str; 8] = [
    "forest-classifier",
    "gradient-boosting-binary",
    "mixed-onehot-ignore",
    "svc-rbf-probability",
    "mlp-classifier-relu",
    "form-ensemble5",
    "form-hummingbird-traversal",
    "pipeline-kbins-onehot",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Reads what may be anything. Whatever is taken for a model has to hold up as one.
fn survive(bytes: &[u8]) -> Option<ImportedModel> {
    let start = Instant::now();
    let model = import(bytes, Format::Onnx).ok()?;
    if model.signature().is_ok_and(|signature| signature.len() < 1000) && model.task.scores() < 1000 {
        let names = model.feature_names();
        for value in [0.5, -1.0, f64::NAN] {
            let row = vec![value; names.len()];
            let expected = naive::scores(&model.estimator, &names, &row).unwrap();
            let target = serve_core::Target { name: "target".to_owned(), task: model.task.clone() };
            let built = serve_core::Pipeline::new(
                model.signature().unwrap(),
                &model.estimator,
                target,
                serve_core::DecisionPolicy::default(),
            );
            if let Ok(Ok(got)) = built.map(|pipeline| pipeline.predict(&row)) {
                let bits = |scores: &[f64]| scores.iter().map(|x| (x + 0.0).to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(got.scores()), bits(&expected));
            }
        }
    }
    let took = start.elapsed();
    assert!(took < LONGEST, "{took:?} for {} bytes", bytes.len());
    Some(model)
}

#[test]
fn an_onnx_file_cut_off_is_refused_or_whole_in_what_matters() {
    for case in FILES {
        let bytes = file(case);
        let whole = survive(&bytes).expect("the case is sound");
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
            if let Some(model) = survive(&bytes[..cut]) {
                assert_eq!(model.estimator, whole.estimator, "{case} cut at {cut}");
            }
        }
    }
}

#[test]
fn changed_bytes_of_onnx_files_are_survived() {
    let mut random = Random(0x5eed_0011);
    for case in FILES {
        let bytes = file(case);
        let mut read = 0;
        for _ in 0..250 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let place = random.below(damaged.len());
                damaged[place] = match random.below(4) {
                    0 => 0xff,
                    1 => damaged[place].wrapping_add(1),
                    _ => random.below(256) as u8,
                };
            }
            read += usize::from(survive(&damaged).is_some());
        }
        assert!(read > 0, "{case}: some changes are harmless");
    }
}

#[test]
fn graphs_come_back_from_their_envelope_and_damage_is_refused() {
    let mut random = Random(0x5eed_0012);
    for case in ["mixed-onehot-ignore", "svc-rbf-probability", "form-hummingbird-traversal"] {
        let model = import(&file(case), Format::Auto).unwrap();
        assert!(matches!(model.estimator.model, Model::Graph(_)), "{case}");
        let sealed = envelope::seal(&(&model.estimator.model, model.estimator.link)).unwrap();
        let (back, _) = envelope::open_model(&sealed).unwrap();
        assert_eq!(back, model.estimator.model, "{case}");
        for _ in 0..200 {
            let mut payload = sealed[52..].to_vec();
            let place = random.below(payload.len());
            payload[place] = random.below(256) as u8;
            let mut damaged = sealed[..20].to_vec();
            damaged.extend_from_slice(serve_core::Digest::of(&payload).as_bytes());
            damaged.extend_from_slice(&payload);
            if let Ok((Model::Graph(graph), _)) = envelope::open_model(&damaged) {
                let _ = graph.evaluate(&vec![0.5; graph.inputs()]);
            }
        }
    }
}

fn model(nodes: &[Message], tensors: &[Message]) -> Vec<u8> {
    let graph = nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = tensors.iter().fold(graph, |graph, tensor| graph.message(5, tensor));
    let graph = graph.message(11, &value("X", 1, &[1, 3])).message(12, &value("Y", 1, &[1, 1]));
    let opset = |domain: &str, version| Message::default().text(1, domain).varint(2, version);
    Message::default()
        .varint(1, 8)
        .message(7, &graph)
        .message(8, &opset("", 17))
        .message(8, &opset("ai.onnx.ml", 3))
        .0
}

fn refused(nodes: &[Message], tensors: &[Message]) -> String {
    import(&model(nodes, tensors), Format::Onnx).expect_err("refused").to_string()
}

#[test]
fn what_is_not_supported_is_named_with_its_node() {
    let error = refused(&[node("LSTM", "", &["X"], "Y", &[])], &[]);
    assert!(
        error.starts_with("node 0, LSTM: the operator LSTM is not supported; supported: Abs Add"),
        "{error}"
    );
    let error = refused(&[node("Abs", "com.microsoft", &["X"], "Y", &[])], &[]);
    assert!(error.contains("the operator Abs of com.microsoft is not supported"), "{error}");
    let body = Message::default().text(1, "body").message(6, &Message::default());
    let error = refused(&[node("Loop", "", &["X"], "Y", &[body])], &[]);
    assert!(error.contains("node 0, Loop: the attribute \"body\" of \"Loop\""), "{error}");
    let external = Message::default().varint(1, 3).varint(2, 1).text(8, "w").varint(14, 1);
    let error = refused(&[node("Add", "", &["X", "w"], "Y", &[])], &[external]);
    assert!(error.contains("tensor \"w\": external data is not supported"), "{error}");
    let graph = model(&[node("Abs", "", &["X"], "Y", &[])], &[]);
    let functions = Message(graph).message(25, &Message::default());
    let error = import(&functions.0, Format::Onnx).expect_err("refused").to_string();
    assert!(error.starts_with("model: a function of the file's own is not supported"), "{error}");
    let newer = Message(model(&[node("Abs", "", &["X"], "Y", &[])], &[]));
    let newer = newer.message(8, &Message::default().text(1, "").varint(2, 99));
    let error = import(&newer.0, Format::Onnx).expect_err("refused").to_string();
    assert!(error.starts_with("model: operator set 99 of ai.onnx is not supported"), "{error}");
}

#[test]
fn graphs_that_are_none_are_refused_with_their_node() {
    let error = refused(&[node("Abs", "", &["B"], "A", &[]), node("Abs", "", &["A"], "Y", &[])], &[]);
    assert_eq!(
        error,
        "node 0, Abs: expected a tensor of an earlier node, got \"B\", which no earlier node makes"
    );
    let cycle = [node("Add", "", &["X", "B"], "A", &[]), node("Abs", "", &["A"], "B", &[])];
    let cycle = [cycle[0].clone(), cycle[1].clone(), node("Abs", "", &["B"], "Y", &[])];
    assert!(refused(&cycle, &[]).starts_with("node 0, Add: expected a tensor of an earlier node"));
    let huge = Message::default().varint(1, 1 << 40).varint(1, 1 << 40).varint(2, 1).text(8, "w");
    let error = refused(&[node("Add", "", &["X", "w"], "Y", &[])], std::slice::from_ref(&huge));
    assert!(error.contains("tensor \"w\": expected dimensions"), "{error}");
    let short = Message::default().varint(1, 3).varint(2, 1).text(8, "w").bytes(9, &[0; 8]);
    let error = refused(&[node("Add", "", &["X", "w"], "Y", &[])], &[short]);
    assert!(error.contains("expected 3 values of 4 bytes, got 8 bytes"), "{error}");
    let shape =
        Message::default().varint(1, 2).varint(2, 7).text(8, "s").varint(7, 1 << 40).varint(7, 1 << 40);
    let error = refused(&[node("Expand", "", &["X", "s"], "Y", &[])], &[shape]);
    assert!(error.contains("node 0, Expand: "), "{error}");
    let matrix = Message::default().varint(1, 2).varint(1, 2).varint(2, 1).text(8, "w").bytes(9, &[0; 16]);
    let error = refused(&[node("MatMul", "", &["X", "w"], "Y", &[])], &[matrix]);
    assert_eq!(error, "node 0, MatMul: matmul: shapes [1, 3] and [2, 2] do not multiply");
    let error = refused(&[], &[]);
    assert!(error.contains("an output that a node makes"), "{error}");
}

/// A chain: every node's false child is the next node, the true one a leaf.
fn chain(levels: u64, change: impl Fn(&str, Vec<u64>) -> Vec<u64>) -> Message {
    let nodes = 2 * levels + 1;
    let list = |name: &str, value: &dyn Fn(u64) -> u64| {
        ints(name, change(name, (0..nodes).map(value).collect()).into_iter())
    };
    let inner = |i: u64| i.is_multiple_of(2) && i + 1 < nodes;
    let mode = |i: u64| if inner(i) { "BRANCH_LEQ" } else { "LEAF" };
    let modes = (0..nodes).fold(Message::default().text(1, "nodes_modes"), |all, i| all.text(9, mode(i)));
    let leaves: Vec<u64> = (0..nodes).filter(|&i| !inner(i)).collect();
    let attributes = [
        list("nodes_treeids", &|_| 0),
        list("nodes_nodeids", &|i| i),
        list("nodes_featureids", &|_| 1),
        list("nodes_truenodeids", &|i| if inner(i) { i + 1 } else { 0 }),
        list("nodes_falsenodeids", &|i| if inner(i) { i + 2 } else { 0 }),
        modes,
        floats("nodes_values", (0..nodes).map(|i| i as f32)),
        ints("target_ids", leaves.iter().map(|_| 0)),
        ints("target_nodeids", change("target_nodeids", leaves.clone()).into_iter()),
        ints("target_treeids", leaves.iter().map(|_| 0)),
        floats("target_weights", leaves.iter().map(|&i| i as f32)),
    ];
    node("TreeEnsembleRegressor", "ai.onnx.ml", &["X"], "Y", &attributes)
}

fn changed(name: &'static str, place: usize, value: u64) -> String {
    let change = move |own: &str, mut values: Vec<u64>| {
        if own == name {
            values[place] = value;
        }
        values
    };
    refused(&[chain(3, change)], &[])
}

#[test]
fn trees_that_are_none_are_refused() {
    assert!(changed("nodes_truenodeids", 0, 99).contains("a true child in tree 0, got node 99"));
    assert!(changed("nodes_falsenodeids", 2, 0).contains("tree 0, node 0: reached twice"));
    assert!(changed("nodes_featureids", 0, 7).contains("expected a feature below 3, got 7"));
    assert!(changed("nodes_featureids", 0, u64::MAX).contains("expected a feature below 3, got -1"));
    assert!(changed("nodes_nodeids", 1, 0).contains("expected each node once, got node 0 of tree 0 twice"));
    assert!(
        changed("target_nodeids", 1, 2)
            .contains("expected leaves in target_nodeids, got node 2 of tree 0, a branch, at place 1")
    );
    let fewer = |own: &str, mut values: Vec<u64>| {
        if own == "nodes_featureids" {
            values.pop();
        }
        values
    };
    let error = refused(&[chain(3, fewer)], &[]);
    assert!(error.contains("expected 7 values in nodes_featureids, got 6"), "{error}");
    let targets = Message::default().text(1, "n_targets").varint(3, 1 << 40);
    let mut wide = chain(3, |_, values| values);
    wide = wide.message(5, &targets);
    assert!(survive(&model(&[wide], &[])).is_none_or(|model| model.task.scores() <= 1 << 16));
}

/// A classifier of three classes whose scores are columns, cut out at these places.
fn columns(starts: &[u64]) -> Result<ImportedModel, String> {
    let ids = |values: &[u64]| ints("classlabels_ints", values.iter().copied());
    let coefficients = floats("coefficients", (0..9).map(|i| i as f32));
    let attributes = [ids(&[0, 1, 2]), coefficients, floats("intercepts", [0.0; 3].into_iter())];
    let first = node("LinearClassifier", "ai.onnx.ml", &["X"], "L", &attributes).text(2, "P");
    let tensor = |name: &str, x: u64| Message::default().varint(1, 1).varint(2, 7).text(8, name).varint(7, x);
    let mut graph = Message::default().message(1, &first);
    graph = graph.message(11, &value("X", 1, &[1, 3])).message(12, &value("L", 7, &[1]));
    graph = graph.message(5, &tensor("axis", 1));
    for (place, &start) in starts.iter().enumerate() {
        let (from, to, out) = (format!("s{place}"), format!("e{place}"), format!("o{place}"));
        graph = graph.message(1, &node("Slice", "", &["P", &from, &to, "axis"], &out, &[]));
        graph = graph.message(5, &tensor(&from, start)).message(5, &tensor(&to, start + 1));
        graph = graph.message(12, &value(&out, 1, &[1]));
    }
    let opset = |domain: &str, version| Message::default().text(1, domain).varint(2, version);
    let file = Message::default().varint(1, 8).message(7, &graph);
    let file = file.message(8, &opset("", 17)).message(8, &opset("ai.onnx.ml", 3));
    import(&file.0, Format::Onnx).map_err(|error| error.to_string())
}

#[test]
fn columns_of_scores_are_read_whole_or_refused() {
    let whole = columns(&[0, 1, 2]).unwrap();
    assert_eq!(whole.task.scores(), 3);
    // The scores stand in class order however the outputs stand.
    assert_eq!(columns(&[2, 0, 1]).unwrap().estimator.model, whole.estimator.model);
    let problem = columns(&[0, 1]).unwrap_err();
    assert_eq!(problem, "graph.output: expected an output for each of the 3 columns of \"P\", got 2");
    for starts in [[0, 1, 1], [0, 1, 3]] {
        let problem = columns(&starts).unwrap_err();
        assert!(problem.contains("each column of \"P\" once, got the slice node 3, Slice"), "{problem}");
    }
}

#[test]
fn a_tree_of_a_quarter_of_a_million_levels_is_read_and_of_a_million_refused() {
    let start = Instant::now();
    let bytes = model(&[chain(250_000, |_, values| values)], &[]);
    let model = import(&bytes, Format::Onnx).expect("deep, but a tree");
    let pipeline = pipeline(&model);
    let prediction = pipeline.predict(&[0.0, 10.0, 0.0]).unwrap();
    assert_eq!(prediction.value(), Some(11.0));
    assert_eq!(pipeline.predict(&[0.0, 1e9, 0.0]).unwrap().value(), Some(500_000.0));
    let error = refused(&[chain(1_000_000, |_, values| values)], &[]);
    assert!(error.contains("deeper than 262144 splits"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn many_small_parts_take_linear_time() {
    let start = Instant::now();
    let chain = |count: usize| -> Vec<Message> {
        let name = |i: usize| if i == count { "Y".to_owned() } else { format!("t{i}") };
        let input = |i: usize| if i == 0 { "X".to_owned() } else { name(i) };
        (0..count).map(|i| node("Neg", "", &[&input(i)], &name(i + 1), &[])).collect()
    };
    assert!(import(&model(&chain(20_000), &[]), Format::Onnx).is_ok());
    assert!(refused(&chain(100_000), &[]).contains("nodes"));
    let empty = vec![Message::default(); 400_000];
    assert!(refused(&empty, &[]).contains("at most 262144 nodes, attributes and tensors"));
    assert!(start.elapsed() < Duration::from_secs(60));
}
