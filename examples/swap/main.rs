//! The registry embedded: eight threads predict through one handle while two versions take each other's place, and every
//! answer is the one of the version that was there when it was asked. `cargo run --release --example swap`.
#![allow(clippy::print_stdout, reason = "what an example shows, it prints")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::{Directory, Handle, Registry, Storage};

const THREADS: usize = 8;
const RUNS: Duration = Duration::from_secs(2);
const ROW: [f64; 2] = [0.5, 1.0];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let directory = Directory::open(folder.path())?;
    let mut answers = BTreeMap::new();
    for (version, intercept) in [("v1", -1.0), ("v2", 1.0)] {
        // Two models that answer differently; anything that `serve-ctl import` or `train` published would do.
        let bundle = serve_core::doctest::logistic("example", version, intercept).build()?;
        directory.publish(&bundle, "the example")?;
        answers.insert(version.parse::<ModelVersion>()?, f64::NAN);
    }
    let registry = Registry::open(folder.path())?;
    for (version, answer) in &mut answers {
        *answer = registry.deployment(&format!("example@{version}")[..])?.predict(&ROW)?.scores()[1];
    }

    let (name, handle) = ("example".parse()?, registry.handle("example")?);
    let (stop, asked, wrong) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let swaps = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let right = ask(&handle, &answers).unwrap_or(false);
                    asked.fetch_add(1, Ordering::Relaxed);
                    wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
                }
            });
        }
        let versions: Vec<_> = answers.keys().rev().cloned().collect();
        let swaps = swap(&registry, &name, &versions);
        stop.store(true, Ordering::Relaxed);
        swaps
    })?;
    let (asked, wrong) = (asked.into_inner(), wrong.into_inner());
    println!("{THREADS} threads asked {asked} times while the champion changed {swaps} times");
    println!("answers that failed, or were not those of the version that gave them: {wrong}");
    if wrong == 0 { Ok(()) } else { Err("a swap was seen".into()) }
}

/// Whether an answer is the one of the version that gave it. Within `with` nothing can change under the reader.
fn ask(handle: &Handle, answers: &BTreeMap<ModelVersion, f64>) -> Result<bool, Box<dyn Error>> {
    let (version, answer) = handle.with(|deployment| {
        let answer = deployment.predict(&ROW).map(|prediction| prediction.scores()[1]);
        (deployment.manifest().version.clone(), answer)
    })?;
    Ok(answers.get(&version) == Some(&answer?))
}

/// Moves the champion to and fro. The other version is loaded, proven and warmed before each swap, and freed after it.
fn swap(
    registry: &Registry,
    name: &ModelName,
    versions: &[ModelVersion],
) -> Result<u64, serve_registry::PromoteError> {
    let (started, mut swaps) = (Instant::now(), 0);
    for version in versions.iter().cycle() {
        if started.elapsed() > RUNS {
            break;
        }
        registry.promote(name, version, &Alias::champion(), "the example")?;
        swaps += 1;
    }
    Ok(swaps)
}
