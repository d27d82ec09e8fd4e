//! File descriptors: every connection takes one, and systems start processes with few, to be raised by who needs more.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises what this process may open as far as it may do so itself, and returns how much that is; `None` is without limit.
#[must_use]
pub fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current
}

/// How many descriptors a server with so many connections wants: some are for files, stores and standard streams.
#[must_use]
pub fn wanted(connections: usize) -> u64 {
    connections as u64 + 256
}
