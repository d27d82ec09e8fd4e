//! `LinearClassifier` and `LinearRegressor`.

use serve_core::ensemble::Model;
use serve_core::graph::{Op, Tensor};
use serve_core::linear::LinearModel;
use serve_core::link::{Link, LinkFunction, Precision};

use super::super::file::NodeFile;
use super::super::lower::{Bare, Fault, Lowering, Value};
use super::scores::{self, Transform};

/// Raw scores, and the model that gives them.
struct Raw {
    scores: Tensor,
    model: LinearModel,
}

fn raw<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>, outputs: usize) -> Result<Raw, Fault> {
    let rows = low.single_rows(node, 0)?;
    let mut intercept = node.floats("intercepts");
    if intercept.is_empty() {
        intercept = vec![0.0; outputs];
    }
    let width = low.graph.shape(rows)[1];
    let model = LinearModel::new(width, node.floats("coefficients"), intercept)
        .map_err(|error| Fault::Problem(error.to_string()))?;
    if model.outputs() != outputs {
        return Err(Fault::invalid(format!("{outputs} intercepts"), model.outputs().to_string()));
    }
    let scores = low.graph.push(Op::Linear(model.clone()), &[rows])?;
    Ok(Raw { scores, model })
}

fn bare(low: &mut Lowering<'_>, raw: Raw, scores: Tensor, function: LinkFunction) {
    let link = Link { function, precision: Precision::F32 };
    let model = Model::Linear(raw.model.with_precision(Precision::F32));
    low.bare.push(Bare { scores, model, link });
}

pub(super) fn regressor<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let outputs = usize::try_from(node.int("targets", 1)).unwrap_or(0).min(1 << 16);
    let transform = if outputs > 1 { Transform::named(node)? } else { Transform::None };
    let raw = raw(node, low, outputs)?;
    let scores = transform.apply(low, raw.scores)?;
    if transform == Transform::None {
        bare(low, raw, scores, LinkFunction::Identity);
    }
    Ok(Value::Number(scores))
}

pub(super) fn classifier<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let (labels, classes) = scores::class_labels(node, low)?;
    let transform = Transform::named(node)?;
    let outputs = node.floats("intercepts").len();
    let raw = raw(node, low, if outputs == 0 { classes } else { outputs })?;
    if raw.model.outputs() == 1 && classes == 2 {
        let index = scores::above(low, raw.scores, 0.0)?;
        // The transform is not applied to a single score.
        let both = scores::complement(low, raw.scores)?;
        bare(low, raw, both, LinkFunction::Complement);
        return Ok(vec![scores::label(low, &labels, index)?, Value::Number(both)]);
    }
    if raw.model.outputs() != classes {
        return Err(Fault::invalid(format!("{classes} intercepts"), raw.model.outputs().to_string()));
    }
    let index = scores::greatest(low, raw.scores)?;
    let result = transform.apply(low, raw.scores)?;
    match transform {
        Transform::None => bare(low, raw, result, LinkFunction::Identity),
        Transform::Softmax => bare(low, raw, result, LinkFunction::Softmax),
        Transform::Logistic => {
            bare(low, raw, result, LinkFunction::OneVsRest { scale: 1.0, normalize: false });
        }
        Transform::SoftmaxZero => {}
    }
    Ok(vec![scores::label(low, &labels, index)?, Value::Number(result)])
}
