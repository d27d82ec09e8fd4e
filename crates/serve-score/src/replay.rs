//! Logged predictions scored once more, by another version: how many decisions change, from what to what, and for which rows most.
//!
//! What was decided then follows from the logged scores by the logged version's rule, where the registry still has that version, else by the
//! new one's.

mod changes;
mod compare;
mod report;
mod rules;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serve_registry::Registry;

pub use changes::Change;
pub use report::{Moved, ReplayReport, ReplayRows, VersionReport};

use crate::error::ScoreError;
use crate::job::Progress;
use crate::log::{self, LogColumns};
use crate::model::PinnedModel;
use crate::plan::Plan;
use crate::scorer::Scorer;
use crate::sink::{Output, Sink};
use crate::source::{Batch, Piece, Pieces, Source};
use compare::{Comparison, Part};
use rules::Rules;

/// What is replayed, and what is told of it.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The model whose predictions are replayed; the new version's own, where it is none.
    pub model: Option<String>,
    /// The version whose predictions are replayed; any, where it is none.
    pub version: Option<String>,
    /// How far values have to lie apart so that a decision without labels counts as changed.
    pub tolerance: f64,
    /// How many of the rows that change most are told.
    pub top: usize,
    /// Where all rows go whose decision changes.
    pub output: Option<Output>,
    /// Threads that score.
    pub threads: usize,
}

/// What waits for its turn, and what is known of all before.
struct Merged {
    next: u64,
    waiting: BTreeMap<u64, Part>,
    part: Part,
    sink: Option<Sink>,
    failed: Option<ScoreError>,
}

struct Run<'a> {
    plan: Arc<Plan>,
    log: LogColumns,
    rules: Rules<'a>,
    options: &'a ReplayOptions,
    wanted: String,
    progress: &'a Progress,
    /// The number of the next piece, and where it comes from. Invariant: held while a piece is taken.
    pieces: Mutex<(u64, Pieces)>,
    /// Invariant: parts are merged in the order of their pieces.
    merged: Mutex<Merged>,
}

/// Scores the predictions of a log with a model and compares.
///
/// # Errors
/// When the source is no log or broken, or the output cannot be written; nothing has appeared then.
pub fn replay(
    registry: &Registry,
    model: PinnedModel,
    source: Source,
    options: &ReplayOptions,
    progress: &Progress,
) -> Result<ReplayReport, ScoreError> {
    let began = Instant::now();
    let (log, bindings) = LogColumns::find(&source)?;
    let format = source.format();
    let plan = Arc::new(Plan::of_inputs(model)?);
    let sink = options.output.as_ref().map(|output| output.open(&changes::schema())).transpose()?;
    let wanted = options.model.clone().unwrap_or_else(|| plan.model().name().to_string());
    let part = Part::default();
    let run = Run {
        rules: Rules::new(registry, plan.model())?,
        plan,
        log,
        options,
        wanted,
        progress,
        pieces: Mutex::new((0, source.read(bindings, progress.bytes_read()))),
        merged: Mutex::new(Merged { next: 0, waiting: BTreeMap::new(), part, sink, failed: None }),
    };
    std::thread::scope(|scope| {
        for number in 1..options.threads.max(1) {
            let thread = std::thread::Builder::new().name(format!("replay-{number}"));
            // With fewer threads than asked for it takes longer.
            let _started = thread.spawn_scoped(scope, || run.work());
        }
        run.work();
    });
    let Run { plan, rules, merged, wanted, .. } = run;
    let Merged { part, sink, failed, .. } = merged.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = failed {
        return Err(error);
    }
    sink.map_or(Ok(()), Sink::finish)?;
    Ok(ReplayReport::new(
        &plan,
        part,
        &rules,
        &report::Asked { options, wanted: &wanted, format, elapsed: began.elapsed() },
    ))
}

impl Run<'_> {
    fn work(&self) {
        let work = std::panic::catch_unwind(AssertUnwindSafe(|| self.take_pieces()));
        let result = work.unwrap_or_else(|_| Err(ScoreError::software("a thread of the replay panicked")));
        if let Err(error) = result {
            lock(&self.merged).failed.get_or_insert(error);
        }
    }

    fn take_pieces(&self) -> Result<(), ScoreError> {
        let mut scorer = Scorer::new(Arc::clone(&self.plan));
        loop {
            let (number, mut piece) = {
                let mut pieces = lock(&self.pieces);
                let Some(piece) = pieces.1.next_piece()? else { return Ok(()) };
                pieces.0 += 1;
                (pieces.0 - 1, piece)
            };
            let part = self.score(&mut scorer, &mut *piece)?;
            if !self.merge(number, part)? {
                return Ok(());
            }
        }
    }

    fn score(&self, scorer: &mut Scorer, piece: &mut dyn Piece) -> Result<Part, ScoreError> {
        let mut part = Part::default();
        while let Some(batch) = piece.next_batch()? {
            if self.progress.is_stopped() {
                return Err(ScoreError::Interrupted { rows: self.progress.rows() });
            }
            let read = batch.read;
            self.batch(scorer, batch, &mut part)?;
            part.rows.read += read;
            self.progress.add(read);
        }
        Ok(part)
    }

    fn batch(&self, scorer: &mut Scorer, batch: Batch, part: &mut Part) -> Result<(), ScoreError> {
        let version = self.options.version.as_deref();
        let wanted = |model: &str, logged: &str| {
            model == self.wanted && version.is_none_or(|version| version == logged)
        };
        let logged = self.log.rows(&batch, wanted)?;
        let rows = logged.numbers.len();
        part.rows.broken += batch.broken.len() as u64;
        part.rows.skipped += (batch.rows - rows) as u64;
        if rows == 0 {
            return Ok(());
        }
        let columns = log::feature_columns(&logged.features, self.plan.model().pipeline().signature())?;
        let first_row = batch.first_row;
        let offset = |number: &u64| u32::try_from(number - first_row).unwrap_or(u32::MAX);
        let scored = scorer.score(Batch {
            first_row,
            offsets: Some(logged.numbers.iter().map(offset).collect()),
            read: rows as u64,
            rows,
            columns,
            texts: None,
            broken: Vec::new(),
        })?;
        let comparison = Comparison {
            plan: &self.plan,
            rules: &self.rules,
            tolerance: self.options.tolerance,
            top: self.options.top,
            all: self.options.output.is_some(),
        };
        comparison.add(&logged, &scored, part)
    }

    /// Adds what a piece came to, in its turn; false when something has failed.
    fn merge(&self, number: u64, part: Part) -> Result<bool, ScoreError> {
        let mut merged = lock(&self.merged);
        merged.waiting.insert(number, part);
        while let Some(mut part) = {
            let next = merged.next;
            merged.waiting.remove(&next)
        } {
            merged.next += 1;
            let changes = std::mem::take(&mut part.changes);
            if let Some(sink) = &mut merged.sink {
                sink.write(&changes::batch(&changes)?)?;
            }
            merged.part.merge(part, self.options.top);
        }
        Ok(merged.failed.is_none())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has failed the replay, and the others only look that up.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
