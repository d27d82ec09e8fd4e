//! `verify`: proves versions as a server would before it serves them, on all cores.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serve_app::{Exit, ExitReason};
use serve_core::manifest::GoldenSummary;
use serve_core::{Digest, ModelLoader, ModelName, ModelVersion, Selector};
use serve_registry::signature::claimed_key;
use serve_registry::{Deployment, Storage};

use crate::config::CtlConfig;
use crate::print;
use crate::registry::{json, parse, storage, unknown};

/// A version to prove, or a model whose versions nobody knows.
struct Task {
    name: ModelName,
    version: Result<ModelVersion, String>,
}

/// What became of one.
#[derive(Serialize)]
struct Outcome {
    model: ModelName,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<ModelVersion>,
    proven: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    proof: Option<Proof>,
}

#[derive(Serialize)]
struct Proof {
    digest: Digest,
    golden: GoldenSummary,
    load_ms: f64,
    /// The key that the signature names; checked where keys are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<Digest>,
}

#[derive(Serialize)]
struct Report<'a> {
    proven: usize,
    refused: usize,
    versions: &'a [Outcome],
}

pub(crate) fn run(config: &CtlConfig, model: Option<&str>, as_json: bool) -> Result<(), Exit> {
    let (registry, loader) = (config.storage()?, config.loader()?);
    let tasks = tasks(&*registry, model)?;
    let bar = bar(tasks.len());
    let mut outcomes = Vec::with_capacity(tasks.len());
    prove_all(&*registry, &*loader, &tasks, &bar, |outcome| {
        if !as_json {
            bar.suspend(|| print(&outcome.told()))?;
        }
        outcomes.push(outcome);
        Ok(())
    })?;
    bar.finish_and_clear();
    let proven = outcomes.iter().filter(|outcome| outcome.proven).count();
    let refused = outcomes.len() - proven;
    if as_json {
        print(&json(&Report { proven, refused, versions: &outcomes })?)?;
    } else if outcomes.is_empty() {
        print("the registry is empty")?;
    } else {
        print(&format!("{proven} of {} version(s) proven", outcomes.len()))?;
    }
    match refused {
        0 => Ok(()),
        n => Err(Exit::told(ExitReason::Data, format!("{n} of {} version(s) refused", outcomes.len()))),
    }
}

fn tasks(registry: &dyn Storage, model: Option<&str>) -> Result<Vec<Task>, Exit> {
    let all = |name: &ModelName, versions: Vec<ModelVersion>| {
        let task = |version| Task { name: name.clone(), version: Ok(version) };
        versions.into_iter().map(task).collect::<Vec<_>>()
    };
    let Some(model) = model else {
        let mut tasks = Vec::new();
        for name in registry.models().map_err(storage)? {
            match registry.versions(&name) {
                Ok(versions) => tasks.extend(all(&name, versions)),
                Err(error) => tasks.push(Task { name, version: Err(storage(error).to_string()) }),
            }
        }
        return Ok(tasks);
    };
    let reference = parse(model)?;
    let versions = match reference.selector {
        Selector::Version(version) => vec![version],
        _ if !model.contains('@') => registry.versions(&reference.name).map_err(storage)?,
        _ => return Err(Exit::told(ExitReason::Data, "verify takes NAME for all versions, or NAME@VERSION")),
    };
    if versions.is_empty() { Err(unknown(&reference.name)) } else { Ok(all(&reference.name, versions)) }
}

/// On standard error, and only where that is a terminal.
fn bar(count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}");
    let bar = ProgressBar::new(count as u64);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}

/// Proves on every core; `done` is told of each outcome in the order of the tasks.
fn prove_all(
    registry: &dyn Storage,
    loader: &dyn ModelLoader,
    tasks: &[Task],
    bar: &ProgressBar,
    mut done: impl FnMut(Outcome) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let next = AtomicUsize::new(0);
    let (sender, outcomes) = mpsc::channel();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(tasks.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((at, task)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    tasks.get(at).map(|task| (at, task))
                } {
                    if sender.send((at, prove(registry, loader, task))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // Those that overtook one that is not proven yet.
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (at, outcome) in outcomes {
            bar.inc(1);
            waiting.insert(at, outcome);
            while let Some(outcome) = waiting.remove(&due) {
                due += 1;
                done(outcome)?;
            }
        }
        Ok(())
    })
}

fn prove(registry: &dyn Storage, loader: &dyn ModelLoader, task: &Task) -> Outcome {
    let outcome = |version: Option<&ModelVersion>, result: Result<Proof, String>| {
        let (proof, reason) = result.map_or_else(|reason| (None, Some(reason)), |proof| (Some(proof), None));
        let (model, version) = (task.name.clone(), version.cloned());
        Outcome { model, version, proven: proof.is_some(), reason, proof }
    };
    let version = match &task.version {
        Ok(version) => version,
        Err(reason) => return outcome(None, Err(reason.clone())),
    };
    let proof = Deployment::load(registry, loader, &task.name, version);
    let proof = proof.map_err(|error| error.reason.to_string()).map(|deployment| Proof {
        digest: deployment.digest(),
        golden: deployment.manifest().golden.clone(),
        load_ms: deployment.load_time().as_secs_f64() * 1e3,
        signed_by: registry
            .signature(&task.name, version)
            .ok()
            .flatten()
            .and_then(|bytes| claimed_key(&bytes).ok()),
    });
    outcome(Some(version), proof)
}

impl Outcome {
    fn told(&self) -> String {
        let name = match &self.version {
            Some(version) => format!("{}@{version}", self.model),
            None => self.model.to_string(),
        };
        match &self.proof {
            Some(Proof { digest, golden, load_ms, signed_by }) => {
                let signed = signed_by.map_or_else(String::new, |key| format!(", signed by {key}"));
                let (rows, by) = (golden.rows, &golden.by);
                format!("{name} proven: {rows} golden rows by {by}, {load_ms:.1} ms, digest {digest}{signed}")
            }
            None => format!("{name} is refused: {}", self.reason.as_deref().unwrap_or_default()),
        }
    }
}
