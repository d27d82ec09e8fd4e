//! The registry embedded: eight threads predict while the folder is read again and again, and none of them waits for
//! it. `cargo run --release --example swap [REGISTRY]`; promote or publish another version meanwhile to see a swap.
#![allow(clippy::print_stdout, reason = "what an example shows, it prints")]

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serve_core::ModelRef;
use serve_registry::{Registry, ReloadStatus};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
const THREADS: usize = 8;
const RUNS: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::open(std::env::args().nth(1).unwrap_or_else(|| MODELS.to_owned()))?;
    let first =
        registry.models().first().map(|model| model.name.to_string()).ok_or("the registry is empty")?;
    let champion: ModelRef = format!("{first}@champion").parse()?;
    let (stop, answered, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (reloads, swaps) = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let counter = if predict(&registry, &champion).is_ok() { &answered } else { &failed };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let counts = reload(&registry);
        stop.store(true, Ordering::Relaxed);
        counts
    })?;
    println!("{champion}: {} rows answered, {} failed,", answered.into_inner(), failed.into_inner());
    println!("while the registry was read {reloads} times and {swaps} models were swapped");
    Ok(())
}

fn predict(registry: &Registry, reference: &ModelRef) -> Result<(), Box<dyn Error>> {
    // A request holds its deployment; a swap during the request does not change what answers it.
    let deployment = registry.deployment(reference)?;
    let pipeline = deployment.pipeline();
    pipeline.predict(&vec![0.01; pipeline.signature().len()])?;
    Ok(())
}

fn reload(registry: &Registry) -> Result<(u64, usize), serve_registry::StorageError> {
    let (started, mut reloads, mut swaps) = (Instant::now(), 0, 0);
    while started.elapsed() < RUNS {
        let outcomes = registry.reload()?;
        swaps += outcomes.iter().filter(|outcome| outcome.status == ReloadStatus::Swapped).count();
        reloads += 1;
    }
    Ok((reloads, swaps))
}
