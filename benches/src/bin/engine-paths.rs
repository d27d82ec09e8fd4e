//! What each path of the tree engine takes per row, at several batch sizes: the figures behind the engine's rule.
//!
//!     cargo run --release -p serve-benches --bin engine-paths -- MODEL X.f64 FEATURES [BATCH...]
//!
//! MODEL is a LightGBM or XGBoost file, X.f64 raw little-endian row-major `f64`. Every path first answers all rows, and
//! its bits are held against the portable walk's. Then paths run in turns, 15 rounds; printed are medians of wall time in
//! nanoseconds per row, or with LEAST=1 in the environment the least times. PATHS restricts the paths, by a part of
//! their names.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use ndarray::{ArrayView2, s};
use serve_core::Model;
use serve_core::engine::{InvalidRows, Kernel, Path, Simd, TreeEngine};
use serve_formats::{Format, import};

fn measure(
    engine: &TreeEngine,
    rows: ArrayView2<'_, f64>,
    batch: usize,
    out: &mut [f64],
) -> Result<f64, InvalidRows> {
    let (mut at, mut count) = (0, 0_usize);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(8) {
        let until = count + 200.max(batch);
        while count < until {
            if at + batch > rows.nrows() {
                at = 0;
            }
            engine.scores(rows.slice(s![at..at + batch, ..]), &mut out[..batch])?;
            at += batch;
            count += batch;
        }
    }
    Ok(start.elapsed().as_nanos() as f64 / count as f64)
}

#[allow(clippy::print_stdout, reason = "the program's purpose")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, matrix, features, batches @ ..] = &args[..] else {
        return Err("expected MODEL X.f64 FEATURES [BATCH...]".into());
    };
    let model = import(&fs::read(model)?, Format::Auto)?;
    let Model::Trees(trees) = &model.estimator.model else {
        return Err("the model is not made of trees".into());
    };
    let numbers: Vec<f64> =
        fs::read(matrix)?.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let features: usize = features.parse()?;
    let rows = ArrayView2::from_shape((numbers.len() / features, features), &numbers)?;
    let mut batches = batches.iter().map(|batch| batch.parse()).collect::<Result<Vec<usize>, _>>()?;
    if batches.is_empty() {
        batches = vec![1, 2, 4, 8, 16, 32, 64, 128, 1000, 10_000];
    }
    let mut compiled = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let engine = TreeEngine::new(trees);
        compiled.push((start.elapsed(), engine.memory_bytes()));
    }
    compiled.sort();
    let (nodes, (time, bytes)) = (trees.node_count(), compiled[2]);
    println!("# {nodes} nodes compiled in {time:.1?}, {:.1} bytes a node", bytes as f64 / nodes as f64);
    let mut engines = Vec::new();
    let mut expected = vec![0.0; rows.nrows() * trees.outputs()];
    TreeEngine::with_path(trees, Path::of(Kernel::Walk, Simd::Portable))?.scores(rows, &mut expected)?;
    let only = std::env::var("PATHS").unwrap_or_default();
    for kernel in Kernel::ALL {
        for simd in Simd::ALL {
            if !format!("{kernel:?} {simd:?}").contains(&only) {
                continue;
            }
            match TreeEngine::with_path(trees, Path::of(kernel, simd)) {
                Ok(engine) => engines.push((format!("{kernel:?} {simd:?}"), engine)),
                Err(error) => println!("# {error}"),
            }
        }
    }
    if only.is_empty() {
        engines.push(("rule".to_owned(), TreeEngine::new(trees)));
    }
    let pick = if std::env::var_os("LEAST").is_some() { usize::MAX } else { 2 };
    let mut out = vec![0.0; expected.len()];
    for (name, engine) in &engines {
        out.fill(0.0);
        engine.scores(rows, &mut out)?;
        let differ = out.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        if differ > 0 {
            println!("# {name}: {differ} scores differ");
        }
    }
    let line =
        |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>9}")).collect::<Vec<_>>().concat();
    println!("{:22}{}", "ns per row at", line(batches.iter().map(usize::to_string).collect()));
    let mut times = vec![vec![Vec::new(); batches.len()]; engines.len()];
    for _ in 0..15 {
        for ((_, engine), times) in engines.iter().zip(&mut times) {
            for (&batch, times) in batches.iter().zip(times) {
                times.push(measure(engine, rows, batch, &mut out)?);
            }
        }
    }
    for ((name, _), times) in engines.iter().zip(times) {
        let median = |mut list: Vec<f64>| {
            list.sort_by(f64::total_cmp);
            format!("{:.0}", list[list.len() / pick])
        };
        println!("{name:22}{}", line(times.into_iter().map(median).collect()));
    }
    Ok(())
}
