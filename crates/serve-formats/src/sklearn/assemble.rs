//! From nodes to an estimator: a scaler, a model and its link function where the nodes are just that, a graph otherwise.

use serve_core::ensemble::Model;
use serve_core::graph::{Binary, Reduction};
use serve_core::link::{Link, LinkFunction};
use serve_core::scaler::{Affine, MinMaxScaler};
use serve_core::{Estimator, Scaler};

use super::file::{self, File, LinkName, NodeFile, OpFile, Scale, ScaleKind};
use super::lower::{self, Lowering, Refused};
use crate::error::{ImportError, Place};

/// The estimator that the nodes are.
///
/// # Errors
/// When a node is wrong.
pub(super) fn estimator(file: &File) -> Result<Estimator, ImportError> {
    match direct(file)? {
        Some(estimator) => Ok(estimator),
        None => graph(file),
    }
}

/// `columns → [scale] → linear or trees → [link]`, all columns in order and nothing else in the file.
fn direct(file: &File) -> Result<Option<Estimator>, ImportError> {
    let mut rest: &[NodeFile] = &file.nodes;
    if !file.refuse.is_empty() || file.output + 1 != rest.len() || !is_chain(rest) {
        return Ok(None);
    }
    let mut link = Link::IDENTITY;
    if let [before @ .., NodeFile { op: OpFile::Link(op), .. }] = rest {
        (link, rest) = (Link::new(function(op)), before);
    }
    let [before @ .., node] = rest else { return Ok(None) };
    let number = before.len();
    let width = file.features.len();
    let model = match &node.op {
        OpFile::Linear(op) => lower::linear(op).map(Model::Linear),
        OpFile::Trees(op) => lower::trees(op, width).map(Model::Trees),
        _ => return Ok(None),
    };
    let scaler = match before {
        [NodeFile { op: OpFile::Columns(op), .. }] if is_whole(op, width) => None,
        [NodeFile { op: OpFile::Columns(op), .. }, NodeFile { op: OpFile::Scale(scale), .. }]
            if is_whole(op, width) =>
        {
            Some(scaler(scale))
        }
        _ => return Ok(None),
    };
    let model = model.map_err(|refused| refused.at(number, node))?;
    let scaler_fits = scaler.as_ref().is_none_or(|scaler| scaler.validate(width).is_ok());
    let fits = model.inputs() == Some(width) && scaler_fits;
    // What does not fit is refused by the graph, with its place.
    Ok(fits.then_some(Estimator { transforms: Vec::new(), scaler, model, link }))
}

/// Whether each node is of the one before it.
fn is_chain(nodes: &[NodeFile]) -> bool {
    nodes.iter().enumerate().all(|(number, node)| match &node.op {
        OpFile::Columns(_) => number == 0,
        OpFile::Scale(file::Scale { of, .. })
        | OpFile::Linear(file::Linear { of, .. })
        | OpFile::Trees(file::Trees { of, .. })
        | OpFile::Link(file::Link { of, .. }) => of + 1 == number,
        _ => false,
    })
}

fn is_whole(op: &file::Columns, width: usize) -> bool {
    op.columns.iter().map(|&column| column as usize).eq(0..width)
}

fn function(op: &file::Link) -> LinkFunction {
    match op.function {
        LinkName::Logistic => LinkFunction::Logistic { scale: op.scale.unwrap_or(1.0) },
        LinkName::Softmax => LinkFunction::Softmax,
        LinkName::Exp => LinkFunction::Exp,
        LinkName::Hinge => LinkFunction::Hinge,
        LinkName::Complement => LinkFunction::Complement,
        LinkName::Normalize => LinkFunction::Normalize,
    }
}

fn scaler(op: &Scale) -> Scaler {
    let affine = || Affine { center: op.center.clone(), scale: op.scale.clone(), clip: op.clip };
    match op.kind {
        ScaleKind::Standard => Scaler::Standard(affine()),
        ScaleKind::Robust => Scaler::Robust(affine()),
        ScaleKind::MaxAbs => Scaler::MaxAbs(affine()),
        ScaleKind::MinMax => Scaler::MinMax(MinMaxScaler {
            min: op.min.clone().unwrap_or_default(),
            scale: op.scale.clone().unwrap_or_default(),
            clip: op.clip,
        }),
    }
}

fn graph(file: &File) -> Result<Estimator, ImportError> {
    let mut lowering = Lowering::of(file.features.len(), &file.nodes)?;
    let Some(last) = file.nodes.get(file.output) else {
        let expected = format!("one of {} nodes", file.nodes.len());
        return Err(ImportError::invalid(
            Place::Path("output".to_owned()),
            expected,
            file.output.to_string(),
        ));
    };
    // A link at the end is the estimator's own, so that explanations see the raw scores.
    let (mut output, mut link) = (file.output, Link::IDENTITY);
    if let OpFile::Link(op) = &last.op
        && file.refuse.is_empty()
    {
        (output, link) = (op.of, Link::new(function(op)));
    }
    let whole = |problem: String| ImportError::Graph { place: Place::Path("nodes".to_owned()), problem };
    let mut answer = lowering.tensors[output];
    if !file.refuse.is_empty() {
        answer = refuse(&mut lowering, file, answer)?;
    }
    let graph = lowering.graph.finish(answer).map_err(|error| whole(error.to_string()))?;
    Ok(Estimator::of(Model::Graph(graph), link))
}

/// The answer, or NaN where one of the nodes that tell of refusal is not 0.
fn refuse(
    lowering: &mut Lowering,
    file: &File,
    answer: serve_core::graph::Tensor,
) -> Result<serve_core::graph::Tensor, ImportError> {
    let place = || Place::Path("refuse".to_owned());
    let failed = |refused: Refused| ImportError::Graph { place: place(), problem: refused.problem };
    let mut flags = None;
    for &node in &file.refuse {
        let flag = lowering.tensors.get(node).copied().ok_or_else(|| {
            ImportError::invalid(place(), format!("one of {} nodes", file.nodes.len()), node.to_string())
        })?;
        let flag = lowering.reduce(Reduction::Max, flag).map_err(failed)?;
        flags = Some(match flags {
            None => flag,
            Some(others) => lowering.binary(Binary::Max, others, flag).map_err(failed)?,
        });
    }
    let Some(flags) = flags else { return Ok(answer) };
    let nothing = lowering.constant(vec![f64::NAN]).map_err(failed)?;
    lowering.where_not_zero(flags, nothing, answer).map_err(failed)
}
