//! Functions of values: element by element, and matrix products.

use serve_core::graph::{Binary, Dtype, Op, Tensor, Unary};

use super::super::file::NodeFile;
use super::super::lower::{Fault, Lowering, Value};

/// The function of one value that a node is.
pub(super) fn unary_op(node: &NodeFile<'_>) -> Option<Unary> {
    Some(match node.op {
        "Abs" => Unary::Abs,
        "Ceil" => Unary::Ceil,
        "Cos" => Unary::Cos,
        "Elu" => Unary::Elu(node.float("alpha", 1.0)),
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "IsInf" => Unary::IsInf,
        "IsNaN" => Unary::IsNan,
        "LeakyRelu" => Unary::LeakyRelu(node.float("alpha", 0.01)),
        "Log" => Unary::Log,
        "Neg" => Unary::Neg,
        "Not" => Unary::Not,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Sqrt" => Unary::Sqrt,
        "Tanh" => Unary::Tanh,
        _ => return None,
    })
}

/// The function of two values that a node is.
pub(super) fn binary_op(node: &NodeFile<'_>) -> Option<Binary> {
    Some(match node.op {
        "Add" => Binary::Add,
        "And" => Binary::And,
        "Div" => Binary::Div,
        "Equal" => Binary::Equal,
        "Greater" => Binary::Greater,
        "GreaterOrEqual" => Binary::GreaterOrEqual,
        "Less" => Binary::Less,
        "LessOrEqual" => Binary::LessOrEqual,
        "Mod" if node.int("fmod", 0) == 1 => Binary::Fmod,
        "Mod" => Binary::Mod,
        "Mul" => Binary::Mul,
        "Or" => Binary::Or,
        "Pow" => Binary::Pow,
        "Sub" => Binary::Sub,
        "Xor" => Binary::Xor,
        _ => return None,
    })
}

pub(super) fn unary<'a>(op: Unary, node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let x = low.number(node, 0)?;
    Ok(Value::Number(low.graph.unary(op, x)?))
}

pub(super) fn binary<'a>(op: Binary, node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let (a, b) = match (low.operand(node, 0)?, low.operand(node, 1)?) {
        (Value::Number(a), Value::Number(b)) => (a, b),
        (Value::Text(a), Value::Text(b)) if op == Binary::Equal => {
            for (words, other) in [(b, a), (a, b)] {
                know_constants(low, words, other);
            }
            (a, b)
        }
        _ => return Err(Fault::invalid("numbers", "texts")),
    };
    // The exponent may have another type.
    let b = if op == Binary::Pow { low.graph.cast(b, low.graph.dtype(a))? } else { b };
    Ok(Value::Number(low.graph.binary(op, a, b)?))
}

/// Texts that a tensor of texts is compared with become part of its inputs' vocabularies.
fn know_constants(low: &mut Lowering<'_>, words: Tensor, other: Tensor) {
    let ids = low.graph.value(words).unwrap_or_default().to_vec();
    let words: Vec<String> = ids.iter().filter_map(|&id| low.text_of(id).map(str::to_owned)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    low.know(other, &words, true);
}

pub(super) fn choose<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let condition = low.number(node, 0)?;
    match (low.operand(node, 1)?, low.operand(node, 2)?) {
        (Value::Number(a), Value::Number(b)) => {
            Ok(Value::Number(low.graph.push(Op::Where, &[condition, a, b])?))
        }
        (Value::Text(a), Value::Text(b)) => Ok(Value::Text(low.graph.push(Op::Where, &[condition, a, b])?)),
        _ => Err(Fault::invalid("two tensors of one type", "numbers and texts")),
    }
}

pub(super) fn clip<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let mut x = low.number(node, 0)?;
    for (place, name, op) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        let bound = match low.optional(node, place)? {
            Some(Value::Number(bound)) => Some(bound),
            Some(Value::Text(_)) => return Err(Fault::invalid("numbers", "texts")),
            None => match node.attribute(name).and_then(|attribute| attribute.float) {
                Some(bound) => Some(low.graph.scalar(f64::from(bound), low.graph.dtype(x))?),
                None => None,
            },
        };
        if let Some(bound) = bound {
            x = low.graph.binary(op, x, bound)?;
        }
    }
    Ok(Value::Number(x))
}

pub(super) fn variadic<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let op = match node.op {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let mut all = low.number(node, 0)?;
    for operand in 1..node.inputs.len() {
        let next = low.number(node, operand)?;
        all = low.graph.binary(op, all, next)?;
    }
    if node.op == "Mean" {
        all = low.graph.binary_scalar(Binary::Div, all, node.inputs.len() as f64)?;
    }
    Ok(Value::Number(all))
}

pub(super) fn matmul<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let (a, b) = (low.number(node, 0)?, low.number(node, 1)?);
    Ok(Value::Number(product(low, a, b)?))
}

/// A product of whole numbers is computed on floats.
fn product(low: &mut Lowering<'_>, a: Tensor, b: Tensor) -> Result<Tensor, Fault> {
    let dtype = low.graph.dtype(a);
    if dtype.is_float() {
        return Ok(low.graph.push(Op::MatMul, &[a, b])?);
    }
    let (a, b) = (low.graph.cast(a, Dtype::F64)?, low.graph.cast(b, Dtype::F64)?);
    let product = low.graph.push(Op::MatMul, &[a, b])?;
    Ok(low.graph.cast(product, dtype)?)
}

pub(super) fn gemm<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let (mut a, mut b) = (low.number(node, 0)?, low.number(node, 1)?);
    for (x, name) in [(&mut a, "transA"), (&mut b, "transB")] {
        if node.int(name, 0) != 0 {
            *x = low.graph.transpose(*x, &[1, 0])?;
        }
    }
    let mut y = product(low, a, b)?;
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    if alpha != 1.0 {
        y = low.graph.binary_scalar(Binary::Mul, y, alpha)?;
    }
    if low.optional(node, 2)?.is_some() {
        let mut c = low.number(node, 2)?;
        if beta != 1.0 {
            c = low.graph.binary_scalar(Binary::Mul, c, beta)?;
        }
        y = low.graph.binary(Binary::Add, y, c)?;
    }
    Ok(Value::Number(y))
}

/// In inference: `(x - mean) / sqrt(var + epsilon) · scale + bias` along axis 1.
pub(super) fn batch_normalization<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    if node.int("training_mode", 0) != 0 {
        return Err(Fault::unsupported("training", "inference"));
    }
    let x = low.number(node, 0)?;
    let rank = low.graph.shape(x).len();
    if rank < 2 {
        return Err(Fault::invalid("at least two dimensions", rank.to_string()));
    }
    let mut parts = Vec::new();
    for operand in 1..5 {
        let part = low.number(node, operand)?;
        let mut shape = vec![1; rank];
        shape[1] = low.graph.shape(part).iter().product();
        parts.push(low.graph.reshape(part, &shape)?);
    }
    let spread = low.graph.binary_scalar(Binary::Add, parts[3], node.float("epsilon", 1e-5))?;
    let spread = low.graph.unary(Unary::Sqrt, spread)?;
    let centred = low.graph.binary(Binary::Sub, x, parts[2])?;
    let scaled = low.graph.binary(Binary::Div, centred, spread)?;
    let scaled = low.graph.binary(Binary::Mul, scaled, parts[0])?;
    Ok(Value::Number(low.graph.binary(Binary::Add, scaled, parts[1])?))
}
