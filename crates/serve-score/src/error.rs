//! What can go wrong with a job, and whose fault it is. A row that fails is not an error but a [`Reject`](crate::Reject).

use std::error::Error;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use serve_core::explain::Unexplainable;
use serve_registry::DeploymentError;
use thiserror::Error;

/// Whose fault an error is, for exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was asked for: arguments that cannot be, or do not go together.
    Usage,
    /// The content of an input, or a model that does not fit it.
    Data,
    /// An input is not there, or may not be read.
    NoInput,
    /// An output cannot be made.
    Output,
    /// Something needed does not answer; later it may.
    Unavailable,
    /// Somebody ended the job.
    Interrupted,
    /// A mistake of ours.
    Software,
}

/// Why an input cannot be read.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a job ended without its output.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The reference leads to no version that answers.
    #[error("the model cannot be had")]
    Model(#[from] DeploymentError),
    /// The registry cannot be read again.
    #[error("the model's files cannot be read again: {reason}")]
    Registry {
        /// Why.
        reason: String,
    },
    /// The model has no explanations.
    #[error("{model} cannot be explained")]
    Unexplainable {
        /// Name and version.
        model: String,
        /// Why.
        source: Unexplainable,
    },
    /// An input is not there, or may not be read.
    #[error("{location} cannot be opened")]
    NoInput {
        /// The file.
        location: String,
        /// Why.
        source: Cause,
    },
    /// An input's content is wrong.
    #[error("{location} cannot be read as {format}")]
    Input {
        /// The file.
        location: String,
        /// What it was read as.
        format: crate::Format,
        /// Why.
        source: Cause,
    },
    /// Arguments that cannot be, or do not go together.
    #[error("{problem}")]
    Usage {
        /// What is wrong.
        problem: String,
    },
    /// Inputs and columns that do not fit each other.
    #[error("{problem}")]
    Plan {
        /// What is wrong.
        problem: String,
    },
    /// An output cannot be written.
    #[error("{location} cannot be written")]
    Output {
        /// The file.
        location: String,
        /// Why.
        source: Cause,
    },
    /// Nobody reads standard output any more.
    #[error("nobody reads standard output any more")]
    Unread,
    /// A store of inputs or outputs does not answer.
    #[error("{location} does not answer: {reason}")]
    Unreachable {
        /// The object, or what was looked for.
        location: String,
        /// What was told last.
        reason: String,
    },
    /// There is something in the output's place.
    #[error("{location} exists; --overwrite replaces it")]
    Exists {
        /// The place.
        location: String,
    },
    /// There is something in the output's place, and no job that was ended before it was whole.
    #[error(
        "{location} exists and no ended job is left to go on with; --overwrite without --resume scores it anew"
    )]
    Whole {
        /// The place.
        location: String,
    },
    /// Another job works on the same output.
    #[error("{location} is being written by another job, which works in {state}")]
    Busy {
        /// The output.
        location: String,
        /// The folder of its state.
        state: String,
    },
    /// What is asked for is not what the job began with.
    #[error(
        "{state} was begun by another job and cannot be gone on with: {differences}; without --resume it begins anew"
    )]
    Changed {
        /// The folder of its state.
        state: String,
        /// What was, and what is.
        differences: String,
    },
    /// What an ended job has left cannot be read.
    #[error("{state} is damaged and cannot be gone on with: {problem}; without --resume it begins anew")]
    Damaged {
        /// The folder of its state.
        state: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More rows were rejected than allowed.
    #[error("{rejected} of {rows} rows were rejected, more than --max-rejects {most} allows{}", examples(.first))]
    TooManyRejects {
        /// How many were.
        rejected: u64,
        /// Of how many that were read.
        rows: u64,
        /// How many may be.
        most: crate::MaxRejects,
        /// The first of them.
        first: Vec<String>,
    },
    /// A query that does not fit, or fails.
    #[error("{problem}")]
    Query {
        /// What is wrong.
        problem: String,
    },
    /// What another process of a cluster told, or that none did.
    #[error("{problem}")]
    Remote {
        /// What is wrong.
        problem: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// Somebody ended the job.
    #[error("interrupted after {rows} rows; no output was written")]
    Interrupted {
        /// How many rows were read.
        rows: u64,
    },
    /// A mistake of ours.
    #[error("a mistake in this program: {problem}")]
    Software {
        /// What happened.
        problem: String,
    },
}

/// Without what wraps an error of the system and says it a second time.
fn told_once(cause: Cause) -> Cause {
    let cause = match cause.downcast::<ArrowError>().map(|error| *error) {
        Ok(ArrowError::IoError(_, error)) => return error.into(),
        Ok(other) => other.into(),
        Err(cause) => cause,
    };
    match cause.downcast::<ParquetError>().map(|error| *error) {
        Ok(ParquetError::External(error)) => error,
        Ok(other) => other.into(),
        Err(cause) => cause,
    }
}

/// The first rejects, behind what is said of all.
fn examples(first: &[String]) -> String {
    match first {
        [] => String::new(),
        first => format!("; the first: {}", first.join("; ")),
    }
}

impl ScoreError {
    /// Arguments that cannot be.
    pub(crate) fn usage(problem: impl Into<String>) -> Self {
        Self::Usage { problem: problem.into() }
    }

    /// Inputs or columns that do not fit.
    pub(crate) fn plan(problem: impl Into<String>) -> Self {
        Self::Plan { problem: problem.into() }
    }

    /// An output that cannot be written.
    pub(crate) fn output(location: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Output { location: location.into(), source: told_once(source.into()) }
    }

    /// A mistake of ours.
    pub(crate) fn software(problem: impl ToString) -> Self {
        Self::Software { problem: problem.to_string() }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Model(error) if error.is_unknown() => Fault::NoInput,
            Self::NoInput { .. } => Fault::NoInput,
            Self::Model(DeploymentError::Busy { .. } | DeploymentError::TimedOut { .. })
            | Self::Registry { .. }
            | Self::Unreachable { .. } => Fault::Unavailable,
            Self::Model(_)
            | Self::Unexplainable { .. }
            | Self::Input { .. }
            | Self::Plan { .. }
            | Self::Query { .. }
            | Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::TooManyRejects { .. } => Fault::Data,
            Self::Usage { .. } => Fault::Usage,
            Self::Output { .. }
            | Self::Unread
            | Self::Exists { .. }
            | Self::Whole { .. }
            | Self::Busy { .. } => Fault::Output,
            Self::Remote { fault, .. } => *fault,
            Self::Interrupted { .. } => Fault::Interrupted,
            Self::Software { .. } => Fault::Software,
        }
    }
}
