//! What the engine logs, as lines on standard error. Of its warnings those are left out, unless a level is asked for, of which this
//! program tells the same in its own words, or which tell nothing that anybody could act on.

use log::{Level, LevelFilter, Log, Metadata, Record};
use serve_score::sql;

/// How messages begin that are told otherwise.
const TOLD: [&str; 16] = [
    // The client's last line has the reason.
    "Job ",
    // A failed job is forgotten before its tasks are cancelled.
    "Fail to find job",
    "Task has been aborted",
    "Failed to call remove_job_data",
    // Behind the line that the executor is lost.
    "Executor is already dead",
    "Failed to send stop_executor",
    "Fail to get executor metadata",
    "Receive buggy tasks status",
    // `executor` tells that its scheduler does not answer, and that it ends.
    "Fail to update heartbeat",
    "Heartbeat failed",
    "error sending heartbeat",
    "ExecutorStopped grpc failed",
    "Executor registration failed",
    "Fail to remove the directory",
    "Fail to update tasks",
    "Fail to connect to scheduler",
];

struct Lines {
    /// Whether all that is logged is told.
    all: bool,
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let told = record.level() <= Level::Warn && TOLD.iter().any(|begin| text.starts_with(begin));
        if self.all || !told {
            let level = record.level().as_str().to_ascii_lowercase();
            eprintln!("serve-cluster: {level}: {}", sql::unmarked(&text).replace('\n', " "));
        }
    }

    fn flush(&self) {}
}

/// Logs from this level on; where none is asked for, warnings that are worth a line.
pub(crate) fn start(level: Option<LevelFilter>) {
    log::set_max_level(level.unwrap_or(LevelFilter::Warn));
    let lines: &'static Lines = if level.is_some() { &Lines { all: true } } else { &Lines { all: false } };
    // It fails only where somebody logs already.
    let _first = log::set_logger(lines);
}
