//! What explaining one row costs, in the form in which `benches/peers/explain.py` compares it with LightGBM and XGBoost:
//!
//! ```text
//! explain-compare MODEL X.f64 ROWS FEATURES OUT
//! ```
//!
//! MODEL and X.f64 are as for `engine-compare`. For each batch of 1, 100 and 500 rows one line of JSON goes to standard
//! output: the CPU microseconds per row, as [`timing`] takes them. OUT gets the contributions as raw `f64`,
//! `[rows, outputs, features + 1]`, the base value last.
#![allow(clippy::print_stdout, reason = "its lines are its result")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serve_benches::subject::format_of;
use serve_benches::{matrix, timing};
use serve_core::Target;
use serve_core::explain::{ExplainOptions, Explainer};
use serve_formats::import;

const BATCHES: [usize; 3] = [1, 100, 500];

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match run(&given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("explain-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &[String]) -> Result<(), Box<dyn Error>> {
    let [model, rows_file, rows, features, out] = given else {
        return Err("usage: explain-compare MODEL X.f64 ROWS FEATURES OUT".into());
    };
    let model = Path::new(model);
    let imported = import(&std::fs::read(model)?, format_of(model))?;
    let target = Target { name: "label".to_owned(), task: imported.task.clone() };
    let options = ExplainOptions { sums_of_averages: imported.source.library == "lightgbm" };
    let started = Instant::now();
    let explainer = Explainer::new(&imported.signature()?, &imported.estimator, &target, options)?;
    println!("{{\"made_ms\":{:.3}}}", started.elapsed().as_secs_f64() * 1e3);
    let features = features.parse()?;
    let rows = matrix::read(Path::new(rows_file), rows.parse()?, features)?.into_raw_vec_and_offset().0;
    for batch in BATCHES {
        println!("{{\"batch\":{batch},\"us\":{:.2}}}", per_row(&explainer, &rows, features, batch));
    }
    let mut told = vec![0.0; rows.len() / features * explainer.width()];
    explainer.contributions(&rows, &mut told);
    Ok(matrix::write(Path::new(out), &told)?)
}

/// CPU microseconds per row: wall time says little on a machine that does other work.
fn per_row(explainer: &Explainer, rows: &[f64], features: usize, batch: usize) -> f64 {
    let mut out = vec![0.0; batch * explainer.width()];
    let measured = timing::measure(rows.len() / features, batch, |range| {
        explainer.contributions(&rows[range.start * features..range.end * features], &mut out);
    });
    measured.cpu_ns / 1e3
}
