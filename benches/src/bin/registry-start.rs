//! What many registered models cost: opening the registry, the memory afterwards, following it, listing it.
//!
//! ```text
//! registry-start [MODELS [VERSIONS]]        10000 models of one version each where nothing is said
//! registry-start --only DIR                 the same of a registry that is there; nothing in it is changed
//! ```
//!
//! The models are copies of one tiny bundle: hard links but for their manifests, which have names of their own. File caches
//! are warm. Beside wall time stands the CPU time of the whole process, which other work on the machine changes less.
//! `poll` is what a server does every few seconds; the folders are older than two seconds, since younger ones are always
//! read.
#![allow(clippy::print_stdout, reason = "its table is its result")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serve_benches::timing::{median, process_cpu};
use serve_benches::{bundles, memory};
use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::{Directory, Registry, Storage};

type Failure = Box<dyn Error>;

const POLLS: usize = 5;
/// Longer than the registry takes a folder's time for too coarse to tell two changes apart.
const SETTLE: Duration = Duration::from_millis(2500);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--only", folder] => measure(Path::new(folder)).map(drop),
        [] => fresh(10_000, 1),
        [models] => models.parse().map_err(Failure::from).and_then(|models| fresh(models, 1)),
        [models, versions] => match (models.parse(), versions.parse()) {
            (Ok(models), Ok(versions)) => fresh(models, versions),
            _ => Err("usage: registry-start [MODELS [VERSIONS]] | --only DIR".into()),
        },
        _ => Err("usage: registry-start [MODELS [VERSIONS]] | --only DIR".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry-start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn version(number: usize) -> Result<ModelVersion, Failure> {
    Ok(format!("v{number}").parse()?)
}

/// A registry of so many models of so many versions each.
fn make(root: &Path, models: usize, versions: usize) -> Result<(), Failure> {
    let directory = Directory::create(root)?;
    let first: ModelName = "model-00000".parse()?;
    for number in 1..=versions {
        directory.publish(&bundles::small(&first, &version(number)?)?, "registry-start")?;
    }
    for at in 1..models {
        copy(&root.join("model-00000"), root, &format!("model-{at:05}"))?;
    }
    Ok(())
}

/// A model's folder under another name.
fn copy(from: &Path, root: &Path, name: &str) -> Result<(), Failure> {
    let to = root.join(name);
    fs::create_dir(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::hard_link(entry.path(), target)?;
            continue;
        }
        fs::create_dir(&target)?;
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            let target = target.join(file.file_name());
            if file.file_name() == "manifest.json" {
                fs::write(target, fs::read_to_string(file.path())?.replace("model-00000", name))?;
            } else {
                fs::hard_link(file.path(), target)?;
            }
        }
    }
    Ok(())
}

/// Runs it and prints how long it took.
fn timed<T>(label: &str, run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let (start, cpu) = (Instant::now(), process_cpu());
    let made = run()?;
    let (wall, cpu) = (start.elapsed(), process_cpu().saturating_sub(cpu));
    println!("{label:<34}{:>10.1}{:>10.1}", wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3);
    Ok(made)
}

fn measure(root: &Path) -> Result<Registry, Failure> {
    println!("{:<34}{:>10}{:>10}", "ms", "wall", "CPU");
    let before = memory::resident()?;
    let registry = timed("open", || Ok(Registry::open(root)?))?;
    let grown = memory::resident()?.saturating_sub(before);
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..POLLS {
        let (start, cpu) = (Instant::now(), process_cpu());
        registry.poll()?;
        walls.push(start.elapsed().as_secs_f64() * 1e3);
        cpus.push(process_cpu().saturating_sub(cpu).as_secs_f64() * 1e3);
    }
    println!("{:<34}{:>10.1}{:>10.1}", "poll, nothing changed (median)", median(walls), median(cpus));
    let models = timed("list all models", || Ok(registry.models().len()))?;
    println!("{models} models, {} of them loaded", registry.cache_stats().entries);
    let each = grown as f64 / models.max(1) as f64 / 1024.0;
    println!("opening took {:.1} MiB of memory, {each:.1} KiB a model", grown as f64 / f64::from(1 << 20));
    Ok(registry)
}

fn fresh(models: usize, versions: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    make(folder.path(), models, versions)?;
    std::thread::sleep(SETTLE);
    let registry = measure(folder.path())?;
    let (name, next): (ModelName, _) = ("model-00000".parse()?, version(versions + 1)?);
    let directory = Directory::open(folder.path())?;
    directory.publish(&bundles::small(&name, &next)?, "registry-start")?;
    timed("poll, one version more", || Ok(registry.poll()?))?;
    timed("promote it", || Ok(registry.promote(&name, &next, &Alias::champion(), "registry-start")?))?;
    timed("reload everything", || Ok(registry.reload()?))?;
    Ok(())
}
