//! A job: threads that read, convert and score pieces, and write them in order. Memory is bounded by the pieces that are under way:
//! a thread whose piece is not at the front waits when too much waits to be written.

mod memory;
mod order;
mod progress;
mod spread;
mod written;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_schema::DataType;

use crate::error::ScoreError;
use crate::location::InputFile;
use crate::model::PinnedModel;
use crate::part::{Cuts, JobFacts, PieceCuts};
use crate::plan::{Keep, Plan, PlanOptions};
use crate::reject::MaxRejects;
use crate::scorer::{Scored, Scorer};
use crate::sink::Output;
use crate::source::{BATCH_ROWS, Batch, Binding, Piece, Pieces, Source};
use crate::tally::Tally;
use order::{Order, Turn};
pub use progress::Progress;
use written::Written;

/// Bytes of answers that wait for their turn, where no limit on memory is said.
const WAITING_BYTES: usize = 64 << 20;

/// How a job runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where answers go.
    pub output: Output,
    /// Where rejects go; nowhere, where it is none.
    pub rejects: Option<PathBuf>,
    /// How many rows may be rejected; any number, where it is none.
    pub max_rejects: Option<MaxRejects>,
    /// How many threads score.
    pub threads: usize,
    /// Whether answers come in the order of the input; else only parts do.
    pub ordered: bool,
    /// Whether the job goes on behind what an earlier run of it finished.
    pub resume: bool,
    /// The model as it was asked for, which may be an alias.
    pub asked: String,
    /// Bytes that answers may take which wait for their turn.
    pub waiting_bytes: usize,
    /// Whether the state outlives the job until [`Output::forget`], since something is to be written of it that a kill must not lose.
    pub keep_state: bool,
}

impl RunOptions {
    /// All cores, in order, with rejects beside the output.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let rejects = output.rejects();
        Self {
            output,
            rejects,
            max_rejects: None,
            threads,
            ordered: true,
            resume: false,
            asked: String::new(),
            waiting_bytes: WAITING_BYTES,
            keep_state: false,
        }
    }
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Rows that were read.
    pub rows: u64,
    /// Those of them that an earlier run of the job had done.
    pub earlier_rows: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Where they stand, where there are any.
    pub rejects: Option<PathBuf>,
    /// How long it took.
    pub elapsed: Duration,
    /// What was counted, where the plan asked for it and there were rows.
    pub tally: Option<Tally>,
}

/// A planned job.
#[derive(Debug)]
pub struct Job {
    plan: Arc<Plan>,
    source: Source,
    bindings: Vec<Binding>,
    options: PlanOptions,
}

impl Job {
    /// Plans a job.
    ///
    /// # Errors
    /// As [`Plan`] says: before the first row.
    pub fn plan(model: PinnedModel, source: Source, options: &PlanOptions) -> Result<Self, ScoreError> {
        let (plan, bindings) = Plan::new(model, &source, options)?;
        Ok(Self { plan: Arc::new(plan), source, bindings, options: options.clone() })
    }

    /// What it will do.
    #[must_use]
    pub fn planned(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What it reads.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The types of the columns that the inputs of the signature are read from, in order.
    pub fn input_types(&self) -> impl Iterator<Item = &DataType> {
        let fields = self.bindings.first().map_or(&[][..], |binding| &binding.fields);
        self.plan.inputs.iter().filter_map(|&at| fields.get(at)).map(|field| field.data_type())
    }

    /// Scores the first rows, and writes nothing.
    ///
    /// # Errors
    /// When the input is broken.
    pub fn sample(self, rows: usize) -> Result<Option<Scored>, ScoreError> {
        let mut pieces = self.source.read(self.bindings, Arc::default());
        let Some(mut piece) = pieces.next_piece()? else { return Ok(None) };
        let Some(mut batch) = piece.next_batch()? else { return Ok(None) };
        batch.truncate(rows);
        Scorer::new(self.plan).score(batch).map(Some)
    }

    /// Runs to the end. On an error nothing has appeared under the output's name.
    ///
    /// # Errors
    /// When the input is broken, the output cannot be written, too many rows are rejected, or the job is stopped.
    pub fn run(self, options: &RunOptions, progress: &Progress) -> Result<Summary, ScoreError> {
        let began = Instant::now();
        let written = Written::begin(options, self.plan.schema(), &self.facts(options)?, progress)?;
        let summary = |(rejects, tally)| {
            let (rows, rejected, earlier_rows) =
                (progress.rows(), progress.rejected(), progress.earlier_rows());
            Summary { rows, earlier_rows, rejected, rejects, elapsed: began.elapsed(), tally }
        };
        if written.is_published() {
            return written.finish(progress).map(summary);
        }
        let (part, next_row) = written.position();
        let files = self.source.files().to_vec();
        files.iter().for_each(|file| file.end_with(progress));
        let mut pieces = self.source.read(self.bindings, progress.bytes_read());
        pieces.skip_to(next_row);
        let cuts = Cuts::new(options.output.part_rows, part, next_row);
        let run = Run {
            plan: self.plan,
            pieces: Mutex::new(Taken { next: 0, pieces, cuts }),
            order: Order::new(written, options, progress),
            progress,
        };
        let threads = options.threads.max(1);
        std::thread::scope(|scope| {
            for number in 1..threads {
                let thread = std::thread::Builder::new().name(format!("score-{number}"));
                // With fewer threads than asked for it takes longer.
                let _started = thread.spawn_scoped(scope, || run.work());
            }
            run.work();
        });
        let (written, ran) = run.order.finish();
        if let Err(error) = ran {
            let error = match error {
                ScoreError::Input { .. } | ScoreError::NoInput { .. } if progress.is_stopped() => {
                    ScoreError::Interrupted { rows: progress.rows() }
                }
                ScoreError::Input { .. } | ScoreError::NoInput { .. } => {
                    files.iter().fold(error, |error, file| file.cause(error))
                }
                error => error,
            };
            written.give_up(&error, progress);
            return Err(error);
        }
        written.finish(progress).map(summary)
    }

    /// What decides the rows of the output.
    fn facts(&self, options: &RunOptions) -> Result<JobFacts, ScoreError> {
        if options.resume && self.source.files().iter().any(InputFile::is_pipe) {
            return Err(ScoreError::usage("standard input cannot be read again: --resume needs files"));
        }
        let yes = |flag: bool| if flag { "yes" } else { "" }.to_owned();
        let mut map: Vec<String> =
            self.options.map.iter().map(|(feature, column)| format!("{feature}={column}")).collect();
        map.sort();
        let keep = match &self.options.keep {
            Keep::None => String::new(),
            Keep::All => "all".to_owned(),
            Keep::Columns(names) => names.join(","),
        };
        let RunOptions { output, rejects, ordered, asked, .. } = options;
        let told = [
            ("--map", map.join(", ")),
            ("--keep", keep),
            ("--explain", yes(self.options.explain)),
            ("--input-format", self.source.format().to_string()),
            ("--format", output.extension()),
            ("--part-rows", output.part_rows.to_string()),
            ("--unordered", yes(!ordered)),
            ("whether rejects are written", yes(rejects.is_some())),
            ("whether rows are counted (--report)", yes(self.options.tally)),
        ];
        let told = told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(JobFacts::new(asked, self.plan.model(), told, self.source.files()))
    }
}

impl Batch {
    /// Gives the rows of a share the numbers that they have in the whole: they come after so many, which are not the share's, and follow
    /// so many others.
    pub(crate) fn renumber(&mut self, skipped: u64, before: u64) {
        let renumbered = |row: u64| row - skipped + before;
        self.first_row = renumbered(self.first_row);
        self.broken.iter_mut().for_each(|reject| reject.row = renumbered(reject.row));
    }

    /// Forgets all but the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if self.rows > rows {
            self.columns.iter_mut().for_each(|column| *column = column.slice(0, rows));
            self.rows = rows;
            let end = self.number(rows - 1);
            self.broken.retain(|reject| reject.row <= end);
            self.read = end + 1 - self.first_row;
        }
    }
}

/// The pieces of the input.
struct Taken {
    /// The number of the next.
    next: u64,
    pieces: Pieces,
    cuts: Cuts,
}

/// A job under way.
struct Run<'a> {
    plan: Arc<Plan>,
    /// Invariant: held while a piece is taken, so that pieces are numbered in the order of the input.
    pieces: Mutex<Taken>,
    order: Order<'a>,
    progress: &'a Progress,
}

/// A piece with its number and the parts that it belongs to.
type TakenPiece = (u64, Box<dyn Piece>, PieceCuts);

impl Run<'_> {
    /// Takes pieces until there are none, or something fails.
    fn work(&self) {
        let work = std::panic::catch_unwind(AssertUnwindSafe(|| self.take_pieces()));
        let result = work.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(ScoreError::software(text.unwrap_or_else(|| "a thread panicked".to_owned())))
        });
        if let Err(error) = result {
            self.order.fail(error);
        }
    }

    fn take_pieces(&self) -> Result<(), ScoreError> {
        let mut scorer = Scorer::new(Arc::clone(&self.plan));
        loop {
            let Some((number, mut piece, cuts)) = self.take_piece()? else { return Ok(()) };
            while let Some(batch) = piece.next_batch()? {
                if self.progress.is_stopped() {
                    return Err(ScoreError::Interrupted { rows: self.progress.rows() });
                }
                debug_assert!(batch.rows <= BATCH_ROWS, "sources cut batches");
                let rows = batch.first_row..batch.first_row + batch.read;
                let across = || ScoreError::software("a batch lies on both sides of a part's end");
                let part = cuts.part_of(rows).ok_or_else(across)?;
                let scored = scorer.score(batch)?;
                if !self.order.put(Turn { piece: number, part }, scored)? {
                    return Ok(());
                }
            }
            self.order.end(number)?;
        }
    }

    /// The next piece; none at the end or when the job has failed.
    fn take_piece(&self) -> Result<Option<TakenPiece>, ScoreError> {
        let mut taken = lock(&self.pieces);
        if !self.order.wait_for_window(taken.next) {
            return Ok(None);
        }
        let first_row = taken.pieces.next_row();
        let Some(piece) = taken.pieces.next_piece()? else { return Ok(None) };
        let rows = first_row..taken.pieces.next_row();
        let cuts = taken.cuts.pass(rows);
        self.order.begin(&cuts);
        taken.next += 1;
        Ok(Some((taken.next - 1, piece, cuts)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has failed the job, and the others only look that up.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
