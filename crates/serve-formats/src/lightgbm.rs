//! LightGBM's text model, and the dump of it as JSON ([`dump`]). The format has no description but LightGBM's source (`src/io/tree.cpp`,
//! `src/boosting/gbdt_model_text.cpp`); its rules were checked against LightGBM 4.7.
//!
//! A file is a header of `key=value` lines, a block of them per tree, `end of trees`, and what is for people: feature
//! importances, parameters, and the categories of pandas columns. Only format versions `v3` and `v4` are read, which
//! LightGBM writes since 2.3. All its arithmetic is `f64`, and so is ours.

mod dump;
mod header;
mod linear;
mod objective;
mod pandas;
mod parameters;
mod section;
mod split;
mod statistics;
mod tree;

use std::collections::BTreeMap;

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::Link;
use serve_core::tree::{InvalidTrees, Shape, Tree};
use serve_core::{Estimator, SourceInfo, Tolerance, TreeEnsemble};

use crate::error::{ImportError, Place};
use crate::imported::ImportedModel;
use header::Header;
use objective::Objective;
use pandas::Lists;
use section::{Section, Sections};

pub(crate) use dump::import as import_dump;

/// Reads a LightGBM text model.
///
/// # Errors
/// When it is broken or uses what cannot be answered exactly.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let sections = Sections::read(text(bytes)?)?;
    let header = Header::read(&sections)?;
    let outputs = header.objective.outputs;
    let mut trees = Vec::with_capacity(sections.trees.len());
    for (number, section) in sections.trees.iter().enumerate() {
        trees.push(tree::lower(section, (number % outputs) as u32)?);
    }
    let pandas = match sections.pandas {
        Some((line, text)) => {
            pandas::read(text, || Place::Line { line, tree: None, key: "pandas_categorical".to_owned() })?
        }
        None => Lists::new(),
    };
    let parameters = parameters::read(&sections.parameters);
    assemble(header, trees, pandas, parameters, |tree| {
        let line = sections.trees.get(tree).map_or(0, |section: &Section<'_>| section.line);
        Place::Line { line, tree: Some(tree), key: String::new() }
    })
}

/// A model of its parts, as either form of file gives them.
fn assemble(
    mut header: Header,
    mut trees: Vec<Tree>,
    pandas: Lists,
    mut parameters: BTreeMap<String, Value>,
    place: impl Fn(usize) -> Place,
) -> Result<ImportedModel, ImportError> {
    statistics::agree(&mut trees);
    linear::agree(&mut trees);
    let Objective { text, link, task, outputs, note } = header.objective;
    let shape = Shape {
        inputs: header.features.len() as u32,
        outputs: outputs as u32,
        aggregation: header.aggregation,
        ..Shape::default()
    };
    let ensemble = TreeEnsemble::new(shape, &trees).map_err(|error| located(error, &trees, place))?;
    split::mark_categorical(&trees, &mut header.features);
    let mut notes = pandas::assign(pandas, &mut header.features, &header.highest_codes);
    notes.extend(note);
    notes.extend(parameters::iterations(&parameters, trees.len() / outputs));
    parameters.insert("trees".to_owned(), trees.len().into());
    parameters.insert("file_format".to_owned(), header.version.into());
    Ok(ImportedModel {
        task,
        estimator: Estimator::of(Model::Trees(ensemble), Link::new(link)),
        features: header.features,
        source: SourceInfo { library: "lightgbm".to_owned(), ..SourceInfo::default() },
        objective: text,
        operators: BTreeMap::new(),
        hyperparameters: parameters,
        tolerance: Tolerance::F64,
        notes,
        golden: None,
    })
}

fn text(bytes: &[u8]) -> Result<&str, ImportError> {
    let failed = |end: usize, got: &str| {
        let line = bytes[..end].split(|&byte| byte == b'\n').count();
        ImportError::invalid(Place::Line { line, tree: None, key: String::new() }, "text in UTF-8", got)
    };
    if let Some(place) = bytes.iter().position(|&byte| byte == 0) {
        return Err(failed(place, "a zero byte"));
    }
    std::str::from_utf8(bytes).map_err(|error| failed(error.valid_up_to(), "other bytes"))
}

/// What serve-core found wrong with the trees, where the tree stands. Nodes are told as the file counts them: splits, and
/// after them the leaves.
fn located(error: InvalidTrees, trees: &[Tree], place: impl Fn(usize) -> Place) -> ImportError {
    match error {
        InvalidTrees::Node { tree, node, problem } => {
            let splits = trees.get(tree).map_or(0, |tree| tree.nodes.len() / 2);
            let node =
                if node < splits { format!("split {node}") } else { format!("leaf {}", node - splits) };
            ImportError::Graph { place: place(tree), problem: format!("{node}: {problem}") }
        }
        InvalidTrees::Tree { tree, problem } => ImportError::Graph { place: place(tree), problem },
        other => ImportError::Graph { place: place(0), problem: other.to_string() },
    }
}
