//! ONNX files of tabular models (<https://onnx.ai>), as skl2onnx, onnxmltools and hummingbird write them, lowered to
//! serve-core with the arithmetic of ONNX Runtime on the CPU with one thread. No runtime is involved.
//!
//! A file whose graph is one tree ensemble or linear model over the inputs becomes that model and a link function; any
//! other becomes a [`Graph`](serve_core::graph::Graph). What is no operator of the list is refused by name.

mod attributes;
mod columns;
mod file;
mod inputs;
mod lower;
mod operators;
mod outputs;
mod protobuf;
mod tensor;

use std::collections::BTreeMap;

use serve_core::ensemble::Model;
use serve_core::graph::{Graph, Op, Tensor};
use serve_core::link::Link;
use serve_core::{Estimator, SourceInfo, Tolerance};

use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, ImportedModel};
use file::{GraphFile, ModelFile, NodeFile};
use inputs::Inputs;
use lower::Lowering;
use outputs::Outputs;

/// The newest operator sets that were looked at.
const NEWEST: [(&str, i64); 2] = [("", 27), ("ai.onnx.ml", 5)];

/// Reads an ONNX model.
///
/// # Errors
/// When it is broken or uses what is not supported.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let file = ModelFile::read(bytes)?;
    let opset = check_head(&file)?;
    let Some(graph) = &file.graph else {
        return Err(ImportError::Missing {
            place: Place::Path("model".to_owned()),
            what: "its graph".to_owned(),
        });
    };
    let outputs = Outputs::find(graph)?;
    let nodes = needed(graph, outputs.names())?;
    let mut inputs = Inputs::read(&file, graph)?;
    if inputs.has_texts() {
        // A first pass tells which texts each input can have.
        let mut low = Lowering::new(graph, opset, inputs)?;
        low.run(&nodes)?;
        inputs = low.inputs;
        inputs.fill_vocabularies();
    }
    let mut low = Lowering::new(graph, opset, inputs)?;
    low.run(&nodes)?;
    let answer = outputs.answer(graph, &mut low)?;
    let mut features = low.inputs.features();
    let (estimator, notes) = finish(low, answer.scores, &mut features)?;
    Ok(ImportedModel {
        estimator,
        features,
        task: answer.task,
        source: source(&file),
        objective: objective(&nodes),
        operators: counts(graph),
        hyperparameters: BTreeMap::new(),
        tolerance: Tolerance { absolute: 1e-6, relative: 1e-5 },
        notes: [answer.notes, notes].concat(),
        golden: None,
    })
}

fn check_head(file: &ModelFile<'_>) -> Result<i64, ImportError> {
    let unsupported = |what: String, supported| {
        let place = Place::Path("model".to_owned());
        Err(ImportError::Unsupported { place, what, supported })
    };
    if file.functions > 0 {
        return unsupported("a function of the file's own".to_owned(), operators::SUPPORTED);
    }
    for (domain, version) in &file.opsets {
        let name = if *domain == "ai.onnx" { "" } else { domain };
        if let Some((_, newest)) = NEWEST.iter().find(|(known, _)| *known == name)
            && !(1..=*newest).contains(version)
        {
            let what =
                format!("operator set {version} of {:.40}", if name.is_empty() { "ai.onnx" } else { name });
            return unsupported(what, "operator sets up to 27 of ai.onnx and 5 of ai.onnx.ml");
        }
    }
    let own = file.opsets.iter().find(|(domain, _)| domain.is_empty() || *domain == "ai.onnx");
    let missing = |domain: &str| {
        let place = Place::Path("opset_import".to_owned());
        Err(ImportError::Missing { place, what: format!("the version of {domain}") })
    };
    let uses = |domains: &[&str]| {
        file.graph.iter().flat_map(|graph| &graph.nodes).any(|node| domains.contains(&node.domain))
    };
    if file.graph.is_some()
        && uses(&["ai.onnx.ml"])
        && !file.opsets.iter().any(|(domain, _)| *domain == "ai.onnx.ml")
    {
        return missing("ai.onnx.ml");
    }
    match own {
        None if uses(&["", "ai.onnx"]) => missing("ai.onnx"),
        own => Ok(own.map_or(1, |(_, version)| *version)),
    }
}

/// The nodes that the outputs depend on, in the file's order, which ONNX says is topological.
fn needed<'a>(graph: &'a GraphFile<'a>, outputs: Vec<&'a str>) -> Result<Vec<&'a NodeFile<'a>>, ImportError> {
    if graph.sparse {
        let place = Place::Path("graph.sparse_initializer".to_owned());
        let (what, supported) = ("a sparse tensor".to_owned(), "dense tensors");
        return Err(ImportError::Unsupported { place, what, supported });
    }
    let mut names: std::collections::HashSet<&str> = outputs.into_iter().collect();
    let mut nodes = Vec::new();
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|output| !output.is_empty() && names.contains(output)) {
            names.extend(&node.inputs);
            nodes.push(node);
        }
    }
    nodes.reverse();
    for node in &nodes {
        let odd = node.attributes.iter().find(|attribute| attribute.other);
        if let Some(attribute) = odd {
            let what = format!(
                "the attribute {} of {}, a graph, list or reference",
                shown(attribute.name),
                shown(node.op)
            );
            let supported = operators::SUPPORTED;
            return Err(ImportError::Unsupported { place: node.place(), what, supported });
        }
    }
    Ok(nodes)
}

fn source(file: &ModelFile<'_>) -> SourceInfo {
    let known = !file.producer.is_empty();
    SourceInfo {
        library: if known { file.producer.to_owned() } else { "onnx".to_owned() },
        version: (known && !file.producer_version.is_empty()).then(|| file.producer_version.to_owned()),
        file: None,
    }
}

/// The models in the graph, in the order of their first use, with what they do to their raw scores. An ONNX file names
/// no objective.
fn objective(nodes: &[&NodeFile<'_>]) -> String {
    const MODELS: [&str; 7] = [
        "LinearClassifier",
        "LinearRegressor",
        "SVMClassifier",
        "SVMRegressor",
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
    ];
    let mut seen: Vec<String> = Vec::new();
    for node in nodes.iter().filter(|node| MODELS.contains(&node.op)) {
        let told = match node.text("post_transform") {
            Err(_) | Ok(None | Some("NONE")) => node.op.to_owned(),
            Ok(Some(transform)) => format!("{} {transform}", node.op),
        };
        if !seen.contains(&told) {
            seen.push(told);
        }
    }
    if seen.is_empty() { "none named".to_owned() } else { seen.join(", ") }
}

/// The file's own operators.
fn counts(graph: &GraphFile<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in &graph.nodes {
        *counts.entry(node.op.escape_debug().take(60).collect()).or_default() += 1;
    }
    counts
}

/// The bare model where the graph is no more than that, else the graph; and which inputs may be missing.
fn finish(
    mut low: Lowering<'_>,
    scores: Tensor,
    features: &mut [Feature],
) -> Result<(Estimator, Vec<String>), ImportError> {
    let found = low.bare.iter().position(|bare| bare.scores == scores);
    let bare = found.map(|place| low.bare.swap_remove(place));
    let graph = low.graph.finish(scores).map_err(|error| ImportError::Graph {
        place: Place::Path("graph".to_owned()),
        problem: error.to_string(),
    })?;
    let bare = bare.filter(|_| sees_the_row(&graph, low.inputs.width()));
    for (column, feature) in features.iter_mut().enumerate() {
        let answers = match &bare {
            Some(bare) => matches!(bare.model, Model::Trees(_)),
            None => answers_without(&graph, column),
        };
        feature.required = !(low.inputs.may_be_missing(column) && answers);
    }
    if let Some(bare) = bare {
        return Ok((Estimator::of(bare.model, bare.link), Vec::new()));
    }
    let count = graph.nodes().len();
    let notes = vec![format!("read as a graph of {count} operators")];
    Ok((Estimator::of(Model::Graph(graph), Link::IDENTITY), notes))
}

/// Whether all columns enter once, in order, as `f32`, and go straight into the model.
fn sees_the_row(graph: &Graph, width: usize) -> bool {
    let nodes = graph.nodes();
    let mut entries = nodes.iter().enumerate().filter(|(_, node)| matches!(node.op, Op::Columns { .. }));
    let (Some((place, entry)), None) = (entries.next(), entries.next()) else { return false };
    let whole = match &entry.op {
        Op::Columns { columns, dtype } => {
            *dtype == serve_core::graph::Dtype::F32 && columns.iter().copied().eq(0..width as u32)
        }
        _ => false,
    };
    let entered = |node: &&serve_core::graph::GraphNode| node.operands.contains(&Tensor(place as u32));
    let mut readers = nodes.iter().filter(entered);
    let model = |op: &Op| matches!(op, Op::Trees(_) | Op::Linear(_));
    whole && readers.next().is_some_and(|reader| model(&reader.op)) && readers.next().is_none()
}

/// Whether the model answers rows in which this column is NaN.
fn answers_without(graph: &Graph, column: usize) -> bool {
    [0.0, 1.0].iter().all(|&others| {
        let mut row = vec![others; graph.inputs()];
        row[column] = f64::NAN;
        graph.evaluate(&row).iter().all(|score| score.is_finite())
    })
}
