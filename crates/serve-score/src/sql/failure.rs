//! An error of DataFusion's as one of ours: what we said ourselves comes out as we said it, whatever it was wrapped in on its way.
//! Between processes errors are texts in texts; there ours stand between marks.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

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
        write!(f, "{BEGIN}{:?}: {}", self.0.fault(), self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        f.write_str(END)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

const BEGIN: &str = "⟦serve-score ";
const END: &str = "⟧";

/// What another process failed with, by the text that came of it: our own words where it has some.
#[must_use]
pub fn remote(text: &str) -> ScoreError {
    let ours = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let ours = ours.and_then(|(told, _)| told.split_once(": "));
    let Some((fault, problem)) = ours else {
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
    // Each wrapping that shows a text within a text has escaped it.
    let mut problem = problem.to_owned();
    while problem.contains("\\\"") {
        problem = problem.replace("\\\"", "\"").replace("\\\\", "\\");
    }
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
