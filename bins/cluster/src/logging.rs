//! What the engine logs, as lines on standard error.

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = record.level().as_str().to_ascii_lowercase();
        eprintln!("serve-cluster: {level}: {}", record.args().to_string().replace('\n', " "));
    }

    fn flush(&self) {}
}

/// Logs from this level on.
pub(crate) fn start(level: LevelFilter) {
    log::set_max_level(level);
    // It fails only where somebody logs already.
    let _first = log::set_logger(&Lines);
}
