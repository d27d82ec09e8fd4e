//! `serve-score replay`: logged predictions scored once more, by another version.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serve_app::{Exit, ExitReason};
use serve_registry::RegistryUrl;
use serve_score::replay::{ReplayOptions, ReplayReport, replay};
use serve_score::{Format, Output, PinnedModel, Progress, ReportFile, Source, location};

use crate::config;
use crate::places::{self, Place};
use crate::progress::Display;
use crate::run::{exit, stop_at_signals};

/// Scores logged predictions with another version, and tells how many decisions change.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Registry: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", env = "SERVE_REGISTRY")]
    registry: Option<RegistryUrl>,

    /// Configuration file (YAML), the server's
    #[arg(long, value_name = "FILE", env = "SERVE_CONFIG")]
    config: Option<PathBuf>,

    /// The log of predictions: a file, a folder, or a pattern such as 'log/*.parquet'
    #[arg(long, value_name = "FILE|DIR|GLOB|URL")]
    log: String,

    /// The log's format, where its name does not tell it
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,

    /// The version to score with: NAME, NAME@VERSION or NAME@ALIAS
    #[arg(long, value_name = "MODEL")]
    model: String,

    /// Take the predictions of this model [default: the name of --model]
    #[arg(long, value_name = "NAME")]
    where_model: Option<String>,

    /// Take the predictions of this version only
    #[arg(long, value_name = "VERSION")]
    where_version: Option<String>,

    /// For values without labels: how far two of them lie apart before the decision counts as changed
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = tolerance)]
    tolerance: f64,

    /// How many of the rows that change most are told
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=100_000))]
    top: u32,

    /// Write all rows whose decision changes: a file, or a folder (its name ends in /)
    #[arg(long, value_name = "FILE|DIR")]
    output: Option<String>,

    /// The output's format, where its name does not tell it
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write what the replay came to; a page or JSON, as the name ends in .html or .json; may stand twice
    #[arg(long, value_name = "FILE")]
    report: Vec<ReportFile>,

    /// Replace an output or a report that exists
    #[arg(long)]
    overwrite: bool,

    /// Threads that score [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => Err("expected a number that is not negative".to_owned()),
    }
}

/// Replays a log as the arguments say; what came of it goes to standard output.
///
/// # Errors
/// With the exit code and the message.
pub fn run_replay(args: &ReplayArgs) -> Result<(), Exit> {
    let registry = config::registry(args.registry.as_ref(), args.config.as_deref())?;
    args.report.iter().try_for_each(|file| file.check(args.overwrite)).map_err(exit)?;
    let output = args.output.as_deref().map(|output| Output::new(output, args.format, args.overwrite));
    let output = output.transpose().map_err(exit)?;
    let model = PinnedModel::resolve(&registry, args.model.as_str()).map_err(exit)?;
    let files = location::list(&args.log).map_err(exit)?;
    let reports = args.report.iter().map(|report| Place::file("--report", report.path()));
    let written = output.as_ref().and_then(Place::output).into_iter().chain(reports);
    let kept = args.registry.as_ref().and_then(RegistryUrl::folder);
    places::check(("--log", &args.log, &files), kept, written)?;
    let source = Source::open(files, args.log_format).map_err(exit)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = ReplayOptions {
        model: args.where_model.clone(),
        version: args.where_version.clone(),
        tolerance: args.tolerance,
        top: args.top as usize,
        output,
        threads: args.threads.map_or(cores, usize::from),
    };
    let progress = Arc::new(Progress::default());
    stop_at_signals(&progress)?;
    let display = Display::new(&source, args.quiet, "serve-score");
    let report = std::thread::scope(|scope| {
        let _shown = display.show(scope, &progress);
        replay(&registry, model, source, &options, &progress)
    });
    let report = report.map_err(exit)?;
    for file in &args.report {
        file.write(&report, ReplayReport::html, args.overwrite).map_err(exit)?;
    }
    match std::io::stdout().write_all(report.text().as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Exit::because(ExitReason::CannotCreate, error))
        }
        _ => Ok(()),
    }
}
