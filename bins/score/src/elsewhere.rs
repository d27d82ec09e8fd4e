//! What a job cannot have that other machines run.

use serve_app::{Exit, ExitReason};

use crate::args::Args;

impl Args {
    /// Refuses what only one machine can do, before anything is read.
    ///
    /// # Errors
    /// Code 2, with the argument.
    pub fn fit_for_others(&self) -> Result<(), Exit> {
        let refused = |problem: &str| Err(Exit::told(ExitReason::Usage, problem));
        if self.input == "-" {
            return refused(
                "--input -: the other machines of a cluster cannot read this one's standard input; expected a file, a \
                 folder, a pattern or s3://…",
            );
        }
        if self.sql.is_none() && self.output.as_deref() == Some("-") {
            return refused(
                "--output -: executors write parts into a folder that all share; expected a file, a folder or s3://…",
            );
        }
        let in_bucket = self.output.as_deref().is_some_and(|output| output.starts_with("s3:"));
        if self.sql.is_none() && in_bucket && self.state.is_none() {
            return refused(
                "--output s3://…: executors write parts into a folder that all share; say which with --state DIR",
            );
        }
        if self.resume {
            return refused("--resume is for one machine: a job in a cluster begins with its first row");
        }
        Ok(())
    }
}
