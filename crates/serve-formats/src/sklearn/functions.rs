//! The names that the form has for nodes and for functions of numbers.

use serve_core::graph::{Binary, Reduction, Unary};

use super::file::OpFile;
use super::lower::Refused;
use crate::error::shown;

fn unknown(name: &str, known: &str) -> Refused {
    Refused::new(".function", format!("expected {known}, got {}", shown(name)))
}

pub(super) fn reduction(name: &str) -> Result<Reduction, Refused> {
    Ok(match name {
        "sum" => Reduction::Sum,
        "max" => Reduction::Max,
        "min" => Reduction::Min,
        _ => return Err(unknown(name, "sum, max or min")),
    })
}

pub(super) fn binary(name: &str) -> Result<Binary, Refused> {
    Ok(match name {
        "add" => Binary::Add,
        "sub" => Binary::Sub,
        "mul" => Binary::Mul,
        "div" => Binary::Div,
        "pow" => Binary::Pow,
        "min" => Binary::Min,
        "max" => Binary::Max,
        "less" => Binary::Less,
        "less_or_equal" => Binary::LessOrEqual,
        "greater" => Binary::Greater,
        "greater_or_equal" => Binary::GreaterOrEqual,
        "equal" => Binary::Equal,
        _ => return Err(unknown(name, "a function of two numbers")),
    })
}

pub(super) fn unary(name: &str) -> Result<Unary, Refused> {
    Ok(match name {
        "neg" => Unary::Neg,
        "abs" => Unary::Abs,
        "exp" => Unary::Exp,
        "log" => Unary::Log,
        "log1p" => Unary::Log1p,
        "expm1" => Unary::Expm1,
        "sqrt" => Unary::Sqrt,
        "reciprocal" => Unary::Reciprocal,
        "floor" => Unary::Floor,
        "ceil" => Unary::Ceil,
        "round" => Unary::Round,
        "sign" => Unary::Sign,
        "relu" => Unary::Relu,
        "tanh" => Unary::Tanh,
        "sigmoid" => Unary::Sigmoid,
        "sin" => Unary::Sin,
        "cos" => Unary::Cos,
        "is_nan" => Unary::IsNan,
        _ => return Err(unknown(name, "a function of one number")),
    })
}

impl OpFile {
    /// Its key in the file.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Columns(_) => "columns",
            Self::Constant(_) => "constant",
            Self::Take(_) => "take",
            Self::Concat(_) => "concat",
            Self::Unary(_) => "unary",
            Self::Binary(_) => "binary",
            Self::Where(_) => "where",
            Self::Reduce(_) => "reduce",
            Self::Argmax(_) => "argmax",
            Self::Link(_) => "link",
            Self::Scale(_) => "scale",
            Self::Linear(_) => "linear",
            Self::Trees(_) => "trees",
            Self::Kernel(_) => "kernel",
            Self::Coupling(_) => "coupling",
            Self::Encode(_) => "encode",
            Self::WeightedMedian(_) => "weighted_median",
        }
    }
}
