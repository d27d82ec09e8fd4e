//! What one row costs in this library, in the form in which `benches/peers` and other harnesses compare engines:
//!
//! ```text
//! engine-compare MODEL X.f64 ROWS FEATURES PRED_OUT [--cells 1/1,64/1,…] [--simd portable|avx2|avx512]
//! ```
//!
//! MODEL ends in `.txt` (LightGBM), `.json` (XGBoost) or `.onnx`; X.f64 holds the rows as raw little-endian row-major
//! `f64`. For each cell (batch/threads) one line of JSON goes to standard output, times per row as [`timing`] takes them.
//! PRED_OUT gets P(class 1), or the value, of all rows as raw `f64`. `--simd` forces a set of instructions.
#![allow(clippy::print_stdout, reason = "its lines are its result")]

use std::error::Error;
use std::fmt::Display;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use serve_benches::subject::Subject;
use serve_benches::{matrix, timing};
use serve_core::engine::{Path, Simd};

/// Batch and threads.
type Cell = (usize, usize);

const CELLS: [Cell; 6] = [(1, 1), (64, 1), (1000, 1), (100_000, 1), (1000, 2), (100_000, 2)];
const USAGE: &str = "usage: engine-compare MODEL X.f64 ROWS FEATURES PRED_OUT [--cells BATCH/THREADS,…] \
    [--simd portable|avx2|avx512]";

struct Args {
    model: PathBuf,
    rows_file: PathBuf,
    rows: usize,
    features: usize,
    predictions: PathBuf,
    cells: Vec<Cell>,
    path: Path,
}

impl Args {
    fn parse(given: &[String]) -> Option<Self> {
        let (mut positional, mut cells, mut path) = (given, CELLS.to_vec(), Path::default());
        while let [before @ .., flag, value] = positional
            && flag.starts_with("--")
        {
            match flag.as_str() {
                "--cells" => cells = parse_cells(value)?,
                "--simd" => path.simd = Some(parse_simd(value)?),
                _ => return None,
            }
            positional = before;
        }
        let [model, rows_file, rows, features, predictions] = positional else { return None };
        Some(Self {
            model: model.into(),
            rows_file: rows_file.into(),
            rows: rows.parse().ok().filter(|rows| *rows > 0)?,
            features: features.parse().ok()?,
            predictions: predictions.into(),
            cells,
            path,
        })
    }
}

fn parse_cells(text: &str) -> Option<Vec<Cell>> {
    let number = |text: &str| text.parse().ok().filter(|number: &usize| *number > 0);
    let cell = |text: &str| text.split_once('/').and_then(|(b, t)| Some((number(b)?, number(t)?)));
    text.split(',').map(cell).collect()
}

fn parse_simd(text: &str) -> Option<Simd> {
    match text {
        "portable" => Some(Simd::Portable),
        "avx2" => Some(Simd::Avx2),
        "avx512" => Some(Simd::Avx512),
        _ => None,
    }
}

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let Some(args) = Args::parse(&given) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An error with the file that it is about.
fn about(path: &std::path::Path, error: impl Display) -> String {
    format!("{}: {error}", path.display())
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut subject = Subject::load(&args.model, args.path).map_err(|error| about(&args.model, error))?;
    if subject.features() != args.features {
        let told = format!("the model takes {} features, got {}", subject.features(), args.features);
        return Err(about(&args.model, told).into());
    }
    let given =
        matrix::read(&args.rows_file, args.rows, args.features).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => error.to_string(), // names the file itself
            _ => about(&args.rows_file, error),
        })?;
    let largest = args.cells.iter().map(|(batch, _)| *batch).max().unwrap_or(1);
    let rows = matrix::repeated(&given, largest);
    let mut scores = vec![0.0; rows.nrows()];
    for &(batch, threads) in &args.cells {
        subject.set_threads(threads)?;
        let cost = match rows.as_slice() {
            Some(all) if batch == 1 => timing::measure(rows.nrows(), 1, |Range { start, .. }| {
                scores[start] = subject.predict_row(&all[start * args.features..][..args.features]);
            }),
            _ => timing::measure(rows.nrows(), batch, |range| {
                // Rows of the right length cannot fail as a whole; the lengths were compared above.
                let _ = subject.predict(matrix::rows(&rows, range.clone()), &mut scores[range]);
            }),
        };
        println!(
            r#"{{"batch":{batch},"threads":{threads},"wall_ns":{:.1},"cpu_ns":{:.1}}}"#,
            cost.wall_ns, cost.cpu_ns
        );
    }
    subject.set_threads(1)?;
    scores.fill(0.0);
    subject.predict(rows.view(), &mut scores)?;
    matrix::write(&args.predictions, &scores[..args.rows])
        .map_err(|error| about(&args.predictions, error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Args> {
        Args::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_cells_are_those_of_the_harness_unless_told_otherwise() {
        let args = parse("m.txt x.f64 10 3 out").expect("parses");
        assert_eq!((args.cells, args.rows, args.features), (CELLS.to_vec(), 10, 3));
        let args = parse("m.txt x.f64 10 3 out --cells 8/1,1000/2").expect("parses");
        assert_eq!(args.cells, [(8, 1), (1000, 2)]);
        let args = parse("m.txt x.f64 10 3 out --simd avx2 --cells 8/1").expect("parses");
        assert_eq!((args.cells, args.path.simd), (vec![(8, 1)], Some(Simd::Avx2)));
    }

    #[test]
    fn what_is_no_usage_is_refused() {
        for wrong in [
            "m.txt x.f64 10 3",
            "m.txt x.f64 0 3 out",
            "m.txt x.f64 a 3 out",
            "m x 1 1 o --cells 0/1",
            "m x 1 1 o --simd mmx",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
