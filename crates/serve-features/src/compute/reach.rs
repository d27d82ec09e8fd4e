//! How far back a value looks: what each function needs of its inputs, and what a whole plan needs of its sources.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::plan::{Node, Op, Plan};
use crate::expression::function::Function;
use crate::timestamp::earlier;
use crate::vocabulary::Window;
use crate::vocabulary::calendar::day;

/// Which rows of its inputs a function sees from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// So many before it.
    Rows(usize),
    /// Those of that long before it, and one older that proves they are all.
    Time(Duration),
    /// Those of its UTC day before it, and one of an earlier day that proves they are all.
    Day,
    /// All of them.
    Endless,
}

impl Reach {
    pub(super) fn of(node: &Node) -> Self {
        match node.op {
            Op::Constant(_) | Op::Column(_) | Op::Vader(_) | Op::Joined | Op::Negate | Op::Binary(_) => {
                Self::Rows(0)
            }
            Op::Call(function) => Self::of_call(function),
        }
    }

    fn of_call(function: Function) -> Self {
        match function {
            Function::Lag(n) | Function::Diff(n) | Function::Return(n) | Function::LogReturn(n) => {
                Self::Rows(n)
            }
            Function::Rolling(_, window)
            | Function::Zscore(window)
            | Function::Bollinger(window, _)
            | Function::VolumeRatio(window) => match window {
                Window::Rows(n) => Self::Rows(n.saturating_sub(1)),
                Window::Time(width) => Self::Time(width),
            },
            Function::DayMean => Self::Day,
            Function::Ema(_)
            | Function::Macd { .. }
            | Function::MacdSignal { .. }
            | Function::Rsi(_)
            | Function::Atr(_) => Self::Endless,
            Function::Calendar(_)
            | Function::Unary(_)
            | Function::Min
            | Function::Max
            | Function::Ratio
            | Function::Difference
            | Function::Coalesce
            | Function::Clip { .. } => Self::Rows(0),
        }
    }

    /// The first row that is seen from row `t`, and whether the rows begin too late to know.
    pub(super) fn first(self, timestamps: &[Timestamp], t: usize) -> (usize, bool) {
        let after = |older: usize| (older.saturating_sub(1), older == 0);
        match self {
            Self::Rows(n) => (t.saturating_sub(n), n > t),
            Self::Time(width) => {
                let opening = earlier(timestamps[t], width);
                after(timestamps[..t].partition_point(|row| *row <= opening))
            }
            Self::Day => {
                let today = day(timestamps[t]);
                after(timestamps[..t].partition_point(|row| day(*row) < today))
            }
            Self::Endless => (0, true),
        }
    }
}

/// What a set needs of one source to compute a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SourceNeeds {
    /// So many rows, the row itself among them.
    pub rows: usize,
    /// And the rows of that long before them.
    pub time: Duration,
    /// The whole history, or a state.
    pub endless: bool,
}

impl Plan {
    /// What is needed of each source, of one feature or of all. Where windows of rows and of time are nested, or a source is
    /// joined, how many rows that is depends on the data.
    pub(crate) fn needs(&self, sources: usize, feature: Option<usize>) -> Vec<SourceNeeds> {
        let mut of_node: Vec<Option<SourceNeeds>> = vec![None; self.nodes.len()];
        let one = SourceNeeds { rows: 1, ..SourceNeeds::default() };
        match feature {
            Some(feature) => of_node[self.outputs[feature]] = Some(one),
            None => self.outputs.iter().for_each(|output| of_node[*output] = Some(one)),
        }
        let mut needs = vec![SourceNeeds::default(); sources];
        if let Some(first) = needs.first_mut() {
            *first = one;
        }
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let Some(mut need) = of_node[i] else { continue };
            match Reach::of(node) {
                Reach::Rows(n) => need.rows = need.rows.saturating_add(n),
                Reach::Time(width) => need.time = need.time.saturating_add(width),
                Reach::Day => need.time = need.time.saturating_add(Duration::from_hours(24)),
                Reach::Endless => need.endless = true,
            }
            node.inputs.iter().for_each(|input| widen(of_node[*input].get_or_insert_default(), need));
            if let Some(source) = node.source {
                widen(&mut needs[source], need);
            }
        }
        needs
    }
}

impl Plan {
    /// The columns that a feature is computed from, each with its source's place.
    pub(crate) fn reads(&self, feature: usize) -> Vec<(usize, Arc<str>)> {
        let mut wanted = vec![false; self.nodes.len()];
        self.outputs.get(feature).into_iter().for_each(|output| wanted[*output] = true);
        let mut reads = Vec::new();
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if !wanted[i] {
                continue;
            }
            if let (Op::Column(name) | Op::Vader(name), Some(source)) = (&node.op, node.source)
                && !name.is_empty()
            {
                reads.push((source, Arc::clone(name)));
            }
            node.inputs.iter().for_each(|input| wanted[*input] = true);
        }
        reads.sort();
        reads.dedup();
        reads
    }
}

fn widen(needs: &mut SourceNeeds, more: SourceNeeds) {
    needs.rows = needs.rows.max(more.rows);
    needs.time = needs.time.max(more.time);
    needs.endless |= more.endless;
}
