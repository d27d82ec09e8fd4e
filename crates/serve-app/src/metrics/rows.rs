//! What became of the rows of one request. Most share its fate and its version; noted here are those that do not, and in the
//! end each row is counted once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serve_registry::Deployment;

use crate::error::Fault;

/// An error as it is counted.
pub(crate) type Failed = (&'static str, Fault);

/// Whose rows.
#[derive(Debug, Clone)]
pub(crate) enum Whose {
    /// This version's.
    Version(Arc<Deployment>),
    /// Those of what the request as a whole means.
    Request,
    /// They mean nothing that there is.
    Nobody,
}

impl Whose {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Version(one), Self::Version(other)) => Arc::ptr_eq(one, other),
            (Self::Request, Self::Request) | (Self::Nobody, Self::Nobody) => true,
            _ => false,
        }
    }
}

/// Rows with one fate.
#[derive(Debug, Clone)]
pub(crate) struct Apart {
    pub(crate) whose: Whose,
    pub(crate) failed: Option<Failed>,
    pub(crate) rows: u64,
}

/// The rows of one request.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    asked: AtomicU64,
    failed: AtomicU64,
    /// One entry for each version and error that there were; held to add to it.
    apart: Mutex<Vec<Apart>>,
}

impl Rows {
    pub(crate) fn ask(&self, rows: usize) {
        self.asked.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// One row has another fate than its request, or is another version's.
    pub(crate) fn set_apart(&self, whose: Whose, failed: Option<Failed>) {
        self.failed.fetch_add(failed.is_some().into(), Ordering::Relaxed);
        let mut apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        let code = failed.map(|(code, _)| code);
        let same = |one: &&mut Apart| one.failed.map(|(code, _)| code) == code && one.whose.is(&whose);
        match apart.iter_mut().find(same) {
            Some(known) => known.rows += 1,
            None => apart.push(Apart { whose, failed, rows: 1 }),
        }
    }

    pub(crate) fn apart(&self) -> Vec<Apart> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_fate_are_one_entry() {
        let rows = Rows::default();
        rows.ask(5);
        let bad = Some(("invalid_features", Fault::Client));
        rows.set_apart(Whose::Request, bad);
        rows.set_apart(Whose::Request, bad);
        rows.set_apart(Whose::Nobody, bad);
        rows.set_apart(Whose::Request, None);
        let told: Vec<u64> = rows.apart().iter().map(|apart| apart.rows).collect();
        assert_eq!((rows.asked(), rows.failed(), told), (5, 3, vec![2, 1, 1]));
    }
}
