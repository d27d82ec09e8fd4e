//! What one version answered while it was watched, in bounded memory.

use std::time::Duration;

use serve_core::{Target, Task};

use super::reservoir::Reservoir;

/// The rows that one version was asked: how many failed, how long the others took, and what their scores were.
///
/// Latencies and scores are kept exactly for the first thousands of rows, and as a uniform sample beyond.
#[derive(Debug, Clone)]
pub struct Tally {
    task: Task,
    rows: u64,
    errors: u64,
    /// Seconds.
    latencies: Reservoir,
    /// One column per score that is compared; see [`Tally::first_score`].
    scores: Reservoir,
}

impl Tally {
    /// An empty tally of a version with this target.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        let task = target.task.clone();
        let compared = task.scores() - Self::first_score(&task);
        Self { task, rows: 0, errors: 0, latencies: Reservoir::new(1), scores: Reservoir::new(compared) }
    }

    /// Of two classes only the second is compared: the first has what is left to 1.
    fn first_score(task: &Task) -> usize {
        usize::from(task.is_classification() && task.scores() == 2)
    }

    /// A row was answered. Scores that are not finite, or not as many as the target has, are an error.
    pub fn answered(&mut self, latency: Duration, scores: &[f64]) {
        if scores.len() != self.task.scores() || scores.iter().any(|score| !score.is_finite()) {
            return self.failed();
        }
        self.rows += 1;
        self.latencies.add(&[latency.as_secs_f64()]);
        self.scores.add(&scores[Self::first_score(&self.task)..]);
    }

    /// A row was answered with an error. How quickly that went is no latency.
    pub fn failed(&mut self) {
        self.rows += 1;
        self.errors += 1;
    }

    /// A row was answered, and neither when nor with what is known.
    pub fn unseen(&mut self) {
        self.rows += 1;
    }

    /// How many rows were asked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many of them failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Latencies in seconds, ascending.
    pub(crate) fn latencies(&self) -> Vec<f64> {
        self.latencies.sorted(0)
    }

    /// The scores that are compared, each with what it is the score of, ascending.
    pub(crate) fn scores(&self) -> impl Iterator<Item = (&str, Vec<f64>)> {
        let names = match &self.task {
            Task::Classification { classes: names } | Task::MultiRegression { outputs: names } => names,
            _ => &[][..],
        };
        let first = Self::first_score(&self.task);
        (0..self.scores.width().min(self.task.scores())).map(move |column| {
            (names.get(first + column).map_or("the value", String::as_str), self.scores.sorted(column))
        })
    }

    /// What the version predicts.
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }
}
