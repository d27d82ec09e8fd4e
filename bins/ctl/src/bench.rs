//! `bench`: what a row of a registered model costs on this machine, and how long the model takes to load.

mod rows;
mod timing;

use ndarray::{Array2, s};
use serde::Serialize;
use serve_app::{Exit, ExitReason};
use serve_core::engine::{Pool, PoolError, Simd};
use serve_core::{
    BatchPrediction, EngineLoader, Golden, ModelLoader, ModelName, ModelRef, ModelVersion, Pipeline,
};
use serve_registry::Storage;

use crate::config::CtlConfig;
use crate::print;
use crate::table::aligned;

const BATCHES: [usize; 4] = [1, 64, 1000, 100_000];
/// Numbers in the matrix of rows at most, 1 GiB: wider models go without the largest batches.
const MAX_NUMBERS: usize = 1 << 27;
/// How often the model is loaded; medians are told.
const LOADS: usize = 5;

/// What was measured, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    model: ModelName,
    version: ModelVersion,
    features: usize,
    bundle_bytes: u64,
    /// What the compiled tree ensembles take.
    tree_bytes: usize,
    load_ms: Load,
    cells: Vec<Cell>,
}

/// Milliseconds that the parts of loading take, with warm file caches.
#[derive(Debug, Clone, Copy, Serialize)]
struct Load {
    /// Reading the bundle's files and holding them against their digests.
    read: f64,
    /// Decoding the model and laying it out for the engine.
    compile: f64,
    /// Reading the golden rows and answering them, alone and in a batch.
    prove: f64,
}

#[derive(Debug, Serialize)]
struct Cell {
    batch: usize,
    threads: usize,
    /// How the tree ensembles find their leaves; empty for other models.
    kernels: Vec<String>,
    ns_per_row: f64,
}

/// A version as it was loaded last.
struct Loaded {
    pipeline: Pipeline,
    golden: Golden,
    bundle_bytes: u64,
}

pub(crate) fn run(config: &CtlConfig, model: &str, json: bool) -> Result<(), Exit> {
    let reference: ModelRef = model.parse().map_err(data)?;
    let deployment = config.registry_of(config.storage()?)?.deployment(&reference).map_err(data)?;
    let (name, version) = (deployment.manifest().name.clone(), deployment.manifest().version.clone());
    // What is measured is loaded below; a second copy would only fill the caches.
    drop(deployment);
    let (loaded, load_ms) = load(&*config.storage()?, &name, &version)?;
    let report = Report {
        model: name,
        version,
        features: loaded.pipeline.signature().len(),
        bundle_bytes: loaded.bundle_bytes,
        tree_bytes: loaded.pipeline.tree_engines().iter().map(|trees| trees.memory_bytes()).sum(),
        load_ms,
        cells: cells(&loaded).map_err(|error| Exit::because(ExitReason::Software, error))?,
    };
    if json {
        let text = serde_json::to_string_pretty(&report);
        return print(&text.map_err(|error| Exit::because(ExitReason::Software, error))?);
    }
    print(&told(&report))
}

fn data(error: impl std::error::Error) -> Exit {
    Exit::because(ExitReason::Data, error)
}

fn load(storage: &dyn Storage, name: &ModelName, version: &ModelVersion) -> Result<(Loaded, Load), Exit> {
    let mut times = [const { Vec::new() }; 3];
    let mut last = None;
    for _ in 0..LOADS {
        drop(last.take());
        let (bundle, read) = timing::milliseconds(|| storage.bundle(name, version));
        let bundle = bundle.map_err(data)?;
        let (pipeline, compile) = timing::milliseconds(|| EngineLoader.load(&bundle));
        let pipeline = pipeline.map_err(data)?;
        let (golden, prove) = timing::milliseconds(|| {
            let golden = bundle.golden().map_err(data)?;
            golden.prove(&pipeline).map_err(data)?;
            Ok::<_, Exit>(golden)
        });
        times.iter_mut().zip([read, compile, prove]).for_each(|(times, time)| times.push(time));
        last = Some(Loaded { pipeline, golden: golden?, bundle_bytes: bundle.len_bytes() });
    }
    let [read, compile, prove] = times.map(timing::median);
    let loaded = last.ok_or_else(|| Exit::told(ExitReason::Software, "the model was not loaded"))?;
    Ok((loaded, Load { read, compile, prove }))
}

fn cells(loaded: &Loaded) -> Result<Vec<Cell>, PoolError> {
    let width = loaded.pipeline.signature().len().max(1);
    let fits = |batch: &usize| batch.saturating_mul(width) <= MAX_NUMBERS;
    let batches: Vec<usize> = BATCHES.into_iter().filter(fits).collect();
    let rows = rows::drawn(&loaded.golden.rows, batches.last().copied().unwrap_or(1), width);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![1, cores];
    threads.dedup();
    let mut cells = Vec::new();
    for threads in threads {
        let pool = Pool::new(threads)?;
        // One row has nothing to split.
        for &batch in batches.iter().filter(|batch| threads == 1 || **batch > 1) {
            let ns_per_row = cost(&loaded.pipeline, &pool, &rows, batch);
            cells.push(Cell { batch, threads, kernels: kernels(&loaded.pipeline, batch), ns_per_row });
        }
    }
    Ok(cells)
}

/// The kernels that so many rows take, each once.
fn kernels(pipeline: &Pipeline, batch: usize) -> Vec<String> {
    let engines = pipeline.tree_engines();
    let mut kernels: Vec<_> = engines.iter().map(|trees| trees.kernel(batch).to_string()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    kernels
}

fn cost(pipeline: &Pipeline, pool: &Pool, rows: &Array2<f64>, batch: usize) -> f64 {
    let mut out = BatchPrediction::new();
    timing::ns_per_row(rows.nrows(), batch, |range| {
        let rows = rows.slice(s![range, ..]);
        match rows.to_slice() {
            Some(row) if batch == 1 => drop(std::hint::black_box(pipeline.predict(row))),
            // The rows are as wide as the signature, so no batch is refused as a whole.
            _ => drop(pipeline.predict_batch_on(pool, rows, &mut out)),
        }
    })
}

fn told(report: &Report) -> String {
    let Load { read, compile, prove } = report.load_ms;
    let rows: Vec<_> = report
        .cells
        .iter()
        .map(|cell| {
            let per_second = 1e9 / cell.ns_per_row;
            [
                cell.batch.to_string(),
                cell.threads.to_string(),
                cell.kernels.join(", "),
                format!("{:.0}", cell.ns_per_row),
                format!("{per_second:.0}"),
            ]
        })
        .collect();
    format!(
        "{}@{}\n  features  {}\n  bundle    {} bytes\n  trees     {} bytes, {}\n  loads in  {:.1} ms: {read:.1} reading and verifying, \
         {compile:.1} decoding and compiling, {prove:.1} proving\n\n{}",
        report.model,
        report.version,
        report.features,
        report.bundle_bytes,
        report.tree_bytes,
        Simd::best(),
        read + compile + prove,
        aligned(["BATCH", "THREADS", "KERNEL", "NS PER ROW", "ROWS PER SECOND"], &rows)
    )
}
