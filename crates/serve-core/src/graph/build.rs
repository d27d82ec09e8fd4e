//! Writes graphs down: infers types on the way, folds what depends on no row, and says operators of other formats in
//! ours.

use super::infer;
use super::op::{Binary, Op, Unary};
use super::{Column, Constant, Dtype, Graph, GraphNode, InvalidGraph, Tensor, TensorType, naive, provenance};

/// Products of sizes up to which operators of more than linear cost are folded.
const MOST_FOLDED: usize = 1 << 24;

/// Whether the naive evaluator takes a fixed number of steps for a value.
fn is_cheap(op: &Op) -> bool {
    matches!(
        op,
        Op::Cast(_)
            | Op::Reshape(_)
            | Op::Take { .. }
            | Op::Concat { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Where
    )
}

/// Builds a [`Graph`] node by node.
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    inputs: usize,
    nodes: Vec<GraphNode>,
    types: Vec<TensorType>,
    budget: infer::Budget,
}

impl GraphBuilder {
    /// A graph over rows of `inputs` numbers.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        Self { inputs, nodes: Vec::new(), types: Vec::new(), budget: infer::Budget::default() }
    }

    /// Adds a node. One whose operands are constants becomes a constant.
    ///
    /// # Errors
    /// When the operator does not fit its operands.
    pub fn push(&mut self, op: Op, operands: &[Tensor]) -> Result<Tensor, InvalidGraph> {
        let node = GraphNode { op, operands: operands.to_vec() };
        let kind = infer::node(self.inputs, &node, &self.types)
            .and_then(|kind| self.budget.spend(&node, &kind, &self.types).map(|()| kind));
        let kind =
            kind.map_err(|problem| InvalidGraph { node: self.nodes.len(), op: node.op.name(), problem })?;
        let node = self.folded(&node, &kind).unwrap_or(node);
        self.nodes.push(node);
        self.types.push(kind);
        Ok(Tensor(self.nodes.len() as u32 - 1))
    }

    fn folded(&self, node: &GraphNode, kind: &TensorType) -> Option<GraphNode> {
        let values = node.operands.iter().map(|&t| self.value(t)).collect::<Option<Vec<_>>>()?;
        let steps = values.iter().map(|values| values.len()).sum::<usize>().saturating_mul(kind.elements());
        if values.is_empty() || (steps > MOST_FOLDED && !is_cheap(&node.op)) {
            return None;
        }
        let types: Vec<&TensorType> = node.operands.iter().map(|t| &self.types[t.0 as usize]).collect();
        let values = naive::node(&node.op, &types, &values, kind, &[]);
        let shape = narrow(&kind.shape);
        Some(GraphNode { op: Op::Constant(Constant { dtype: kind.dtype, shape, values }), operands: vec![] })
    }

    /// The values of a constant; `None` where a tensor depends on the row.
    #[must_use]
    pub fn value(&self, tensor: Tensor) -> Option<&[f64]> {
        match &self.nodes.get(tensor.0 as usize)?.op {
            Op::Constant(constant) => Some(&constant.values),
            _ => None,
        }
    }

    /// What each value of a tensor comes from.
    #[must_use]
    pub fn origins(&self, tensor: Tensor) -> Vec<Column> {
        provenance::columns(&self.nodes, &self.types, tensor)
    }

    /// A tensor's dimensions.
    ///
    /// # Panics
    /// Never for a tensor of this builder.
    #[must_use]
    pub fn shape(&self, tensor: Tensor) -> &[usize] {
        &self.types[tensor.0 as usize].shape
    }

    /// A tensor's datatype.
    #[must_use]
    pub fn dtype(&self, tensor: Tensor) -> Dtype {
        self.types[tensor.0 as usize].dtype
    }

    /// Values of the row, `[1, columns]`.
    pub fn columns(&mut self, columns: Vec<u32>, dtype: Dtype) -> Result<Tensor, InvalidGraph> {
        self.push(Op::Columns { columns, dtype }, &[])
    }

    /// A constant of any shape, its values rounded to its type.
    pub fn constant(
        &mut self,
        dtype: Dtype,
        shape: &[usize],
        values: Vec<f64>,
    ) -> Result<Tensor, InvalidGraph> {
        let values = values.into_iter().map(|x| super::element::cast(x, dtype)).collect();
        self.push(Op::Constant(Constant { dtype, shape: narrow(shape), values }), &[])
    }

    /// A constant `[1, values]`.
    pub fn row_constant(&mut self, values: Vec<f64>, dtype: Dtype) -> Result<Tensor, InvalidGraph> {
        self.constant(dtype, &[1, values.len()], values)
    }

    /// A constant with one value and no dimensions.
    pub fn scalar(&mut self, value: f64, dtype: Dtype) -> Result<Tensor, InvalidGraph> {
        self.constant(dtype, &[], vec![value])
    }

    /// A function of each value.
    pub fn unary(&mut self, op: Unary, x: Tensor) -> Result<Tensor, InvalidGraph> {
        self.push(Op::Unary(op), &[x])
    }

    /// A function of two tensors' values, broadcast.
    pub fn binary(&mut self, op: Binary, a: Tensor, b: Tensor) -> Result<Tensor, InvalidGraph> {
        self.push(Op::Binary(op), &[a, b])
    }

    /// A function of each value and one number.
    pub fn binary_scalar(&mut self, op: Binary, a: Tensor, b: f64) -> Result<Tensor, InvalidGraph> {
        let b = self.scalar(b, self.dtype(a))?;
        self.binary(op, a, b)
    }

    /// The same numbers as another type; nothing where they have it already.
    pub fn cast(&mut self, x: Tensor, dtype: Dtype) -> Result<Tensor, InvalidGraph> {
        if self.dtype(x) == dtype { Ok(x) } else { self.push(Op::Cast(dtype), &[x]) }
    }

    /// The same numbers in another shape; nothing where they have it already.
    pub fn reshape(&mut self, x: Tensor, shape: &[usize]) -> Result<Tensor, InvalidGraph> {
        if self.shape(x) == shape { Ok(x) } else { self.push(Op::Reshape(narrow(shape)), &[x]) }
    }

    /// Tensors one after the other along an axis.
    pub fn concat(&mut self, axis: usize, parts: &[Tensor]) -> Result<Tensor, InvalidGraph> {
        match parts {
            [one] => Ok(*one),
            _ => self.push(Op::Concat { axis: axis as u32 }, parts),
        }
    }

    /// Slices at constant indices along an axis, each below the axis's length.
    pub fn select(&mut self, x: Tensor, axis: usize, indices: &[usize]) -> Result<Tensor, InvalidGraph> {
        let shape = self.shape(x).to_vec();
        let Some(&length) = shape.get(axis).filter(|&&n| indices.iter().all(|&i| i < n)) else {
            return Err(self.invalid("select", format!("axis {axis} of {shape:?} at {indices:?}")));
        };
        let mut result = shape.clone();
        result[axis] = indices.len();
        let inner: usize = shape[axis + 1..].iter().product();
        let outer: usize = shape[..axis].iter().product();
        self.sized("select", &result)?;
        let taken = (0..outer).flat_map(|outer| {
            indices
                .iter()
                .flat_map(move |&i| (0..inner).map(move |j| ((outer * length + i) * inner + j) as u32))
        });
        let taken = taken.collect();
        self.take(x, taken, &result)
    }

    /// Axes in another order.
    pub fn transpose(&mut self, x: Tensor, order: &[usize]) -> Result<Tensor, InvalidGraph> {
        let shape = self.shape(x).to_vec();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.len()) {
            return Err(self.invalid("transpose", format!("{order:?} is no order of {shape:?}")));
        }
        let steps = strides(&shape);
        let result: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let steps: Vec<usize> = order.iter().map(|&axis| steps[axis]).collect();
        self.strided(x, &result, &steps)
    }

    /// The same numbers repeated to a larger shape, as NumPy broadcasts.
    pub fn expand(&mut self, x: Tensor, shape: &[usize]) -> Result<Tensor, InvalidGraph> {
        let own = self.shape(x).to_vec();
        let result = infer::broadcast(&own, shape).map_err(|problem| self.invalid("expand", problem))?;
        if result == own {
            return Ok(x);
        }
        let steps = broadcast_strides(&own, &result);
        self.strided(x, &result, &steps)
    }

    /// Any constant rearrangement: result value `i` is `x`'s value `indices[i]`.
    pub fn take(&mut self, x: Tensor, indices: Vec<u32>, shape: &[usize]) -> Result<Tensor, InvalidGraph> {
        let whole = indices.len() == self.types[x.0 as usize].elements();
        if whole && indices.iter().enumerate().all(|(i, &index)| i == index as usize) {
            return self.reshape(x, shape);
        }
        self.push(Op::Take { indices, shape: narrow(shape) }, &[x])
    }

    fn strided(&mut self, x: Tensor, shape: &[usize], steps: &[usize]) -> Result<Tensor, InvalidGraph> {
        self.sized("take", shape)?;
        let indices = offsets(shape, steps);
        self.take(x, indices, shape)
    }

    fn sized(&self, op: &'static str, shape: &[usize]) -> Result<usize, InvalidGraph> {
        infer::elements(shape).map_err(|problem| self.invalid(op, problem))
    }

    fn invalid(&self, op: &'static str, problem: String) -> InvalidGraph {
        InvalidGraph { node: self.nodes.len(), op, problem }
    }

    /// The graph whose answer is `output`, without nodes that it does not need.
    ///
    /// # Errors
    /// When the graph as a whole is too large.
    pub fn finish(self, output: Tensor) -> Result<Graph, InvalidGraph> {
        let (nodes, output) = prune(self.nodes, output);
        Graph::new(self.inputs, nodes, output)
    }
}

fn narrow(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|&n| u32::try_from(n).unwrap_or(u32::MAX)).collect()
}

/// Keeps what `output` depends on.
pub(super) fn prune(nodes: Vec<GraphNode>, output: Tensor) -> (Vec<GraphNode>, Tensor) {
    let mut needed = vec![false; nodes.len()];
    if let Some(last) = needed.get_mut(output.0 as usize) {
        *last = true;
    }
    for number in (0..nodes.len()).rev().filter(|&n| n <= output.0 as usize) {
        if needed[number] {
            nodes[number].operands.iter().for_each(|operand| needed[operand.0 as usize] = true);
        }
    }
    let mut places = vec![Tensor(u32::MAX); nodes.len()];
    let mut kept: Vec<GraphNode> = Vec::new();
    for (number, mut node) in nodes.into_iter().enumerate().filter(|(number, _)| needed[*number]) {
        node.operands.iter_mut().for_each(|operand| *operand = places[operand.0 as usize]);
        places[number] = Tensor(kept.len() as u32);
        kept.push(node);
    }
    (kept, places.get(output.0 as usize).copied().unwrap_or(output))
}

/// Row-major strides.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

/// Strides that read a tensor of shape `own` as one of shape `result`.
pub(super) fn broadcast_strides(own: &[usize], result: &[usize]) -> Vec<usize> {
    let steps = strides(own);
    let missing = result.len() - own.len();
    let step = |axis: usize| match axis.checked_sub(missing) {
        Some(axis) if own[axis] > 1 => steps[axis],
        _ => 0,
    };
    (0..result.len()).map(step).collect()
}

/// The offset of every value of a tensor of this shape, row-major, under these strides.
pub(super) fn offsets(shape: &[usize], steps: &[usize]) -> Vec<u32> {
    let mut all = vec![0_u32];
    if shape.contains(&0) {
        return Vec::new();
    }
    for (&length, &step) in shape.iter().zip(steps) {
        all = all.iter().flat_map(|&base| (0..length).map(move |i| base + (i * step) as u32)).collect();
    }
    all
}
