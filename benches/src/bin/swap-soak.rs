//! Swaps a model again and again while clients ask without pause, and counts what they were told:
//!
//! ```text
//! swap-soak [SWAPS [CLIENTS]]       1000 swaps and one client where nothing is said
//! ```
//!
//! Five versions of a model of about 5 MiB answer each row differently; a promotion loads, proves and publishes the next of
//! them, and the one before leaves. An answer is *failed* where there was none, *mixed* where it is another version's than
//! the one that the deployment names, and *wrong* where it is no version's. Phases without and with swapping take turns, so
//! that both meet the same other work on the machine. Resident memory is read when the replaced version is freed, after the
//! tenth swap and after every tenth part of all. The exit code is 1 where anything was failed, mixed or wrong; times and memory are
//! printed and judge nothing.
#![allow(clippy::print_stdout, reason = "its table is its result")]

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serve_benches::histogram::Histogram;
use serve_benches::{bundles::proven, memory};
use serve_core::tree::{Leaf, Missing, Node, Shape, Statistics, Test, Tree, TreeEnsemble};
use serve_core::{
    Alias, Bundle, EngineLoader, Estimator, Link, Model, ModelLoader, ModelName, ModelRef, ModelVersion,
};
use serve_registry::{Deployment, Directory, Registry, Storage, VersionState};

type Failure = Box<dyn Error>;

const VERSIONS: usize = 5;
const INPUTS: u32 = 20;
const TREES: usize = 430;
const DEPTH: u32 = 8;
const ROWS: usize = 64;
/// Swaps per phase; a phase without is as long as the one before it.
const TURN: usize = 25;
/// The swap after which memory is first read.
const SETTLED: usize = 10;

/// What clients are to do.
const QUIET: u8 = 0;
const SWAPPING: u8 = 1;
const STOP: u8 = 2;

fn main() -> ExitCode {
    let numbers = std::env::args().skip(1).map(|arg| arg.parse::<usize>()).collect::<Result<Vec<_>, _>>();
    let (swaps, clients) = match numbers.as_deref() {
        Ok([]) => (1000, 1),
        Ok([swaps]) => (*swaps, 1),
        Ok([swaps, clients]) if *clients > 0 => (*swaps, *clients),
        _ => {
            eprintln!("usage: swap-soak [SWAPS [CLIENTS]]");
            return ExitCode::from(2);
        }
    };
    match soak(swaps, clients) {
        Ok(told) if told.bad() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("swap-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers that look random and are the same every time (Vigna's SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From -1 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// A full tree, its nodes level by level.
fn tree(noise: &mut Noise) -> Tree {
    let splits = (1 << DEPTH) - 1;
    let split = |at: u32, noise: &mut Noise| Node::Split {
        feature: (noise.next() % u64::from(INPUTS)) as u32,
        test: Test::AtMost(noise.unit()),
        missing: Missing::default(),
        left: 2 * at + 1,
        right: 2 * at + 2,
    };
    let mut nodes: Vec<_> = (0..splits).map(|at| split(at, noise)).collect();
    nodes.extend((0..=splits).map(|_| Node::Leaf(Leaf::Scalar(noise.unit()))));
    Tree { output: 0, nodes, statistics: Statistics::default() }
}

fn rows() -> Vec<Vec<f64>> {
    let mut noise = Noise(1);
    (0..ROWS).map(|_| (0..INPUTS).map(|_| noise.unit()).collect()).collect()
}

/// The same trees in every version; what the sum starts from tells the answers apart.
fn bundle(name: &ModelName, number: usize) -> Result<Bundle, Failure> {
    let mut noise = Noise(2);
    let trees: Vec<_> = (0..TREES).map(|_| tree(&mut noise)).collect();
    let shape = Shape { inputs: INPUTS, outputs: 1, base: vec![1000.0 * number as f64], ..Shape::default() };
    let estimator = Estimator::of(Model::Trees(TreeEnsemble::new(shape, &trees)?), Link::IDENTITY);
    let names: Vec<String> = (0..INPUTS).map(|i| format!("f{i}")).collect();
    let rows = rows();
    let version = format!("v{number}").parse()?;
    Ok(proven(name, &version, estimator, names, rows)?.build()?)
}

/// Per version the bits of the answer to every row.
type Expected = HashMap<ModelVersion, Vec<u64>>;

/// What a client was told.
#[derive(Default)]
struct Told {
    quiet: Histogram,
    swapping: Histogram,
    failed: u64,
    mixed: u64,
    wrong: u64,
}

impl Told {
    fn bad(&self) -> u64 {
        self.failed + self.mixed + self.wrong
    }

    fn merge(mut self, other: &Self) -> Self {
        self.quiet.merge(&other.quiet);
        self.swapping.merge(&other.swapping);
        self.failed += other.failed;
        self.mixed += other.mixed;
        self.wrong += other.wrong;
        self
    }

    fn check(&mut self, row: usize, answer: u64, deployment: &Deployment, expected: &Expected) {
        let named = &deployment.manifest().version;
        if expected.get(named).is_some_and(|answers| answers[row] == answer) {
            return;
        }
        let others = expected.values().any(|answers| answers[row] == answer);
        *(if others { &mut self.mixed } else { &mut self.wrong }) += 1;
    }
}

/// Asks without pause. A request is a look-up by name and one row; one that lies in two phases is checked, not timed.
fn ask(registry: &Registry, reference: &ModelRef, expected: &Expected, phase: &AtomicU8) -> Told {
    let (rows, mut told) = (rows(), Told::default());
    for (row, values) in rows.iter().enumerate().cycle() {
        let before = phase.load(Ordering::Relaxed);
        if before == STOP {
            break;
        }
        let start = Instant::now();
        let answer = registry.resolve(reference).ok().and_then(|deployment| {
            let prediction = deployment.predict(values).ok()?;
            Some((start.elapsed(), prediction.scores()[0].to_bits(), deployment))
        });
        let Some((latency, answer, deployment)) = answer else {
            told.failed += 1;
            continue;
        };
        told.check(row, answer, &deployment, expected);
        match (before, phase.load(Ordering::Relaxed)) {
            (QUIET, QUIET) => told.quiet.add(latency),
            (SWAPPING, SWAPPING) => told.swapping.add(latency),
            _ => {}
        }
    }
    told
}

/// Mebibytes of this process that are in memory.
fn resident() -> Result<f64, Failure> {
    Ok(memory::resident()? as f64 / f64::from(1 << 20))
}

/// What the swaps took, and the memory after some of them.
#[derive(Default)]
struct Swaps {
    times: Histogram,
    resident: Vec<(usize, f64)>,
}

/// Swaps in turns with quiet phases; tells the clients to stop, also where it fails.
fn swap(registry: &Registry, name: &ModelName, swaps: usize, phase: &AtomicU8) -> Result<Swaps, Failure> {
    struct Stop<'a>(&'a AtomicU8);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(STOP, Ordering::Relaxed);
        }
    }
    let _stop = Stop(phase);
    let (mut done, champion, mut seen) = (0, Alias::champion(), Swaps::default());
    while done < swaps {
        let turn = Instant::now();
        phase.store(SWAPPING, Ordering::Relaxed);
        let end = (done + TURN).min(swaps);
        while done < end {
            done += 1;
            let start = Instant::now();
            let to = format!("v{}", done % VERSIONS).parse()?;
            let from = registry.promote(name, &to, &champion, "swap-soak")?.ok_or("nothing was replaced")?;
            seen.times.add(start.elapsed());
            if done == SETTLED || done.is_multiple_of(swaps.div_ceil(10)) || done == swaps {
                let freed = || {
                    let lifecycle = registry.lifecycle(name, &from);
                    lifecycle.is_some_and(|lifecycle| lifecycle.state() == VersionState::Retired)
                };
                let patience = Instant::now() + Duration::from_secs(10);
                while !freed() && Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(1));
                }
                seen.resident.push((done, resident()?));
            }
        }
        let took = turn.elapsed();
        phase.store(QUIET, Ordering::Relaxed);
        std::thread::sleep(took);
    }
    Ok(seen)
}

fn soak(swaps: usize, clients: usize) -> Result<Told, Failure> {
    let folder = tempfile::tempdir()?;
    let (name, directory): (ModelName, _) = ("soak".parse()?, Directory::create(folder.path())?);
    let mut expected = Expected::new();
    for number in 0..VERSIONS {
        let bundle = bundle(&name, number)?;
        let pipeline = EngineLoader.load(&bundle)?;
        let answer = |row: &Vec<f64>| Ok::<_, Failure>(pipeline.predict(row)?.scores()[0].to_bits());
        let answers = rows().iter().map(answer).collect::<Result<_, _>>()?;
        expected.insert(bundle.manifest().version.clone(), answers);
        directory.publish(&bundle, "swap-soak")?;
    }
    let registry = Registry::open(folder.path())?;
    let (reference, phase): (ModelRef, _) = ("soak".parse()?, AtomicU8::new(QUIET));
    let loaded = registry.resolve(&reference)?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (stored, memory) = (mib(loaded.bundle_bytes()), mib(loaded.memory_bytes()));
    drop(loaded);
    println!("{TREES} trees of {} leaves, {stored:.1} MiB stored, {memory:.1} MiB loaded", 1 << DEPTH);
    let (seen, told) = std::thread::scope(|scope| {
        let client = || ask(&registry, &reference, &expected, &phase);
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let seen = swap(&registry, &name, swaps, &phase);
        let told = threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        (seen, told.fold(Told::default(), |all, told| all.merge(&told)))
    });
    print(&seen?, &told, clients);
    Ok(told)
}

fn print(seen: &Swaps, told: &Told, clients: usize) {
    let micros = |of: &Histogram, share| of.percentile(share).as_nanos() as f64 / 1e3;
    println!("{clients} clients{:>15}{:>12}{:>8}", "quiet", "swapping", "ratio");
    println!("{:<12}{:>12}{:>12}", "answers", told.quiet.len(), told.swapping.len());
    for (label, share) in [("p50, µs", 0.5), ("p99, µs", 0.99), ("p99.9, µs", 0.999)] {
        let (quiet, swapping) = (micros(&told.quiet, share), micros(&told.swapping, share));
        println!("{label:<12}{quiet:>12.2}{swapping:>12.2}{:>8.2}", swapping / quiet);
    }
    let millis = |share| seen.times.percentile(share).as_secs_f64() * 1e3;
    println!("{} swaps: p50 {:.1} ms, p99 {:.1} ms", seen.times.len(), millis(0.5), millis(0.99));
    for (after, mib) in &seen.resident {
        let first = seen.resident[0].1;
        println!("resident after swap {after}: {mib:.1} MiB ({:+.1} %)", (mib / first - 1.0) * 100.0);
    }
    println!("failed {}, mixed {}, wrong {}", told.failed, told.mixed, told.wrong);
}
