//! `list`, `show`, `verify`, `promote`, `rollback`, `history`.

use serve_app::{Exit, ExitReason};
use serve_core::{Alias, EngineLoader, Manifest, Metrics, ModelName, ModelRef, ModelVersion, Selector};
use serve_registry::{Deployment, ModelSnapshot, PromoteError, Storage, StorageError, VersionState};

use crate::config::CtlConfig;
use crate::importances::Shown;
use crate::inspect::trainer;
use crate::print;
use crate::table::aligned;

/// Who changes the registry, in the aliases' history.
pub(crate) const BY: &str = "serve-ctl";

fn storage(error: StorageError) -> Exit {
    let reason = match &error {
        StorageError::UnknownModel { .. }
        | StorageError::UnknownVersion { .. }
        | StorageError::NoRegistry { .. } => ExitReason::NoInput,
        StorageError::Bundle(_) | StorageError::Aliases { .. } => ExitReason::Data,
        _ => ExitReason::System,
    };
    Exit::because(reason, error)
}

pub(crate) fn list(config: &CtlConfig) -> Result<(), Exit> {
    let registry = config.registry()?;
    let dash = || "-".to_owned();
    let row = |model: &ModelSnapshot| {
        let about = model.summary();
        let text = |value: Option<&String>| value.cloned().unwrap_or_else(dash);
        let state = model.champion().map_or(VersionState::Refused, |version| model.state(version));
        [
            model.name.to_string(),
            model.champion().map_or_else(dash, ToString::to_string),
            state.as_str().to_owned(),
            model.versions.len().to_string(),
            text(about.and_then(|m| m.feature_set.as_ref())),
            text(about.and_then(|m| m.model_type.as_ref())),
            about.map_or_else(dash, |m| m.features.len().to_string()),
            about.and_then(|m| primary(&m.metrics)).unwrap_or_else(dash),
        ]
    };
    let rows: Vec<_> = registry.models().iter().map(|model| row(model)).collect();
    if rows.is_empty() {
        return print("the registry is empty");
    }
    print(&aligned(
        ["MODEL", "CHAMPION", "STATE", "VERSIONS", "FEATURE SET", "TYPE", "FEATURES", "HELD-OUT"],
        &rows,
    ))
}

fn primary(metrics: &Metrics) -> Option<String> {
    let name = metrics.primary.as_ref()?;
    Some(format!("{name} {:.4}", metrics.holdout.get(name)?))
}

pub(crate) fn show(config: &CtlConfig, model: &str) -> Result<(), Exit> {
    let reference = parse(model)?;
    let registry = config.registry()?;
    let snapshot = registry.model(reference.name.as_str()).ok_or_else(|| unknown(&reference.name))?;
    if model.contains('@') {
        let deployment =
            registry.deployment(&reference).map_err(|error| Exit::because(ExitReason::Data, error))?;
        let made = registry.explanations(&deployment);
        let made = made.map_err(|error| Exit::because(ExitReason::System, error))?;
        let json = serde_json::to_string_pretty(&Shown::new(deployment.manifest(), made));
        return print(&json.map_err(|error| Exit::because(ExitReason::Software, error))?);
    }
    let rows: Vec<_> =
        snapshot.versions.iter().rev().map(|published| version_row(&snapshot, published)).collect();
    let described_by =
        snapshot.champion().or_else(|| snapshot.versions.last().map(|published| &published.version));
    if let Some(manifest) = described_by.and_then(|v| registry.manifest(&reference.name, v).ok()) {
        print(&described(&manifest))?;
    }
    print(&aligned(["VERSION", "STATE", "ALIASES", "HELD-OUT", "GOLDEN ROWS"], &rows))?;
    for (version, refusal) in &snapshot.refused {
        print(&format!("{version} is refused: {}", refusal.reason))?;
    }
    Ok(())
}

fn described(manifest: &Manifest) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let file_version = manifest.hyperparameters.get("file_format").and_then(serde_json::Value::as_str);
    format!(
        "{}\n  predicts     {} ({})\n  feature set  {}\n  model type   {}\n  features     {}\n  trained by   {}\n",
        manifest.name,
        manifest.target.name,
        match manifest.target.task.classes() {
            [] => "regression".to_owned(),
            classes => classes.join(", "),
        },
        or_none(&manifest.feature_set),
        or_none(&manifest.model_type),
        manifest.signature.len(),
        trainer(&manifest.source.library, manifest.source.version.as_deref(), file_version),
    )
}

fn version_row(model: &ModelSnapshot, published: &serve_registry::snapshot::Published) -> [String; 5] {
    let version = &published.version;
    let aliases: Vec<_> = model
        .pointing
        .iter()
        .filter(|(_, to)| to.target == *version)
        .map(|(alias, _)| alias.as_str())
        .collect();
    let about = published.summary.as_deref();
    let golden = about.map(|m| format!("{} by {}", m.golden.rows, m.golden.by));
    let dash = || "-".to_owned();
    [
        version.to_string(),
        model.state(version).as_str().to_owned(),
        aliases.join(","),
        about.and_then(|m| primary(&m.metrics)).unwrap_or_else(dash),
        golden.unwrap_or_else(dash),
    ]
}

pub(crate) fn verify(config: &CtlConfig, model: &str) -> Result<(), Exit> {
    let reference = parse(model)?;
    let registry = config.storage()?;
    let versions = match &reference.selector {
        Selector::Version(version) => vec![version.clone()],
        _ if !model.contains('@') => registry.versions(&reference.name).map_err(storage)?,
        _ => return Err(Exit::told(ExitReason::Data, "verify takes NAME for all versions, or NAME@VERSION")),
    };
    if versions.is_empty() {
        return Err(unknown(&reference.name));
    }
    let mut refused = 0;
    for version in &versions {
        refused += usize::from(!verify_one(&*registry, &reference.name, version)?);
    }
    match refused {
        0 => Ok(()),
        n => Err(Exit::told(ExitReason::Data, format!("{n} of {} version(s) refused", versions.len()))),
    }
}

fn verify_one(registry: &dyn Storage, name: &ModelName, version: &ModelVersion) -> Result<bool, Exit> {
    match Deployment::load(registry, &EngineLoader, name, version) {
        Ok(deployment) => {
            let golden = &deployment.manifest().golden;
            let ms = deployment.load_time().as_secs_f64() * 1e3;
            let digest = deployment.digest();
            print(&format!(
                "{name}@{version} proven: {} golden rows by {}, {ms:.1} ms, digest {digest}",
                golden.rows, golden.by
            ))?;
            Ok(true)
        }
        Err(error) => {
            print(&error.to_string())?;
            Ok(false)
        }
    }
}

pub(crate) fn promote(
    config: &CtlConfig,
    name: &ModelName,
    version: &ModelVersion,
    alias: &Alias,
) -> Result<(), Exit> {
    let from = config.registry()?.promote(name, version, alias, BY).map_err(refused)?;
    print(&match from {
        Some(from) if from != *version => format!("{name}: {alias} moved from {from} to {version}"),
        // the first version of a model is its champion without a move
        _ => format!("{name}: {alias} is {version}"),
    })
}

pub(crate) fn rollback(config: &CtlConfig, name: &ModelName) -> Result<(), Exit> {
    let (from, to) = config.registry()?.rollback(name, BY).map_err(refused)?;
    print(&format!("{name}: champion moved back from {from} to {to}"))
}

fn refused(error: PromoteError) -> Exit {
    match error {
        PromoteError::Storage(error) => storage(error),
        other => Exit::because(ExitReason::Data, other),
    }
}

pub(crate) fn history(config: &CtlConfig, name: &ModelName) -> Result<(), Exit> {
    let registry = config.storage()?;
    if registry.versions(name).map_err(storage)?.is_empty() {
        return Err(unknown(name));
    }
    let aliases = registry.aliases(name).map_err(storage)?;
    let mut moves: Vec<_> = aliases
        .iter()
        .flat_map(|(alias, _)| aliases.history(alias.as_str()).iter().map(move |step| (alias, step)))
        .collect();
    moves.sort_by_key(|(_, step)| step.at);
    let rows: Vec<_> = moves
        .iter()
        .map(|(alias, step)| {
            let to = step.target.first().map_or_else(String::new, |target| target.version.to_string());
            let action = format!("{:?}", step.action).to_lowercase();
            [format!("{:.0}", step.at), alias.to_string(), action, to, step.by.clone()]
        })
        .collect();
    print(&aligned(["WHEN", "ALIAS", "WHAT", "TO", "BY"], &rows))
}

fn parse(model: &str) -> Result<ModelRef, Exit> {
    model.parse().map_err(|error| Exit::because(ExitReason::Data, error))
}

fn unknown(name: &ModelName) -> Exit {
    Exit::told(ExitReason::NoInput, format!("unknown model {:?}", name.as_str()))
}
