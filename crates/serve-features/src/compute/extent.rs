//! From which row on each part of a plan is needed, held against the rows that are there: the value at the first wanted row
//! is that of the whole history only if nothing that it depends on was left unread.

use jiff::Timestamp;

use super::known::Known;
use super::plan::{Op, Plan};
use super::reach::Reach;
use super::state::State;

/// What computing a plan from some row on needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Extent {
    /// For each node, the first row of its source at which its value is needed.
    pub(super) first: Vec<usize>,
    /// For each source, the first row that is read.
    pub(super) used: Vec<usize>,
    /// For each source, what is missing because its rows begin too late.
    pub(super) short: Vec<Short>,
    /// For each source, how many of its rows the state has taken in; empty without a state.
    pub(super) taken: Vec<usize>,
}

/// What is remembered of a function of endless memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// Nothing.
    Unknown,
    /// Its recursion after the rows that the state has taken in, and its last so many values.
    Tail(usize),
    /// Its recursion after the wanted row.
    Kept,
}

/// What is missing of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Short {
    /// A window, a join or the way to the state reaches further back than the rows.
    pub(super) window: bool,
    /// A function of endless memory has no state to go on from.
    pub(super) endless: bool,
}

impl Extent {
    /// What is needed for row `wanted` of the first source and those after it.
    pub(super) fn new(plan: &Plan, known: &Known<'_>, wanted: usize, state: Option<&State>) -> Self {
        Self::begin(plan, known, wanted, state).through(plan, known, state, false)
    }

    /// What rows after row `wanted` may still look back to where a state is taken at it, row `wanted` itself among them.
    pub(super) fn kept(plan: &Plan, known: &Known<'_>, wanted: usize) -> Self {
        Self::begin(plan, known, wanted, None).through(plan, known, None, true)
    }

    fn begin(plan: &Plan, known: &Known<'_>, wanted: usize, state: Option<&State>) -> Self {
        let sources = known.sources.len();
        let mut extent = Self {
            first: vec![usize::MAX; plan.nodes.len()],
            used: (0..sources).map(|source| known.len(source)).collect(),
            short: vec![Short::default(); sources],
            taken: Vec::new(),
        };
        if let Some(state) = state {
            extent.taken = extent.take(plan, known, state.moment);
        }
        if let Some(first) = extent.used.first_mut() {
            *first = wanted.min(*first);
        }
        for output in &plan.outputs {
            extent.first[*output] = wanted;
        }
        extent
    }

    fn through(mut self, plan: &Plan, known: &Known<'_>, state: Option<&State>, kept: bool) -> Self {
        let mut memory = state.map_or(0, |state| state.nodes.len());
        for i in (0..plan.nodes.len()).rev() {
            let endless = Reach::of(&plan.nodes[i]) == Reach::Endless;
            memory -= usize::from(endless && memory > 0);
            let tail = state.filter(|_| endless).and_then(|state| state.nodes.get(memory));
            let past = match tail {
                _ if kept => Past::Kept,
                Some(node) => Past::Tail(node.tail.len()),
                None => Past::Unknown,
            };
            self.node(plan, known, i, past);
        }
        self
    }

    /// How many rows of each source were visible at a state's moment. Where the rows begin later, some between may be unread:
    /// a function of endless memory on them cannot go on.
    fn take(&mut self, plan: &Plan, known: &Known<'_>, moment: Timestamp) -> Vec<usize> {
        let taken: Vec<usize> = known.sources.iter().map(|rows| rows.until(moment)).collect();
        for source in plan.endless().filter_map(|(node, _)| plan.nodes[node].source) {
            self.short[source].window |= taken[source] == 0 && !known.sources[source].complete;
        }
        taken
    }

    fn node(&mut self, plan: &Plan, known: &Known<'_>, i: usize, past: Past) {
        let node = &plan.nodes[i];
        let (Some(source), first) = (node.source, self.first[i]) else { return };
        if first == usize::MAX {
            return;
        }
        let rows = &known.sources[source];
        let begins = match (&node.op, Reach::of(node)) {
            (Op::Joined, _) => {
                node.inputs.iter().for_each(|input| self.joined(plan, known, *input, first));
                first
            }
            // No row is wanted of it.
            (_, _) if first >= rows.len() => rows.len(),
            (_, Reach::Endless) => match (past, self.taken.get(source)) {
                (Past::Kept, _) => first,
                (Past::Tail(tail), Some(taken)) if first + tail >= *taken => *taken,
                _ => {
                    self.short[source].endless |= !rows.complete;
                    0
                }
            },
            (_, reach) => {
                let (begins, short) = reach.first(rows.timestamps(), first);
                self.short[source].window |= short && !rows.complete;
                begins
            }
        };
        self.used[source] = self.used[source].min(begins);
        if !matches!(node.op, Op::Joined) {
            node.inputs.iter().for_each(|input| self.first[*input] = self.first[*input].min(begins));
        }
    }

    /// The first row of another source that the first source's row sees, however old: later rows may look back from it.
    fn joined(&mut self, plan: &Plan, known: &Known<'_>, input: usize, first: usize) {
        let Some(source) = plan.nodes[input].source else { return };
        let seen = known.seen[source].get(first).copied();
        let begins = seen.unwrap_or_else(|| known.len(source)).saturating_sub(1);
        self.short[source].window |= seen == Some(0) && !known.sources[source].complete;
        self.first[input] = self.first[input].min(begins);
    }

    /// Something begins too late.
    pub(super) fn is_short(&self) -> bool {
        self.short.iter().any(|short| short.window || short.endless)
    }
}
