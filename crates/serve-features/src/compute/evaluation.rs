//! A plan over known rows, node by node. Every node is computed from the row that its [`Extent`] says on; a column is freed
//! once nobody needs it any more.

use std::borrow::Cow;
use std::sync::Arc;

use super::extent::Extent;
use super::known::Known;
use super::plan::{Node, Op, Plan};
use super::reach::Reach;
use super::recursion::Recursion;
use super::state::{NodeState, State};
use crate::expression::Operator;
use crate::expression::function::Function;
use crate::frame::written;
use crate::join::is_fresh;
use crate::vader::compound;

/// A source has rows, and no such column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) node: usize,
    pub(super) source: usize,
    pub(super) column: String,
}

/// Part of a plan's values.
enum Series<'a> {
    Constant(f64),
    Rows {
        /// The row of the first value.
        start: usize,
        values: Cow<'a, [f64]>,
    },
}

/// Where a state is wanted: how many rows of each source it takes in, and what is needed at the last of them.
pub(super) struct Mark {
    pub(super) taken: Vec<usize>,
    pub(super) extent: Extent,
}

pub(super) struct Evaluation<'a, 'k> {
    pub(super) plan: &'k Plan,
    pub(super) known: &'k Known<'a>,
    pub(super) extent: &'k Extent,
    pub(super) state: Option<&'k State>,
    /// A column that a source lacks is an error, not missing values.
    pub(super) strict: bool,
    /// Oldest first.
    pub(super) marks: &'k [Mark],
    /// The states at the marks.
    pub(super) states: Vec<Vec<NodeState>>,
}

impl<'a> Evaluation<'a, '_> {
    /// Every feature's values from row `wanted` of the first source on.
    pub(super) fn columns(&mut self, wanted: usize) -> Result<Vec<Vec<f64>>, Absent> {
        self.states = vec![Vec::new(); self.marks.len()];
        let mut values: Vec<Option<Series<'a>>> = Vec::with_capacity(self.plan.nodes.len());
        let mut memory = 0;
        for (i, node) in self.plan.nodes.iter().enumerate() {
            let series = match node.recursion() {
                Some(recursion) => {
                    memory += 1;
                    self.endless(i, node, recursion, memory - 1, &values)
                }
                None => self.node(i, node, &values)?,
            };
            values.push(Some(series));
            for input in &node.inputs {
                if self.plan.nodes[*input].last_use == i {
                    values[*input] = None;
                }
            }
        }
        Ok(self.outputs(wanted, values))
    }

    fn outputs(&self, wanted: usize, mut values: Vec<Option<Series<'a>>>) -> Vec<Vec<f64>> {
        let rows = self.known.len(0);
        let mut columns = Vec::with_capacity(self.plan.outputs.len());
        for (i, output) in self.plan.outputs.iter().enumerate() {
            let again = self.plan.outputs[i + 1..].contains(output);
            let series = if again { None } else { values[*output].take() };
            columns.push(match series {
                Some(Series::Rows { start, values }) if start == wanted => values.into_owned(),
                Some(series) => from(Some(&series), wanted, rows).into_owned(),
                None => from(values[*output].as_ref(), wanted, rows).into_owned(),
            });
        }
        columns
    }

    fn node(&self, i: usize, node: &Node, values: &[Option<Series<'a>>]) -> Result<Series<'a>, Absent> {
        let Some(source) = node.source else {
            return Ok(Series::Constant(if let Op::Constant(x) = node.op { x } else { f64::NAN }));
        };
        let rows = self.known.len(source);
        let start = self.extent.first[i].min(rows);
        let input = |k: usize| node.inputs.get(k).and_then(|input| values[*input].as_ref());
        let computed: Cow<'a, [f64]> = match &node.op {
            Op::Constant(x) => vec![*x; rows - start].into(),
            Op::Column(name) => self.named(i, source, name, start)?,
            Op::Vader(name) => self.scored(i, source, name, start)?.into(),
            Op::Joined => self.joined(node, start, values).into(),
            Op::Negate => from(input(0), start, rows).iter().map(|x| -x).collect(),
            Op::Binary(operator) => binary(*operator, input(0), input(1), start, rows).into(),
            Op::Call(function) => self.call(*function, node, start, values).into(),
        };
        Ok(Series::Rows { start, values: computed })
    }

    fn named(&self, node: usize, source: usize, name: &str, start: usize) -> Result<Cow<'a, [f64]>, Absent> {
        let rows = &self.known.sources[source];
        match rows.frame.column(name) {
            Some(values) => Ok(Cow::Borrowed(&values[start..rows.len()])),
            // One entity's texts where numbers are expected must not end the build of all.
            None if rows.frame.texts(name).is_some() => Ok(vec![f64::NAN; rows.len() - start].into()),
            None if self.strict && rows.source.columns().is_none() && !rows.frame.is_empty() => {
                Err(Absent { node, source, column: name.to_owned() })
            }
            None => Ok(vec![f64::NAN; rows.len() - start].into()),
        }
    }

    fn scored(&self, node: usize, source: usize, name: &str, start: usize) -> Result<Vec<f64>, Absent> {
        let rows = &self.known.sources[source];
        let score = |text: &Option<Arc<str>>| text.as_deref().map_or(f64::NAN, compound);
        match rows.frame.texts(name) {
            Some(texts) => Ok(texts[start..rows.len()].iter().map(score).collect()),
            // Numbers are scored as in a column that has texts too.
            None => Ok(self.named(node, source, name, start)?.iter().map(|x| score(&written(*x))).collect()),
        }
    }

    /// What the rows of the first source see of another's values.
    fn joined(&self, node: &Node, start: usize, values: &[Option<Series<'a>>]) -> Vec<f64> {
        let Some(input) = node.inputs.first() else { return Vec::new() };
        let (Some(source), Some(Some(Series::Rows { start: other, values }))) =
            (self.plan.nodes[*input].source, values.get(*input))
        else {
            return vec![f64::NAN; self.known.len(0) - start];
        };
        let (first, rows) = (&self.known.sources[0], &self.known.sources[source]);
        let at = |(seen, now): (&usize, &_)| {
            let row = seen.checked_sub(1)?;
            let fresh = is_fresh(rows.visible[row], *now, rows.source.max_age);
            values.get(row.checked_sub(*other)?).copied().filter(|_| fresh)
        };
        let seen = self.known.seen[source][start..].iter().zip(&first.visible[start..]);
        seen.map(|row| at(row).unwrap_or(f64::NAN)).collect()
    }

    /// A function with a window, over the wanted rows and those that their windows see.
    fn call(&self, function: Function, node: &Node, start: usize, values: &[Option<Series<'a>>]) -> Vec<f64> {
        let rows = &self.known.sources[node.source.unwrap_or(0)];
        if start >= rows.len() {
            return Vec::new();
        }
        let (begins, _) = Reach::of(node).first(rows.timestamps(), start);
        let inputs: Vec<Cow<'_, [f64]>> =
            node.inputs.iter().map(|input| from(values[*input].as_ref(), begins, rows.len())).collect();
        let inputs: Vec<&[f64]> = inputs.iter().map(|input| &**input).collect();
        let mut computed = function.apply(&rows.timestamps()[begins..], &inputs);
        computed.drain(..(start - begins).min(computed.len()));
        computed
    }

    /// A function of endless memory, from the state's rows or the first on.
    fn endless(
        &mut self,
        i: usize,
        node: &Node,
        fresh: Recursion,
        memory: usize,
        values: &[Option<Series<'a>>],
    ) -> Series<'a> {
        let source = node.source.unwrap_or(0);
        let rows = self.known.len(source);
        let start = self.extent.first[i].min(rows);
        let state = self.state.and_then(|state| state.nodes.get(memory));
        let resumed = state.zip(self.extent.taken.get(source).copied()).and_then(|(state, taken)| {
            let usable = start + state.tail.len() >= taken;
            // Fewer rows than the tail has values may have been read.
            let tail = state.tail[state.tail.len().saturating_sub(taken)..].to_vec();
            usable.then_some((fresh.recall(&state.memory)?, tail, taken))
        });
        let (mut recursion, mut computed, mut next) = resumed.unwrap_or((fresh, Vec::new(), 0));
        // The row of the first computed value.
        let begins = next - computed.len();
        let mut advance = |recursion: &mut Recursion, computed: &mut Vec<f64>, to: usize| {
            let inputs: Vec<Cow<'_, [f64]>> =
                node.inputs.iter().map(|input| from(values[*input].as_ref(), next, to.max(next))).collect();
            let inputs: Vec<&[f64]> = inputs.iter().map(|input| &**input).collect();
            recursion.run(&inputs, computed);
            next = next.max(to);
        };
        for (mark, states) in self.marks.iter().zip(&mut self.states) {
            advance(&mut recursion, &mut computed, mark.taken[source]);
            let tail = mark.extent.first[i].clamp(begins, begins + computed.len()) - begins;
            states.push(NodeState { memory: recursion.memory(), tail: computed[tail..].to_vec() });
        }
        advance(&mut recursion, &mut computed, rows);
        computed.drain(..(start - begins.min(start)).min(computed.len()));
        Series::Rows { start, values: computed.into() }
    }
}

/// The rows from `start` on, up to `end`.
fn from<'s>(series: Option<&'s Series<'_>>, start: usize, end: usize) -> Cow<'s, [f64]> {
    let wanted = end.saturating_sub(start);
    match series {
        Some(Series::Constant(x)) => vec![*x; wanted].into(),
        Some(Series::Rows { start: own, values }) => {
            let begins = start.saturating_sub(*own).min(values.len());
            Cow::Borrowed(&values[begins..(begins + wanted).min(values.len())])
        }
        None => Cow::Borrowed(&[]),
    }
}

fn binary(
    operator: Operator,
    left: Option<&Series<'_>>,
    right: Option<&Series<'_>>,
    start: usize,
    end: usize,
) -> Vec<f64> {
    // One loop for each operator, so that each becomes vector instructions.
    match operator {
        Operator::Add => zipped(left, right, start, end, |a, b| a + b),
        Operator::Subtract => zipped(left, right, start, end, |a, b| a - b),
        Operator::Multiply => zipped(left, right, start, end, |a, b| a * b),
        Operator::Divide => zipped(left, right, start, end, |a, b| a / b),
    }
}

fn zipped(
    left: Option<&Series<'_>>,
    right: Option<&Series<'_>>,
    start: usize,
    end: usize,
    f: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    match (left, right) {
        (Some(Series::Constant(a)), right) => from(right, start, end).iter().map(|b| f(*a, *b)).collect(),
        (left, Some(Series::Constant(b))) => from(left, start, end).iter().map(|a| f(*a, *b)).collect(),
        (left, right) => {
            let (left, right) = (from(left, start, end), from(right, start, end));
            left.iter().zip(&*right).map(|(a, b)| f(*a, *b)).collect()
        }
    }
}
