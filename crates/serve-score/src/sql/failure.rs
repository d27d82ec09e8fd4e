//! An error of DataFusion's as one of ours: what we said ourselves comes out as we said it, whatever it was wrapped in on its way.

use std::sync::Arc;

use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;

use crate::error::{Cause, ScoreError};

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
            DataFusionError::Plan(problem) => return query(problem),
            DataFusionError::ResourcesExhausted(problem) => {
                return query(format!("the query needs more memory than --memory-limit allows: {problem}"));
            }
            other => return query(other.strip_backtrace()),
        };
    }
}

fn opened(cause: Cause) -> Result<DataFusionError, ScoreError> {
    let cause = match cause.downcast::<ScoreError>() {
        Ok(ours) => return Err(*ours),
        Err(cause) => cause,
    };
    match cause.downcast::<DataFusionError>() {
        Ok(inner) => Ok(*inner),
        Err(cause) => Err(query(cause.to_string())),
    }
}

fn query(problem: impl Into<String>) -> ScoreError {
    ScoreError::Query { problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_said_comes_out_of_all_wrappings() {
        let ours = DataFusionError::External(Box::new(ScoreError::Interrupted { rows: 3 }));
        let shared = DataFusionError::Shared(Arc::new(ours.context("in a stage")));
        let wrapped = ArrowError::ExternalError(Box::new(DataFusionError::Collection(vec![shared])));
        let error = failure(DataFusionError::ArrowError(Box::new(wrapped), None));
        assert!(matches!(error, ScoreError::Interrupted { rows: 3 }), "{error:?}");
        assert_eq!(failure(DataFusionError::Plan("no column x".to_owned())).to_string(), "no column x");
    }
}
