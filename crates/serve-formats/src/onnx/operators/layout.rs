//! Operators that only move values, make constants or change types. Texts move as numbers do.

use serve_core::graph::{Dtype, Op, Tensor};

use super::super::attributes::{axis, signed};
use super::super::file::NodeFile;
use super::super::lower::{self, Fault, Lowering, Value};
use super::reductions::axes;

/// A value of the same kind.
fn like(value: &Value, tensor: Tensor) -> Value {
    match value {
        Value::Number(_) => Value::Number(tensor),
        Value::Text(_) => Value::Text(tensor),
    }
}

fn tensor(value: &Value) -> Tensor {
    match value {
        Value::Number(tensor) | Value::Text(tensor) => *tensor,
    }
}

/// Indices and shapes that the file gives as numbers.
fn whole(values: &[f64]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

pub(super) fn cast<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    match (&value, node.int("to", 1)) {
        (Value::Text(_), 8) => Ok(value),
        (Value::Number(x), kind) if kind != 8 => Ok(Value::Number(low.graph.cast(*x, lower::dtype(kind)?)?)),
        _ => Err(Fault::unsupported("a cast between numbers and texts", "casts between numbers")),
    }
}

pub(super) fn constant<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let Some(attribute) = node.attributes.first() else {
        return Err(Fault::invalid("an attribute with a value", "none"));
    };
    let graph = &mut low.graph;
    Ok(Value::Number(match attribute.name {
        "value_float" => graph.scalar(node.float("value_float", 0.0), Dtype::F32)?,
        "value_int" => graph.scalar(node.int("value_int", 0) as f64, Dtype::I64)?,
        "value_floats" => {
            let values = node.floats("value_floats");
            graph.constant(Dtype::F32, &[values.len()], values)?
        }
        "value_ints" => {
            let values: Vec<f64> = attribute.ints.iter().map(|&x| x as f64).collect();
            graph.constant(Dtype::I64, &[values.len()], values)?
        }
        _ => match &attribute.tensor {
            Some(tensor) => return low.tensor(tensor),
            None => {
                return Err(Fault::unsupported(
                    "this kind of value",
                    "value, value_float, value_int and lists",
                ));
            }
        },
    }))
}

pub(super) fn constant_of_shape<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let shape = target_shape(node, low, 0)?;
    let shape: Vec<usize> = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    let value = match node.attribute("value").and_then(|attribute| attribute.tensor.as_ref()) {
        None => low.graph.scalar(0.0, Dtype::F32)?,
        Some(given) => tensor(&low.tensor(given)?),
    };
    let value = low.graph.reshape(value, &[])?;
    Ok(Value::Number(low.graph.expand(value, &shape)?))
}

pub(super) fn shape<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let shape = low.graph.shape(tensor(&value)).to_vec();
    let rank = signed(shape.len());
    let bound = |place: i64| (if place < 0 { place + rank } else { place }).clamp(0, rank) as usize;
    let (start, end) = (bound(node.int("start", 0)), bound(node.int("end", rank)));
    let own: Vec<f64> = shape[start..end.max(start)].iter().map(|&n| n as f64).collect();
    Ok(Value::Number(low.graph.constant(Dtype::I64, &[own.len()], own)?))
}

pub(super) fn range<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let mut ends = [0.0; 3];
    for (operand, end) in ends.iter_mut().enumerate() {
        *end = low.constant(node, operand)?.and_then(|values| values.first().copied()).unwrap_or(0.0);
    }
    let [start, limit, step] = ends;
    let count = ((limit - start) / step).ceil();
    if !(0.0..=65536.0).contains(&count) {
        return Err(Fault::invalid(
            "a range of at most 65536 values",
            format!("{start} to {limit} by {step}"),
        ));
    }
    let values: Vec<f64> = (0..count as usize).map(|i| start + step * i as f64).collect();
    let like = low.number(node, 0)?;
    Ok(Value::Number(low.graph.constant(low.graph.dtype(like), &[values.len()], values)?))
}

/// A shape that is an operand, or an attribute in the oldest operator sets.
fn target_shape<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>, operand: usize) -> Result<Vec<i64>, Fault> {
    match low.constant(node, operand)? {
        Some(values) => Ok(whole(&values)),
        None => Ok(node.ints("shape").to_vec()),
    }
}

pub(super) fn reshape<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let x = tensor(&value);
    let own = low.graph.shape(x).to_vec();
    let total: usize = own.iter().product();
    let wanted = target_shape(node, low, 1)?;
    let copies = node.int("allowzero", 0) == 0;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &n) in wanted.iter().enumerate() {
        shape.push(match n {
            -1 => None,
            0 if copies => own.get(axis).copied(),
            n => Some(usize::try_from(n).map_err(|_| Fault::invalid("dimensions", format!("{wanted:?}")))?),
        });
    }
    let known = shape.iter().flatten().try_fold(1_usize, |all, &n| all.checked_mul(n)).unwrap_or(0);
    let rest = total.checked_div(known).unwrap_or(0);
    let shape: Vec<usize> = shape.into_iter().map(|n| n.unwrap_or(rest)).collect();
    Ok(like(&value, low.graph.reshape(x, &shape)?))
}

pub(super) fn flatten<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let shape = low.graph.shape(tensor(&value)).to_vec();
    let given = node.int("axis", 1);
    let axis = if given == signed(shape.len()) { shape.len() } else { axis(given, shape.len())? };
    let flat = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    Ok(like(&value, low.graph.reshape(tensor(&value), &flat)?))
}

pub(super) fn squeeze<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let shape = low.graph.shape(tensor(&value)).to_vec();
    let Some(axes) = axes(node, low, 1, shape.len())? else {
        // It would take the batch dimension too, but only for one row.
        return Err(Fault::unsupported("squeezing without axes", "Squeeze with axes"));
    };
    if let Some(&axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
        return Err(Fault::invalid(format!("length 1 at axis {axis}"), format!("{shape:?}")));
    }
    let kept: Vec<usize> =
        (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    Ok(like(&value, low.graph.reshape(tensor(&value), &kept)?))
}

pub(super) fn unsqueeze<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let own = low.graph.shape(tensor(&value)).to_vec();
    let count = match low.constant(node, 1)? {
        Some(axes) => axes.len(),
        None => node.ints("axes").len(),
    };
    let rank = own.len() + count;
    let axes = axes(node, low, 1, rank)?.unwrap_or_default();
    let mut rest = own.into_iter();
    let shape: Vec<usize> =
        (0..rank).filter_map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next() }).collect();
    Ok(like(&value, low.graph.reshape(tensor(&value), &shape)?))
}

pub(super) fn transpose<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let rank = low.graph.shape(tensor(&value)).len();
    let order = match node.ints("perm") {
        [] => (0..rank).rev().collect(),
        given => given.iter().map(|&given| axis(given, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    Ok(like(&value, low.graph.transpose(tensor(&value), &order)?))
}

pub(super) fn slice<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let mut x = tensor(&value);
    let mut given = |operand: usize, name: &str| -> Result<Option<Vec<i64>>, Fault> {
        Ok(match low.constant(node, operand)? {
            Some(values) => Some(whole(&values)),
            None => node.attribute(name).map(|attribute| attribute.ints.clone()),
        })
    };
    let (starts, ends) = (given(1, "starts")?.unwrap_or_default(), given(2, "ends")?.unwrap_or_default());
    let axes = given(3, "axes")?.unwrap_or_else(|| (0..signed(starts.len())).collect());
    let steps = given(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Fault::invalid(
            format!("{} ends, axes and steps", starts.len()),
            "another number of some",
        ));
    }
    for (((start, end), given), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis(given, low.graph.shape(x).len())?;
        let picked = sliced(start, end, step, low.graph.shape(x)[axis])?;
        x = low.graph.select(x, axis, &picked)?;
    }
    Ok(like(&value, x))
}

fn sliced(start: i64, end: i64, step: i64, length: usize) -> Result<Vec<usize>, Fault> {
    let n = signed(length);
    let from_end = |place: i64| if place < 0 { place.saturating_add(n) } else { place };
    if step == 0 {
        return Err(Fault::invalid("a step", "0"));
    }
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    if step > 0 {
        let (start, end) = (from_end(start).clamp(0, n), from_end(end).clamp(0, n));
        return Ok((start..end).step_by(stride).map(|i| i as usize).collect());
    }
    let (start, end) = (from_end(start).clamp(-1, n - 1), from_end(end).clamp(-1, n - 1));
    Ok((end + 1..=start).rev().step_by(stride).map(|i| i as usize).collect())
}

pub(super) fn split<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let value = low.operand(node, 0)?;
    let shape = low.graph.shape(tensor(&value)).to_vec();
    let axis = node.axis(0, shape.len())?;
    let count = node.outputs.len().max(1);
    let sizes: Vec<usize> = match low.constant(node, 1)? {
        Some(values) => values.iter().map(|&n| n as usize).collect(),
        None if !node.ints("split").is_empty() => node.ints("split").iter().map(|&n| n as usize).collect(),
        None => {
            let each = shape[axis].div_ceil(count);
            (0..count).map(|i| each.min(shape[axis].saturating_sub(i * each))).collect()
        }
    };
    let total = sizes.iter().try_fold(0_usize, |all, &n| all.checked_add(n));
    if total != Some(shape[axis]) {
        return Err(Fault::invalid(format!("parts of {} values", shape[axis]), format!("{sizes:?}")));
    }
    let mut start = 0;
    let mut parts = Vec::new();
    for size in sizes {
        let picked: Vec<usize> = (start..start + size).collect();
        parts.push(like(&value, low.graph.select(tensor(&value), axis, &picked)?));
        start += size;
    }
    Ok(parts)
}

pub(super) fn concat<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let first = low.operand(node, 0)?;
    let mut parts = vec![tensor(&first)];
    for operand in 1..node.inputs.len() {
        let next = low.operand(node, operand)?;
        if matches!(next, Value::Text(_)) != matches!(first, Value::Text(_)) {
            return Err(Fault::invalid("tensors of one type", "numbers and texts"));
        }
        parts.push(tensor(&next));
    }
    let axis = node.axis(1, low.graph.shape(parts[0]).len())?;
    Ok(like(&first, low.graph.concat(axis, &parts)?))
}

pub(super) fn expand<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let shape: Vec<usize> =
        target_shape(node, low, 1)?.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    Ok(like(&value, low.graph.expand(tensor(&value), &shape)?))
}

pub(super) fn tile<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let mut x = tensor(&value);
    let repeats = target_shape(node, low, 1)?;
    let rank = low.graph.shape(x).len();
    if repeats.len() != rank {
        return Err(Fault::invalid(format!("{rank} repeats"), repeats.len().to_string()));
    }
    for (axis, &count) in repeats.iter().enumerate() {
        let length = low.graph.shape(x)[axis];
        let count = usize::try_from(count).ok().filter(|&n| n.saturating_mul(length) <= 1 << 22);
        let Some(count) = count else { return Err(Fault::invalid("fewer repeats", format!("{repeats:?}"))) };
        let picked: Vec<usize> = (0..count).flat_map(|_| 0..length).collect();
        x = low.graph.select(x, axis, &picked)?;
    }
    Ok(like(&value, x))
}

pub(super) fn gather<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let x = tensor(&value);
    let indices = low.number(node, 1)?;
    let axis = node.axis(0, low.graph.shape(x).len())?;
    Ok(like(&value, picked(low, x, indices, axis)?))
}

/// Constant indices become a rearrangement.
fn picked(low: &mut Lowering<'_>, x: Tensor, indices: Tensor, axis: usize) -> Result<Tensor, Fault> {
    let shape = low.graph.shape(x).to_vec();
    let Some(values) = low.graph.value(indices) else {
        let indices = low.graph.cast(indices, Dtype::I64)?;
        return Ok(low.graph.push(Op::Gather { axis: axis as u32 }, &[x, indices])?);
    };
    let length = shape[axis] as f64;
    let places: Option<Vec<usize>> = (values.iter())
        .map(|&i| if i < 0.0 { i + length } else { i })
        .map(|i| (0.0..length).contains(&i).then_some(i as usize))
        .collect();
    let Some(places) = places else {
        return Err(Fault::invalid(
            format!("indices below {length}"),
            format!("{:.100}", format!("{values:?}")),
        ));
    };
    let own = low.graph.shape(indices).to_vec();
    let taken = low.graph.select(x, axis, &places)?;
    let result = [&shape[..axis], &own, &shape[axis + 1..]].concat();
    Ok(low.graph.reshape(taken, &result)?)
}

pub(super) fn gather_elements<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let x = tensor(&value);
    let indices = low.number(node, 1)?;
    let indices = low.graph.cast(indices, Dtype::I64)?;
    let axis = node.axis(0, low.graph.shape(x).len())? as u32;
    Ok(like(&value, low.graph.push(Op::GatherElements { axis }, &[x, indices])?))
}

/// Columns of the last axis; a tensor of one dimension counts as one row.
pub(super) fn array_feature_extractor<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
) -> Result<Value, Fault> {
    let value = low.operand(node, 0)?;
    let mut x = tensor(&value);
    let indices = low.number(node, 1)?;
    let count: usize = low.graph.shape(indices).iter().product();
    let indices = low.graph.reshape(indices, &[count])?;
    if let [length] = *low.graph.shape(x) {
        x = low.graph.reshape(x, &[1, length])?;
    }
    let Some(axis) = low.graph.shape(x).len().checked_sub(1) else {
        return Err(Fault::invalid("at least one dimension", "none"));
    };
    Ok(like(&value, picked(low, x, indices, axis)?))
}
