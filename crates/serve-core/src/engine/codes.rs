//! Rank codes: every number of a row becomes one byte per column, after which a split is one comparison of bytes.
//!
//! A column has up to 255 ascending thresholds `T`; the code of `x` is its rank `#{T < x}`, so `x <= T[j]` exactly where
//! the code is at most `j`. Features with more thresholds get several columns. Missing values get the code from which
//! the column's splits send them left; a set of categories is a column of its own, 0 for members.
//!
//! Searches run on `f32`. The thresholds are rounded down; a value that is an `f32` then keeps its rank exactly. Others
//! are rounded up: their rank can only come out too great, and only beside a threshold within one `f32` of them, where
//! the `f64` thresholds decide.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use std::ops::Range;

use super::lower::{Group, Lowered, Question, round_down};
use crate::tree::{CategoryRounding, ZERO_THRESHOLD};

/// Most thresholds of a column.
const MOST: usize = 255;

/// Rows coded together.
pub(super) const GROUP: usize = 64;

/// Features of a tile.
pub(super) const STRIP: usize = 16;

/// Strips that are read together.
pub(super) const STRIPS: usize = 8;

/// Up to 64 rows of up to 128 features, by features, in `f32`.
pub(super) type Tiles = [[[f32; GROUP]; STRIP]; STRIPS];

/// Tiles that start with a line of the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Aligned(pub(super) Tiles);

/// Per strip, which features have a value that is no `f32`.
pub(super) type Inexact = [u16; STRIPS];

/// A column that a table's codes are written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) column: u16,
    /// The code of missing values.
    pub(super) missing: u8,
}

/// The thresholds of a column, or of two that differ in where missing values go.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) feature: u32,
    /// Which of its run's strips the feature is in.
    pub(super) strip: usize,
    pub(super) thresholds: Range<usize>,
    /// The search tree has `2^levels` places.
    pub(super) levels: u32,
    pub(super) search: usize,
    /// Place of the pivots; the blocks follow.
    pub(super) pivots: usize,
    /// Codes of values that are so close to zero that they count as missing.
    pub(super) zero: Option<(u8, u8)>,
    pub(super) targets: Range<usize>,
    /// Whether two thresholds are the same `f32`, rounded down.
    pub(super) crowded: bool,
}

/// Strips of features that are read together, and the tables that ask for them.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) strips: Vec<u32>,
    pub(super) tables: Range<usize>,
}

/// A column as one row's coding asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) feature: u32,
    pub(super) table: u32,
    /// Place of the pivots; the blocks follow.
    pub(super) pivots: u32,
    pub(super) missing: u8,
    /// Codes that count as missing; the range is empty where none do.
    pub(super) low: u8,
    pub(super) high: u8,
}

/// A set of categories as a column.
#[derive(Debug, Clone)]
pub(super) struct SetColumn {
    pub(super) feature: u32,
    pub(super) column: u16,
    pub(super) missing: u8,
    pub(super) words: Box<[u32]>,
}

/// The tables of an ensemble.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    pub(super) inputs: usize,
    /// Whether inputs are rounded to `f32` first; then none is between two `f32`.
    pub(super) single: bool,
    pub(super) rounding: CategoryRounding,
    /// By feature.
    pub(super) tables: Vec<Table>,
    /// The strips that tables ask for, in runs that are read together.
    pub(super) runs: Vec<Run>,
    pub(super) targets: Vec<Target>,
    pub(super) thresholds: Vec<f64>,
    /// Search trees: node 1 is the root, node `i` goes on to `2i` or `2i + 1`.
    pub(super) search: Vec<f32>,
    /// Per table 16 pivots, then its thresholds in blocks of 16, padded with infinity. Pivot `i` ends block `i`.
    pub(super) blocks: Vec<[f32; 16]>,
    /// Whether values close to zero count as missing anywhere.
    pub(super) zeros: bool,
    /// By column.
    pub(super) entries: Vec<Entry>,
    pub(super) sets: Vec<SetColumn>,
    /// Number of columns.
    pub(super) width: usize,
    /// Per group, the tables that its ranks are in, and per table the columns for either side.
    chunks: Vec<Vec<(Range<usize>, [u16; 2])>>,
    set_columns: Vec<u16>,
}

/// Most thresholds of a group in one table. Where zeros count as missing, two more mark the ends of what counts as zero.
fn most(group: &Group) -> usize {
    if group.zero { MOST - 2 } else { MOST }
}

/// Scratch memory for coding.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) tiles: Box<Aligned>,
}

#[allow(clippy::large_stack_arrays, reason = "made once a thread, and moved to the heap at once")]
impl Default for Staging {
    fn default() -> Self {
        Self { tiles: Box::new(Aligned([[[0.0; GROUP]; STRIP]; STRIPS])) }
    }
}

impl Codes {
    /// The tables for `lowered`, or `None` where there are more columns than 16 bits count.
    pub(super) fn new(lowered: &Lowered) -> Option<Self> {
        let mut codes = Self {
            inputs: lowered.inputs,
            single: lowered.single,
            rounding: lowered.rounding,
            tables: Vec::new(),
            runs: Vec::new(),
            targets: Vec::new(),
            thresholds: Vec::new(),
            search: Vec::new(),
            blocks: Vec::new(),
            zeros: lowered.groups.iter().any(|group| group.zero),
            entries: Vec::new(),
            sets: Vec::new(),
            width: 0,
            chunks: Vec::with_capacity(lowered.groups.len()),
            set_columns: Vec::with_capacity(lowered.sets.len()),
        };
        for group in &lowered.groups {
            codes.add_group(group)?;
        }
        for set in &lowered.sets {
            let column = codes.column()?;
            codes.set_columns.push(column);
            let (feature, missing) = (set.feature, u8::from(!set.missing_left));
            codes.sets.push(SetColumn { feature, column, missing, words: set.words.clone() });
        }
        codes.make_runs();
        Some(codes)
    }

    /// The column that a question is asked of, and the greatest code that goes left.
    pub(super) fn place(&self, groups: &[Group], question: Question) -> (u16, u8) {
        match question {
            Question::InSet(set) => (self.set_columns[set as usize], 0),
            Question::AtMost { group, rank, missing_left } => {
                let number = group as usize;
                let group = &groups[number];
                let (ranks, columns) = &self.chunks[number][rank as usize / most(group)];
                let column = columns[usize::from(missing_left)];
                if !group.zero {
                    return (column, (rank as usize - ranks.start) as u8);
                }
                // The ends of what counts as zero stand among its table's thresholds too.
                let thresholds = &self.thresholds[self.tables[self.table_of(column)].thresholds.clone()];
                let threshold = group.thresholds[rank as usize];
                (column, thresholds.partition_point(|&t| t < threshold) as u8)
            }
        }
    }

    fn table_of(&self, column: u16) -> usize {
        // Targets stand in the order of the tables, and columns in the order of targets.
        self.tables.partition_point(|table| table.targets.end <= usize::from(column))
    }

    fn column(&mut self) -> Option<u16> {
        let column = u16::try_from(self.width).ok()?;
        self.width += 1;
        Some(column)
    }

    fn add_group(&mut self, group: &Group) -> Option<()> {
        let most = most(group);
        let mut chunks = Vec::new();
        for start in (0..group.thresholds.len()).step_by(most) {
            let ranks = start..group.thresholds.len().min(start + most);
            let columns = self.add_table(group, ranks.clone())?;
            chunks.push((ranks, columns));
        }
        self.chunks.push(chunks);
        Some(())
    }

    fn add_table(&mut self, group: &Group, ranks: Range<usize>) -> Option<[u16; 2]> {
        let (list, sides) = (&group.thresholds[ranks.clone()], &group.sides[ranks]);
        let mut thresholds = list.to_vec();
        if group.zero {
            thresholds.extend([(-ZERO_THRESHOLD).next_down(), ZERO_THRESHOLD].map(|t| self.narrow(t)));
            thresholds.sort_unstable_by(f64::total_cmp);
            thresholds.dedup();
        }
        let code = |x: f64| thresholds.partition_point(|&t| t < x) as u8;
        let zero = group.zero.then(|| (code(-ZERO_THRESHOLD), code(ZERO_THRESHOLD)));
        let first = self.targets.len();
        let columns = match Group::turn(sides) {
            Some(turn) => {
                let missing = list.get(turn).map_or(thresholds.len() as u8, |&threshold| code(threshold));
                [self.target(missing)?; 2]
            }
            None => [self.target(thresholds.len() as u8)?, self.target(0)?],
        };
        let targets = first..self.targets.len();
        self.push_table(group.feature, &thresholds, zero, targets);
        Some(columns)
    }

    fn target(&mut self, missing: u8) -> Option<u16> {
        let column = self.column()?;
        self.targets.push(Target { column, missing });
        Some(column)
    }

    fn narrow(&self, threshold: f64) -> f64 {
        if self.single { f64::from(round_down(threshold)) } else { threshold }
    }

    fn push_table(&mut self, feature: u32, list: &[f64], zero: Option<(u8, u8)>, targets: Range<usize>) {
        // Whole registers are loaded, so a small tree is padded to four levels.
        let levels = (usize::BITS - list.len().leading_zeros()).max(4);
        let (first, search, pivots) = (self.thresholds.len(), self.search.len(), self.blocks.len());
        self.thresholds.extend_from_slice(list);
        let at = |place: usize| list.get(place).map_or(f32::INFINITY, |&t| round_down(t) + 0.0);
        self.search.extend((0..1_usize << levels).map(|node| {
            let level = usize::BITS - 1 - node.max(1).leading_zeros();
            let (step, place) = (1 << (levels - level), node.max(1) - (1 << level));
            at(place * step + step / 2 - 1)
        }));
        let blocks = list.len().div_ceil(16).max(1);
        self.blocks.push(std::array::from_fn(|pivot| {
            if pivot + 1 < blocks { at(pivot * 16 + 15) } else { f32::INFINITY }
        }));
        let block = |number: usize| std::array::from_fn(|lane| at(number * 16 + lane));
        self.blocks.extend((0..blocks).map(block));
        let thresholds = first..self.thresholds.len();
        let (low, high) = zero.unwrap_or((u8::MAX, 0));
        let (table, place) = (self.tables.len() as u32, pivots as u32);
        let entry =
            |target: &Target| Entry { feature, table, pivots: place, missing: target.missing, low, high };
        self.entries.extend(self.targets[targets.clone()].iter().map(entry));
        let crowded = list.windows(2).any(|pair| round_down(pair[0]) == round_down(pair[1]));
        self.tables.push(Table {
            feature,
            strip: 0,
            thresholds,
            levels,
            search,
            pivots,
            zero,
            targets,
            crowded,
        });
    }

    fn make_runs(&mut self) {
        for (number, table) in self.tables.iter_mut().enumerate() {
            let strip = table.feature / STRIP as u32;
            let full = |run: &Run| run.strips.last() != Some(&strip) && run.strips.len() == STRIPS;
            if self.runs.last().is_none_or(full) {
                self.runs.push(Run { strips: Vec::new(), tables: number..number });
            }
            if let Some(run) = self.runs.last_mut() {
                if run.strips.last() != Some(&strip) {
                    run.strips.push(strip);
                }
                run.tables.end = number + 1;
                table.strip = run.strips.len() - 1;
            }
        }
    }

    /// The features of a strip.
    pub(super) fn features(&self, strip: u32) -> Range<usize> {
        let first = strip as usize * STRIP;
        first..self.inputs.min(first + STRIP)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| size_of_val(&set.words[..])).sum();
        sets + size_of_val(&self.tables[..])
            + size_of_val(&self.targets[..])
            + size_of_val(&self.thresholds[..])
            + size_of_val(&self.search[..])
            + size_of_val(&self.blocks[..])
            + size_of_val(&self.entries[..])
    }
}
