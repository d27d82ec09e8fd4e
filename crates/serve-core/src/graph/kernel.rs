//! What a compiled operator does to a block of rows. Every row is computed by itself, in the order that the naive
//! evaluator has.

use super::Dtype;
use super::TensorType;
use super::element;
use super::op::{Binary, Extreme, Reduction, SupportVectors, Unary};
use super::program::{Scratch, View};
use super::table::Table;
use crate::engine::{Rows, TreeEngine};
use crate::linear::LinearModel;

/// Rows of the model's inputs, and the size of a result for one row.
pub(super) struct Batch<'a> {
    pub(super) rows: &'a [f64],
    pub(super) inputs: usize,
    pub(super) count: usize,
    pub(super) size: usize,
}

/// Which value of an operand meets each value of the result.
#[derive(Debug)]
pub(super) enum Index {
    One,
    Same,
    Map(Box<[u32]>),
}

impl Index {
    #[inline]
    fn at(&self, i: usize) -> usize {
        match self {
            Self::One => 0,
            Self::Same => i,
            Self::Map(map) => map[i] as usize,
        }
    }
}

/// The lines of a tensor along some axes: where each begins, and the offsets within one.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) starts: Box<[u32]>,
    pub(super) steps: Box<[u32]>,
}

impl Lines {
    fn values<'a>(&'a self, line: usize, x: &'a [f64]) -> impl Iterator<Item = f64> + Clone + 'a {
        let start = self.starts[line] as usize;
        self.steps.iter().map(move |&step| x[start + step as usize])
    }
}

/// Lengths of contiguous runs of each operand.
#[derive(Debug)]
pub(super) struct Join {
    runs: Box<[usize]>,
}

impl Join {
    pub(super) fn new(types: &[&TensorType], axis: usize) -> Self {
        Self { runs: types.iter().map(|kind| kind.shape[axis..].iter().product()).collect() }
    }
}

#[derive(Debug)]
pub(super) enum Kernel {
    Columns { columns: Box<[u32]>, dtype: Dtype },
    Cast(Dtype),
    Take(Box<[u32]>),
    Concat(Join),
    Unary(Unary),
    Binary { op: Binary, dtype: Dtype, a: Index, b: Index },
    Where([Index; 3]),
    Reduce(Reduction, Lines),
    Arg { extreme: Extreme, last: bool, lines: Lines },
    Softmax { log: bool, lines: Lines },
    Gather { length: usize, inner: usize },
    GatherElements { bases: Box<[u32]>, length: usize, step: usize },
    TopK { extreme: Extreme, count: usize, lines: Lines, places: Lines },
    CumSum(Lines),
    MatMul { a: Box<[u32]>, b: Box<[u32]>, rows: usize, shared: usize, columns: usize },
    Lookup(Table),
    SupportVectors(SupportVectors),
    PairwiseCoupling,
    Linear(LinearModel),
    Trees(Box<TreeEngine>),
}

impl Kernel {
    /// Whether its results may be no values of their type although its operands are: have more digits than `f32`, or be
    /// a whole number's second zero.
    pub(super) fn needs_rounding(&self) -> bool {
        !matches!(
            self,
            Self::Columns { .. }
                | Self::Cast(_)
                | Self::Take(_)
                | Self::Concat(_)
                | Self::Where(_)
                | Self::Gather { .. }
                | Self::GatherElements { .. }
                | Self::Lookup(_)
        )
    }

    /// Computes every row of the block; `view` gives the operands.
    pub(super) fn run<'a>(
        &self,
        batch: &Batch<'_>,
        view: &dyn Fn(usize) -> View<'a>,
        operands: usize,
        out: &mut [f64],
        scratch: &mut Scratch,
    ) {
        if batch.size == 0 {
            return;
        }
        match self {
            Self::Columns { columns, dtype } => return run_columns(batch, columns, *dtype, out),
            Self::Trees(compiled) => return run_trees(compiled, batch, view(0), out),
            _ => {}
        }
        let rows = (0..batch.count).zip(out.chunks_exact_mut(batch.size));
        match self {
            Self::Unary(op) => {
                let x = view(0);
                rows.for_each(|(row, out)| map(x.row(row), out, |x| element::unary(*op, x)));
            }
            Self::Binary { op, dtype, a, b } => {
                let (x, y) = (view(0), view(1));
                rows.for_each(|(row, out)| binary(*op, *dtype, (x.row(row), a), (y.row(row), b), out));
            }
            Self::Where(index) => {
                let (c, a, b) = (view(0), view(1), view(2));
                for (row, out) in rows {
                    let (c, a, b) = (c.row(row), a.row(row), b.row(row));
                    for (i, out) in out.iter_mut().enumerate() {
                        let yes = c[index[0].at(i)] != 0.0;
                        *out = if yes { a[index[1].at(i)] } else { b[index[2].at(i)] };
                    }
                }
            }
            Self::Concat(join) => {
                let views: Vec<View<'_>> = (0..operands).map(view).collect();
                rows.for_each(|(row, out)| concat(join, &views, row, out));
            }
            Self::Gather { .. } | Self::GatherElements { .. } | Self::MatMul { .. } => {
                let (a, b) = (view(0), view(1));
                rows.for_each(|(row, out)| self.two(a.row(row), b.row(row), out));
            }
            _ => {
                let x = view(0);
                rows.for_each(|(row, out)| self.one(x.row(row), out, scratch));
            }
        }
    }

    fn two(&self, a: &[f64], b: &[f64], out: &mut [f64]) {
        match self {
            Self::Gather { length, inner } => {
                let step = length * inner;
                for (outer, out) in out.chunks_exact_mut((b.len() * inner).max(1)).enumerate() {
                    let x = &a[outer * step..(outer + 1) * step];
                    for (out, index) in out.chunks_exact_mut((*inner).max(1)).zip(b) {
                        match indexed(*index, *length) {
                            Some(i) => out.copy_from_slice(&x[i * inner..(i + 1) * inner]),
                            None => out.fill(f64::NAN),
                        }
                    }
                }
            }
            Self::GatherElements { bases, length, step } => {
                for ((out, base), index) in out.iter_mut().zip(bases).zip(b) {
                    *out = indexed(*index, *length).map_or(f64::NAN, |i| a[*base as usize + i * step]);
                }
            }
            Self::MatMul { a: a_starts, b: b_starts, rows, shared, columns } => {
                let size = rows * columns;
                for ((out, a_start), b_start) in out.chunks_exact_mut(size.max(1)).zip(a_starts).zip(b_starts)
                {
                    let a = &a[*a_start as usize..*a_start as usize + rows * shared];
                    let b = &b[*b_start as usize..*b_start as usize + shared * columns];
                    matmul(a, b, *shared, *columns, out);
                }
            }
            _ => {}
        }
    }

    fn one(&self, x: &[f64], out: &mut [f64], scratch: &mut Scratch) {
        match self {
            Self::Cast(dtype) => map(x, out, |x| element::cast(x, *dtype)),
            Self::Take(indices) => out.iter_mut().zip(indices).for_each(|(out, &i)| *out = x[i as usize]),
            Self::Reduce(kind, lines) => {
                (out.iter_mut().enumerate())
                    .for_each(|(line, out)| *out = reduce(*kind, lines.values(line, x)));
            }
            Self::Arg { extreme, last, lines } => {
                let best = |line| best(lines.values(line, x), *extreme, *last) as f64;
                out.iter_mut().enumerate().for_each(|(line, out)| *out = best(line));
            }
            Self::Softmax { log, lines } => {
                (0..lines.starts.len()).for_each(|i| softmax(lines, i, *log, x, out));
            }
            Self::TopK { extreme, count, lines, places } => {
                for (line, &start) in places.starts.iter().enumerate() {
                    rank(lines.values(line, x), *extreme, scratch);
                    for (place, number) in scratch.numbers.iter().take(*count).enumerate() {
                        out[start as usize + places.steps[place] as usize] = *number as f64;
                    }
                }
            }
            Self::CumSum(lines) => {
                for &start in &lines.starts {
                    let mut sum = 0.0;
                    for &step in &lines.steps {
                        sum += x[(start + step) as usize];
                        out[(start + step) as usize] = sum;
                    }
                }
            }
            Self::Lookup(table) => map(x, out, |x| table.get(x)),
            Self::SupportVectors(vectors) => {
                let width = vectors.width as usize;
                let pairs = x
                    .chunks_exact(width)
                    .flat_map(|row| vectors.vectors.chunks_exact(width).map(move |v| (row, v)));
                out.iter_mut()
                    .zip(pairs)
                    .for_each(|(out, (x, v))| *out = element::kernel(vectors.kernel, x, v));
            }
            Self::PairwiseCoupling => element::pairwise_coupling(x, out),
            Self::Linear(model) => {
                let pairs = x.chunks_exact(model.inputs()).zip(out.chunks_exact_mut(model.outputs()));
                pairs.for_each(|(row, out)| model.score(row, out));
            }
            _ => {}
        }
    }
}

fn map(x: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = f(*x));
}

fn run_columns(batch: &Batch<'_>, columns: &[u32], dtype: Dtype, out: &mut [f64]) {
    let rows = batch.rows.chunks_exact(batch.inputs).zip(out.chunks_exact_mut(columns.len()));
    match dtype {
        Dtype::F64 => rows.for_each(|(row, out)| {
            out.iter_mut().zip(columns).for_each(|(out, &column)| *out = row[column as usize]);
        }),
        _ => rows.for_each(|(row, out)| {
            let columns = out.iter_mut().zip(columns);
            columns.for_each(|(out, &column)| *out = element::cast(row[column as usize], dtype));
        }),
    }
}

fn run_trees(engine: &TreeEngine, batch: &Batch<'_>, x: View<'_>, out: &mut [f64]) {
    // Inference held the engine's width and outputs against the tensors'.
    let run = |rows: &[f64], out: &mut [f64]| {
        let fitted = engine.scores(Rows::of(rows, engine.inputs()), out);
        debug_assert_eq!(fitted, Ok(()));
    };
    match x.all() {
        Some(rows) => run(rows, out),
        None => {
            let rows = (0..batch.count).zip(out.chunks_exact_mut(batch.size));
            rows.for_each(|(row, out)| run(x.row(row), out));
        }
    }
}

fn concat(join: &Join, views: &[View<'_>], row: usize, out: &mut [f64]) {
    let whole: usize = join.runs.iter().sum();
    for (outer, out) in out.chunks_exact_mut(whole.max(1)).enumerate() {
        let mut rest = out;
        for (run, view) in join.runs.iter().zip(views) {
            let (own, after) = rest.split_at_mut(*run);
            own.copy_from_slice(&view.row(row)[outer * run..(outer + 1) * run]);
            rest = after;
        }
    }
}

fn binary(op: Binary, dtype: Dtype, a: (&[f64], &Index), b: (&[f64], &Index), out: &mut [f64]) {
    match op {
        Binary::Add => pairs(a, b, out, |a, b| a + b),
        Binary::Sub => pairs(a, b, out, |a, b| a - b),
        Binary::Mul => pairs(a, b, out, |a, b| a * b),
        Binary::Div if dtype.is_float() => pairs(a, b, out, |a, b| a / b),
        Binary::Less => pairs(a, b, out, |a, b| element::truth(a < b)),
        Binary::LessOrEqual => pairs(a, b, out, |a, b| element::truth(a <= b)),
        Binary::Equal => pairs(a, b, out, |a, b| element::truth(a == b)),
        _ => pairs(a, b, out, |a, b| element::binary(op, a, b, dtype)),
    }
}

fn pairs(a: (&[f64], &Index), b: (&[f64], &Index), out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        ((a, Index::Same), (b, Index::Same)) => {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = f(*a, *b));
        }
        ((a, Index::Same), (b, Index::One)) => map(a, out, |a| f(a, b[0])),
        ((a, Index::One), (b, Index::Same)) => map(b, out, |b| f(a[0], b)),
        ((a, own), (b, other)) => {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = f(a[own.at(i)], b[other.at(i)]));
        }
    }
}

fn indexed(index: f64, length: usize) -> Option<usize> {
    let index = if index < 0.0 { index + length as f64 } else { index };
    (index >= 0.0 && index < length as f64).then_some(index as usize)
}

/// Lanes are columns, so a sum stays in order however the loop is compiled.
fn matmul(a: &[f64], b: &[f64], shared: usize, columns: usize, out: &mut [f64]) {
    out.fill(0.0);
    if shared == 0 || columns == 0 {
        return;
    }
    for (a, out) in a.chunks_exact(shared).zip(out.chunks_exact_mut(columns)) {
        for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
        }
    }
}

fn reduce(kind: Reduction, values: impl Iterator<Item = f64> + Clone) -> f64 {
    let extreme =
        |op| values.clone().reduce(|a, b| element::binary(op, a, b, Dtype::F64)).unwrap_or(f64::NAN);
    match kind {
        Reduction::Sum => values.fold(0.0, |sum, x| sum + x),
        Reduction::Mean => {
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
            sum / count
        }
        Reduction::Max => extreme(Binary::Max),
        Reduction::Min => extreme(Binary::Min),
        Reduction::Prod => values.fold(1.0, |product, x| product * x),
        Reduction::L1 => values.fold(0.0, |sum, x| sum + x.abs()),
        Reduction::L2 => values.fold(0.0, |sum, x| sum + x * x).sqrt(),
        Reduction::SumSquare => values.fold(0.0, |sum, x| sum + x * x),
        Reduction::LogSumExp => {
            let max = extreme(Binary::Max);
            let base = if max.is_finite() { max } else { 0.0 };
            base + libm::log(values.fold(0.0, |sum, x| sum + libm::exp(x - base)))
        }
        Reduction::LogSum => libm::log(values.fold(0.0, |sum, x| sum + x)),
    }
}

fn best(values: impl Iterator<Item = f64>, extreme: Extreme, last: bool) -> usize {
    let mut best = (0, f64::NAN);
    for (i, x) in values.enumerate() {
        let better = if extreme == Extreme::Max { x > best.1 } else { x < best.1 };
        if i == 0 || better || (last && x == best.1) {
            best = (i, x);
        }
    }
    best.0
}

fn softmax(lines: &Lines, line: usize, log: bool, x: &[f64], out: &mut [f64]) {
    let max = reduce(Reduction::Max, lines.values(line, x));
    let places = || lines.steps.iter().map(|step| (lines.starts[line] + step) as usize);
    let mut sum = 0.0;
    for place in places() {
        out[place] = if log { x[place] - max } else { libm::exp(x[place] - max) };
        sum += if log { libm::exp(x[place] - max) } else { out[place] };
    }
    for place in places() {
        out[place] = if log { out[place] - libm::log(sum) } else { out[place] / sum };
    }
}

fn rank(values: impl Iterator<Item = f64>, extreme: Extreme, scratch: &mut Scratch) {
    let Scratch { line, numbers, .. } = scratch;
    line.clear();
    line.extend(values);
    numbers.clear();
    numbers.extend(0..line.len());
    numbers.sort_by(|&a, &b| element::rank(line[a], line[b], extreme));
}
