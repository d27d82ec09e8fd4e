//! `delete` and `prune`.

use serve_app::{Exit, ExitReason};
use serve_core::ModelName;
use serve_registry::prune::{Fate, Pruned};
use serve_registry::{DeleteError, PruneOptions, Storage};

use crate::args::Prune;
use crate::config::CtlConfig;
use crate::print;
use crate::registry::{storage, version_of};
use crate::table::aligned;

pub(crate) fn delete(config: &CtlConfig, version: &str) -> Result<(), Exit> {
    let registry = config.storage()?;
    let (name, version) = version_of(&*registry, version)?;
    registry.delete(&name, &version).map_err(|error| match error {
        DeleteError::Storage(error) => storage(error),
        in_use @ DeleteError::InUse { .. } => Exit::because(ExitReason::Temporary, in_use),
        other => Exit::because(ExitReason::Data, other),
    })?;
    print(&format!("{name}@{version} is deleted"))
}

pub(crate) fn prune(config: &CtlConfig, args: &Prune) -> Result<(), Exit> {
    let registry = config.storage()?;
    let options = PruneOptions {
        keep: args.keep,
        older_than: args.older_than,
        now: jiff::Timestamp::now(),
        dry_run: args.dry_run,
    };
    let models = match &args.name {
        Some(name) => vec![name.clone()],
        None => registry.models().map_err(storage)?,
    };
    let mut rows = Vec::new();
    for name in &models {
        rows.extend(pruned(&*registry, name, &options)?);
    }
    if rows.is_empty() {
        return print("the registry is empty");
    }
    let gone = rows.iter().filter(|row| row[3] != STAYS).count();
    print(&aligned(["MODEL", "VERSION", "MADE", "WHAT", "WHY"], &rows))?;
    let deleted = if args.dry_run { "would be deleted" } else { "deleted" };
    print(&format!("{gone} of {} version(s) {deleted}", rows.len()))
}

const STAYS: &str = "stays";

fn pruned(
    registry: &dyn Storage,
    name: &ModelName,
    options: &PruneOptions,
) -> Result<Vec<[String; 5]>, Exit> {
    let row = |Pruned { version, created, fate }| {
        let made = created.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let (what, why) = match fate {
            Fate::Goes if options.dry_run => ("would go", "-".to_owned()),
            Fate::Goes => ("gone", "-".to_owned()),
            Fate::Stays(reason) => (STAYS, reason.to_string()),
        };
        [name.to_string(), ToString::to_string(&version), made, what.to_owned(), why]
    };
    let pruned = serve_registry::prune(registry, name, options).map_err(storage)?;
    Ok(pruned.into_iter().map(row).collect())
}
