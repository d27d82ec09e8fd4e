//! Dataflow graphs as data: operators over the values of **one row**. Preprocessing, linear algebra, kernel machines and
//! tree ensembles in one model, as pipelines of scikit-learn and ONNX files have them.
//!
//! A graph is written for a single row, so every shape is known when it is read: what other formats call the batch
//! dimension is 1. The engine runs many rows by repeating each operator over a block of them, and no operator can see
//! two rows. A row's answer therefore has the same bits alone and in any batch.
//!
//! Each node makes one tensor, named by the node's position; a node uses tensors of earlier nodes only, so a cycle cannot
//! be written down. All values are kept as `f64`; a tensor's [`Dtype`] says how results are rounded. For `+ - * /` and
//! the square root, rounding the `f64` result gives the very bits of `f32` arithmetic.
//!
//! Invariant of [`Graph`]: operators fit their operands' types, indices are in range, ranks, sizes and work per row are
//! bounded. It is established by inference over the nodes in order, also when a graph is deserialised.
//!
//! ```
//! use serve_core::graph::{Binary, Dtype, GraphBuilder};
//! let mut graph = GraphBuilder::new(2);
//! let row = graph.columns(vec![0, 1], Dtype::F64)?;
//! let mean = graph.row_constant(vec![1.0, 10.0], Dtype::F64)?;
//! let centred = graph.binary(Binary::Sub, row, mean)?;
//! let graph = graph.finish(centred)?;
//! assert_eq!(graph.outputs(), 2);
//! assert_eq!(graph.evaluate(&[1.5, 10.0]), [0.5, 0.0]);
//! # Ok::<(), serve_core::graph::InvalidGraph>(())
//! ```

mod build;
mod element;
mod explain;
mod infer;
mod kernel;
mod naive;
mod op;
mod program;
mod provenance;
mod table;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use build::GraphBuilder;
pub use explain::Explainable;
pub use op::{Binary, Extreme, Lookup, Op, Reduction, SupportVectors, SvmKernel, Unary};
pub(crate) use program::{Program, Scratch};
pub use provenance::Column;

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 8;
/// Most values of a tensor for one row.
pub const MAX_ELEMENTS: usize = 1 << 22;
/// Most nodes of a graph.
pub const MAX_NODES: usize = 1 << 16;
/// Most values of all tensors together for one row.
pub const MAX_TOTAL: usize = 1 << 24;
/// Most multiplications and comparisons for one row, roughly.
pub const MAX_WORK: u64 = 1 << 30;

/// What a tensor's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// Numbers rounded to `f32` after every operator.
    F32,
    /// Numbers.
    F64,
    /// Whole numbers, exact up to 2^53.
    I64,
    /// 0 and 1.
    Bool,
}

impl Dtype {
    /// Whether it has fractions.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// A tensor of a graph: the number of the node that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tensor(pub u32);

/// A tensor's datatype and shape, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// What its values are.
    pub dtype: Dtype,
    /// Its dimensions; what other formats call the batch dimension is 1.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// Number of values.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Numbers that do not depend on the row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    /// What they are.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<u32>,
    /// The values, row-major.
    pub values: Vec<f64>,
}

/// One operator with its operands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphNode {
    /// What it does.
    pub op: Op,
    /// What it does it to.
    pub operands: Vec<Tensor>,
}

/// Nodes that make no graph.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("graph node {node}, {op}: {problem}")]
pub struct InvalidGraph {
    /// The node, from 0.
    pub node: usize,
    /// Its operator.
    pub op: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// A dataflow graph; see the module for its invariant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "GraphFile", into = "GraphFile")]
pub struct Graph {
    inputs: usize,
    nodes: Vec<GraphNode>,
    types: Vec<TensorType>,
    output: Tensor,
}

#[derive(Clone, Serialize, Deserialize)]
struct GraphFile {
    inputs: u32,
    nodes: Vec<GraphNode>,
    output: Tensor,
}

impl Graph {
    /// A graph over rows of `inputs` numbers whose answer is the tensor `output`, flattened.
    ///
    /// # Errors
    /// When the nodes break the invariant of the module.
    pub fn new(inputs: usize, nodes: Vec<GraphNode>, output: Tensor) -> Result<Self, InvalidGraph> {
        let mut types = Vec::new();
        let mut budget = infer::Budget::default();
        for (number, node) in nodes.iter().enumerate() {
            let kind = infer::node(inputs, node, &types)
                .and_then(|kind| budget.spend(node, &kind, &types).map(|()| kind));
            types.push(kind.map_err(|problem| InvalidGraph { node: number, op: node.op.name(), problem })?);
        }
        let problem = |problem: &str| InvalidGraph {
            node: output.0 as usize,
            op: "output",
            problem: problem.to_owned(),
        };
        match types.get(output.0 as usize) {
            None => Err(problem("there is no such node")),
            Some(kind) if kind.elements() == 0 => Err(problem("it has no values")),
            Some(_) => Ok(Self { inputs, nodes, types, output }),
        }
    }

    /// Length of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of scores.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.types[self.output.0 as usize].elements()
    }

    /// The nodes in order.
    #[must_use]
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }

    /// The tensor that is the answer.
    #[must_use]
    pub fn output(&self) -> Tensor {
        self.output
    }

    /// The type of a tensor of this graph.
    #[must_use]
    pub fn tensor_type(&self, tensor: Tensor) -> Option<&TensorType> {
        self.types.get(tensor.0 as usize)
    }

    /// The scores of one row, by an evaluator that shares no code with the engine but the formulas of single numbers. A
    /// row of another length is read as missing where it ends.
    #[must_use]
    pub fn evaluate(&self, row: &[f64]) -> Vec<f64> {
        naive::evaluate(self, row)
    }
}

impl TryFrom<GraphFile> for Graph {
    type Error = InvalidGraph;

    fn try_from(file: GraphFile) -> Result<Self, InvalidGraph> {
        Self::new(file.inputs as usize, file.nodes, file.output)
    }
}

impl From<Graph> for GraphFile {
    fn from(graph: Graph) -> Self {
        Self { inputs: graph.inputs as u32, nodes: graph.nodes, output: graph.output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(op: Op, operands: &[Tensor]) -> String {
        let columns =
            GraphNode { op: Op::Columns { columns: vec![0, 1], dtype: Dtype::F64 }, operands: vec![] };
        let node = GraphNode { op, operands: operands.to_vec() };
        Graph::new(2, vec![columns, node], Tensor(1)).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_no_graph_is_refused_with_its_node() {
        assert_eq!(
            error(Op::Cast(Dtype::F32), &[Tensor(1)]),
            "graph node 1, cast: operand 1 is not made by an earlier node"
        );
        assert_eq!(
            error(Op::Columns { columns: vec![2], dtype: Dtype::F64 }, &[]),
            "graph node 1, columns: column 2 is out of range (2 inputs)"
        );
        assert_eq!(error(Op::MatMul, &[Tensor(0)]), "graph node 1, matmul: it does not take 1 operand");
        assert_eq!(
            error(Op::MatMul, &[Tensor(0), Tensor(0)]),
            "graph node 1, matmul: shapes [1, 2] and [1, 2] do not multiply"
        );
        let huge = Op::Constant(Constant { dtype: Dtype::F64, shape: vec![u32::MAX; 8], values: vec![] });
        assert!(error(huge, &[]).contains("expected at most 4194304 values"));
        let hidden =
            Op::Constant(Constant { dtype: Dtype::F64, shape: vec![0, u32::MAX, u32::MAX], values: vec![] });
        assert!(error(hidden, &[]).contains("expected at most 4194304 values"));
        assert!(error(Op::Take { indices: vec![2], shape: vec![1] }, &[Tensor(0)]).contains("index 2"));
        assert!(Graph::new(2, vec![], Tensor(0)).is_err());
    }

    #[test]
    fn constants_fold_and_unused_nodes_go() {
        let mut graph = GraphBuilder::new(1);
        let three = graph.scalar(3.0, Dtype::F64).expect("valid");
        let nine = graph.binary(Binary::Mul, three, three).expect("valid");
        assert_eq!(graph.value(nine), Some(&[9.0][..]));
        let x = graph.columns(vec![0], Dtype::F64).expect("valid");
        let y = graph.binary(Binary::Add, x, nine).expect("valid");
        let graph = graph.finish(y).expect("valid");
        assert_eq!(graph.nodes().len(), 3);
        assert_eq!(graph.evaluate(&[1.0]), [10.0]);
    }
}
