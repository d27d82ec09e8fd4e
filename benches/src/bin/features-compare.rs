//! What computing a declared feature set costs, in the form in which `benches/peers/features.py` compares it with polars and
//! pandas:
//!
//! ```text
//! features-compare DECLARATIONS SET ROWS COLUMNS.f64 OUT
//! ```
//!
//! COLUMNS.f64 has open, high, low, close, volume and score as raw `f64`, one column after the other; rows are a minute
//! apart, and the score is that of every column of the second source. One line of JSON goes to standard output: the CPU
//! seconds of one build. OUT gets the features as raw `f64`, one after the other; a missing value is NaN.
#![allow(clippy::print_stdout, reason = "its lines are its result")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serve_benches::{matrix, timing};
use serve_features::{Declarations, FeatureSet, Frame, RawTable, SourceFrames};

/// When the first row is: 2019-01-01.
const START: i64 = 1_546_300_800;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match run(&given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("features-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &[String]) -> Result<(), Box<dyn Error>> {
    let [declarations, name, rows, file, out] = given else {
        return Err("usage: features-compare DECLARATIONS SET ROWS COLUMNS.f64 OUT".into());
    };
    let declarations = Declarations::load(declarations)?;
    let set = declarations.get(name).ok_or("no such set")?;
    let rows: usize = rows.parse()?;
    let columns = matrix::read(Path::new(file), 6, rows)?.into_raw_vec_and_offset().0;
    let frames = frames(set, &columns, rows)?;
    let entity = "BTC/USD".parse()?;
    let before = timing::process_cpu();
    let built = set.compute(&entity, &frames)?;
    let cpu = timing::process_cpu().saturating_sub(before).as_secs_f64();
    println!("{{\"cpu_s\":{cpu:.6}}}");
    let features: Vec<f64> =
        (0..set.features().len()).filter_map(|i| built.column(i)).flatten().copied().collect();
    Ok(matrix::write(Path::new(out), &features)?)
}

/// The rows as each source of the set has them.
fn frames(set: &FeatureSet, columns: &[f64], rows: usize) -> Result<SourceFrames, Box<dyn Error>> {
    let moments = (0..rows).map(|row| Timestamp::from_second(START + 60 * i64::try_from(row).unwrap_or(0)));
    let moments = moments.collect::<Result<Vec<_>, _>>()?;
    let column = |i: usize| columns[i * rows..(i + 1) * rows].to_vec();
    let mut frames = SourceFrames::new();
    for source in set.sources() {
        let names: &[(&str, usize)] = match source.table {
            RawTable::Price => &[("open", 0), ("high", 1), ("low", 2), ("close", 3), ("volume", 4)],
            _ => &[("vader", 5), ("finbert", 5)],
        };
        let columns = names.iter().map(|(name, i)| (Arc::from(*name), column(*i))).collect();
        frames.insert(source.name.clone(), Frame::new(moments.clone(), columns)?);
    }
    Ok(frames)
}
