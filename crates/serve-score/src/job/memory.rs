//! What a job takes, by what it reads: so many threads run that the whole stays within a limit. It is an estimate from above, made of what
//! readers hold at most, and not of what an allocator says.

use super::{Job, RunOptions};
use crate::format::Format;
use crate::source::BATCH_ROWS;

/// The program, its model, and the row group that is written.
const BASE: usize = 64 << 20;

/// A page of a column of Parquet, as most writers cut them.
const PAGE: usize = 1 << 20;

/// A block of text with the columns that are made of it.
const TEXT: usize = 8 << 20;

/// A record batch of Arrow, of those that writers make.
const RECORD_BATCH: usize = 32 << 20;

impl Job {
    /// Bytes that a thread of this job takes.
    fn thread_bytes(&self) -> usize {
        let columns = self.bindings.iter().map(|binding| binding.own.len()).max().unwrap_or(0);
        let longest = self.source.files().iter().filter_map(crate::InputFile::bytes).max();
        let longest = longest.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let held = match self.source.format() {
            Format::Parquet => (columns * PAGE).min(longest),
            Format::Csv | Format::Json => TEXT,
            Format::Arrow => RECORD_BATCH.min(longest),
        };
        // As they are read, and as the engine takes them.
        held + 2 * BATCH_ROWS * columns * size_of::<f64>()
    }
}

impl RunOptions {
    /// Chooses threads, and how much may wait for its turn, so that a job stays within so many bytes. Tells what it could not keep, or
    /// what it changed.
    pub fn limit_memory(&mut self, bytes: usize, job: &Job) -> Option<String> {
        let thread = job.thread_bytes();
        let room = bytes.saturating_sub(BASE);
        // A quarter is for what waits.
        let threads = (room - room / 4) / thread.max(1);
        let asked = self.threads;
        self.threads = threads.clamp(1, asked.max(1));
        self.waiting_bytes = room.saturating_sub(self.threads * thread).clamp(1 << 20, self.waiting_bytes);
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        if threads == 0 {
            let (least, limit) = (mib(BASE + thread + thread / 3), mib(bytes));
            return Some(format!(
                "--memory-limit is {limit} MiB: this job may take {least} MiB with one thread"
            ));
        }
        (self.threads < asked)
            .then(|| format!("{} threads in place of {asked}, to stay within --memory-limit", self.threads))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Job, Output, PinnedModel, PlanOptions, RunOptions, Source, location};
    use serve_registry::{Directory, Registry, Storage};

    #[test]
    fn fewer_threads_run_where_the_limit_is_low() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::create(folder.path().join("registry").as_path()).expect("a registry");
        let bundle = serve_core::doctest::logistic("plain", "v1", 0.0).build().expect("proves");
        directory.publish(&bundle, "tests").expect("publishes");
        let registry = Registry::open(folder.path().join("registry")).expect("opens");
        let rows = folder.path().join("rows.csv");
        std::fs::write(&rows, "a,b\n1,2\n").expect("writes");
        let files = location::list(&rows.to_string_lossy()).expect("lists");
        let source = Source::open(files, None).expect("opens");
        let model = PinnedModel::resolve(&registry, "plain").expect("resolves");
        let job = Job::plan(model, source, &PlanOptions::default()).expect("plans");
        let output = Output::new("out.csv", None, false).expect("an output");
        for (mib, threads, told) in [(1000, 8, ""), (110, 4, "4 threads in place of 8"), (10, 1, "may take ")]
        {
            let mut options = RunOptions { threads: 8, ..RunOptions::new(output.clone()) };
            let notice = options.limit_memory(mib << 20, &job).unwrap_or_default();
            assert_eq!(options.threads, threads, "{mib} MiB: {notice}");
            assert!(notice.contains(told), "{mib} MiB: {notice}");
            assert!(options.waiting_bytes <= 64 << 20);
        }
    }
}
