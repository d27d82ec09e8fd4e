//! An error of DataFusion's as one of ours: what we said ourselves comes out as we said it, whatever it was wrapped in on its way.
//! Between processes errors are texts in texts; there ours stand between marks.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use serve_core::words::with_causes;

use crate::error::{Cause, Fault, ScoreError};

/// An error of ours that came through the query, or the query's own.
#[must_use]
pub fn failure(mut error: DataFusionError) -> ScoreError {
    loop {
        error = match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => *inner,
            DataFusionError::Collection(mut all) if !all.is_empty() => all.swap_remove(0),
            DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(inner) => inner,
                Err(shared) => return query(shared.strip_backtrace()),
            },
            DataFusionError::ArrowError(inner, at) => match *inner {
                ArrowError::ExternalError(cause) => match opened(cause) {
                    Ok(inner) => inner,
                    Err(ours) => return ours,
                },
                other => return query(DataFusionError::ArrowError(Box::new(other), at).strip_backtrace()),
            },
            DataFusionError::External(cause) => match opened(cause) {
                Ok(inner) => inner,
                Err(ours) => return ours,
            },
            DataFusionError::Plan(problem) if problem.contains(" not supported: ") => {
                return ScoreError::usage(format!("a query reads and changes nothing: {problem}"));
            }
            DataFusionError::Plan(problem) => return query(problem),
            DataFusionError::SQL(problem, _) => {
                return ScoreError::usage(format!("the query cannot be read: {}", syntax(&problem)));
            }
            DataFusionError::ResourcesExhausted(problem) => {
                return query(format!("the query needs more memory than --memory-limit allows: {problem}"));
            }
            other => return query(other.strip_backtrace()),
        };
    }
}

fn opened(cause: Cause) -> Result<DataFusionError, ScoreError> {
    let cause = match cause.downcast::<Told>() {
        Ok(told) => return Err(told.0),
        Err(cause) => cause,
    };
    match cause.downcast::<DataFusionError>() {
        Ok(inner) => Ok(*inner),
        Err(cause) => Err(query(cause.to_string())),
    }
}

fn query(problem: impl Into<String>) -> ScoreError {
    ScoreError::Query { problem: plain(&problem.into()) }
}

/// The engine's words without what is for those who develop it: that its planner has met an error, and how to report it. What no
/// signature of a function fits is said once, with what helps where it is a CSV's column.
fn plain(problem: &str) -> String {
    let problem =
        problem.split("\nThis issue was likely caused by a bug").next().unwrap_or(problem).trim_end();
    let mut said = problem;
    while let Some(rest) = FOR_DEVELOPERS.iter().find_map(|words| said.strip_prefix(words)) {
        said = rest.trim_start();
    }
    let Some(at) = said.find(NO_SIGNATURE) else { return said.to_owned() };
    let function = said[..at].rsplit('\'').nth(1).unwrap_or_default();
    format!(
        "{function} does not take values of these types; the columns of a CSV are text, and CAST(column AS DOUBLE) makes numbers of them"
    )
}

fn syntax(problem: &ParserError) -> String {
    match problem {
        ParserError::TokenizerError(problem) | ParserError::ParserError(problem) => problem.clone(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    }
}

const NO_SIGNATURE: &str = " failed to match any signature";
const FOR_DEVELOPERS: [&str; 4] =
    ["Internal error:", "Error during planning:", "Execution error:", "This feature is not implemented:"];

/// An error of ours on its way through DataFusion.
pub(super) struct Told(pub(super) ScoreError);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Between marks, as it goes to other processes.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{:?}: {}{END}", self.0.fault(), with_causes(&self.0))
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

const BEGIN: &str = "⟦serve-score ";
const END: &str = "⟧";

/// An error that another process is to tell: what the engine says comes out there as on one machine, and not as it looks inside. What tells
/// a cluster to try again stays what it is.
#[must_use]
pub fn for_others(error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::ArrowError(cause, _)
            if matches!(**cause, ArrowError::IoError(..) | ArrowError::ExternalError(_)) =>
        {
            error
        }
        DataFusionError::ArrowError(..)
        | DataFusionError::ParquetError(_)
        | DataFusionError::Plan(_)
        | DataFusionError::Execution(_)
        | DataFusionError::Internal(_)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::ResourcesExhausted(_) => super::external(failure(error)),
        _ => error,
    }
}

/// What stands between marks in a text: the fault, and our words.
fn marked(text: &str) -> Option<(&str, String)> {
    let (told, _) = text.split_once(BEGIN)?.1.split_once(END)?;
    let (fault, problem) = told.split_once(": ")?;
    // Each wrapping that shows a text within a text has escaped it.
    let mut problem = problem.to_owned();
    while problem.contains("\\\"") {
        problem = problem.replace("\\\"", "\"").replace("\\\\", "\\");
    }
    Some((fault, problem))
}

/// What a text says for people: our own words where it has some.
#[must_use]
pub fn unmarked(text: &str) -> String {
    marked(text).map_or_else(|| text.to_owned(), |(_, problem)| problem)
}

/// What another process failed with, by the text that came of it: our own words where it has some.
#[must_use]
pub fn remote(text: &str) -> ScoreError {
    let Some((fault, problem)) = marked(text) else {
        if GONE.iter().any(|gone| text.contains(gone)) {
            let problem = format!("the cluster's scheduler or its executors are gone: {text}");
            return ScoreError::Remote { problem, fault: Fault::Unavailable };
        }
        return ScoreError::Remote { problem: text.to_owned(), fault: Fault::Data };
    };
    let faults = [
        Fault::Usage,
        Fault::NoInput,
        Fault::Output,
        Fault::Unavailable,
        Fault::Interrupted,
        Fault::Software,
    ];
    let fault = faults.into_iter().find(|known| format!("{known:?}") == fault).unwrap_or(Fault::Data);
    ScoreError::Remote { problem, fault }
}

/// What is said where a process is gone.
const GONE: [&str; 9] = [
    "h2 protocol error",
    "all executors were lost",
    "GrpcConnectionError",
    "GrpcConnectError",
    "transport error",
    "tcp connect error",
    "Connection refused",
    "FetchFailed",
    "Stream closed without job completing",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_said_comes_out_of_all_wrappings() {
        let ours = DataFusionError::External(Box::new(Told(ScoreError::Interrupted { rows: 3 })));
        let shared = DataFusionError::Shared(Arc::new(ours.context("in a stage")));
        let wrapped = ArrowError::ExternalError(Box::new(DataFusionError::Collection(vec![shared])));
        let error = failure(DataFusionError::ArrowError(Box::new(wrapped), None));
        assert!(matches!(error, ScoreError::Interrupted { rows: 3 }), "{error:?}");
        assert_eq!(failure(DataFusionError::Plan("no column x".to_owned())).to_string(), "no column x");
    }

    #[test]
    fn what_the_engine_says_comes_out_of_texts_as_on_one_machine() {
        let cast = || DataFusionError::from(ArrowError::CastError("Cannot cast string 'x'".to_owned()));
        let here = failure(cast()).to_string();
        let shared = DataFusionError::Shared(Arc::new(cast()));
        let text = format!("Job x failed: {:?}", format!("{:?}", for_others(shared)));
        assert_eq!(remote(&text).to_string(), here);
        let again = DataFusionError::IoError(std::io::Error::other("reset"));
        assert!(matches!(for_others(again), DataFusionError::IoError(_)));
    }

    #[test]
    fn what_we_said_comes_out_of_texts() {
        let ours = ScoreError::plan("the column \"a\" is text");
        let error = DataFusionError::External(Box::new(Told(ours)));
        let text = format!("Job x failed: {:?}", format!("{error:?}"));
        let error = remote(&text);
        assert_eq!((error.to_string().as_str(), error.fault()), ("the column \"a\" is text", Fault::Data));
        for text in ["Job x failed: all executors were lost", "h2 protocol error: error reading a body"] {
            let error = remote(text);
            assert!(error.fault() == Fault::Unavailable && error.to_string().contains("are gone"), "{error}");
        }
    }
}
