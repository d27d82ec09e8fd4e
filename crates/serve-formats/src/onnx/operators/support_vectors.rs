//! `SVMClassifier` and `SVMRegressor`: kernel values with the support vectors, pairwise decisions, votes, Platt's
//! probabilities and their coupling (libsvm's, as ONNX Runtime has them).

use serve_core::graph::{Binary, Dtype, Op, SupportVectors, SvmKernel, Tensor};

use super::super::file::NodeFile;
use super::super::lower::{Fault, Lowering, Value};
use super::scores::{self, Transform};

fn kernel(node: &NodeFile<'_>) -> Result<SvmKernel, Fault> {
    let parameters = node.floats("kernel_params");
    let (gamma, coef0, degree) = match parameters[..] {
        [gamma, coef0, degree, ..] => (gamma, coef0, degree),
        _ => (0.0, 0.0, 0.0),
    };
    match node.text("kernel_type")? {
        None | Some("LINEAR") => Ok(SvmKernel::Linear),
        Some("POLY") => Ok(SvmKernel::Poly { gamma, coef0, degree }),
        Some("RBF") => Ok(SvmKernel::Rbf { gamma }),
        Some("SIGMOID") => Ok(SvmKernel::Sigmoid { gamma, coef0 }),
        Some(other) => {
            let what = format!("kernel_type {:.40}", format!("{other:?}"));
            Err(Fault::unsupported(what, "LINEAR, POLY, RBF and SIGMOID"))
        }
    }
}

/// Kernel values `[1, vectors]`.
fn kernels<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    kernel: SvmKernel,
    vectors: Vec<f64>,
    count: usize,
) -> Result<Tensor, Fault> {
    let rows = low.single_rows(node, 0)?;
    let width = low.graph.shape(rows)[1];
    if count.checked_mul(width) != Some(vectors.len()) {
        let expected = format!("{count} vectors of {width} numbers");
        return Err(Fault::invalid(expected, format!("{} numbers", vectors.len())));
    }
    let op = Op::SupportVectors(SupportVectors { kernel, width: width as u32, vectors });
    Ok(low.graph.push(op, &[rows])?)
}

/// `kernels · coefficients + rho`, coefficients `[vectors, outputs]`.
fn decisions(
    low: &mut Lowering<'_>,
    kernels: Tensor,
    coefficients: Vec<f64>,
    rho: Vec<f64>,
) -> Result<Tensor, Fault> {
    let count = low.graph.shape(kernels)[1];
    let coefficients = low.graph.constant(Dtype::F64, &[count, rho.len()], coefficients)?;
    let kernels = low.graph.cast(kernels, Dtype::F64)?;
    let sums = low.graph.push(Op::MatMul, &[kernels, coefficients])?;
    let rho = low.graph.row_constant(rho, Dtype::F64)?;
    let sums = low.graph.binary(Binary::Add, sums, rho)?;
    Ok(low.graph.cast(sums, Dtype::F32)?)
}

pub(super) fn regressor<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Value, Fault> {
    let count = usize::try_from(node.int("n_supports", 0)).unwrap_or(0);
    let coefficients = node.floats("coefficients");
    let rho = node.floats("rho");
    let Some(&rho) = rho.first() else { return Err(Fault::invalid("a rho", "none")) };
    let (kernels, weights) = if count > 0 {
        if coefficients.len() != count {
            return Err(Fault::invalid(format!("{count} coefficients"), coefficients.len().to_string()));
        }
        (kernels(node, low, kernel(node)?, node.floats("support_vectors"), count)?, coefficients)
    } else {
        (kernels(node, low, SvmKernel::Linear, coefficients, 1)?, vec![1.0])
    };
    let mut score = decisions(low, kernels, weights, vec![rho])?;
    if node.int("one_class", 0) != 0 {
        let inside = low.graph.binary_scalar(Binary::Greater, score, 0.0)?;
        let (one, other) = (low.graph.scalar(1.0, Dtype::F32)?, low.graph.scalar(-1.0, Dtype::F32)?);
        score = low.graph.push(Op::Where, &[inside, one, other])?;
    }
    Ok(Value::Number(score))
}

pub(super) fn classifier<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Vec<Value>, Fault> {
    let (labels, classes) = scores::class_labels(node, low)?;
    let transform = Transform::named(node)?;
    if node.ints("vectors_per_class").is_empty() {
        return linear(node, low, &labels, classes, transform);
    }
    let pairs = pairwise(node, low, classes)?;
    let index = votes(low, pairs, classes)?;
    let label = scores::label(low, &labels, index)?;
    let (a, b) = (node.floats("prob_a"), node.floats("prob_b"));
    let result = if !a.is_empty() {
        let probabilities = platt(low, pairs, a, b)?;
        let coupled = low.graph.push(Op::PairwiseCoupling { classes: classes as u32 }, &[probabilities])?;
        transform.apply(low, coupled)?
    } else if classes == 2 {
        let score = low.graph.reshape(pairs, &[1, 1])?;
        if transform == Transform::None {
            scores::opposite(low, score)?
        } else {
            scores::complement(low, score)?
        }
    } else {
        transform.apply(low, pairs)?
    };
    Ok(vec![label, Value::Number(result)])
}

/// liblinear's form: one row of coefficients per class.
fn linear<'a>(
    node: &NodeFile<'a>,
    low: &mut Lowering<'a>,
    labels: &Value,
    classes: usize,
    transform: Transform,
) -> Result<Vec<Value>, Fault> {
    let Some(&rho) = node.floats("rho").first() else { return Err(Fault::invalid("a rho", "none")) };
    let dots = kernels(node, low, SvmKernel::Linear, node.floats("coefficients"), classes)?;
    let raw = low.graph.binary_scalar(Binary::Add, dots, rho)?;
    let index = scores::greatest(low, raw)?;
    let result = transform.apply(low, raw)?;
    Ok(vec![scores::label(low, labels, index)?, Value::Number(result)])
}

/// One decision per pair of classes, (0,1), (0,2), …, (1,2), …: positive for the first.
fn pairwise<'a>(node: &NodeFile<'a>, low: &mut Lowering<'a>, classes: usize) -> Result<Tensor, Fault> {
    let counts = node.ints("vectors_per_class");
    let counts: Option<Vec<usize>> = counts.iter().map(|&n| usize::try_from(n).ok()).collect();
    let total = counts.iter().flatten().try_fold(0_usize, |all, &n| all.checked_add(n));
    let (Some(counts), Some(total)) = (counts.filter(|counts| counts.len() == classes), total) else {
        return Err(Fault::invalid(format!("vectors_per_class for {classes} classes"), "another list"));
    };
    let kernels = kernels(node, low, kernel(node)?, node.floats("support_vectors"), total)?;
    let coefficients = node.floats("coefficients");
    let rho = node.floats("rho");
    let pairs = classes * (classes.min(1 << 10) - 1) / 2;
    if classes > 1 << 10 || rho.len() != pairs || Some(coefficients.len()) != total.checked_mul(classes - 1) {
        let expected = format!("{pairs} rho and {} x {total} coefficients", classes - 1);
        return Err(Fault::invalid(expected, format!("{} and {}", rho.len(), coefficients.len())));
    }
    let mut starts = Vec::new();
    let mut start = 0;
    for &count in &counts {
        starts.push(start..start + count);
        start += count;
    }
    if total.checked_mul(pairs).is_none_or(|n| n > serve_core::graph::MAX_ELEMENTS) {
        return Err(Fault::invalid("fewer support vectors and classes", format!("{total} and {classes}")));
    }
    let mut weights = vec![0.0; total * pairs];
    let mut pair = 0;
    for i in 0..classes {
        for j in i + 1..classes {
            for (vectors, row) in [(&starts[i], j - 1), (&starts[j], i)] {
                vectors.clone().for_each(|v| weights[v * pairs + pair] = coefficients[row * total + v]);
            }
            pair += 1;
        }
    }
    decisions(low, kernels, weights, rho)
}

/// The class with most pairwise wins, the first of equals.
fn votes(low: &mut Lowering<'_>, pairs: Tensor, classes: usize) -> Result<Tensor, Fault> {
    let count = low.graph.shape(pairs)[1];
    if count.saturating_mul(classes) > serve_core::graph::MAX_ELEMENTS {
        return Err(Fault::invalid("fewer classes", classes.to_string()));
    }
    let (mut for_first, mut for_second) = (vec![0.0; count * classes], vec![0.0; count * classes]);
    let mut pair = 0;
    for i in 0..classes {
        for j in i + 1..classes {
            for_first[pair * classes + i] = 1.0;
            for_second[pair * classes + j] = 1.0;
            pair += 1;
        }
    }
    let first = low.graph.binary_scalar(Binary::Greater, pairs, 0.0)?;
    let first = low.graph.cast(first, Dtype::F32)?;
    let one = low.graph.scalar(1.0, Dtype::F32)?;
    let second = low.graph.binary(Binary::Sub, one, first)?;
    let mut sums = Vec::new();
    for (wins, table) in [(first, for_first), (second, for_second)] {
        let table = low.graph.constant(Dtype::F32, &[count, classes], table)?;
        sums.push(low.graph.push(Op::MatMul, &[wins, table])?);
    }
    let votes = low.graph.binary(Binary::Add, sums[0], sums[1])?;
    scores::greatest(low, votes)
}

/// `1 - 1 / (1 + e^-(score · a + b))`, kept off 0 and 1.
fn platt(low: &mut Lowering<'_>, pairs: Tensor, a: Vec<f64>, b: Vec<f64>) -> Result<Tensor, Fault> {
    let a = low.graph.row_constant(a, Dtype::F32)?;
    let b = low.graph.row_constant(b, Dtype::F32)?;
    let scaled = low.graph.binary(Binary::Mul, pairs, a)?;
    let shifted = low.graph.binary(Binary::Add, scaled, b)?;
    let likely = scores::logistic(low, shifted)?;
    let one = low.graph.scalar(1.0, Dtype::F32)?;
    let p = low.graph.binary(Binary::Sub, one, likely)?;
    let p = low.graph.binary_scalar(Binary::Max, p, 1e-7)?;
    Ok(low.graph.binary_scalar(Binary::Min, p, f64::from(1.0 - 1e-7_f32))?)
}
