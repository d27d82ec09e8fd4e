//! From arguments to a job, and from what it comes to to an exit code.

use std::sync::Arc;
use std::time::Duration;

use serve_app::{Exit, ExitReason};
use serve_core::ByteSize;
use serve_registry::{Registry, RegistryUrl};
use serve_score::job::RunOptions;
use serve_score::{
    Fault, InputFile, Job, Keep, Output, PinnedModel, PlanOptions, Progress, ScoreError, Source, Summary,
    location,
};

use crate::args::Args;
use crate::config;
use crate::dry_run;
use crate::engine::Engine;
use crate::places::{self, Place};
use crate::progress::Display;
use crate::report::Reporting;

/// Does what the arguments say.
///
/// # Errors
/// With the exit code and the message.
pub fn run(args: &Args, engine: &dyn Engine) -> Result<(), Exit> {
    location::retry_for(Duration::from_secs(args.retry_for));
    let registry = config::registry(args.registry.as_ref(), args.config.as_deref())?;
    let output = args.output.as_deref().map(|output| output_of(args, output)).transpose()?;
    if let Some(sql) = &args.sql {
        return crate::query::run(args, engine, registry, sql, output.as_ref());
    }
    let model = model(args, &registry, output.as_ref())?;
    let files = location::list(&args.input).map_err(exit)?;
    output.as_ref().map_or(Ok(()), |output| check_places(args, output, &files))?;
    let progress = Arc::new(Progress::default());
    stop_at_signals(&progress)?;
    let source = open(args, files, &progress)?;
    let options = PlanOptions {
        map: args.map.clone(),
        keep: args.keep.clone().unwrap_or(Keep::None),
        explain: args.explain,
        tally: !args.report.is_empty(),
    };
    let job = Job::plan(model, source, &options).map_err(exit)?;
    match output {
        Some(output) if !args.dry_run => score(args, engine, job, output, &progress),
        output => dry_run::of_job(job, output.as_ref()),
    }
}

/// Opens the input, which may be a pipe through which nothing comes until somebody ends this.
pub(crate) fn open(args: &Args, files: Vec<InputFile>, progress: &Progress) -> Result<Source, Exit> {
    files.iter().for_each(|file| file.end_with(progress));
    Source::open(files, args.input_format).map_err(|error| {
        exit(if progress.is_stopped() { ScoreError::Interrupted { rows: 0 } } else { error })
    })
}

/// Nothing may go where something else is read or goes.
pub(crate) fn check_places(args: &Args, output: &Output, files: &[InputFile]) -> Result<(), Exit> {
    let beside = output.rejects().filter(|_| args.sql.is_none() && output.path().is_some());
    let rejects = args.rejects.clone().or(beside);
    let rejects =
        rejects.iter().filter(|path| !path.starts_with("s3:")).map(|path| Place::file("--rejects", path));
    let reports = args.report.iter().map(|report| Place::file("--report", report.path()));
    places::check(
        ("--input", &args.input, files),
        args.registry.as_ref().and_then(RegistryUrl::folder),
        Place::output(output).into_iter().chain(rejects).chain(reports),
    )
}

/// The model that is asked for; with `--resume` the version that the job began with.
fn model(args: &Args, registry: &Registry, output: Option<&Output>) -> Result<PinnedModel, Exit> {
    let asked = args.model.as_deref().unwrap_or_default();
    let resolve = |reference: &str| {
        let model = if args.explain {
            PinnedModel::resolve_explained(registry, reference)
        } else {
            PinnedModel::resolve(registry, reference)
        };
        if args.report.is_empty() { model } else { model?.with_reference(registry) }
    };
    let begun = output.filter(|_| args.resume).map_or(Ok(None), Output::begun).map_err(exit)?;
    let Some(begun) = begun.filter(|begun| begun.asked == asked) else { return resolve(asked).map_err(exit) };
    let pinned = resolve(&begun.model).map_err(exit)?;
    // What the reference leads to by now is only told, so it may lead nowhere.
    if let Ok(now) = resolve(asked)
        && now != pinned
        && !args.quiet
    {
        eprintln!("serve-score: {asked} is {now} by now; the job goes on with {pinned}");
    }
    Ok(pinned)
}

fn output_of(args: &Args, output: &str) -> Result<Output, Exit> {
    let mut output = Output::new(output, args.format, args.overwrite).map_err(exit)?;
    output.part_rows = args.part_rows.unwrap_or(output.part_rows);
    output.state.clone_from(&args.state);
    Ok(output)
}

fn score(
    args: &Args,
    engine: &dyn Engine,
    job: Job,
    output: Output,
    progress: &Arc<Progress>,
) -> Result<(), Exit> {
    let mut options = RunOptions::new(output);
    options.rejects = args.rejects.clone().or(options.rejects);
    options.max_rejects = args.max_rejects;
    options.threads = args.threads.map_or(options.threads, usize::from);
    options.ordered = !args.unordered;
    options.resume = args.resume;
    options.asked = args.model.clone().unwrap_or_default();
    options.keep_state = !args.report.is_empty();
    if let Some(ByteSize(bytes)) = args.memory_limit {
        let notice = options.limit_memory(usize::try_from(bytes).unwrap_or(usize::MAX), &job);
        notice.into_iter().for_each(|notice| progress.tell(notice));
    }
    let program = engine.program();
    let display = Display::new(job.source(), args.quiet, program);
    let model = job.planned().model().to_string();
    let reporting = Reporting::of(args, &job, &options.output)?;
    let done = std::thread::scope(|scope| {
        let _shown = display.show(scope, progress);
        match reporting {
            Some(reporting) => reporting.run(args, engine, job, &options, progress),
            None => engine.score(job, &options, progress),
        }
    });
    let notices = progress.notices();
    notices.iter().filter(|_| !args.quiet).for_each(|notice| eprintln!("{program}: {notice}"));
    let Some(summary) = unless_unread(done)? else { return Ok(()) };
    if !args.quiet {
        eprintln!("{program}: {}", told(&summary, &model, &options.output));
    }
    Ok(())
}

fn told(summary: &Summary, model: &str, output: &Output) -> String {
    let seconds = summary.elapsed.as_secs_f64();
    let rejected = match (summary.rejected, &summary.rejects) {
        (0, _) => "none rejected".to_owned(),
        (n, Some(path)) => format!("{n} rejected ({})", path.display()),
        (n, None) => format!("{n} rejected"),
    };
    let rate = (summary.rows - summary.earlier_rows) as f64 / seconds.max(1e-9);
    let (rows, output) = (summary.rows, output.name());
    let earlier = match summary.earlier_rows {
        0 => String::new(),
        earlier => format!(" ({earlier} of them earlier)"),
    };
    format!("{rows} rows{earlier}, {rejected}, by {model} in {seconds:.1} s ({rate:.0} rows/s) to {output}")
}

/// An interrupt or a termination ends the job cleanly; a second one ends the process.
pub(crate) fn stop_at_signals(progress: &Arc<Progress>) -> Result<(), Exit> {
    let failed = |error: std::io::Error| Exit::because(ExitReason::System, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let progress = Arc::clone(progress);
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            // SIGXFSZ would end the process; so writing beyond `ulimit -f` is an error like that of a full disk.
            let too_long = SignalKind::from_raw(25);
            let (Ok(mut interrupt), Ok(mut terminate), Ok(_)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(too_long))
            else {
                return;
            };
            let mut next = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
            next().await;
            progress.stop();
            next().await;
            std::process::exit(i32::from(Exit::told(ExitReason::Temporary, "").code()));
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(())
}

/// What a job came to; nothing where whoever read standard output has seen enough of it, as `head` does.
pub(crate) fn unless_unread<T>(done: Result<T, ScoreError>) -> Result<Option<T>, Exit> {
    match done {
        Err(ScoreError::Unread) => Ok(None),
        done => done.map(Some).map_err(exit),
    }
}

/// The exit of an error.
#[must_use]
pub fn exit(error: ScoreError) -> Exit {
    let reason = match error.fault() {
        Fault::Usage => ExitReason::Usage,
        Fault::Data => ExitReason::Data,
        Fault::NoInput => ExitReason::NoInput,
        Fault::Output => ExitReason::CannotCreate,
        Fault::Unavailable => ExitReason::Unavailable,
        Fault::Interrupted => ExitReason::Temporary,
        Fault::Software => ExitReason::Software,
    };
    Exit::because(reason, error)
}
