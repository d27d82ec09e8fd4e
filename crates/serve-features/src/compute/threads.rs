//! Threads for computing that takes long. This crate starts none: a program that serves gives what it has.

use std::fmt;

/// A piece of work.
pub type Piece = Box<dyn FnOnce() + Send>;

/// Threads that do work for whoever must not be held up by it.
pub trait Threads: fmt::Debug + Send + Sync {
    /// Does the pieces sometime soon, in any order and some at once. A piece that panics harms no other; where the threads
    /// end, pieces may be dropped undone.
    fn run(&self, pieces: Vec<Piece>);
}
