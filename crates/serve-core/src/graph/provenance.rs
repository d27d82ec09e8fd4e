//! Which inputs each value of a tensor depends on, and which of them say whether an input has a certain code.

use std::collections::{BTreeSet, HashMap};

use super::build::{broadcast_strides, offsets};
use super::op::{Binary, Op, Unary};
use super::{GraphNode, Tensor, TensorType};
use crate::signature::Input;

/// What one value of a tensor comes from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// Inputs that it is computed from, ascending; none where it is a constant.
    pub sources: Vec<u32>,
    /// Where it tells whether its one source has this code: the code.
    pub category: Option<f64>,
    /// The lookup that it has gone through on its way from its one source, whose codes it no longer has.
    through: Option<Tensor>,
}

impl Column {
    /// A readable name: the input's, `colour_red` for a category, `a b` for what several inputs make.
    #[must_use]
    pub fn name(&self, inputs: &[Input]) -> String {
        let name = |&source: &u32| inputs.get(source as usize).map_or("?", |input| input.name.as_str());
        let names: Vec<&str> = self.sources.iter().map(name).collect();
        let Some(code) = self.category else { return names.join(" ") };
        let words =
            self.sources.first().and_then(|&source| inputs.get(source as usize)?.vocabulary.as_deref());
        let word =
            words.filter(|_| code >= 0.0 && code.fract() == 0.0).and_then(|words| words.get(code as usize));
        let category = word.cloned().unwrap_or_else(|| code.to_string());
        format!("{}_{category}", names.join(" "))
    }

    /// The same sources, and nothing more known.
    fn plain(&self) -> Self {
        Self { sources: self.sources.clone(), category: None, through: None }
    }
}

/// The nodes on the way to one tensor.
struct Trace<'a> {
    nodes: &'a [GraphNode],
    types: &'a [TensorType],
    /// What the values of nodes come from that the tensor depends on.
    known: HashMap<u32, Vec<Column>>,
}

/// What each value of a tensor comes from. Only the nodes that it depends on are looked at.
pub(super) fn columns(nodes: &[GraphNode], types: &[TensorType], of: Tensor) -> Vec<Column> {
    let mut needed = BTreeSet::new();
    let mut open = vec![of.0];
    while let Some(number) = open.pop() {
        if needed.insert(number)
            && let Some(node) = nodes.get(number as usize)
        {
            open.extend(node.operands.iter().map(|operand| operand.0));
        }
    }
    let mut trace = Trace { nodes, types, known: HashMap::new() };
    for number in needed {
        let own = trace.node(number as usize);
        trace.known.insert(number, own);
    }
    trace.known.remove(&of.0).unwrap_or_default()
}

fn merged<'c>(columns: impl Iterator<Item = &'c Column>) -> Column {
    let mut sources: Vec<u32> = columns.flat_map(|column| column.sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    Column { sources, category: None, through: None }
}

fn looked_up(number: usize, column: &Column) -> Column {
    let own = column.category.is_none() && column.through.is_none() && column.sources.len() == 1;
    Column { through: own.then_some(Tensor(number as u32)), ..column.plain() }
}

impl Trace<'_> {
    fn of(&self, tensor: Tensor) -> &[Column] {
        self.known.get(&tensor.0).map_or(&[], Vec::as_slice)
    }

    fn node(&self, number: usize) -> Vec<Column> {
        let (node, kind) = (&self.nodes[number], &self.types[number]);
        let count = kind.elements();
        let first = || self.of(node.operands[0]);
        match &node.op {
            Op::Constant(_) => vec![Column::default(); count],
            Op::Columns { columns, .. } => {
                columns.iter().map(|&column| Column { sources: vec![column], ..Column::default() }).collect()
            }
            Op::Cast(_) | Op::Reshape(_) | Op::Unary(Unary::Not) => first().to_vec(),
            Op::Unary(_) => first().iter().map(Column::plain).collect(),
            Op::Lookup(_) => first().iter().map(|column| looked_up(number, column)).collect(),
            Op::Take { indices, .. } => indices.iter().map(|&i| first()[i as usize].clone()).collect(),
            Op::Concat { axis } => self.concat(node, *axis as usize, kind),
            Op::Binary(_) | Op::Where => self.broadcast(node, kind),
            _ => vec![merged(node.operands.iter().flat_map(|&t| self.of(t))); count],
        }
    }

    fn broadcast(&self, node: &GraphNode, kind: &TensorType) -> Vec<Column> {
        let map = |&t: &Tensor| {
            offsets(&kind.shape, &broadcast_strides(&self.types[t.0 as usize].shape, &kind.shape))
        };
        let maps: Vec<Vec<u32>> = node.operands.iter().map(map).collect();
        let value = |i: usize| {
            let places: Vec<usize> = maps.iter().map(|map| map[i] as usize).collect();
            let parts = || node.operands.iter().zip(&places).map(|(&t, &place)| &self.of(t)[place]);
            Column { category: self.category(node, &places), ..merged(parts()) }
        };
        (0..kind.elements()).map(value).collect()
    }

    /// `x == constant` asks for a code; arithmetic with a constant leaves such a question one.
    fn category(&self, node: &GraphNode, places: &[usize]) -> Option<f64> {
        let Op::Binary(op) = node.op else { return None };
        let constant = |operand: usize| match &self.nodes[node.operands[operand].0 as usize].op {
            Op::Constant(constant) => constant.values.get(places[operand]).copied(),
            _ => None,
        };
        let (asked, value) = match (constant(0), constant(1)) {
            (None, Some(value)) => (0, value),
            (Some(value), None) => (1, value),
            _ => return None,
        };
        let column = &self.of(node.operands[asked])[places[asked]];
        match op {
            Binary::Equal if column.sources.len() == 1 => self.code(column, value),
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => column.category,
            _ => None,
        }
    }

    /// The input's code of a value that may have come from a lookup.
    fn code(&self, column: &Column, value: f64) -> Option<f64> {
        let Some(through) = column.through else { return Some(value) };
        let Op::Lookup(lookup) = &self.nodes[through.0 as usize].op else { return None };
        let place = lookup.values.iter().position(|&known| known == value)?;
        lookup.keys.get(place).copied()
    }

    fn concat(&self, node: &GraphNode, axis: usize, kind: &TensorType) -> Vec<Column> {
        let outer: usize = kind.shape[..axis].iter().product();
        let part = |&t: &Tensor, at: usize| {
            let length: usize = self.types[t.0 as usize].shape[axis..].iter().product();
            self.of(t)[at * length..(at + 1) * length].to_vec()
        };
        (0..outer).flat_map(|at| node.operands.iter().flat_map(move |t| part(t, at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::Lookup;
    use super::super::{Dtype, GraphBuilder};
    use super::*;

    #[test]
    fn columns_know_where_they_come_from() {
        let mut graph = GraphBuilder::new(3);
        let code = graph.columns(vec![2], Dtype::F64).expect("valid");
        let lookup =
            Lookup { keys: vec![0.0, 1.0], values: vec![7.0, 5.0], otherwise: -1.0, dtype: Dtype::I64 };
        let ids = graph.push(Op::Lookup(lookup), &[code]).expect("valid");
        let known = graph.constant(Dtype::I64, &[2], vec![5.0, 7.0]).expect("valid");
        let hot = graph.binary(Binary::Equal, ids, known).expect("valid");
        let hot = graph.cast(hot, Dtype::F32).expect("valid");
        let numbers = graph.columns(vec![0, 1], Dtype::F32).expect("valid");
        let scaled = graph.binary_scalar(Binary::Mul, numbers, 2.0).expect("valid");
        let product = graph.select(numbers, 1, &[1, 0]).expect("valid");
        let product = graph.binary(Binary::Mul, numbers, product).expect("valid");
        let all = graph.concat(1, &[scaled, hot, product]).expect("valid");
        let vocabulary = Some(vec!["red".to_owned(), "blue".to_owned()]);
        let inputs =
            [Input::number("a"), Input::number("b"), Input { vocabulary, ..Input::number("colour") }];
        let names: Vec<String> = graph.origins(all).iter().map(|column| column.name(&inputs)).collect();
        assert_eq!(names, ["a", "b", "colour_blue", "colour_red", "a b", "a b"]);
    }
}
