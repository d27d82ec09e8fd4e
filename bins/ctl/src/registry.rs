//! `list` and `show`, and what every command on a registry needs.

use serde::Serialize;
use serve_app::{Exit, ExitReason};
use serve_core::{Manifest, Metrics, ModelName, ModelRef, ModelVersion, Selector};
use serve_registry::{DeploymentError, ModelSnapshot, Storage, StorageError, VersionState};

use crate::config::CtlConfig;
use crate::inspect::trainer;
use crate::print;
use crate::shown::Shown;
use crate::table::aligned;

pub(crate) fn storage(error: StorageError) -> Exit {
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
    let (value, direction) = (metrics.holdout.get(name)?, metrics.direction().as_str());
    let rows = metrics.holdout_rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
    Some(format!("{name} {value:.4} ({direction}{rows})"))
}

pub(crate) fn show(config: &CtlConfig, model: &str) -> Result<(), Exit> {
    let reference = parse(model)?;
    if model.contains('@') {
        return show_version(config, &reference);
    }
    let registry = config.registry()?;
    let snapshot = registry.model(reference.name.as_str()).ok_or_else(|| unknown(&reference.name))?;
    let rows: Vec<_> =
        snapshot.versions.iter().rev().map(|published| version_row(&snapshot, published)).collect();
    let described_by =
        snapshot.champion().or_else(|| snapshot.versions.last().map(|published| &published.version));
    if let Some(manifest) = described_by.and_then(|v| registry.manifest(&reference.name, v).ok()) {
        print(&described(&manifest))?;
    }
    print(&aligned(["VERSION", "STATE", "ALIASES", "HELD-OUT", "GOLDEN ROWS"], &rows))?;
    if let Some(pinned) = pinned(&snapshot) {
        print(&pinned)?;
    }
    for (version, refusal) in &snapshot.refused {
        print(&format!("{version} is refused: {}", refusal.reason))?;
    }
    Ok(())
}

fn show_version(config: &CtlConfig, reference: &ModelRef) -> Result<(), Exit> {
    let registry = config.registry_of(config.storage()?)?;
    let deployment = registry.deployment(reference).map_err(|error| match error {
        unknown @ DeploymentError::UnknownModel { .. } => Exit::because(ExitReason::NoInput, unknown),
        other => Exit::because(ExitReason::Data, other),
    })?;
    let made = registry.explanations(&deployment);
    let made = made.map_err(|error| Exit::because(ExitReason::System, error))?;
    let manifest = deployment.manifest();
    let bundle = registry.storage().bundle(&manifest.name, &manifest.version).map_err(storage)?;
    let shown = Shown::new(manifest, made, &bundle).map_err(|error| storage(error.into()))?;
    print(&json(&shown)?)
}

/// The version that `NAME@VERSION` or `NAME@ALIAS` means.
pub(crate) fn version_of(registry: &dyn Storage, text: &str) -> Result<(ModelName, ModelVersion), Exit> {
    let ModelRef { name, selector } = parse(text)?;
    let version = match selector {
        Selector::Version(version) => version,
        Selector::Alias(alias) if text.contains('@') => {
            if registry.versions(&name).map_err(storage)?.is_empty() {
                return Err(unknown(&name));
            }
            let aliases = registry.aliases(&name).map_err(storage)?;
            let missing = || format!("model {:?} has no alias {:?}", name.as_str(), alias.as_str());
            let target = aliases.target(alias.as_str()).cloned();
            target.ok_or_else(|| Exit::told(ExitReason::NoInput, missing()))?
        }
        _ => {
            let told = format!("{text:?} does not say which version: expected NAME@VERSION or NAME@ALIAS");
            return Err(Exit::told(ExitReason::Data, told));
        }
    };
    Ok((name, version))
}

/// As it is printed for machines.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Exit> {
    serde_json::to_string_pretty(value).map_err(|error| Exit::because(ExitReason::Software, error))
}

fn pinned(model: &ModelSnapshot) -> Option<String> {
    let step = model.aliases.pinned()?;
    let version = model.aliases.target("champion")?;
    let why = step.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    Some(format!("pinned to {version} by {} since {:.0}{why}", step.by, step.at))
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

pub(crate) fn parse(model: &str) -> Result<ModelRef, Exit> {
    model.parse().map_err(|error| Exit::because(ExitReason::Data, error))
}

pub(crate) fn unknown(name: &ModelName) -> Exit {
    Exit::told(ExitReason::NoInput, format!("unknown model {:?}", name.as_str()))
}
