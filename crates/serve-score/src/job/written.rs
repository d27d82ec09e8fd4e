//! What a job writes into: parts that outlive it, or standard output, which is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;

use super::{Progress, RunOptions};
use crate::error::{Fault, ScoreError};
use crate::part::{Assembly, Begun, FinishedPart, JobFacts, PartLayout, PartWriter, State};
use crate::reject::RejectsFile;
use crate::scorer::Scored;
#[cfg(feature = "s3")]
use crate::sink::BucketPlace;
use crate::sink::{Output, OutputPlace, Sink, check_free};
use crate::tally::Tally;

/// See the module.
pub(super) enum Written {
    Stream(Box<Stream>),
    Parts(Box<Parts>),
}

/// Standard output under way.
pub(super) struct Stream {
    sink: Sink,
    rejects: RejectsFile,
    tally: Option<Tally>,
}

/// Parts under way.
pub(super) struct Parts {
    state: State,
    layout: PartLayout,
    schema: SchemaRef,
    output: Output,
    rejects: Option<PathBuf>,
    /// The part that is written.
    writer: Option<PartWriter>,
    /// The first rows behind parts, of those that are known.
    ends: BTreeMap<u64, u64>,
    /// Whether the input can be read again.
    resumable: bool,
    keep_state: bool,
    published: bool,
}

impl Written {
    /// Begins, or goes on.
    pub(super) fn begin(
        options: &RunOptions,
        schema: &SchemaRef,
        facts: &JobFacts,
        progress: &Progress,
    ) -> Result<Self, ScoreError> {
        if options.output.place != OutputPlace::Stdout {
            return Parts::begin(options, schema, facts, progress).map(Box::new).map(Self::Parts);
        }
        if options.resume {
            return Err(ScoreError::usage(
                "standard output keeps nothing: --resume needs an output with a name",
            ));
        }
        let rejects = RejectsFile::new(options.rejects.clone(), options.output.overwrite)?;
        Ok(Self::Stream(Box::new(Stream { sink: options.output.open(schema)?, rejects, tally: None })))
    }

    /// The part that is written, and the first row behind what is finished.
    pub(super) fn position(&self) -> (u64, u64) {
        match self {
            Self::Stream(_) => (0, 1),
            Self::Parts(parts) => parts.position(),
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_published(&self) -> bool {
        matches!(self, Self::Parts(parts) if parts.published)
    }

    /// Tells where parts end, as soon as it is known: the number of the first, and the first rows behind each.
    pub(super) fn cut(&mut self, part: u64, ends: &[u64]) {
        if let Self::Parts(parts) = self {
            parts.ends.extend((part..).zip(ends.iter().copied()));
        }
    }

    /// Writes what became of rows of the part that is written; true when it is finished by that.
    pub(super) fn write(&mut self, scored: &Scored) -> Result<bool, ScoreError> {
        match self {
            Self::Stream(stream) => {
                stream.sink.write(&scored.answers)?;
                stream.rejects.write(&scored.rejects)?;
                Tally::add(&mut stream.tally, scored.tally.as_ref());
                Ok(false)
            }
            Self::Parts(parts) => parts.write(scored),
        }
    }

    /// Ends it: it appears under its name. Gives back where the rejects are, and what was counted.
    pub(super) fn finish(self, progress: &Progress) -> Result<(Option<PathBuf>, Option<Tally>), ScoreError> {
        match self {
            Self::Stream(stream) => {
                let Stream { sink, rejects, tally } = *stream;
                let rejects = rejects.finish()?;
                sink.finish()?;
                Ok((rejects, tally))
            }
            Self::Parts(parts) => parts.finish(progress),
        }
    }

    /// Gives it up. Finished parts are kept where the job can go on later.
    pub(super) fn give_up(self, error: &ScoreError, progress: &Progress) {
        if let Self::Parts(parts) = self {
            parts.give_up(error, progress);
        }
    }
}

impl Parts {
    fn begin(
        options: &RunOptions,
        schema: &SchemaRef,
        facts: &JobFacts,
        progress: &Progress,
    ) -> Result<Self, ScoreError> {
        let RunOptions { output, rejects, resume, .. } = options;
        let (folder, place) = output.state()?;
        if !resume {
            check_places(output, rejects.as_ref(), false)?;
        }
        let (state, begun) = State::begin(folder, &output.name(), place.as_deref(), facts, *resume)?;
        if *resume && begun != Begun::Published {
            let checked = check_places(output, rejects.as_ref(), state.was_publishing());
            if let Err(error) = checked {
                if state.parts().is_empty() {
                    state.remove();
                }
                return Err(match error {
                    ScoreError::Exists { location } if begun == Begun::New => ScoreError::Whole { location },
                    error => error,
                });
            }
        }
        tell(begun, *resume, &state, progress);
        let rejected: u64 = state.parts().iter().map(|part| part.rejected).sum();
        progress.go_on(state.rows(), rejected);
        let layout = PartLayout {
            format: output.format,
            extension: output.extension(),
            separate: output.is_folder(),
            rejects: rejects.is_some(),
        };
        Ok(Self {
            state,
            layout,
            schema: schema.clone(),
            output: output.clone(),
            rejects: rejects.clone(),
            writer: None,
            ends: BTreeMap::new(),
            keep_state: options.keep_state,
            resumable: facts.inputs.iter().all(|input| input.bytes.is_some()),
            published: begun == Begun::Published,
        })
    }

    /// Where parts are written.
    pub(super) fn folder(&self) -> &Path {
        self.state.folder()
    }

    pub(super) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    /// Takes a part that another process finished.
    pub(super) fn note(&mut self, part: FinishedPart) -> Result<(), ScoreError> {
        self.state.note(part)
    }

    /// Gives everything up.
    pub(super) fn remove(self) {
        drop(self.writer);
        self.state.remove();
    }

    fn position(&self) -> (u64, u64) {
        let parts = self.state.parts();
        (parts.len() as u64, parts.last().map_or(1, crate::part::FinishedPart::next_row))
    }

    fn write(&mut self, scored: &Scored) -> Result<bool, ScoreError> {
        let (number, first_row) = self.position();
        if self.writer.is_none() {
            self.writer = Some(self.create(number, first_row)?);
        }
        let Some(writer) = &mut self.writer else { return Ok(false) };
        let (written, read) = (writer.write(scored), writer.read());
        written.map_err(|error| self.named(error))?;
        if self.ends.get(&number).is_some_and(|end| first_row + read == *end) {
            self.ends.remove(&number);
            self.end_part()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn create(&self, number: u64, first_row: u64) -> Result<PartWriter, ScoreError> {
        let writer = PartWriter::create(self.state.folder(), &self.layout, &self.schema, number, first_row);
        writer.map_err(|error| self.named(error))
    }

    /// An error of a part's file is one of the output's.
    fn named(&self, error: ScoreError) -> ScoreError {
        match error {
            ScoreError::Output { source, .. } => ScoreError::output(self.output.name(), source),
            other => other,
        }
    }

    fn end_part(&mut self) -> Result<(), ScoreError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let part = writer.finish().map_err(|error| self.named(error))?;
        self.state.note(part)
    }

    fn finish(mut self, progress: &Progress) -> Result<(Option<PathBuf>, Option<Tally>), ScoreError> {
        match self.publish() {
            Ok(rejects) => {
                let mut tally = None;
                self.state.parts().iter().for_each(|part| Tally::add(&mut tally, part.tally.as_ref()));
                if !self.keep_state {
                    self.state.remove();
                }
                Ok((rejects, tally))
            }
            Err(error) => {
                self.give_up(&error, progress);
                Err(error)
            }
        }
    }

    fn publish(&mut self) -> Result<Option<PathBuf>, ScoreError> {
        let place = self.rejects.clone();
        if self.published {
            return Ok(place.filter(|place| place.is_file()));
        }
        if self.writer.is_none() && self.state.parts().is_empty() {
            // An empty job leaves an empty part.
            self.writer = Some(self.create(0, 1)?);
        }
        self.end_part()?;
        let again = self.state.was_publishing();
        let mut assembly = Assembly::new(self.state.folder(), &self.layout, &self.output, place);
        self.state.parts().iter().cloned().try_for_each(|part| assembly.add(part))?;
        let staged = assembly.stage()?;
        self.state.note_publishing(staged.inode()?)?;
        staged.publish(again)
    }

    fn give_up(self, error: &ScoreError, progress: &Progress) {
        // The part under way is deleted before the folder may be.
        drop(self.writer);
        let later = matches!(
            error.fault(),
            Fault::Interrupted | Fault::Output | Fault::Unavailable | Fault::NoInput | Fault::Software
        ) || matches!(error, ScoreError::TooManyRejects { .. });
        let rows = self.state.rows();
        if later && self.resumable && rows > 0 {
            self.state.tidy();
            let state = self.state.folder().display();
            progress.tell(format!("{rows} finished rows are kept in {state}: --resume goes on behind them"));
        } else {
            self.state.remove();
        }
    }
}

/// Whether the output and its rejects may get their names.
fn check_places(output: &Output, rejects: Option<&PathBuf>, again: bool) -> Result<(), ScoreError> {
    output.check_free(again)?;
    match rejects {
        Some(path) if !again => {
            #[cfg(feature = "s3")]
            if let Some(place) = BucketPlace::of(path)? {
                return place.check_free(output.overwrite);
            }
            check_free(path, output.overwrite)
        }
        _ => Ok(()),
    }
}

fn tell(begun: Begun, resume: bool, state: &State, progress: &Progress) {
    let folder = state.folder().display();
    match begun {
        Begun::New if resume => progress.tell("there is nothing to go on with: begins with the first row".to_owned()),
        Begun::New => {}
        Begun::Anew(rows) => progress.tell(format!(
            "begins anew: {rows} finished rows that an ended job had left in {folder} are removed (--resume goes on)"
        )),
        Begun::GoneOn(rows) => progress.tell(format!("goes on behind {rows} finished rows")),
        Begun::Published => progress.tell("the output was whole already".to_owned()),
    }
}
