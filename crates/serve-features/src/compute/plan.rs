//! A set's expressions as one graph: what two of them share is computed once. Inputs stand before what needs them, so that
//! nothing recurses here, and every column is freed after its last use.
//!
//! A part that reads one source runs on that source's rows; where parts of several meet, and for the final column, each is
//! brought to the rows of the first source.

use std::collections::HashMap;
use std::sync::Arc;

use super::recursion::Recursion;
use super::state::State;
use crate::expression::function::Function;
use crate::expression::{Expr, Operator};

/// What a set's columns are made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    pub(super) nodes: Vec<Node>,
    /// The node of each feature, a constant or on the rows of the first source.
    pub(super) outputs: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) op: Op,
    /// On whose rows; a constant is on any.
    pub(super) source: Option<usize>,
    pub(super) inputs: Vec<usize>,
    /// The last node that reads this one; a feature's own column is kept.
    pub(super) last_use: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    /// The same at every row.
    Constant(f64),
    /// A column of numbers.
    Column(Arc<str>),
    /// VADER's compound scores of a column of texts.
    Vader(Arc<str>),
    /// The rows of another source that the rows of the first see.
    Joined,
    /// −x.
    Negate,
    /// Arithmetic, row by row.
    Binary(Operator),
    /// A function of the vocabulary.
    Call(Function),
}

impl Node {
    /// How the node remembers its whole past, if it does.
    pub(super) fn recursion(&self) -> Option<Recursion> {
        match self.op {
            Op::Call(function) => Recursion::of(function),
            _ => None,
        }
    }
}

impl Plan {
    /// The plan of expressions over checked sources, taken in an order in which each comes after those that it refers to.
    pub(crate) fn new(expressions: &[&Expr], order: &[usize]) -> Self {
        let mut builder = Builder { outputs: vec![0; expressions.len()], ..Builder::default() };
        for feature in order {
            let node = builder.expr(expressions[*feature]);
            builder.outputs[*feature] = builder.at(0, node);
        }
        let outputs = std::mem::take(&mut builder.outputs);
        for i in 0..builder.nodes.len() {
            for input in builder.nodes[i].inputs.clone() {
                builder.nodes[input].last_use = i;
            }
        }
        for output in &outputs {
            builder.nodes[*output].last_use = usize::MAX;
        }
        Self { nodes: builder.nodes, outputs }
    }

    /// The nodes that remember their whole past, in order: a state holds one entry for each.
    pub(super) fn endless(&self) -> impl Iterator<Item = (usize, Recursion)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(i, node)| node.recursion().map(|recursion| (i, recursion)))
    }

    /// Whether a state is one of this plan.
    pub(super) fn fits(&self, state: &State) -> bool {
        let mut nodes = state.nodes.iter();
        let each = self
            .endless()
            .all(|(_, fresh)| nodes.next().is_some_and(|node| fresh.recall(&node.memory).is_some()));
        each && nodes.next().is_none()
    }

    /// Which nodes a feature is made of.
    pub(super) fn parts(&self, feature: usize) -> Vec<bool> {
        let mut parts = vec![false; self.nodes.len()];
        parts[self.outputs[feature]] = true;
        for i in (0..self.nodes.len()).rev() {
            if parts[i] {
                self.nodes[i].inputs.iter().for_each(|input| parts[*input] = true);
            }
        }
        parts
    }

    /// The first feature that a node is part of.
    pub(super) fn feature_of(&self, node: usize) -> Option<usize> {
        (0..self.outputs.len()).find(|feature| self.parts(*feature)[node])
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    /// Nodes by what they are; a number's debug form keeps every bit.
    known: HashMap<String, usize>,
    /// The nodes of the features so far.
    outputs: Vec<usize>,
}

impl Builder {
    /// Recursion is bounded by the tree's depth, which the parser bounds.
    fn expr(&mut self, expr: &Expr) -> usize {
        match expr {
            Expr::Constant(x) => self.node(Op::Constant(*x), None, Vec::new()),
            Expr::Column { source, name } => {
                self.node(Op::Column(Arc::clone(name)), Some(*source), Vec::new())
            }
            // A column of the first source without a name that it could have: only a function of timestamps, which
            // takes them from the source itself, asks for them.
            Expr::Timestamps { source } => self.node(Op::Column("".into()), Some(*source), Vec::new()),
            Expr::Vader { source, name } => self.node(Op::Vader(Arc::clone(name)), Some(*source), Vec::new()),
            Expr::Feature(feature) => self.outputs[*feature],
            Expr::Negate(x) => {
                let x = self.expr(x);
                self.node(Op::Negate, self.nodes[x].source, vec![x])
            }
            Expr::Binary { operator, left, right } => {
                let inputs = vec![self.expr(left), self.expr(right)];
                self.meet(Op::Binary(*operator), inputs)
            }
            Expr::Call { function: function @ Function::Calendar(_), inputs } => {
                let source = inputs.iter().find_map(|input| match input {
                    Expr::Timestamps { source } => Some(*source),
                    _ => None,
                });
                self.node(Op::Call(*function), source.or(Some(0)), Vec::new())
            }
            Expr::Call { function, inputs } => {
                let inputs = inputs.iter().map(|input| self.expr(input)).collect();
                self.meet(Op::Call(*function), inputs)
            }
        }
    }

    /// An operation where its inputs meet: on the rows of the one source that they read, else on those of the first.
    fn meet(&mut self, op: Op, inputs: Vec<usize>) -> usize {
        let mut sources = inputs.iter().filter_map(|input| self.nodes[*input].source);
        let first = sources.next().unwrap_or(0);
        let source = if sources.all(|other| other == first) { first } else { 0 };
        let inputs = inputs.into_iter().map(|input| self.at(source, input)).collect();
        self.node(op, Some(source), inputs)
    }

    /// A node on the rows of `source`, which is its own or the first.
    fn at(&mut self, source: usize, node: usize) -> usize {
        match self.nodes[node].source {
            Some(own) if own != source => self.node(Op::Joined, Some(source), vec![node]),
            _ => node,
        }
    }

    fn node(&mut self, op: Op, source: Option<usize>, inputs: Vec<usize>) -> usize {
        let key = format!("{op:?} {source:?} {inputs:?}");
        let next = self.nodes.len();
        let found = *self.known.entry(key).or_insert(next);
        if found == next {
            self.nodes.push(Node { op, source, inputs, last_use: next });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declaration::Source;
    use crate::expression::reference::order;
    use crate::expression::{Scope, compile};
    use crate::raw::RawTable;

    fn plan(expressions: &[&str]) -> Plan {
        let sources = [Source::of("price", RawTable::Price), Source::of("news", RawTable::Sentiment)];
        let scope = Scope { sources: &sources, features: &["f0", "f1", "f2"], this: "" };
        let bound: Vec<Expr> =
            expressions.iter().map(|text| compile(text, &scope)).collect::<Result<_, _>>().expect("compiles");
        let bound: Vec<&Expr> = bound.iter().collect();
        Plan::new(&bound, &order(&bound).expect("has no circle"))
    }

    #[test]
    fn what_expressions_share_is_one_node() {
        let plan = plan(&["return(close, 1)", "rolling_mean(return(close, 1), 7)", "return(close, 1)"]);
        assert_eq!(plan.nodes.len(), 3);
        assert_eq!(plan.outputs, [1, 2, 1]);
        assert_eq!(plan.feature_of(2), Some(1));
    }

    #[test]
    fn parts_of_several_sources_meet_on_the_first() {
        let plan = plan(&["lag(news.score, 1) * close", "hour(news.timestamp)"]);
        let sources: Vec<_> = plan.nodes.iter().map(|node| node.source).collect();
        let [score, lag, close, joined, product, hour, brought] = sources[..] else {
            unreachable!("{plan:?}")
        };
        assert_eq!([score, lag, hour], [Some(1); 3]);
        assert_eq!([close, joined, product, brought], [Some(0); 4]);
    }

    #[test]
    fn a_feature_is_referred_to_by_its_column_on_the_first_sources_rows() {
        let plan = plan(&["lag(f1, 1)", "rolling_mean(news.score, 2)", "f1 * 2"]);
        let joined = plan.nodes.iter().filter(|node| node.op == Op::Joined).count();
        assert_eq!((joined, plan.nodes[plan.outputs[0]].source), (1, Some(0)));
        assert_eq!(plan.nodes[plan.outputs[0]].inputs, [plan.outputs[1]]);
    }

    #[test]
    fn zeros_of_either_sign_are_two_constants() {
        assert_eq!(plan(&["close + 0", "close + -0"]).nodes.len(), 5);
    }
}
