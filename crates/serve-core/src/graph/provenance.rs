//! Which inputs each value of a tensor depends on.

use super::build::{broadcast_strides, offsets};
use super::explain::Column;
use super::op::{Binary, Op, Unary};
use super::{Graph, GraphNode, Tensor, TensorType};

/// What each value of the graph's answer comes from.
pub(super) fn columns(graph: &Graph) -> Vec<Column> {
    let mut origins: Vec<Vec<Column>> = Vec::with_capacity(graph.nodes.len());
    for (node, kind) in graph.nodes.iter().zip(&graph.types) {
        let origin = of_node(graph, node, kind, &origins);
        origins.push(origin);
    }
    origins.swap_remove(graph.output.0 as usize)
}

fn merged<'a>(columns: impl Iterator<Item = &'a Column>) -> Column {
    let mut sources: Vec<u32> = columns.flat_map(|column| column.sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    Column { sources, category: None }
}

fn of_node(graph: &Graph, node: &GraphNode, kind: &TensorType, origins: &[Vec<Column>]) -> Vec<Column> {
    let count = kind.elements();
    let of = |operand: usize| &origins[node.operands[operand].0 as usize];
    match &node.op {
        Op::Constant(_) => vec![merged([].iter()); count],
        Op::Columns { columns, .. } => {
            columns.iter().map(|&column| Column { sources: vec![column], category: None }).collect()
        }
        Op::Cast(_) | Op::Reshape(_) | Op::Unary(Unary::Not) => of(0).clone(),
        Op::Unary(_) | Op::Lookup(_) => of(0).iter().map(|column| merged([column].into_iter())).collect(),
        Op::Take { indices, .. } => indices.iter().map(|&i| of(0)[i as usize].clone()).collect(),
        Op::Concat { axis } => concat(graph, node, *axis as usize, kind, origins),
        Op::Binary(_) | Op::Where => {
            let maps: Vec<Vec<u32>> = (node.operands.iter())
                .map(|t| {
                    let own = &graph.types[t.0 as usize].shape;
                    offsets(&kind.shape, &broadcast_strides(own, &kind.shape))
                })
                .collect();
            let value = |i: usize| {
                let parts: Vec<&Column> = (0..maps.len()).map(|k| &of(k)[maps[k][i] as usize]).collect();
                Column { category: category(graph, node, &parts, &maps, i), ..merged(parts.into_iter()) }
            };
            (0..count).map(value).collect()
        }
        _ => vec![merged(node.operands.iter().flat_map(|t| &origins[t.0 as usize])); count],
    }
}

/// `x == constant` asks for a category; scaling an indicator by a constant keeps it one.
fn category(graph: &Graph, node: &GraphNode, parts: &[&Column], maps: &[Vec<u32>], i: usize) -> Option<f64> {
    let constant = |operand: usize| match &graph.nodes[node.operands[operand].0 as usize].op {
        Op::Constant(constant) => constant.values.get(maps[operand][i] as usize).copied(),
        _ => None,
    };
    match node.op {
        Op::Binary(Binary::Equal) => constant(1).or_else(|| constant(0)),
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) => match (constant(0), constant(1))
        {
            (None, Some(_)) => parts[0].category,
            (Some(_), None) => parts[1].category,
            _ => None,
        },
        _ => None,
    }
}

fn concat(
    graph: &Graph,
    node: &GraphNode,
    axis: usize,
    kind: &TensorType,
    origins: &[Vec<Column>],
) -> Vec<Column> {
    let outer: usize = kind.shape[..axis].iter().product();
    let part = |Tensor(t): &Tensor, at: usize| {
        let length: usize = graph.types[*t as usize].shape[axis..].iter().product();
        origins[*t as usize][at * length..(at + 1) * length].to_vec()
    };
    (0..outer).flat_map(|at| node.operands.iter().flat_map(move |t| part(t, at))).collect()
}
