//! Nodes of the form to a dataflow graph. Every tensor is one row of numbers, `[1, width]`, in `f64`; a comparison gives 0
//! and 1. The operations and their order are the file's, so that the answers have scikit-learn's bits up to the last ones of
//! sums that its linear algebra library orders in its own way.

use serve_core::LinearModel;
use serve_core::graph::{
    Binary, Dtype, Extreme, GraphBuilder, InvalidGraph, Op, Reduction, SupportVectors, SvmKernel, Tensor,
    Unary,
};
use serve_core::link::Precision;
use serve_core::tree::{self, InvalidTrees, Shape, TreeEnsemble};

use super::encode;
use super::file::{
    Aggregation, Apply, InputPrecision, Kernel, KernelKind, Linear, Link, LinkName, NodeFile, OpFile, Scale,
    ScaleKind, Trees, WeightedMedian,
};
use super::functions;
use super::number::plain;
use crate::error::{ImportError, Place};

/// Why a node is refused: what follows its path, and the problem.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) path: String,
    pub(super) problem: String,
}

impl Refused {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The error for node `number`.
    pub(super) fn at(self, number: usize, node: &NodeFile) -> ImportError {
        let path = format!("nodes[{number}].op.{}{}", node.op.name(), self.path);
        let from = if node.from.is_empty() {
            String::new()
        } else {
            format!(" ({})", crate::error::shown(&node.from))
        };
        ImportError::Graph { place: Place::Path(path), problem: format!("{}{from}", self.problem) }
    }
}

impl From<InvalidGraph> for Refused {
    fn from(error: InvalidGraph) -> Self {
        Self::new("", format!("{}: {}", error.op, error.problem))
    }
}

type Lowered = Result<Tensor, Refused>;

/// The graph under construction and the tensors of the nodes so far.
pub(super) struct Lowering {
    pub(super) graph: GraphBuilder,
    pub(super) tensors: Vec<Tensor>,
}

impl Lowering {
    /// Adds the nodes in order.
    ///
    /// # Errors
    /// At the first node that cannot be.
    pub(super) fn of(inputs: usize, nodes: &[NodeFile]) -> Result<Self, ImportError> {
        let mut lowering =
            Self { graph: GraphBuilder::new(inputs), tensors: Vec::with_capacity(nodes.len()) };
        for (number, node) in nodes.iter().enumerate() {
            let tensor = lowering.node(&node.op).map_err(|refused| refused.at(number, node))?;
            lowering.tensors.push(tensor);
        }
        Ok(lowering)
    }

    fn node(&mut self, op: &OpFile) -> Lowered {
        match op {
            OpFile::Columns(op) => Ok(self.graph.columns(op.columns.clone(), Dtype::F64)?),
            OpFile::Constant(op) => self.constant(plain(&op.values)),
            OpFile::Take(op) => {
                let x = self.earlier(op.of)?;
                Ok(self.graph.select(x, 1, &op.columns)?)
            }
            OpFile::Concat(op) => {
                let parts = op.of.iter().map(|&of| self.earlier(of)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.graph.concat(1, &parts)?)
            }
            OpFile::Unary(op) => self.unary(op),
            OpFile::Binary(op) => {
                let (a, b) = (self.earlier(op.of[0])?, self.earlier(op.of[1])?);
                self.binary(functions::binary(&op.function)?, a, b)
            }
            OpFile::Where(op) => self.choose(&op.of),
            OpFile::Reduce(op) => {
                let x = self.earlier(op.of)?;
                self.reduce(functions::reduction(&op.function)?, x)
            }
            OpFile::Argmax(op) => {
                let x = self.earlier(op.of)?;
                let place = self.graph.push(Op::Arg { extreme: Extreme::Max, axis: 1, last: false }, &[x])?;
                self.number(place)
            }
            OpFile::Link(op) => self.link(op),
            OpFile::Scale(op) => self.scale(op),
            OpFile::Linear(op) => {
                let (x, model) = (self.earlier(op.of)?, linear(op)?);
                Ok(self.graph.push(Op::Linear(model), &[x])?)
            }
            OpFile::Trees(op) => {
                let x = self.earlier(op.of)?;
                let trees = trees(op, self.width(x))?;
                Ok(self.graph.push(Op::Trees(trees), &[x])?)
            }
            OpFile::Kernel(op) => {
                let x = self.earlier(op.of)?;
                Ok(self.graph.push(Op::SupportVectors(kernel(op)?), &[x])?)
            }
            OpFile::Coupling(op) => {
                let x = self.earlier(op.of)?;
                Ok(self.graph.push(Op::PairwiseCoupling { classes: op.classes }, &[x])?)
            }
            OpFile::Encode(op) => encode::lower(self, op),
            OpFile::WeightedMedian(op) => self.weighted_median(op),
        }
    }

    /// The tensor of an earlier node.
    pub(super) fn earlier(&self, of: usize) -> Lowered {
        let problem = || {
            Refused::new(
                ".of",
                format!("expected one of the {} nodes before it, got {of}", self.tensors.len()),
            )
        };
        self.tensors.get(of).copied().ok_or_else(problem)
    }

    pub(super) fn width(&self, x: Tensor) -> usize {
        self.graph.shape(x).get(1).copied().unwrap_or(1)
    }

    pub(super) fn constant(&mut self, values: Vec<f64>) -> Lowered {
        if values.is_empty() {
            return Err(Refused::new(".values", "expected at least one value"));
        }
        Ok(self.graph.row_constant(values, Dtype::F64)?)
    }

    /// Numbers again, of booleans or positions.
    pub(super) fn number(&mut self, x: Tensor) -> Lowered {
        Ok(self.graph.cast(x, Dtype::F64)?)
    }

    pub(super) fn binary(&mut self, op: Binary, a: Tensor, b: Tensor) -> Lowered {
        let x = self.graph.binary(op, a, b)?;
        self.number(x)
    }

    fn with_scalar(&mut self, op: Binary, a: Tensor, b: f64) -> Lowered {
        let b = self.constant(vec![b])?;
        self.binary(op, a, b)
    }

    fn unary(&mut self, op: &Apply) -> Lowered {
        let x = self.earlier(op.of)?;
        let x = match op.function.as_str() {
            "single" => self.graph.cast(x, Dtype::F32)?,
            function => self.graph.unary(functions::unary(function)?, x)?,
        };
        self.number(x)
    }

    fn choose(&mut self, of: &[usize]) -> Lowered {
        let [condition, a, b] = of[..] else {
            return Err(Refused::new(".of", format!("expected 3 nodes, got {}", of.len())));
        };
        let (condition, a, b) = (self.earlier(condition)?, self.earlier(a)?, self.earlier(b)?);
        self.where_not_zero(condition, a, b)
    }

    pub(super) fn where_not_zero(&mut self, condition: Tensor, a: Tensor, b: Tensor) -> Lowered {
        let condition = self.graph.cast(condition, Dtype::Bool)?;
        Ok(self.graph.push(Op::Where, &[condition, a, b])?)
    }

    pub(super) fn reduce(&mut self, kind: Reduction, x: Tensor) -> Lowered {
        Ok(self.graph.push(Op::Reduce { kind, axes: vec![1] }, &[x])?)
    }

    fn link(&mut self, op: &Link) -> Lowered {
        let mut x = self.earlier(op.of)?;
        if let Some(scale) = op.scale {
            x = self.with_scalar(Binary::Mul, x, scale)?;
        }
        match op.function {
            LinkName::Logistic => {
                let p = self.graph.unary(Unary::Sigmoid, x)?;
                self.with_complement(p)
            }
            LinkName::Complement => self.with_complement(x),
            LinkName::Hinge => {
                let positive = self.with_scalar(Binary::Greater, x, 0.0)?;
                self.with_complement(positive)
            }
            LinkName::Softmax => Ok(self.graph.push(Op::Softmax { axis: 1, log: false }, &[x])?),
            LinkName::Exp => Ok(self.graph.unary(Unary::Exp, x)?),
            LinkName::Normalize => {
                let sum = self.reduce(Reduction::Sum, x)?;
                let divided = self.binary(Binary::Div, x, sum)?;
                self.where_not_zero(sum, divided, x)
            }
        }
    }

    /// `[1 - p, p]`
    fn with_complement(&mut self, p: Tensor) -> Lowered {
        if self.width(p) != 1 {
            return Err(Refused::new(".of", format!("expected a node with 1 value, got {}", self.width(p))));
        }
        let one = self.constant(vec![1.0])?;
        let other = self.binary(Binary::Sub, one, p)?;
        Ok(self.graph.concat(1, &[other, p])?)
    }

    fn scale(&mut self, op: &Scale) -> Lowered {
        let mut x = self.earlier(op.of)?;
        let (first, then) = match op.kind {
            ScaleKind::MinMax => ((Binary::Mul, &op.factor), (Binary::Add, &op.min)),
            _ => ((Binary::Sub, &op.center), (Binary::Div, &op.factor)),
        };
        for (binary, values) in [first, then] {
            let Some(values) = values else { continue };
            if values.len() != self.width(x) {
                let (expected, got) = (self.width(x), values.len());
                return Err(Refused::new(
                    "",
                    format!("expected parameters for {expected} columns, got {got}"),
                ));
            }
            let values = self.constant(values.clone())?;
            x = self.binary(binary, x, values)?;
        }
        if let Some((low, high)) = op.clip {
            x = self.with_scalar(Binary::Min, x, high)?;
            x = self.with_scalar(Binary::Max, x, low)?;
        }
        Ok(x)
    }

    /// The value at which the weights of the values up to it reach half of all.
    fn weighted_median(&mut self, op: &WeightedMedian) -> Lowered {
        let x = self.earlier(op.of)?;
        let width = self.width(x);
        if op.weights.len() != width {
            return Err(Refused::new(
                ".weights",
                format!("expected {width} weights, got {}", op.weights.len()),
            ));
        }
        let weights = self.constant(op.weights.clone())?;
        let sorted = Op::TopK { axis: 1, count: width as u32, extreme: Extreme::Min };
        let order = self.graph.push(sorted, &[x])?;
        let weights = self.graph.push(Op::GatherElements { axis: 1 }, &[weights, order])?;
        let running = self.graph.push(Op::CumSum { axis: 1 }, &[weights])?;
        let whole = self.graph.select(running, 1, &[width - 1])?;
        let half = self.with_scalar(Binary::Mul, whole, 0.5)?;
        let reached = self.binary(Binary::GreaterOrEqual, running, half)?;
        let first = self.graph.push(Op::Arg { extreme: Extreme::Max, axis: 1, last: false }, &[reached])?;
        let values = self.graph.push(Op::GatherElements { axis: 1 }, &[x, order])?;
        Ok(self.graph.push(Op::GatherElements { axis: 1 }, &[values, first])?)
    }
}

/// Row-major numbers of a matrix whose rows agree in length.
fn matrix(rows: &[Vec<f64>], path: &str) -> Result<(usize, Vec<f64>), Refused> {
    let width = rows.first().map_or(0, Vec::len);
    match rows.iter().position(|row| row.len() != width) {
        Some(row) => {
            let got = rows[row].len();
            Err(Refused::new(
                format!("{path}[{row}]"),
                format!("expected {width} numbers as in the first row, got {got}"),
            ))
        }
        None => Ok((width, rows.concat())),
    }
}

pub(super) fn linear(op: &Linear) -> Result<LinearModel, Refused> {
    let (inputs, weights) = matrix(&op.weights, ".weights")?;
    LinearModel::new(inputs, weights, op.intercept.clone())
        .map_err(|error| Refused::new("", error.to_string()))
}

pub(super) fn trees(op: &Trees, inputs: usize) -> Result<TreeEnsemble, Refused> {
    let lowered = op.list.iter().enumerate().map(|(number, tree)| {
        super::tree::lower(tree, op.outputs).map_err(|problem| {
            let (path, problem) = problem.split_once(": ").unwrap_or(("", &problem));
            Refused::new(format!(".trees[{number}]{path}"), problem)
        })
    });
    let lowered = lowered.collect::<Result<Vec<_>, _>>()?;
    let shape = Shape {
        inputs: inputs as u32,
        outputs: op.outputs,
        aggregation: match op.aggregation {
            Aggregation::Sum => tree::Aggregation::Sum,
            Aggregation::Average => tree::Aggregation::Average,
        },
        base: op.base.clone(),
        input_precision: match op.input {
            InputPrecision::F32 => Precision::F32,
            InputPrecision::F64 => Precision::F64,
        },
        ..Shape::default()
    };
    TreeEnsemble::new(shape, &lowered).map_err(|error| match error {
        InvalidTrees::Node { tree, node, problem } => {
            Refused::new(format!(".trees[{tree}]"), format!("node {node}: {problem}"))
        }
        InvalidTrees::Tree { tree, problem } => Refused::new(format!(".trees[{tree}]"), problem),
        other => Refused::new("", other.to_string()),
    })
}

fn kernel(op: &Kernel) -> Result<SupportVectors, Refused> {
    let (width, vectors) = matrix(&op.vectors, ".vectors")?;
    let (gamma, coef0, degree) = (op.gamma, op.coef0, op.degree);
    let kernel = match op.kind {
        KernelKind::Linear => SvmKernel::Linear,
        KernelKind::Poly => SvmKernel::Poly { gamma, coef0, degree },
        KernelKind::Rbf => SvmKernel::Rbf { gamma },
        KernelKind::Sigmoid => SvmKernel::Sigmoid { gamma, coef0 },
    };
    Ok(SupportVectors { kernel, width: width as u32, vectors })
}
