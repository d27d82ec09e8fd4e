//! `--sql`: a query over the input in place of a plain job.

use std::sync::Arc;

use serve_app::Exit;
use serve_core::ByteSize;
use serve_registry::Registry;
use serve_score::sql::{QueryOptions, QuerySummary};
use serve_score::{Output, Progress, location};

use crate::args::Args;
use crate::dry_run;
use crate::engine::Engine;
use crate::progress::Display;
use crate::run::{check_places, exit, open, stop_at_signals, unless_unread};

/// Runs the query, or with `--dry-run` shows what it would answer, and says what it came to.
pub(crate) fn run(
    args: &Args,
    engine: &dyn Engine,
    registry: Registry,
    text: &str,
    output: Option<&Output>,
) -> Result<(), Exit> {
    let files = location::list(&args.input).map_err(exit)?;
    output.map_or(Ok(()), |output| check_places(args, output, &files))?;
    let progress = Arc::new(Progress::default());
    stop_at_signals(&progress)?;
    let source = open(args, files, &progress)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = QueryOptions {
        threads: args.threads.map_or(cores, usize::from),
        memory_bytes: args.memory_limit.map(|ByteSize(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX)),
    };
    let Some(output) = output.filter(|_| !args.dry_run) else {
        return dry_run::of_query(&Arc::new(registry), source, text, options, output);
    };
    let program = engine.program();
    // How many rows a query answers with nobody knows before.
    let display = Display::unknown(args.quiet, program);
    let done = std::thread::scope(|scope| {
        let _shown = display.show(scope, &progress);
        engine.query(&Arc::new(registry), source, text, options, output, &progress)
    });
    let Some(summary) = unless_unread(done)? else { return Ok(()) };
    summary.reasons.iter().for_each(|reason| eprintln!("{program}: a row without an answer: {reason}"));
    if !args.quiet {
        let QuerySummary { rows, unanswered, elapsed, .. } = summary;
        let (seconds, output) = (elapsed.as_secs_f64(), output.name());
        let unanswered = unanswered.map_or_else(String::new, |n| format!(", {n} without an answer,"));
        eprintln!("{program}: {rows} rows{unanswered} in {seconds:.1} s to {output}");
    }
    Ok(())
}
