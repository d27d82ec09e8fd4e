//! The operators. There are few: slices, transpositions, tilings and gathers by constant indices are all
//! [`Op::Take`], scalers and imputers are arithmetic; [`GraphBuilder`](super::GraphBuilder) writes them down.

use serde::{Deserialize, Serialize};

use super::{Constant, Dtype};
use crate::linear::LinearModel;
use crate::tree::TreeEnsemble;

/// An operator. Shapes are those of one row; see [the module](super).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there are few per model")]
pub enum Op {
    /// Numbers that do not depend on the row.
    Constant(Constant),
    /// `[1, columns]`: values of the row, cast.
    Columns {
        /// Which, from 0.
        columns: Vec<u32>,
        /// What they become.
        dtype: Dtype,
    },
    /// The same numbers as another type: `f32` rounds to nearest, whole numbers truncate (what they cannot hold becomes
    /// -2^63), booleans are `x != 0`.
    Cast(Dtype),
    /// The same numbers in another shape.
    Reshape(Vec<u32>),
    /// `out[i] = x[indices[i]]` on flattened tensors.
    Take {
        /// One per value of the result.
        indices: Vec<u32>,
        /// The result's shape.
        shape: Vec<u32>,
    },
    /// Operands one after the other along an axis.
    Concat {
        /// The axis.
        axis: u32,
    },
    /// A function of each value.
    Unary(Unary),
    /// A function of two operands' values, broadcast as NumPy does.
    Binary(Binary),
    /// `c ? a : b` of three operands, broadcast.
    Where,
    /// A reduction that keeps the reduced axes with length 1. Sums are in `f64`, in order, rounded once. Whole numbers
    /// take those that give whole numbers.
    Reduce {
        /// How.
        kind: Reduction,
        /// Over which axes, ascending; none is all.
        axes: Vec<u32>,
    },
    /// Where along an axis the greatest or least value stands; the axis keeps length 1. NaN is never chosen unless it
    /// stands first.
    Arg {
        /// Greatest or least.
        extreme: Extreme,
        /// Along which axis.
        axis: u32,
        /// Of equals, the last and not the first.
        last: bool,
    },
    /// `exp(xᵢ - max x) / Σ exp(xⱼ - max x)` along an axis, or its logarithm.
    Softmax {
        /// Along which axis.
        axis: u32,
        /// Whether the logarithm is wanted.
        log: bool,
    },
    /// Slices of the first operand at the indices that the second one holds; negative ones count from the end, and one out
    /// of range gives NaN, which counts as true among booleans.
    Gather {
        /// Which axis is indexed.
        axis: u32,
    },
    /// `out[i][j] = x[index[i][j]][j]` for axis 0, and so on; indices as in [`Op::Gather`].
    GatherElements {
        /// Which axis is indexed.
        axis: u32,
    },
    /// Positions of the `count` greatest or least values along an axis, best first, the first of equals first.
    TopK {
        /// Along which axis.
        axis: u32,
        /// How many.
        count: u32,
        /// Greatest or least.
        extreme: Extreme,
    },
    /// Running sums of numbers along an axis.
    CumSum {
        /// Along which axis.
        axis: u32,
    },
    /// The matrix product of NumPy's `matmul`, of any rank from 1; sums in `f64`, in order, rounded once.
    MatMul,
    /// A number for each number.
    Lookup(Lookup),
    /// Kernel values `[rows, vectors]` of rows `[rows, width]` with support vectors.
    SupportVectors(SupportVectors),
    /// Class probabilities `[1, classes]` of pairwise ones `[1, classes * (classes - 1) / 2]`, in the order (0,1), (0,2),
    /// …, (1,2), …: method 2 of Wu, Lin and Weng, as libsvm's `multiclass_probability`.
    PairwiseCoupling {
        /// Number of classes.
        classes: u32,
    },
    /// Raw scores `[rows, outputs]` of rows `[rows, inputs]`.
    Linear(LinearModel),
    /// Raw scores `[rows, outputs]` of rows `[rows, inputs]`.
    Trees(TreeEnsemble),
}

impl Op {
    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Columns { .. } => "columns",
            Self::Cast(_) => "cast",
            Self::Reshape(_) => "reshape",
            Self::Take { .. } => "take",
            Self::Concat { .. } => "concat",
            Self::Unary(_) => "unary",
            Self::Binary(_) => "binary",
            Self::Where => "where",
            Self::Reduce { .. } => "reduce",
            Self::Arg { .. } => "arg",
            Self::Softmax { .. } => "softmax",
            Self::Gather { .. } => "gather",
            Self::GatherElements { .. } => "gather elements",
            Self::TopK { .. } => "top k",
            Self::CumSum { .. } => "cumulative sum",
            Self::MatMul => "matmul",
            Self::Lookup(_) => "lookup",
            Self::SupportVectors(_) => "support vectors",
            Self::PairwiseCoupling { .. } => "pairwise coupling",
            Self::Linear(_) => "linear",
            Self::Trees(_) => "trees",
        }
    }
}

/// A function of one number. NaN gives NaN where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unary {
    /// `-x`
    Neg,
    /// `|x|`
    Abs,
    /// `e^x`
    Exp,
    /// Natural logarithm.
    Log,
    /// `ln(1 + x)`
    Log1p,
    /// `e^x - 1`
    Expm1,
    /// Square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// Down to a whole number.
    Floor,
    /// Up to a whole number.
    Ceil,
    /// To the nearest whole number, halves to even.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// The error function.
    Erf,
    /// `max(x, 0)`
    Relu,
    /// `x` where it is not negative, else `alpha · x`.
    LeakyRelu(f64),
    /// `x` where it is not negative, else `alpha · (e^x - 1)`.
    Elu(f64),
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `ln(1 + e^x)`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Not, of booleans.
    Not,
    /// Whether it is NaN.
    IsNan,
    /// Whether it is infinite.
    IsInf,
}

/// A function of two numbers. Both operands have one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`; towards zero for whole numbers, whose quotient by 0 is NaN.
    Div,
    /// `a^b`; towards zero for whole numbers.
    Pow,
    /// `a - b · trunc(a / b)`
    Fmod,
    /// `a - b · floor(a / b)`
    Mod,
    /// The lesser; NaN where one is.
    Min,
    /// The greater; NaN where one is.
    Max,
    /// `a < b`
    Less,
    /// `a <= b`
    LessOrEqual,
    /// `a > b`
    Greater,
    /// `a >= b`
    GreaterOrEqual,
    /// `a == b`; NaN equals nothing.
    Equal,
    /// Both, of booleans.
    And,
    /// Either or both, of booleans.
    Or,
    /// Either, of booleans.
    Xor,
}

impl Binary {
    /// Whether the result is a boolean.
    #[must_use]
    pub fn compares(self) -> bool {
        use Binary::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Or, Xor};
        matches!(self, Less | LessOrEqual | Greater | GreaterOrEqual | Equal | And | Or | Xor)
    }
}

/// How many values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reduction {
    /// `Σ x`
    Sum,
    /// `Σ x / n`
    Mean,
    /// The greatest.
    Max,
    /// The least.
    Min,
    /// `Π x`
    Prod,
    /// `Σ |x|`
    L1,
    /// `sqrt(Σ x²)`
    L2,
    /// `Σ x²`
    SumSquare,
    /// `ln Σ e^x`, without overflow.
    LogSumExp,
    /// `ln Σ x`
    LogSum,
}

/// Greatest or least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extreme {
    /// Greatest.
    Max,
    /// Least.
    Min,
}

/// A number for each number: `values[i]` for what equals `keys[i]`, the first of equal keys; NaN equals NaN here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// What is looked up.
    pub keys: Vec<f64>,
    /// What is found.
    pub values: Vec<f64>,
    /// What is given for anything else.
    pub otherwise: f64,
    /// What the result's values are.
    pub dtype: Dtype,
}

/// A kernel function of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum SvmKernel {
    /// `x · v`
    Linear,
    /// `(gamma · x · v + coef0)^degree`
    Poly {
        /// Factor.
        gamma: f64,
        /// Summand.
        coef0: f64,
        /// Power.
        degree: f64,
    },
    /// `exp(-gamma · |x - v|²)`
    Rbf {
        /// Factor.
        gamma: f64,
    },
    /// `tanh(gamma · x · v + coef0)`
    Sigmoid {
        /// Factor.
        gamma: f64,
        /// Summand.
        coef0: f64,
    },
}

/// Support vectors and the kernel that rows meet them in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupportVectors {
    /// The kernel.
    pub kernel: SvmKernel,
    /// Length of a vector.
    pub width: u32,
    /// The vectors, row-major.
    pub vectors: Vec<f64>,
}
