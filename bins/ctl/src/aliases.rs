//! `promote`, `rollback`, `pin`, `unpin`, `history`.

use serde::Serialize;
use serve_app::{Exit, ExitReason};
use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::aliases::{Action, Aliases, Move};
use serve_registry::{PromoteError, Registry};

use crate::args::Why;
use crate::config::CtlConfig;
use crate::registry::{json, storage, unknown};
use crate::table::aligned;
use crate::{person, print};

pub(crate) fn promote(
    registry: &Registry,
    name: &ModelName,
    version: &ModelVersion,
    alias: &Alias,
    why: &Why,
) -> Result<(), Exit> {
    let person = person::name();
    let from = registry.promote(name, version, alias, person::author(&person, why)).map_err(refused)?;
    print(&match from {
        Some(from) if from != *version => format!("{name}: {alias} moved from {from} to {version}"),
        // the first version of a model is its champion without a move
        _ => format!("{name}: {alias} is {version}"),
    })
}

pub(crate) fn rollback(registry: &Registry, name: &ModelName, why: &Why) -> Result<(), Exit> {
    let person = person::name();
    let (from, to) = registry.rollback(name, person::author(&person, why)).map_err(refused)?;
    print(&format!("{name}: champion moved back from {from} to {to}"))
}

pub(crate) fn pin(
    registry: &Registry,
    name: &ModelName,
    version: Option<&ModelVersion>,
    why: &Why,
) -> Result<(), Exit> {
    let person = person::name();
    let version = registry.pin(name, version, person::author(&person, why)).map_err(refused)?;
    print(&format!("{name} is pinned to {version}"))
}

pub(crate) fn unpin(registry: &Registry, name: &ModelName, why: &Why) -> Result<(), Exit> {
    let person = person::name();
    registry.unpin(name, person::author(&person, why)).map_err(refused)?;
    print(&format!("{name} is not pinned any more"))
}

fn refused(error: PromoteError) -> Exit {
    match error {
        PromoteError::Storage(error) => storage(error),
        other => Exit::because(ExitReason::Data, other),
    }
}

/// One line of a model's history.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    alias: &'a Alias,
    action: Action,
    /// Where the alias pointed before, if there was a before.
    from: Option<&'a ModelVersion>,
    to: Option<&'a ModelVersion>,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

pub(crate) fn history(config: &CtlConfig, name: &ModelName, as_json: bool) -> Result<(), Exit> {
    let registry = config.storage()?;
    if registry.versions(name).map_err(storage)?.is_empty() {
        return Err(unknown(name));
    }
    let aliases = registry.aliases(name).map_err(storage)?;
    let lines = lines(&aliases);
    if as_json {
        return print(&json(&lines)?);
    }
    let rows: Vec<_> = lines.iter().map(cells).collect();
    print(&aligned(["WHEN", "ALIAS", "WHAT", "FROM", "TO", "BY", "WHY"], &rows))
}

/// The moves of all aliases in the order of time, and those of one alias in its own order, whatever the clocks were that
/// told their times.
fn lines(aliases: &Aliases) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (alias, _) in aliases.iter() {
        let (mut from, mut latest) = (None, jiff::Timestamp::MIN);
        for step in aliases.history(alias.as_str()) {
            latest = latest.max(step.at);
            let to = target(step);
            lines.push((latest, line(alias, step, from)));
            from = to;
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn target(step: &Move) -> Option<&ModelVersion> {
    step.target.first().map(|target| &target.version)
}

fn line<'a>(alias: &'a Alias, step: &'a Move, from: Option<&'a ModelVersion>) -> Line<'a> {
    Line {
        at: format!("{:.0}", step.at),
        alias,
        action: step.action,
        from,
        to: target(step),
        by: &step.by,
        why: step.why.as_deref(),
    }
}

fn cells(line: &Line<'_>) -> [String; 7] {
    let version =
        |version: Option<&ModelVersion>| version.map_or_else(|| "-".to_owned(), ToString::to_string);
    [
        line.at.clone(),
        line.alias.to_string(),
        line.action.as_str().to_owned(),
        version(line.from),
        version(line.to),
        line.by.to_owned(),
        line.why.unwrap_or_default().replace(['\n', '\r'], " "),
    ]
}
