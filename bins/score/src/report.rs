//! `--report`: what a job came to, written to files beside its output.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serve_app::Exit;
use serve_score::digest::{self, FileDigest};
use serve_score::job::RunOptions;
use serve_score::report::{Circumstances, Files};
use serve_score::{InputFile, Job, Output, Plan, Progress, Report, ScoreError, Summary};

use crate::args::Args;
use crate::engine::Engine;
use crate::run::exit;

/// What a report needs of a job before it runs.
pub(crate) struct Reporting {
    plan: Arc<Plan>,
    files: Vec<InputFile>,
    format: String,
    overwrite: bool,
}

impl Reporting {
    /// Of a job; none where no report is asked for.
    pub(crate) fn of(args: &Args, job: &Job, output: &Output) -> Result<Option<Self>, Exit> {
        if args.report.is_empty() {
            return Ok(None);
        }
        // Where a job goes on that was ended between its reports, one is there that it wrote itself.
        let overwrite = args.overwrite || args.resume && output.begun().map_err(exit)?.is_some();
        args.report.iter().try_for_each(|file| file.check(overwrite)).map_err(exit)?;
        let source = job.source();
        let (files, format) = (source.files().to_vec(), source.format().to_string());
        Ok(Some(Self { plan: Arc::clone(job.planned()), files, format, overwrite }))
    }

    /// Runs the job, takes digests meanwhile, and writes the reports.
    pub(crate) fn run(
        self,
        args: &Args,
        engine: &dyn Engine,
        job: Job,
        options: &RunOptions,
        progress: &Progress,
    ) -> Result<Summary, ScoreError> {
        let stop = AtomicBool::new(args.no_digests);
        let (summary, input) = std::thread::scope(|scope| {
            let input = scope.spawn(|| digest::of_input(&self.files, &stop));
            let done = engine.score(job, options, progress);
            if done.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            (done, input.join().unwrap_or_default())
        });
        let summary = summary?;
        let output = digest::of_output(&options.output, &stop);
        self.write(args, options, &summary, (input, output), engine.threads(options))?;
        options.output.forget();
        Ok(summary)
    }

    fn write(
        self,
        args: &Args,
        options: &RunOptions,
        summary: &Summary,
        (input, output): (Vec<FileDigest>, Vec<FileDigest>),
        threads: Option<usize>,
    ) -> Result<(), ScoreError> {
        let circumstances = Circumstances {
            options: said(args),
            input: Files { format: self.format, files: input },
            output: Files { format: options.output.format.to_string(), files: output },
            threads,
        };
        let report = Report::new(&self.plan, summary, circumstances);
        args.report.iter().try_for_each(|file| file.write(&report, Report::html, self.overwrite))
    }
}

/// The options that were said, but those that name places.
fn said(args: &Args) -> Vec<(String, String)> {
    let map: Vec<String> = args.map.iter().map(|(feature, column)| format!("{feature}={column}")).collect();
    let keep = args.keep.as_ref().map(|keep| match keep {
        serve_score::Keep::None => String::new(),
        serve_score::Keep::All => "all".to_owned(),
        serve_score::Keep::Columns(names) => names.join(","),
    });
    let yes = |flag: bool| flag.then(|| "yes".to_owned());
    let options = [
        ("--model", args.model.clone()),
        ("--keep", keep),
        ("--map", (!map.is_empty()).then(|| map.join(", "))),
        ("--explain", yes(args.explain)),
        ("--max-rejects", args.max_rejects.map(|most| most.to_string())),
        ("--threads", args.threads.map(|threads| threads.to_string())),
        ("--unordered", yes(args.unordered)),
        ("--resume", yes(args.resume)),
    ];
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
