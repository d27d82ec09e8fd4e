//! A graph compiled: constants apart, layouts resolved to offsets, tensors in slots that are used again. A block of rows
//! goes through it step by step; a slot holds a tensor's values for all rows of the block, row after row.

use super::build::{broadcast_strides, offsets, strides};
use super::element;
use super::infer;
use super::kernel::{Batch, Index, Join, Kernel, Lines};
use super::op::Op;
use super::table::Table;
use super::{Dtype, Graph, GraphNode, TensorType};
use crate::engine::{InvalidEstimator, Path, TreeEngine};

/// Most values that a block of rows may take.
const BLOCK_VALUES: usize = 1 << 18;

/// Where an operand stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Constant(usize),
    Slot { slot: usize, size: usize },
}

#[derive(Debug)]
struct Step {
    kernel: Kernel,
    operands: Vec<Place>,
    slot: usize,
    size: usize,
    /// The type to round results to, where they may have more digits.
    round: Option<Dtype>,
}

/// A graph ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    inputs: usize,
    outputs: usize,
    constants: Vec<Vec<f64>>,
    steps: Vec<Step>,
    slots: usize,
    output: Place,
    block: usize,
}

/// Scratch memory, used again from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    slots: Vec<Vec<f64>>,
    pub(super) line: Vec<f64>,
    pub(super) numbers: Vec<usize>,
}

/// One operand's values over a block of rows; constants have no step.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f64],
    size: usize,
    step: usize,
}

impl<'a> View<'a> {
    /// The values of one row.
    pub(super) fn row(&self, row: usize) -> &'a [f64] {
        &self.values[row * self.step..row * self.step + self.size]
    }

    /// The values of all rows, where they lie side by side.
    pub(super) fn all(&self) -> Option<&'a [f64]> {
        (self.step == self.size).then_some(self.values)
    }
}

impl Program {
    /// The tree ensembles among its steps, in order.
    pub(crate) fn tree_engines(&self) -> impl Iterator<Item = &TreeEngine> {
        self.steps.iter().filter_map(|step| match &step.kernel {
            Kernel::Trees(engine) => Some(&**engine),
            _ => None,
        })
    }

    pub(crate) fn new(graph: &Graph, path: Path) -> Result<Self, InvalidEstimator> {
        let mut compiler = Compiler::new(graph, path);
        for number in 0..graph.nodes.len() {
            compiler.node(number)?;
        }
        let widest: usize = compiler.sizes.iter().sum::<usize>().max(1);
        Ok(Self {
            inputs: graph.inputs,
            outputs: graph.outputs(),
            output: compiler.places[graph.output.0 as usize],
            constants: compiler.constants,
            steps: compiler.steps,
            slots: compiler.sizes.len(),
            block: (BLOCK_VALUES / widest).max(1),
        })
    }

    /// The scores of `rows`, row-major, into `out`, row-major.
    pub(crate) fn scores(&self, rows: &[f64], out: &mut [f64], scratch: &mut Scratch) {
        let blocks = rows.chunks(self.block * self.inputs).zip(out.chunks_mut(self.block * self.outputs));
        blocks.for_each(|(rows, out)| self.run(rows, out, scratch));
    }

    fn run(&self, rows: &[f64], out: &mut [f64], scratch: &mut Scratch) {
        let count = rows.len() / self.inputs;
        if scratch.slots.len() < self.slots {
            scratch.slots.resize_with(self.slots, Vec::new);
        }
        for step in &self.steps {
            let mut result = std::mem::take(&mut scratch.slots[step.slot]);
            result.resize(count * step.size, 0.0);
            let slots = std::mem::take(&mut scratch.slots);
            let batch = Batch { rows, inputs: self.inputs, count, size: step.size };
            let view = |operand: usize| self.view(step.operands[operand], &slots);
            step.kernel.run(&batch, &view, step.operands.len(), &mut result, scratch);
            if let Some(dtype) = step.round {
                result.iter_mut().for_each(|x| *x = element::round(*x, dtype));
            }
            scratch.slots = slots;
            scratch.slots[step.slot] = result;
        }
        let view = self.view(self.output, &scratch.slots);
        for (row, out) in out.chunks_exact_mut(self.outputs).enumerate() {
            out.copy_from_slice(view.row(row));
        }
    }

    fn view<'a>(&'a self, place: Place, slots: &'a [Vec<f64>]) -> View<'a> {
        match place {
            Place::Constant(number) => {
                let values = &self.constants[number];
                View { values, size: values.len(), step: 0 }
            }
            Place::Slot { slot, size } => View { values: &slots[slot], size, step: size },
        }
    }
}

struct Compiler<'a> {
    graph: &'a Graph,
    path: Path,
    /// The last node that reads each node's result; the graph's answer is read to the end.
    last: Vec<usize>,
    places: Vec<Place>,
    constants: Vec<Vec<f64>>,
    steps: Vec<Step>,
    /// Per slot, the most values that it holds for one row.
    sizes: Vec<usize>,
    free: Vec<usize>,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, path: Path) -> Self {
        let mut last: Vec<usize> = (0..graph.nodes.len()).collect();
        for (number, node) in graph.nodes.iter().enumerate() {
            node.operands.iter().for_each(|operand| last[operand.0 as usize] = number);
        }
        // A reshaped tensor lives in its operand's slot.
        for (number, node) in graph.nodes.iter().enumerate().rev() {
            if matches!(node.op, Op::Reshape(_)) {
                let operand = node.operands[0].0 as usize;
                last[operand] = last[operand].max(last[number]);
            }
        }
        let mut output = graph.output.0 as usize;
        last[output] = usize::MAX;
        while matches!(graph.nodes[output].op, Op::Reshape(_)) {
            output = graph.nodes[output].operands[0].0 as usize;
            last[output] = usize::MAX;
        }
        let (places, constants, steps) = (Vec::new(), Vec::new(), Vec::new());
        Self { graph, path, last, places, constants, steps, sizes: Vec::new(), free: Vec::new() }
    }

    fn node(&mut self, number: usize) -> Result<(), InvalidEstimator> {
        let node = &self.graph.nodes[number];
        let place = match &node.op {
            Op::Constant(constant) => {
                self.constants.push(constant.values.clone());
                Place::Constant(self.constants.len() - 1)
            }
            Op::Reshape(_) => self.places[node.operands[0].0 as usize],
            _ => self.step(number, node)?,
        };
        self.places.push(place);
        Ok(())
    }

    fn step(&mut self, number: usize, node: &GraphNode) -> Result<Place, InvalidEstimator> {
        let kind = &self.graph.types[number];
        let types: Vec<&TensorType> = node.operands.iter().map(|t| &self.graph.types[t.0 as usize]).collect();
        let kernel = compile(&node.op, &types, kind, self.path)?;
        let size = kind.elements();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.sizes.push(0);
            self.sizes.len() - 1
        });
        self.sizes[slot] = self.sizes[slot].max(size);
        let operands: Vec<Place> = node.operands.iter().map(|t| self.places[t.0 as usize]).collect();
        let rounds = matches!(kind.dtype, Dtype::F32 | Dtype::I64) && kernel.needs_rounding();
        let round = rounds.then_some(kind.dtype);
        self.steps.push(Step { kernel, operands, slot, size, round });
        self.release(number);
        Ok(Place::Slot { slot, size })
    }

    /// Frees the slots whose tensors nobody reads after this node.
    fn release(&mut self, number: usize) {
        let operands = &self.graph.nodes[number].operands;
        let mut owners: Vec<usize> = operands.iter().map(|operand| self.owner(operand.0 as usize)).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            if let Place::Slot { slot, .. } = self.places[owner]
                && self.last[owner] == number
            {
                self.free.push(slot);
            }
        }
    }

    /// The node whose slot a tensor lives in.
    fn owner(&self, mut number: usize) -> usize {
        while matches!(self.graph.nodes[number].op, Op::Reshape(_)) {
            number = self.graph.nodes[number].operands[0].0 as usize;
        }
        number
    }
}

fn compile(
    op: &Op,
    types: &[&TensorType],
    kind: &TensorType,
    path: Path,
) -> Result<Kernel, InvalidEstimator> {
    let index = |operand: usize| {
        let own = &types[operand].shape;
        if types[operand].elements() == 1 {
            Index::One
        } else if own.iter().product::<usize>() == kind.elements() {
            Index::Same
        } else {
            Index::Map(offsets(&kind.shape, &broadcast_strides(own, &kind.shape)).into())
        }
    };
    let inner = |axis: u32| types[0].shape[axis as usize + 1..].iter().product::<usize>();
    let length = |axis: u32| types[0].shape[axis as usize];
    Ok(match op {
        Op::Columns { columns, dtype } => {
            Kernel::Columns { columns: columns.as_slice().into(), dtype: *dtype }
        }
        Op::Cast(dtype) => Kernel::Cast(*dtype),
        Op::Take { indices, .. } => Kernel::Take(indices.as_slice().into()),
        Op::Concat { axis } => Kernel::Concat(Join::new(types, *axis as usize)),
        Op::Unary(op) => Kernel::Unary(*op),
        Op::Binary(op) => Kernel::Binary { op: *op, dtype: types[0].dtype, a: index(0), b: index(1) },
        Op::Where => Kernel::Where([index(0), index(1), index(2)]),
        Op::Reduce { kind, axes } => Kernel::Reduce(*kind, lines(types[0], axes)),
        Op::Arg { extreme, axis, last } => {
            Kernel::Arg { extreme: *extreme, last: *last, lines: lines(types[0], &[*axis]) }
        }
        Op::Softmax { axis, log } => Kernel::Softmax { log: *log, lines: lines(types[0], &[*axis]) },
        Op::Gather { axis } => Kernel::Gather { length: length(*axis), inner: inner(*axis) },
        Op::GatherElements { axis } => {
            let steps = strides(&types[0].shape);
            let mut fixed = steps.clone();
            fixed[*axis as usize] = 0;
            let bases = offsets(&kind.shape, &fixed).into();
            Kernel::GatherElements { bases, length: length(*axis), step: steps[*axis as usize] }
        }
        Op::TopK { axis, count, extreme } => {
            let lines = lines(types[0], &[*axis]);
            let axis = *axis as usize;
            let places = outer_lines(&kind.shape, axis);
            Kernel::TopK { extreme: *extreme, count: *count as usize, lines, places }
        }
        Op::CumSum { axis } => Kernel::CumSum(lines(types[0], &[*axis])),
        Op::MatMul => matmul(types),
        Op::Lookup(lookup) => Kernel::Lookup(Table::new(lookup)),
        Op::SupportVectors(vectors) => Kernel::SupportVectors(vectors.clone()),
        Op::PairwiseCoupling { .. } => Kernel::PairwiseCoupling,
        Op::Linear(model) => Kernel::Linear(model.clone()),
        Op::Trees(trees) => Kernel::Trees(Box::new(TreeEngine::with_path(trees, path)?)),
        Op::Constant(_) | Op::Reshape(_) => Kernel::Take(Box::default()),
    })
}

fn lines(x: &TensorType, axes: &[u32]) -> Lines {
    let all: Vec<u32> = (0..x.shape.len() as u32).collect();
    let axes = if axes.is_empty() { &all } else { axes };
    let steps = strides(&x.shape);
    let pick = |free: bool| {
        let own = (0..x.shape.len()).filter(|&axis| axes.contains(&(axis as u32)) == free);
        let (lengths, steps): (Vec<usize>, Vec<usize>) = own.map(|axis| (x.shape[axis], steps[axis])).unzip();
        offsets(&lengths, &steps).into()
    };
    Lines { starts: pick(false), steps: pick(true) }
}

/// Where the lines of a result begin and how far apart their values stand.
fn outer_lines(shape: &[usize], axis: usize) -> Lines {
    let kind = TensorType { dtype: Dtype::I64, shape: shape.to_vec() };
    lines(&kind, &[axis as u32])
}

fn matmul(types: &[&TensorType]) -> Kernel {
    let (a, b) = (&types[0].shape, &types[1].shape);
    let Ok(shape) = infer::matmul_shape(a, b) else { return Kernel::Take(Box::default()) };
    let starts = |own: &[usize], matrix: usize| -> Box<[u32]> {
        let own = &own[..own.len().saturating_sub(2)];
        let places = offsets(&shape.batch, &broadcast_strides(own, &shape.batch));
        places.iter().map(|place| place * matrix as u32).collect()
    };
    Kernel::MatMul {
        a: starts(a, shape.rows * shape.shared),
        b: starts(b, shape.shared * shape.columns),
        rows: shape.rows,
        shared: shape.shared,
        columns: shape.columns,
    }
}
