//! Preprocessing of `ai.onnx.ml`: scalers, imputers, encoders; and `OneHot`.

use serve_core::graph::{Binary, Dtype, Lookup, Op, Reduction, Tensor, Unary};

use super::super::attributes::{axis, signed};
use super::super::file::{AttributeFile, NodeFile, TensorFile, Values};
use super::super::lower::{Fault, Lowering, Value};

pub(super) fn scaler<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let x = low.graph.cast(x, Dtype::F32)?;
    let offset = per_column(low, x, node.floats("offset"), "offset")?;
    let scale = per_column(low, x, node.floats("scale"), "scale")?;
    let centred = low.graph.binary(Binary::Sub, x, offset)?;
    Ok(Value::Number(low.graph.binary(Binary::Mul, centred, scale)?))
}

/// One number for all columns, or one for each.
fn per_column(low: &mut Lowering<'_>, x: Tensor, values: Vec<f64>, name: &str) -> Result<Tensor, Fault> {
    let width = low.graph.shape(x).last().copied().unwrap_or(1);
    if values.len() != 1 && values.len() != width {
        return Err(Fault::invalid(format!("1 or {width} numbers in {name}"), values.len().to_string()));
    }
    Ok(low.graph.constant(low.graph.dtype(x), &[values.len()], values)?)
}

pub(super) fn imputer<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let (values, replaced) = if low.graph.dtype(x).is_float() {
        (node.floats("imputed_value_floats"), node.float("replaced_value_float", 0.0))
    } else {
        let ints = node.ints("imputed_value_int64s").iter().map(|&value| value as f64).collect();
        (ints, node.int("replaced_value_int64", 0) as f64)
    };
    let width = low.graph.shape(x).last().copied().unwrap_or(1);
    // A list of another length stands for its first number.
    let values = if values.len() == width { values } else { values.into_iter().take(1).collect() };
    let values = per_column(low, x, values, "the imputed values")?;
    let missing = if replaced.is_nan() {
        low.graph.unary(Unary::IsNan, x)?
    } else {
        low.graph.binary_scalar(Binary::Equal, x, replaced)?
    };
    Ok(Value::Number(low.graph.push(Op::Where, &[missing, values, x])?))
}

pub(super) fn normalizer<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.single_rows(node, 0)?;
    let reduce = |kind| Op::Reduce { kind, axes: vec![1] };
    let one = low.graph.scalar(1.0, Dtype::F32)?;
    let zero = low.graph.scalar(0.0, Dtype::F32)?;
    let norm = node.text("norm")?.unwrap_or("MAX");
    let kind = match norm {
        "MAX" => Reduction::Max,
        "L1" => Reduction::L1,
        "L2" => Reduction::SumSquare,
        other => {
            let what = format!("norm {:.40}", format!("{other:?}"));
            return Err(Fault::unsupported(what, "MAX, L1 and L2"));
        }
    };
    let total = low.graph.push(reduce(kind), &[x])?;
    let empty = low.graph.binary(Binary::Equal, total, zero)?;
    let divisor = low.graph.push(Op::Where, &[empty, one, total])?;
    if norm != "L2" {
        return Ok(Value::Number(low.graph.binary(Binary::Div, x, divisor)?));
    }
    // The sign comes back after the root, as in ONNX Runtime.
    let square = low.graph.binary(Binary::Mul, x, x)?;
    let share = low.graph.binary(Binary::Div, square, divisor)?;
    let root = low.graph.unary(Unary::Sqrt, share)?;
    let other = low.graph.unary(Unary::Neg, root)?;
    let negative = low.graph.binary(Binary::Less, x, zero)?;
    let signed = low.graph.push(Op::Where, &[negative, other, root])?;
    Ok(Value::Number(low.graph.push(Op::Where, &[empty, x, signed])?))
}

pub(super) fn binarizer<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    let dtype = low.graph.dtype(x);
    let above = low.graph.binary_scalar(Binary::Greater, x, node.float("threshold", 0.0))?;
    Ok(Value::Number(low.graph.cast(above, dtype)?))
}

pub(super) fn feature_vectorizer<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let widths = node.ints("inputdimensions");
    let mut parts = Vec::new();
    for operand in 0..node.inputs.len() {
        let part = low.single_rows(node, operand)?;
        let width = low.graph.shape(part)[1];
        if widths.get(operand).is_some_and(|&n| n != signed(width)) {
            return Err(Fault::invalid(format!("inputdimensions {width}"), widths[operand].to_string()));
        }
        parts.push(part);
    }
    Ok(Value::Number(low.graph.concat(1, &parts)?))
}

/// `shape + [categories]`: 1 where the value is the category.
pub(super) fn one_hot_encoder<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let has_rule = node.int("zeros", 1) != 0;
    let (x, categories) = match low.operand(node, 0)? {
        Value::Text(ids) => {
            let words = node.strings("cats_strings");
            low.know(ids, words, has_rule);
            (ids, words.iter().map(|word| low.identity(word)).collect::<Vec<f64>>())
        }
        Value::Number(x) => {
            let categories = node.ints("cats_int64s").iter().map(|&category| category as f64).collect();
            (low.graph.cast(x, Dtype::I64)?, categories)
        }
    };
    if categories.is_empty() {
        return Err(Fault::invalid("categories of the operand's type", "none"));
    }
    let mut shape = low.graph.shape(x).to_vec();
    shape.push(1);
    let x = low.graph.reshape(x, &shape)?;
    // Of equal categories the last counts.
    let last = |i: usize| !categories[i + 1..].contains(&categories[i]);
    let counted: Vec<f64> = (0..categories.len()).map(|i| f64::from(u8::from(last(i)))).collect();
    let all_count = counted.iter().all(|&one| one == 1.0);
    let categories = low.graph.constant(Dtype::I64, &[categories.len()], categories)?;
    let same = low.graph.binary(Binary::Equal, x, categories)?;
    let mut hot = low.graph.cast(same, Dtype::F32)?;
    if !all_count {
        let counted = low.graph.constant(Dtype::F32, &[counted.len()], counted)?;
        hot = low.graph.binary(Binary::Mul, hot, counted)?;
    }
    if !has_rule {
        hot = refuse_unknown(low, hot)?;
    }
    Ok(Value::Number(hot))
}

/// NaN where no category fits, so that the row is refused.
fn refuse_unknown(low: &mut Lowering<'_>, hot: Tensor) -> Result<Tensor, Fault> {
    let axis = low.graph.shape(hot).len() as u32 - 1;
    let any = low.graph.push(Op::Reduce { kind: Reduction::Max, axes: vec![axis] }, &[hot])?;
    let known = low.graph.binary_scalar(Binary::Greater, any, 0.0)?;
    let nothing = low.graph.scalar(f64::NAN, Dtype::F32)?;
    Ok(low.graph.push(Op::Where, &[known, hot, nothing])?)
}

/// The standard operator: indices become vectors of two values along a new axis.
pub(super) fn one_hot<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let indices = low.number(node, 0)?;
    let indices = low.graph.cast(indices, Dtype::I64)?;
    let depth = low.constant(node, 1)?.and_then(|depth| depth.first().copied()).unwrap_or(0.0);
    if !(1.0..=65536.0).contains(&depth) {
        return Err(Fault::invalid("a depth of 1 to 65536", depth.to_string()));
    }
    let values = low.number(node, 2)?;
    let rank = low.graph.shape(indices).len();
    let place = axis(node.int("axis", -1), rank + 1)?;
    let mut shape = low.graph.shape(indices).to_vec();
    shape.insert(place, 1);
    let own = low.graph.reshape(indices, &shape)?;
    let negative = low.graph.binary_scalar(Binary::Less, own, 0.0)?;
    let turned = low.graph.binary_scalar(Binary::Add, own, depth)?;
    let own = low.graph.push(Op::Where, &[negative, turned, own])?;
    let mut ends = vec![1; rank + 1];
    ends[place] = depth as usize;
    let places = low.graph.constant(Dtype::I64, &ends, (0..depth as usize).map(|i| i as f64).collect())?;
    let hot = low.graph.binary(Binary::Equal, own, places)?;
    let off = low.graph.select(values, 0, &[0])?;
    let on = low.graph.select(values, 0, &[1])?;
    Ok(Value::Number(low.graph.push(Op::Where, &[hot, on, off])?))
}

/// Keys or values of a lookup.
enum Side<'a> {
    Texts(Vec<&'a str>),
    Numbers(Vec<f64>, Dtype),
}

fn side<'a>(node: &NodeFile<'a>, what: &str) -> Result<Side<'a>, Fault> {
    let named = |kind: &str| node.attribute(&format!("{what}_{kind}"));
    let of_tensor = |attribute: &AttributeFile<'a>| -> Result<Option<Side<'a>>, Fault> {
        let Some(tensor) = &attribute.tensor else { return Ok(None) };
        Ok(Some(match tensor.values()? {
            Values::Texts(texts) => Side::Texts(texts),
            Values::Numbers(numbers) => Side::Numbers(numbers, super::super::lower::dtype(tensor.kind)?),
        }))
    };
    if let Some(attribute) = named("strings") {
        return Ok(Side::Texts(attribute.strings.clone()));
    }
    if let Some(attribute) = named("int64s") {
        let numbers = attribute.ints.iter().map(|&key| key as f64).collect();
        return Ok(Side::Numbers(numbers, Dtype::I64));
    }
    if let Some(attribute) = named("floats") {
        return Ok(Side::Numbers(attribute.floats.iter().map(|&key| key.into()).collect(), Dtype::F32));
    }
    let tensor = named("tensor").map(of_tensor).transpose()?.flatten();
    tensor.ok_or_else(|| {
        Fault::invalid(format!("{what}_strings, {what}_int64s, {what}_floats or {what}_tensor"), "none")
    })
}

pub(super) fn label_encoder<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    if !node.strings("classes_strings").is_empty() {
        // The first version: texts to their positions, or back.
        let words = node.strings("classes_strings").to_vec();
        let places = (0..words.len()).map(|i| i as f64).collect();
        let (texts, numbers) = (Side::Texts(words), Side::Numbers(places, Dtype::I64));
        return match low.operand(node, 0)? {
            Value::Text(_) => look_up(node, low, texts, numbers),
            Value::Number(_) => look_up(node, low, numbers, texts),
        };
    }
    let (keys, values) = (side(node, "keys")?, side(node, "values")?);
    look_up(node, low, keys, values)
}

pub(super) fn category_mapper<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let texts = Side::Texts(node.strings("cats_strings").to_vec());
    let ints = node.ints("cats_int64s").iter().map(|&category| category as f64).collect();
    let numbers = Side::Numbers(ints, Dtype::I64);
    match low.operand(node, 0)? {
        Value::Text(_) => look_up(node, low, texts, numbers),
        Value::Number(_) => look_up(node, low, numbers, texts),
    }
}

fn look_up<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    keys: Side<'a>,
    values: Side<'a>,
) -> Result<Value, Fault> {
    let (x, keys) = match (low.operand(node, 0)?, keys) {
        (Value::Text(x), Side::Texts(words)) => {
            low.know(x, &words, true);
            (x, words.iter().map(|word| low.identity(word)).collect())
        }
        (Value::Number(x), Side::Numbers(keys, _)) => (x, keys),
        _ => return Err(Fault::invalid("keys of the operand's type", "keys of another")),
    };
    let default = |kind: &str| node.attribute(&format!("default_{kind}"));
    let of_tensor = default("tensor").and_then(|attribute| attribute.tensor.as_ref());
    let (text, values, otherwise, dtype) = match values {
        Side::Texts(words) => {
            let given = node.text("default_string")?.unwrap_or("_Unused");
            let otherwise = match of_tensor.map(TensorFile::values).transpose()? {
                Some(Values::Texts(texts)) => low.identity(texts.first().copied().unwrap_or(given)),
                _ => low.identity(given),
            };
            (true, words.iter().map(|word| low.identity(word)).collect(), otherwise, Dtype::I64)
        }
        Side::Numbers(values, dtype) => {
            let given = match dtype {
                Dtype::I64 => node.int("default_int64", -1) as f64,
                _ => node.float("default_float", -0.0),
            };
            let otherwise = match of_tensor.map(TensorFile::values).transpose()? {
                Some(Values::Numbers(numbers)) => numbers.first().copied().unwrap_or(given),
                _ => given,
            };
            (false, values, otherwise, dtype)
        }
    };
    let found = low.graph.push(Op::Lookup(Lookup { keys, values, otherwise, dtype }), &[x])?;
    Ok(if text { Value::Text(found) } else { Value::Number(found) })
}
