//! Graphs written down at random, step by step, beside what was written before anything was folded or pruned.

use serve_core::Graph;
use serve_core::graph::{
    Binary, Constant, Dtype, Extreme, GraphBuilder, InvalidGraph, Lookup, Op, Reduction, SupportVectors,
    SvmKernel, Tensor, Unary,
};
use serve_core::tree::{Shape, Tree};
use serve_core::{LinearModel, TreeEnsemble};

use crate::graph_definitions::{Array, Step, apply};
use crate::models::{leaf, split};

/// Numbers, and last a text.
pub(crate) const INPUTS: usize = 4;
/// Larger tensors would only take longer.
const MOST_VALUES: usize = 48;
pub(crate) const NUMBERS: [f64; 18] = [
    0.0,
    1.0,
    -1.0,
    2.0,
    f64::NAN,
    -0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.5,
    -2.5,
    3.0,
    1e-40,
    -7.0,
    0.1,
    16_777_217.0,
    1e300,
    -1e-300,
    40.5,
];
const DTYPES: [Dtype; 4] = [Dtype::F64, Dtype::F32, Dtype::I64, Dtype::Bool];
const UNARY: [Unary; 25] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Exp,
    Unary::Log,
    Unary::Log1p,
    Unary::Expm1,
    Unary::Sqrt,
    Unary::Reciprocal,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Sign,
    Unary::Erf,
    Unary::Relu,
    Unary::LeakyRelu(0.3),
    Unary::Elu(1.5),
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Softplus,
    Unary::Softsign,
    Unary::Sin,
    Unary::Cos,
    Unary::Not,
    Unary::IsNan,
    Unary::IsInf,
];
const BINARY: [Binary; 17] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Pow,
    Binary::Fmod,
    Binary::Mod,
    Binary::Min,
    Binary::Max,
    Binary::Less,
    Binary::LessOrEqual,
    Binary::Greater,
    Binary::GreaterOrEqual,
    Binary::Equal,
    Binary::And,
    Binary::Or,
    Binary::Xor,
];
const REDUCTIONS: [Reduction; 10] = [
    Reduction::Sum,
    Reduction::Mean,
    Reduction::Max,
    Reduction::Min,
    Reduction::Prod,
    Reduction::L1,
    Reduction::L2,
    Reduction::SumSquare,
    Reduction::LogSumExp,
    Reduction::LogSum,
];
const EXTREMES: [Extreme; 2] = [Extreme::Max, Extreme::Min];

/// Random choices, which shrink with their numbers.
struct Tape<'a>(std::slice::Iter<'a, u32>);

impl Tape<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.0.next().map_or(0, |&number| number as usize % end.max(1))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn numbers(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.pick(&NUMBERS)).collect()
    }

    fn finite(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.pick(&[1.0, -1.0, 0.5, 0.25, -3.0, 0.0, 0.1])).collect()
    }

    fn places(&mut self, count: usize, end: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(end)).collect()
    }
}

/// A graph as it was written down: each step with its operands, before anything was folded or pruned.
pub(crate) struct Recipe {
    pub(crate) builder: GraphBuilder,
    pub(crate) steps: Vec<(Step, Vec<usize>)>,
    pub(crate) tensors: Vec<Tensor>,
}

impl Recipe {
    pub(crate) fn random(numbers: &[u32]) -> Self {
        let mut tape = Tape(numbers.iter());
        let mut recipe = Self { builder: GraphBuilder::new(INPUTS), steps: Vec::new(), tensors: Vec::new() };
        let columns = Op::Columns { columns: (0..INPUTS as u32).collect(), dtype: Dtype::F64 };
        recipe.add(Step::Op(columns), &[]).expect("they are there");
        while tape.0.len() > 0 {
            let x = tape.below(recipe.tensors.len());
            let step = recipe.step(x, &mut tape);
            recipe.add_somehow(&step, x, &mut tape);
        }
        recipe
    }

    pub(crate) fn shape(&self, x: usize) -> &[usize] {
        self.builder.shape(self.tensors[x])
    }

    fn step(&self, x: usize, tape: &mut Tape<'_>) -> Step {
        let shape = self.shape(x).to_vec();
        match tape.below(12) {
            0 => Step::Transpose({
                let mut order: Vec<usize> = (0..shape.len()).collect();
                order.rotate_left(tape.below(shape.len()));
                order
            }),
            1 => Step::Expand([&vec![1 + tape.below(2); 1 + tape.below(2)], &shape[..]].concat()),
            2 if !shape.is_empty() => {
                let axis = tape.below(shape.len());
                let count = tape.below(4);
                Step::Select(axis, tape.places(count, shape[axis]))
            }
            3 | 4 => Step::Op(Self::model(&shape, tape)),
            5 | 6 => Step::Op(Self::along_axis(&shape, tape)),
            7 => Step::Op(Self::new_tensor(tape)),
            _ => Step::Op(Self::of_values(&shape, tape)),
        }
    }

    fn new_tensor(tape: &mut Tape<'_>) -> Op {
        let dtype = tape.pick(&DTYPES);
        if tape.below(2) == 0 {
            let columns = (0..=tape.below(3)).map(|_| tape.below(INPUTS) as u32).collect();
            return Op::Columns { columns, dtype };
        }
        let shape: Vec<usize> = (0..tape.below(4)).map(|_| 1 + tape.below(3)).collect();
        let values = tape.numbers(shape.iter().product());
        let mut rounding = GraphBuilder::new(1);
        let tensor = rounding.constant(dtype, &shape, values).expect("any numbers make a constant");
        let values = rounding.value(tensor).expect("it is one").to_vec();
        Op::Constant(Constant { dtype, shape: shape.iter().map(|&n| n as u32).collect(), values })
    }

    fn of_values(shape: &[usize], tape: &mut Tape<'_>) -> Op {
        let size: usize = shape.iter().product();
        match tape.below(8) {
            0 => Op::Cast(tape.pick(&DTYPES)),
            1 => Op::Reshape(
                tape.pick(&[&[size as u32][..], &[1, size as u32], &[size as u32, 1, 1]]).to_vec(),
            ),
            2 => {
                let indices: Vec<u32> = (0..tape.below(5)).map(|_| tape.below(size) as u32).collect();
                Op::Take { shape: vec![1, indices.len() as u32], indices }
            }
            3 | 4 => Op::Unary(tape.pick(&UNARY)),
            5 => Op::Where,
            _ => Op::Binary(tape.pick(&BINARY)),
        }
    }

    fn along_axis(shape: &[usize], tape: &mut Tape<'_>) -> Op {
        let axis = tape.below(shape.len()) as u32;
        match tape.below(9) {
            0 => Op::Concat { axis },
            1 => {
                let axes = (0..shape.len() as u32).filter(|_| tape.below(2) == 0).collect();
                Op::Reduce { kind: tape.pick(&REDUCTIONS), axes }
            }
            2 => Op::Arg { extreme: tape.pick(&EXTREMES), axis, last: tape.below(2) == 1 },
            3 => Op::Softmax { axis, log: tape.below(2) == 1 },
            4 => Op::Gather { axis },
            5 => Op::GatherElements { axis },
            6 => {
                let count = tape.below(shape.get(axis as usize).map_or(1, |n| n + 1)) as u32;
                Op::TopK { axis, count, extreme: tape.pick(&EXTREMES) }
            }
            7 => Op::CumSum { axis },
            _ => Op::MatMul,
        }
    }

    fn model(shape: &[usize], tape: &mut Tape<'_>) -> Op {
        let width = shape.get(1).copied().unwrap_or(1).max(1);
        let outputs = 1 + tape.below(3);
        match tape.below(4) {
            0 => {
                let dtype = tape.pick(&[Dtype::F64, Dtype::I64]);
                let whole = |x: &f64| dtype == Dtype::F64 || x.fract() == 0.0;
                let values: Vec<f64> = tape.finite(outputs).into_iter().filter(whole).collect();
                Op::Lookup(Lookup { keys: tape.numbers(values.len()), values, otherwise: 9.0, dtype })
            }
            1 => {
                let (gamma, coef0) = (0.5, 1.0);
                let poly = SvmKernel::Poly { gamma, coef0, degree: 2.0 };
                let all =
                    [SvmKernel::Linear, poly, SvmKernel::Rbf { gamma }, SvmKernel::Sigmoid { gamma, coef0 }];
                let (kernel, vectors) = (tape.pick(&all), tape.finite(width * outputs));
                Op::SupportVectors(SupportVectors { kernel, width: width as u32, vectors })
            }
            2 => {
                let (weights, intercept) = (tape.finite(width * outputs), tape.finite(outputs));
                Op::Linear(LinearModel::new(width, weights, intercept).expect("the counts fit"))
            }
            _ => {
                let stump = |tape: &mut Tape<'_>| {
                    let (feature, threshold) = (tape.below(width) as u32, tape.finite(1)[0]);
                    let leaves = tape.finite(2);
                    let root = split(feature, threshold, tape.below(2) == 1, 1, 2);
                    Tree { nodes: vec![root, leaf(leaves[0]), leaf(leaves[1])], ..Tree::default() }
                };
                let trees: Vec<Tree> = (0..outputs).map(|_| stump(tape)).collect();
                let shape = Shape { inputs: width as u32, outputs: 1, ..Shape::default() };
                Op::Trees(TreeEnsemble::new(shape, &trees).expect("they are trees"))
            }
        }
    }

    /// Adds the step with `x` and the first other tensors that it takes; most steps fit few tensors.
    fn add_somehow(&mut self, step: &Step, x: usize, tape: &mut Tape<'_>) {
        let count = self.tensors.len();
        let (second, third) = (tape.below(count), tape.below(count));
        let others = |from: usize| (0..count).map(move |i| (from + i) % count);
        match step {
            Step::Op(Op::Constant(_) | Op::Columns { .. }) => drop(self.add(step.clone(), &[])),
            Step::Op(Op::Where) => {
                let pairs = others(second).flat_map(|a| others(third).map(move |b| [x, a, b]));
                pairs.take(60).any(|operands| self.add(step.clone(), &operands).is_ok());
            }
            Step::Op(
                Op::Binary(_)
                | Op::Concat { .. }
                | Op::Gather { .. }
                | Op::GatherElements { .. }
                | Op::MatMul,
            ) => {
                others(second).any(|other| self.add(step.clone(), &[x, other]).is_ok());
            }
            _ => drop(self.add(step.clone(), &[x])),
        }
    }

    fn add(&mut self, step: Step, operands: &[usize]) -> Result<(), InvalidGraph> {
        let mut builder = self.builder.clone();
        let x: Vec<Tensor> = operands.iter().map(|&operand| self.tensors[operand]).collect();
        let tensor = match &step {
            Step::Op(op) => builder.push(op.clone(), &x)?,
            Step::Transpose(order) => builder.transpose(x[0], order)?,
            Step::Expand(shape) => builder.expand(x[0], shape)?,
            Step::Select(axis, indices) => builder.select(x[0], *axis, indices)?,
        };
        if builder.shape(tensor).iter().product::<usize>() <= MOST_VALUES {
            self.builder = builder;
            self.steps.push((step, operands.to_vec()));
            self.tensors.push(tensor);
        }
        Ok(())
    }

    /// The values of every step for one row, whose types are those that the builder inferred.
    pub(crate) fn arrays(&self, row: &[f64]) -> Vec<Array> {
        let mut arrays: Vec<Array> = Vec::new();
        for ((step, operands), &tensor) in self.steps.iter().zip(&self.tensors) {
            let x: Vec<&Array> = operands.iter().map(|&operand| &arrays[operand]).collect();
            let made = apply(step, &x, row);
            let inferred = (self.builder.dtype(tensor), self.builder.shape(tensor));
            assert_eq!((made.dtype, &made.shape[..]), inferred, "{step:?}");
            arrays.push(made);
        }
        arrays
    }

    /// A graph of the tensor's values that are finite, zeros for others, and what those are.
    pub(crate) fn shown(&self, tensor: Tensor) -> Graph {
        let mut builder = self.builder.clone();
        let mut show = || {
            let size: usize = builder.shape(tensor).iter().product();
            let x = builder.cast(tensor, Dtype::F64)?;
            let x = builder.reshape(x, &[1, size])?;
            let (missing, endless) = (builder.unary(Unary::IsNan, x)?, builder.unary(Unary::IsInf, x)?);
            let hidden = builder.binary(Binary::Or, missing, endless)?;
            let zero = builder.scalar(0.0, Dtype::F64)?;
            let finite = builder.push(Op::Where, &[hidden, zero, x])?;
            let sign = builder.unary(Unary::Sign, x)?;
            let sign = builder.push(Op::Where, &[endless, sign, zero])?;
            let missing = builder.cast(missing, Dtype::F64)?;
            builder.concat(1, &[finite, missing, sign])
        };
        let output = show().expect("every tensor can be shown");
        builder.finish(output).expect("it is small")
    }
}
