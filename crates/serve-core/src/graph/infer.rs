//! Types and shapes of results, and the checks that let the engine run a graph without looking again.

use super::op::{Binary, Lookup, Op, Reduction, SupportVectors, Unary};
use super::{Constant, Dtype, GraphNode, MAX_ELEMENTS, MAX_NODES, MAX_RANK, MAX_TOTAL, MAX_WORK, TensorType};

type Inferred = Result<TensorType, String>;

/// Product of dimensions within the limit.
pub(super) fn elements(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > MAX_RANK {
        return Err(format!("expected at most {MAX_RANK} dimensions, got {}", shape.len()));
    }
    // A zero elsewhere must not hide a dimension that overflows.
    let product = shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n.max(1)));
    match product {
        Some(n) if n <= MAX_ELEMENTS => Ok(shape.iter().product()),
        _ => Err(format!("expected at most {MAX_ELEMENTS} values, got the shape {shape:?}")),
    }
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let dimension = |axis| match (at(a, axis), at(b, axis)) {
        (1, n) | (n, 1) => Ok(n),
        (m, n) if m == n => Ok(n),
        _ => Err(format!("shapes {a:?} and {b:?} do not broadcast")),
    };
    (0..rank).map(dimension).collect()
}

/// What a node's result is.
pub(super) fn node(inputs: usize, node: &GraphNode, types: &[TensorType]) -> Inferred {
    let operands = (node.operands.iter())
        .map(|tensor| {
            types
                .get(tensor.0 as usize)
                .ok_or_else(|| format!("operand {} is not made by an earlier node", tensor.0))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let kind = infer(inputs, &node.op, &operands)?;
    elements(&kind.shape)?;
    Ok(kind)
}

fn infer(inputs: usize, op: &Op, operands: &[&TensorType]) -> Inferred {
    match (op, operands) {
        (Op::Constant(constant), []) => infer_constant(constant),
        (Op::Columns { columns, dtype }, []) => infer_columns(inputs, columns, *dtype),
        (Op::Concat { axis }, [first, rest @ ..]) => infer_concat(*axis, first, rest),
        (op, [x]) => infer_one(op, x),
        (Op::Binary(op), [a, b]) => infer_binary(*op, a, b),
        (Op::Gather { axis }, [x, indices]) => {
            let axis = checked_axis(*axis, x)?;
            whole_numbers(indices)?;
            let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
            Ok(TensorType { dtype: x.dtype, shape })
        }
        (Op::GatherElements { axis }, [x, indices]) => {
            let axis = checked_axis(*axis, x)?;
            whole_numbers(indices)?;
            let fits = x.shape.len() == indices.shape.len()
                && (0..x.shape.len()).all(|d| d == axis || indices.shape[d] <= x.shape[d]);
            let problem = || format!("indices {:?} do not fit {:?}", indices.shape, x.shape);
            fits.then(|| TensorType { dtype: x.dtype, shape: indices.shape.clone() }).ok_or_else(problem)
        }
        (Op::MatMul, [a, b]) => infer_matmul(a, b),
        (Op::Where, [condition, a, b]) => {
            of_dtype(condition, Dtype::Bool)?;
            same_dtype(a, b)?;
            let shape = broadcast(&broadcast(&condition.shape, &a.shape)?, &b.shape)?;
            Ok(TensorType { dtype: a.dtype, shape })
        }
        _ => Err(format!("it does not take {} operands", operands.len())),
    }
}

fn infer_one(op: &Op, x: &TensorType) -> Inferred {
    let like = |dtype| Ok(TensorType { dtype, shape: x.shape.clone() });
    match op {
        Op::Cast(dtype) => like(*dtype),
        Op::Reshape(shape) => {
            let shape = wide(shape);
            if elements(&shape)? != x.elements() {
                return Err(format!("{:?} cannot become {shape:?}", x.shape));
            }
            Ok(TensorType { dtype: x.dtype, shape })
        }
        Op::Take { indices, shape } => infer_take(indices, shape, x),
        Op::Unary(Unary::Not) => of_dtype(x, Dtype::Bool).and_then(|()| like(Dtype::Bool)),
        Op::Unary(Unary::IsNan | Unary::IsInf) => like(Dtype::Bool),
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu) if x.dtype == Dtype::I64 => {
            like(x.dtype)
        }
        Op::Unary(_) => floats(x).and_then(|()| like(x.dtype)),
        Op::Reduce { kind, axes } => infer_reduce(*kind, axes, x),
        Op::Arg { axis, .. } => {
            let axis = checked_axis(*axis, x)?;
            not_empty(x)?;
            let mut shape = x.shape.clone();
            shape[axis] = 1;
            Ok(TensorType { dtype: Dtype::I64, shape })
        }
        Op::Softmax { axis, .. } => {
            checked_axis(*axis, x)?;
            floats(x).and_then(|()| like(x.dtype))
        }
        Op::TopK { axis, count, .. } => {
            let axis = checked_axis(*axis, x)?;
            let mut shape = x.shape.clone();
            if *count as usize > shape[axis] {
                return Err(format!("{count} of {} values are wanted", shape[axis]));
            }
            shape[axis] = *count as usize;
            Ok(TensorType { dtype: Dtype::I64, shape })
        }
        Op::CumSum { axis } => {
            checked_axis(*axis, x)?;
            numbers(x).and_then(|()| like(x.dtype))
        }
        Op::Lookup(lookup) => infer_lookup(lookup, x),
        Op::SupportVectors(vectors) => infer_vectors(vectors, x),
        Op::PairwiseCoupling { classes } => infer_coupling(*classes as usize, x),
        Op::Linear(model) => infer_rows(model.inputs(), model.outputs(), x),
        Op::Trees(trees) => infer_rows(trees.inputs(), trees.outputs(), x),
        _ => Err("it does not take 1 operand".to_owned()),
    }
}

fn wide(shape: &[u32]) -> Vec<usize> {
    shape.iter().map(|&n| n as usize).collect()
}

fn infer_constant(constant: &Constant) -> Inferred {
    let shape = wide(&constant.shape);
    let expected = elements(&shape)?;
    if constant.values.len() != expected {
        return Err(format!("expected {expected} values, got {}", constant.values.len()));
    }
    let dtype = constant.dtype;
    match constant.values.iter().find(|&&x| !super::element::fits(x, dtype)) {
        Some(value) => Err(format!("{value} is no {dtype:?}")),
        None => Ok(TensorType { dtype, shape }),
    }
}

fn infer_columns(inputs: usize, columns: &[u32], dtype: Dtype) -> Inferred {
    match columns.iter().find(|&&column| column as usize >= inputs) {
        Some(column) => Err(format!("column {column} is out of range ({inputs} inputs)")),
        None => Ok(TensorType { dtype, shape: vec![1, columns.len()] }),
    }
}

fn infer_concat(axis: u32, first: &TensorType, rest: &[&TensorType]) -> Inferred {
    let axis = checked_axis(axis, first)?;
    let mut shape = first.shape.clone();
    for other in rest {
        same_dtype(first, other)?;
        let fits = other.shape.len() == shape.len()
            && (0..shape.len()).all(|d| d == axis || other.shape[d] == shape[d]);
        if !fits {
            return Err(format!("shapes {:?} and {:?} do not join at axis {axis}", first.shape, other.shape));
        }
        shape[axis] += other.shape[axis];
    }
    Ok(TensorType { dtype: first.dtype, shape })
}

fn infer_take(indices: &[u32], shape: &[u32], x: &TensorType) -> Inferred {
    let shape = wide(shape);
    let expected = elements(&shape)?;
    if indices.len() != expected {
        return Err(format!("expected {expected} indices, got {}", indices.len()));
    }
    let values = x.elements();
    match indices.iter().find(|&&index| index as usize >= values) {
        Some(index) => Err(format!("index {index} is out of range ({values} values)")),
        None => Ok(TensorType { dtype: x.dtype, shape }),
    }
}

fn infer_reduce(kind: Reduction, axes: &[u32], x: &TensorType) -> Inferred {
    if !axes.is_sorted_by(|a, b| a < b) {
        return Err(format!("expected ascending axes, got {axes:?}"));
    }
    numbers(x)?;
    if matches!(kind, Reduction::Mean | Reduction::L2 | Reduction::LogSum | Reduction::LogSumExp) {
        floats(x)?;
    }
    not_empty(x)?;
    let mut shape = x.shape.clone();
    for &axis in axes {
        shape[checked_axis(axis, x)?] = 1;
    }
    if axes.is_empty() {
        shape.fill(1);
    }
    Ok(TensorType { dtype: x.dtype, shape })
}

fn infer_binary(op: Binary, a: &TensorType, b: &TensorType) -> Inferred {
    same_dtype(a, b)?;
    match op {
        Binary::And | Binary::Or | Binary::Xor => of_dtype(a, Dtype::Bool)?,
        Binary::Equal => {}
        _ => numbers(a)?,
    }
    let dtype = if op.compares() { Dtype::Bool } else { a.dtype };
    Ok(TensorType { dtype, shape: broadcast(&a.shape, &b.shape)? })
}

/// Batch dimensions, rows, shared and columns of a matrix product.
pub(super) struct MatMulShape {
    pub(super) batch: Vec<usize>,
    pub(super) rows: usize,
    pub(super) shared: usize,
    pub(super) columns: usize,
}

pub(super) fn matmul_shape(a: &[usize], b: &[usize]) -> Result<MatMulShape, String> {
    let problem = || format!("shapes {a:?} and {b:?} do not multiply");
    let (a_batch, rows, shared) = match a {
        [shared] => (&[][..], 1, *shared),
        [batch @ .., rows, shared] => (batch, *rows, *shared),
        [] => return Err(problem()),
    };
    let (b_batch, other, columns) = match b {
        [shared] => (&[][..], *shared, 1),
        [batch @ .., shared, columns] => (batch, *shared, *columns),
        [] => return Err(problem()),
    };
    if shared != other {
        return Err(problem());
    }
    Ok(MatMulShape { batch: broadcast(a_batch, b_batch)?, rows, shared, columns })
}

fn infer_matmul(a: &TensorType, b: &TensorType) -> Inferred {
    same_dtype(a, b)?;
    floats(a)?;
    let MatMulShape { batch: mut shape, rows, columns, .. } = matmul_shape(&a.shape, &b.shape)?;
    if a.shape.len() > 1 {
        shape.push(rows);
    }
    if b.shape.len() > 1 {
        shape.push(columns);
    }
    Ok(TensorType { dtype: a.dtype, shape })
}

fn infer_lookup(lookup: &Lookup, x: &TensorType) -> Inferred {
    if lookup.keys.len() != lookup.values.len() {
        return Err(format!("it has {} keys and {} values", lookup.keys.len(), lookup.values.len()));
    }
    let given = lookup.values.iter().chain([&lookup.otherwise]);
    match given.copied().find(|&value| !super::element::fits(value, lookup.dtype)) {
        Some(value) => Err(format!("{value} is no {:?}", lookup.dtype)),
        None => Ok(TensorType { dtype: lookup.dtype, shape: x.shape.clone() }),
    }
}

fn infer_vectors(vectors: &SupportVectors, x: &TensorType) -> Inferred {
    let width = vectors.width as usize;
    if width == 0 || !vectors.vectors.len().is_multiple_of(width) {
        return Err(format!("{} numbers are no vectors of length {width}", vectors.vectors.len()));
    }
    infer_rows(width, vectors.vectors.len() / width, x)
}

fn infer_coupling(classes: usize, x: &TensorType) -> Inferred {
    let pairs = classes.saturating_mul(classes.saturating_sub(1)) / 2;
    if !(2..=1024).contains(&classes) || x.shape != [1, pairs] {
        return Err(format!("expected [1, {pairs}] for {classes} of 2 to 1024 classes, got {:?}", x.shape));
    }
    floats(x)?;
    Ok(TensorType { dtype: x.dtype, shape: vec![1, classes] })
}

fn infer_rows(width: usize, outputs: usize, x: &TensorType) -> Inferred {
    floats(x)?;
    match x.shape[..] {
        [rows, got] if got == width => Ok(TensorType { dtype: x.dtype, shape: vec![rows, outputs] }),
        _ => Err(format!("expected rows of {width} values, got {:?}", x.shape)),
    }
}

fn checked_axis(axis: u32, x: &TensorType) -> Result<usize, String> {
    let axis = axis as usize;
    let problem = || format!("there is no axis {axis} in {:?}", x.shape);
    (axis < x.shape.len()).then_some(axis).ok_or_else(problem)
}

fn floats(x: &TensorType) -> Result<(), String> {
    if x.dtype.is_float() { Ok(()) } else { Err(format!("expected F32 or F64, got {:?}", x.dtype)) }
}

fn numbers(x: &TensorType) -> Result<(), String> {
    if x.dtype == Dtype::Bool { Err("booleans are no numbers".to_owned()) } else { Ok(()) }
}

fn whole_numbers(x: &TensorType) -> Result<(), String> {
    of_dtype(x, Dtype::I64)
}

fn of_dtype(x: &TensorType, dtype: Dtype) -> Result<(), String> {
    if x.dtype == dtype { Ok(()) } else { Err(format!("expected {dtype:?}, got {:?}", x.dtype)) }
}

fn same_dtype(a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a.dtype == b.dtype { Ok(()) } else { Err(format!("its operands are {:?} and {:?}", a.dtype, b.dtype)) }
}

fn not_empty(x: &TensorType) -> Result<(), String> {
    if x.elements() > 0 { Ok(()) } else { Err(format!("{:?} has no values", x.shape)) }
}

/// Counts memory and work of a whole graph.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget {
    nodes: usize,
    values: usize,
    work: u64,
}

impl Budget {
    pub(super) fn spend(
        &mut self,
        node: &GraphNode,
        kind: &TensorType,
        types: &[TensorType],
    ) -> Result<(), String> {
        let values = kind.elements();
        let operands: u64 =
            node.operands.iter().filter_map(|t| types.get(t.0 as usize)).map(|t| t.elements() as u64).sum();
        let each = match &node.op {
            Op::MatMul => {
                let b = &types[node.operands[1].0 as usize].shape;
                (if b.len() > 1 { b[b.len() - 2] } else { b[0] }) as u64
            }
            Op::SupportVectors(vectors) => u64::from(vectors.width),
            Op::Linear(model) => model.inputs() as u64,
            Op::PairwiseCoupling { classes } => u64::from(*classes) * u64::from(*classes) * 100,
            Op::TopK { axis, .. } => types[node.operands[0].0 as usize].shape[*axis as usize] as u64,
            _ => 1,
        };
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the graph has more than {MAX_NODES} nodes"));
        }
        self.values = self.values.saturating_add(values);
        self.work = self.work.saturating_add((values as u64).saturating_mul(each).saturating_add(operands));
        if self.values > MAX_TOTAL {
            return Err(format!("the graph's tensors have more than {MAX_TOTAL} values for one row"));
        }
        if self.work > MAX_WORK {
            return Err(format!("the graph takes more than {MAX_WORK} steps for one row"));
        }
        Ok(())
    }
}
