//! Every operator of a graph by its definition in `Op`'s documentation, over arrays with their shapes, position by
//! position. It shares nothing with the crate but `libm`; what it says is what the crate's two evaluators have to say.

use serve_core::graph::{Binary, Dtype, Extreme, Lookup, Op, Reduction, SupportVectors, SvmKernel, Unary};
use serve_core::tree::{Leaf, Test};
use serve_core::{LinearModel, Node, TreeEnsemble};

/// Numbers in a shape, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// An operator, or what the builder says in terms of one.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are few per graph")]
pub(crate) enum Step {
    Op(Op),
    Transpose(Vec<usize>),
    /// As NumPy broadcasts.
    Expand(Vec<usize>),
    /// Slices at these positions of an axis.
    Select(usize, Vec<usize>),
}

/// Every position in a shape, row-major.
fn positions(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &length| {
        all.iter().flat_map(|at| (0..length).map(move |i| [&at[..], &[i]].concat())).collect()
    })
}

impl Array {
    fn build(dtype: Dtype, shape: &[usize], value: impl Fn(&[usize]) -> f64) -> Self {
        let values = positions(shape).iter().map(|at| held(value(at), dtype)).collect();
        Self { dtype, shape: shape.to_vec(), values }
    }

    fn at(&self, at: &[usize]) -> f64 {
        self.values[at.iter().zip(&self.shape).fold(0, |offset, (i, n)| offset * n + i)]
    }

    /// The value that meets the position `at` of a larger shape.
    fn spread(&self, at: &[usize]) -> f64 {
        let own = &at[at.len() - self.shape.len()..];
        let own: Vec<usize> =
            own.iter().zip(&self.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        self.at(&own)
    }

    /// The values that differ from `at` in these axes only, in order.
    fn line(&self, at: &[usize], axes: &[usize]) -> Vec<f64> {
        let fits = |own: &[usize]| (0..own.len()).all(|axis| axes.contains(&axis) || own[axis] == at[axis]);
        let found = positions(&self.shape);
        found.iter().zip(&self.values).filter(|(own, _)| fits(own)).map(|(_, &x)| x).collect()
    }
}

/// A result as its type holds it. Whole numbers have one zero.
fn held(x: f64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => f64::from(x as f32),
        Dtype::I64 if x == 0.0 => 0.0,
        _ => x,
    }
}

fn cast(x: f64, to: Dtype) -> f64 {
    match to {
        Dtype::I64 if x > -9.3e18 && x < 9_223_372_036_854_775_808.0 => x.trunc(),
        Dtype::I64 => -9_223_372_036_854_775_808.0,
        Dtype::Bool => f64::from(u8::from(x.is_nan() || x != 0.0)),
        Dtype::F32 | Dtype::F64 => x,
    }
}

fn together(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let padded = |shape: &[usize]| [vec![1; rank - shape.len()], shape.to_vec()].concat();
    let pair = |(a, b): (usize, usize)| if a == 1 { b } else { a };
    padded(a).into_iter().zip(padded(b)).map(pair).collect()
}

fn with(shape: &[usize], axis: usize, length: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = length;
    shape
}

/// What a step makes of its operands for one row.
pub(crate) fn apply(step: &Step, x: &[&Array], row: &[f64]) -> Array {
    match step {
        Step::Op(op) => operator(op, x, row),
        Step::Transpose(order) => {
            let shape: Vec<usize> = order.iter().map(|&axis| x[0].shape[axis]).collect();
            Array::build(x[0].dtype, &shape, |at| {
                let mut from = vec![0; at.len()];
                order.iter().zip(at).for_each(|(&axis, &i)| from[axis] = i);
                x[0].at(&from)
            })
        }
        Step::Expand(shape) => Array::build(x[0].dtype, &together(&x[0].shape, shape), |at| x[0].spread(at)),
        Step::Select(axis, picked) => {
            Array::build(x[0].dtype, &with(&x[0].shape, *axis, picked.len()), |at| {
                x[0].at(&with(at, *axis, picked[at[*axis]]))
            })
        }
    }
}

fn operator(op: &Op, x: &[&Array], row: &[f64]) -> Array {
    let wide = |shape: &[u32]| shape.iter().map(|&n| n as usize).collect::<Vec<_>>();
    match op {
        Op::Constant(constant) => {
            let (shape, values) = (wide(&constant.shape), constant.values.clone());
            Array { dtype: constant.dtype, shape, values }
        }
        Op::Columns { columns, dtype } => {
            Array::build(*dtype, &[1, columns.len()], |at| cast(row[columns[at[1]] as usize], *dtype))
        }
        Op::Cast(dtype) => Array::build(*dtype, &x[0].shape, |at| cast(x[0].at(at), *dtype)),
        Op::Reshape(shape) => Array { shape: wide(shape), ..x[0].clone() },
        Op::Take { indices, shape } => {
            let values = indices.iter().map(|&i| x[0].values[i as usize]).collect();
            Array { dtype: x[0].dtype, shape: wide(shape), values }
        }
        Op::Concat { axis } => concat(*axis as usize, x),
        Op::Unary(op) => {
            let whether = matches!(op, Unary::IsNan | Unary::IsInf);
            let dtype = if whether { Dtype::Bool } else { x[0].dtype };
            Array::build(dtype, &x[0].shape, |at| unary(*op, x[0].at(at)))
        }
        Op::Binary(op) => {
            let dtype = if op.compares() { Dtype::Bool } else { x[0].dtype };
            let shape = together(&x[0].shape, &x[1].shape);
            Array::build(dtype, &shape, |at| binary(*op, x[0].spread(at), x[1].spread(at), x[0].dtype))
        }
        Op::Where => {
            let shape = together(&together(&x[0].shape, &x[1].shape), &x[2].shape);
            let picked = |at: &[usize]| if x[0].spread(at) == 0.0 { x[2] } else { x[1] };
            Array::build(x[1].dtype, &shape, |at| picked(at).spread(at))
        }
        _ => along_axes(op, x),
    }
}

fn along_axes(op: &Op, x: &[&Array]) -> Array {
    let (dtype, shape) = (x[0].dtype, &x[0].shape);
    match op {
        Op::Reduce { kind, axes } => {
            let every: Vec<usize> = (0..shape.len()).collect();
            let axes = if axes.is_empty() { every } else { axes.iter().map(|&axis| axis as usize).collect() };
            let left: Vec<usize> =
                shape.iter().enumerate().map(|(axis, &n)| if axes.contains(&axis) { 1 } else { n }).collect();
            Array::build(dtype, &left, |at| reduce(*kind, &x[0].line(at, &axes)))
        }
        Op::Arg { extreme, axis, last } => Array::build(Dtype::I64, &with(shape, *axis as usize, 1), |at| {
            arg(&x[0].line(at, &[*axis as usize]), *extreme, *last) as f64
        }),
        Op::Softmax { axis, log } => Array::build(dtype, shape, |at| {
            let line = x[0].line(at, &[*axis as usize]);
            let max = reduce(Reduction::Max, &line);
            let sum = line.iter().fold(0.0, |sum, x| sum + libm::exp(x - max));
            let own = x[0].at(at) - max;
            if *log { own - libm::log(sum) } else { libm::exp(own) / sum }
        }),
        Op::Gather { axis } => {
            let (axis, rank) = (*axis as usize, x[1].shape.len());
            let result = [&shape[..axis], &x[1].shape[..], &shape[axis + 1..]].concat();
            Array::build(dtype, &result, |at| {
                let found = counted(x[1].at(&at[axis..axis + rank]), shape[axis]);
                let from = |found| x[0].at(&[&at[..axis], &[found], &at[axis + rank..]].concat());
                found.map_or(f64::NAN, from)
            })
        }
        Op::GatherElements { axis } => Array::build(dtype, &x[1].shape, |at| {
            let found = counted(x[1].at(at), shape[*axis as usize]);
            found.map_or(f64::NAN, |found| x[0].at(&with(at, *axis as usize, found)))
        }),
        Op::TopK { axis, count, extreme } => {
            let axis = *axis as usize;
            Array::build(Dtype::I64, &with(shape, axis, *count as usize), |at| {
                ranked(&x[0].line(&with(at, axis, 0), &[axis]), *extreme)[at[axis]] as f64
            })
        }
        Op::CumSum { axis } => Array::build(dtype, shape, |at| {
            let line = x[0].line(at, &[*axis as usize]);
            line[..=at[*axis as usize]].iter().fold(0.0, |sum, x| sum + x)
        }),
        Op::MatMul => matmul(x[0], x[1]),
        Op::Lookup(lookup) => Array::build(lookup.dtype, shape, |at| look_up(lookup, x[0].at(at))),
        Op::SupportVectors(vectors) => vectors_met(vectors, x[0]),
        Op::Linear(model) => rows(x[0], model.outputs(), |row| linear(model, row)),
        Op::Trees(trees) => rows(x[0], trees.outputs(), |row| vec![stumps(trees, row)]),
        other => panic!("{} is not in the test", other.name()),
    }
}

fn concat(axis: usize, x: &[&Array]) -> Array {
    let length = x.iter().map(|part| part.shape[axis]).sum();
    Array::build(x[0].dtype, &with(&x[0].shape, axis, length), |at| {
        let mut place = at[axis];
        let mut parts = x.iter();
        loop {
            let part = parts.next().expect("inside one of them");
            if place < part.shape[axis] {
                return part.at(&with(at, axis, place));
            }
            place -= part.shape[axis];
        }
    })
}

fn unary(op: Unary, x: f64) -> f64 {
    let negative = x < 0.0;
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
        Unary::Sign => [x, -1.0, 1.0][usize::from(negative) + 2 * usize::from(x > 0.0)],
        Unary::Erf => libm::erf(x),
        Unary::Relu => [x, 0.0][usize::from(negative)],
        Unary::LeakyRelu(alpha) => [x, alpha * x][usize::from(negative)],
        Unary::Elu(alpha) => [x, alpha * libm::expm1(x)][usize::from(negative)],
        Unary::Tanh => libm::tanh(x),
        Unary::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        Unary::Softplus if x > 40.0 => x,
        Unary::Softplus => libm::log1p(libm::exp(x)),
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Sin => libm::sin(x),
        Unary::Cos => libm::cos(x),
        Unary::Not => f64::from(u8::from(x == 0.0)),
        Unary::IsNan => f64::from(u8::from(x.is_nan())),
        Unary::IsInf => f64::from(u8::from(x.is_infinite())),
        other => panic!("{other:?} is not in the test"),
    }
}

fn binary(op: Binary, a: f64, b: f64, dtype: Dtype) -> f64 {
    let whole = dtype == Dtype::I64;
    let truth = |truth: bool| f64::from(u8::from(truth));
    let either_nan = if a.is_nan() { a } else { b };
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div if whole && b == 0.0 => f64::NAN,
        Binary::Div if whole => (a / b).trunc(),
        Binary::Div => a / b,
        Binary::Pow if b == 2.0 => a * a,
        Binary::Pow if whole => cast(libm::pow(a, b), dtype),
        Binary::Pow => libm::pow(a, b),
        Binary::Fmod => a % b,
        Binary::Mod if (a % b < 0.0 && b > 0.0) || (a % b > 0.0 && b < 0.0) => a % b + b,
        Binary::Mod => a % b,
        Binary::Min if a.is_nan() || b.is_nan() => either_nan,
        Binary::Max if a.is_nan() || b.is_nan() => either_nan,
        Binary::Min => [b, a][usize::from(a < b)],
        Binary::Max => [b, a][usize::from(a > b)],
        Binary::Less => truth(a < b),
        Binary::LessOrEqual => truth(a <= b),
        Binary::Greater => truth(b < a),
        Binary::GreaterOrEqual => truth(b <= a),
        Binary::Equal => truth(a == b),
        Binary::And => truth(a != 0.0 && b != 0.0),
        Binary::Or => truth(a != 0.0 || b != 0.0),
        Binary::Xor => truth((a != 0.0) != (b != 0.0)),
        other => panic!("{other:?} is not in the test"),
    }
}

fn reduce(kind: Reduction, x: &[f64]) -> f64 {
    let sum = |f: &dyn Fn(f64) -> f64| x.iter().fold(0.0, |sum, &x| sum + f(x));
    let extreme = |op| x.iter().copied().reduce(|a, b| binary(op, a, b, Dtype::F64)).expect("not empty");
    match kind {
        Reduction::Sum => sum(&|x| x),
        Reduction::Mean => sum(&|x| x) / x.len() as f64,
        Reduction::Max => extreme(Binary::Max),
        Reduction::Min => extreme(Binary::Min),
        Reduction::Prod => x.iter().fold(1.0, |product, x| product * x),
        Reduction::L1 => sum(&f64::abs),
        Reduction::L2 => sum(&|x| x * x).sqrt(),
        Reduction::SumSquare => sum(&|x| x * x),
        Reduction::LogSum => libm::log(sum(&|x| x)),
        Reduction::LogSumExp => {
            let max = extreme(Binary::Max);
            let base = [0.0, max][usize::from(max.is_finite())];
            base + libm::log(sum(&|x| libm::exp(x - base)))
        }
        other => panic!("{other:?} is not in the test"),
    }
}

fn arg(line: &[f64], extreme: Extreme, last: bool) -> usize {
    if line[0].is_nan() {
        return 0;
    }
    let sign = if extreme == Extreme::Max { 1.0 } else { -1.0 };
    let best = line.iter().filter(|x| !x.is_nan()).fold(f64::NEG_INFINITY, |best, x| best.max(sign * x));
    let mut places = (0..line.len()).filter(|&i| sign * line[i] == best);
    if last { places.next_back() } else { places.next() }.expect("the first is a number")
}

/// Positions, best first, by picking the best of what is left; NaN is picked last.
fn ranked(line: &[f64], extreme: Extreme) -> Vec<usize> {
    let mut left: Vec<usize> = (0..line.len()).collect();
    let mut ranked = Vec::new();
    while !left.is_empty() {
        let beats = |a: f64, b: f64| {
            (b.is_nan() && !a.is_nan()) || if extreme == Extreme::Max { a > b } else { a < b }
        };
        let best =
            (1..left.len()).fold(0, |best, i| if beats(line[left[i]], line[left[best]]) { i } else { best });
        ranked.push(left.remove(best));
    }
    ranked
}

/// An index of an axis, from its end where it is negative.
fn counted(index: f64, length: usize) -> Option<usize> {
    let index = if index < 0.0 { index + length as f64 } else { index };
    (0.0..length as f64).contains(&index).then_some(index as usize)
}

fn matmul(a: &Array, b: &Array) -> Array {
    let matrix = |x: &Array, column: bool| match (&x.shape[..], column) {
        ([n], false) => Array { shape: vec![1, *n], ..x.clone() },
        ([n], true) => Array { shape: vec![*n, 1], ..x.clone() },
        _ => x.clone(),
    };
    let (left, right) = (matrix(a, false), matrix(b, true));
    let (i, j) = (left.shape.len() - 2, right.shape.len() - 2);
    let (batch, shared) = (together(&left.shape[..i], &right.shape[..j]), right.shape[j]);
    let shape = [&batch[..], &[left.shape[i], right.shape[j + 1]]].concat();
    let product = Array::build(a.dtype, &shape, |at| {
        let (batch, row, column) = (&at[..batch.len()], at[batch.len()], at[batch.len() + 1]);
        let term =
            |k| left.spread(&[batch, &[row, k]].concat()) * right.spread(&[batch, &[k, column]].concat());
        (0..shared).fold(0.0, |sum, k| sum + term(k))
    });
    let mut kept = batch;
    kept.extend((a.shape.len() > 1).then_some(left.shape[i]));
    kept.extend((b.shape.len() > 1).then_some(right.shape[j + 1]));
    Array { shape: kept, ..product }
}

fn look_up(lookup: &Lookup, x: f64) -> f64 {
    let same = |&key: &f64| key == x || key.is_nan() && x.is_nan();
    lookup.keys.iter().position(same).map_or(lookup.otherwise, |place| lookup.values[place])
}

fn rows(x: &Array, outputs: usize, answer: impl Fn(&[f64]) -> Vec<f64>) -> Array {
    let answers: Vec<Vec<f64>> = x.values.chunks(x.shape[1]).map(answer).collect();
    Array::build(x.dtype, &[x.shape[0], outputs], |at| answers[at[0]][at[1]])
}

fn vectors_met(vectors: &SupportVectors, x: &Array) -> Array {
    let known: Vec<&[f64]> = vectors.vectors.chunks(vectors.width as usize).collect();
    let dot = |x: &[f64], v: &[f64]| (0..x.len()).fold(0.0, |sum, k| sum + x[k] * v[k]);
    let meet = |x: &[f64], v: &[f64]| match vectors.kernel {
        SvmKernel::Linear => dot(x, v),
        SvmKernel::Poly { gamma, coef0, .. } => (gamma * dot(x, v) + coef0) * (gamma * dot(x, v) + coef0),
        SvmKernel::Sigmoid { gamma, coef0 } => libm::tanh(gamma * dot(x, v) + coef0),
        SvmKernel::Rbf { gamma } => {
            let apart: Vec<f64> = x.iter().zip(v).map(|(x, v)| x - v).collect();
            libm::exp(-gamma * dot(&apart, &apart))
        }
    };
    rows(x, known.len(), |row| known.iter().map(|v| meet(row, v)).collect())
}

fn linear(model: &LinearModel, row: &[f64]) -> Vec<f64> {
    let weights = model.weights().chunks(row.len()).zip(model.intercept());
    weights.map(|(w, start)| (0..row.len()).fold(0.0, |sum, k| sum + w[k] * row[k]) + start).collect()
}

/// The sum of trees of one split.
fn stumps(trees: &TreeEnsemble, row: &[f64]) -> f64 {
    trees.trees().fold(0.0, |sum, tree| {
        let Node::Split { feature, test: Test::AtMost(t), missing, left, right } = &tree.nodes[0] else {
            panic!("the root is a split");
        };
        let x = row[*feature as usize];
        let yes = if x.is_nan() { missing.left } else { x <= *t };
        let Node::Leaf(Leaf::Scalar(value)) = tree.nodes[if yes { *left } else { *right } as usize] else {
            panic!("its children are leaves");
        };
        sum + value
    })
}
