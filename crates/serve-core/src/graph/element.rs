//! Formulas of single numbers, which the engine and the naive evaluator share. Exponentials are `libm`'s, for the same
//! bits on every CPU; `f32` results are the rounded `f64` ones.

use std::cmp::Ordering;

use super::Dtype;
use super::op::{Binary, Extreme, SvmKernel, Unary};

/// What a whole number becomes that does not fit: x86's answer, which ONNX Runtime gives there.
const NO_I64: f64 = -9_223_372_036_854_775_808.0;

/// A result as its type holds it. Whole numbers have one zero.
#[inline]
pub(super) fn round(x: f64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => f64::from(x as f32),
        Dtype::I64 => x + 0.0,
        Dtype::F64 | Dtype::Bool => x,
    }
}

/// Whether a constant is a value of this type. NaN is one of every type, since a quotient by 0 and an index out of range
/// give it, and products of whole numbers may grow to infinity.
pub(super) fn fits(x: f64, dtype: Dtype) -> bool {
    match dtype {
        Dtype::F64 => true,
        Dtype::F32 => x.is_nan() || f64::from(x as f32) == x,
        Dtype::I64 => !x.is_finite() || x.fract() == 0.0,
        Dtype::Bool => x.is_nan() || x == 0.0 || x == 1.0,
    }
}

pub(super) fn cast(x: f64, to: Dtype) -> f64 {
    match to {
        Dtype::F64 => x,
        Dtype::F32 => f64::from(x as f32),
        Dtype::I64 if x.abs() < -NO_I64 => x.trunc() + 0.0,
        Dtype::I64 => NO_I64,
        Dtype::Bool => f64::from(u8::from(x != 0.0)),
    }
}

pub(super) fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[inline]
pub(super) fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => libm::exp(x),
        Unary::Log => libm::log(x),
        Unary::Log1p => libm::log1p(x),
        Unary::Expm1 => libm::expm1(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Sign if x > 0.0 => 1.0,
        Unary::Sign if x < 0.0 => -1.0,
        Unary::Sign => x,
        Unary::Erf => libm::erf(x),
        Unary::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Unary::LeakyRelu(alpha) => {
            if x < 0.0 {
                alpha * x
            } else {
                x
            }
        }
        Unary::Elu(alpha) => {
            if x < 0.0 {
                alpha * libm::expm1(x)
            } else {
                x
            }
        }
        Unary::Tanh => libm::tanh(x),
        Unary::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        // exp overflows long after ln(1 + e^x) has become x.
        Unary::Softplus => {
            if x > 40.0 {
                x
            } else {
                libm::log1p(libm::exp(x))
            }
        }
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Sin => libm::sin(x),
        Unary::Cos => libm::cos(x),
        Unary::Not => truth(x == 0.0),
        Unary::IsNan => truth(x.is_nan()),
        Unary::IsInf => truth(x.is_infinite()),
    }
}

#[inline]
pub(super) fn binary(op: Binary, a: f64, b: f64, dtype: Dtype) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div if dtype == Dtype::I64 => {
            if b == 0.0 {
                f64::NAN
            } else {
                (a / b).trunc()
            }
        }
        Binary::Div => a / b,
        Binary::Pow if b == 2.0 => a * a,
        Binary::Pow if dtype == Dtype::I64 => cast(libm::pow(a, b), dtype),
        Binary::Pow => libm::pow(a, b),
        Binary::Fmod => a % b,
        Binary::Mod => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }
        Binary::Min => {
            if a.is_nan() || a < b {
                a
            } else {
                b
            }
        }
        Binary::Max => {
            if a.is_nan() || a > b {
                a
            } else {
                b
            }
        }
        Binary::Less => truth(a < b),
        Binary::LessOrEqual => truth(a <= b),
        Binary::Greater => truth(a > b),
        Binary::GreaterOrEqual => truth(a >= b),
        Binary::Equal => truth(a == b),
        Binary::And => truth(a != 0.0 && b != 0.0),
        Binary::Or => truth(a != 0.0 || b != 0.0),
        Binary::Xor => truth((a != 0.0) != (b != 0.0)),
    }
}

/// The kernel's value of a row and a vector.
pub(super) fn kernel(kernel: SvmKernel, x: &[f64], v: &[f64]) -> f64 {
    let dot = || x.iter().zip(v).fold(0.0, |sum, (x, v)| sum + x * v);
    match kernel {
        SvmKernel::Linear => dot(),
        SvmKernel::Poly { gamma, coef0, degree } => power(gamma * dot() + coef0, degree),
        SvmKernel::Rbf { gamma } => {
            let distance = x.iter().zip(v).fold(0.0, |sum, (x, v)| sum + (x - v) * (x - v));
            libm::exp(-gamma * distance)
        }
        SvmKernel::Sigmoid { gamma, coef0 } => libm::tanh(gamma * dot() + coef0),
    }
}

fn power(base: f64, degree: f64) -> f64 {
    match degree {
        2.0 => base * base,
        3.0 => base * base * base,
        _ => libm::pow(base, degree),
    }
}

/// Wu, Lin and Weng's second method: the fixed point iteration of libsvm, `pairs` in its order.
pub(super) fn pairwise_coupling(pairs: &[f64], out: &mut [f64]) {
    let k = out.len();
    let mut r = vec![0.0; k * k];
    let mut next = pairs.iter();
    for i in 0..k {
        for j in i + 1..k {
            let p = next.next().copied().unwrap_or(0.5);
            r[i * k + j] = p;
            r[j * k + i] = 1.0 - p;
        }
    }
    let mut q = vec![0.0; k * k];
    for t in 0..k {
        for j in (0..k).filter(|&j| j != t) {
            q[t * k + t] += r[j * k + t] * r[j * k + t];
            q[t * k + j] = -r[j * k + t] * r[t * k + j];
        }
    }
    out.fill(1.0 / k as f64);
    let mut product = vec![0.0; k];
    for _ in 0..k.max(100) {
        for t in 0..k {
            product[t] = (0..k).map(|j| q[t * k + j] * out[j]).sum();
        }
        let mut level: f64 = (0..k).map(|t| out[t] * product[t]).sum();
        let error = product.iter().fold(0.0, |worst: f64, p| worst.max((p - level).abs()));
        if error < 0.005 / k as f64 {
            break;
        }
        for t in 0..k {
            let diff = (level - product[t]) / q[t * k + t];
            out[t] += diff;
            level = (level + diff * (diff * q[t * k + t] + 2.0 * product[t])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..k {
                product[j] = (product[j] + diff * q[t * k + j]) / (1.0 + diff);
                out[j] /= 1.0 + diff;
            }
        }
    }
}

/// Which of two values comes first; NaN comes last.
pub(super) fn rank(a: f64, b: f64, extreme: Extreme) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if extreme == Extreme::Max => (b + 0.0).total_cmp(&(a + 0.0)),
        (false, false) => (a + 0.0).total_cmp(&(b + 0.0)),
        (a, b) => a.cmp(&b),
    }
}
