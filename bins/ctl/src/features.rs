//! `features migrate`, `features build`, `features check`, and the way to `ingest` and `join`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;
use jiff::Timestamp;
use serve_app::{Exit, ExitReason};
use serve_core::words::with_causes;
use serve_features::{
    BuildError, BuildRequest, Declarations, FeatureSet, FeatureStore, Retriever, RetrieverParts,
    StoreOptions, StoreUrl, TableColumn, TableFile, build, migrate_store, parse_timestamp, tables_of,
};

use crate::args::{Args, Features};
use crate::config::CtlConfig;
use crate::ingest::{self, Destination};
use crate::{join, print};

pub(crate) fn run(config: &CtlConfig, command: Features) -> Result<(), Exit> {
    match command {
        Features::Migrate => {
            let url = config.store_url()?;
            if *url == StoreUrl::Memory {
                return Err(Exit::told(ExitReason::Config, "a store in memory has no tables to migrate"));
            }
            migrate_store(url, StoreOptions::default())
                .map_err(|error| Exit::because(ExitReason::Unavailable, error))?;
            match tables_of(url) {
                [] => print(&format!("{url} needs no tables")),
                tables => print(&format!("{url} is up to date: it has the tables {}", tables.join(", "))),
            }
        }
        Features::Ingest { table, set, declarations, file } => {
            let destination = Destination::of(table.as_deref(), set.as_deref())?;
            ingest::run(config, &destination, &file, declarations.as_deref())
        }
        Features::Build { declarations, set, from, to, output, store } => {
            let request = BuildRequest { entities: None, from: time(from)?, to: time(to)?, store };
            if let (Some(from), Some(to)) = (request.from, request.to)
                && from >= to
            {
                let message = format!("--from {from} is not before --to {to}");
                Args::command().error(ErrorKind::ValueValidation, message).exit();
            }
            let declarations = declared(config, declarations.as_deref())?;
            let set = declarations.get(&set).ok_or_else(|| undeclared(&set, &declarations))?;
            run_build(config, set, &request, output.as_deref())
        }
        Features::Check { declarations } => check(config, declared(config, declarations.as_deref())?),
        Features::Join(join) => join::run(config, &join),
    }
}

/// How long a store has to answer at least.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells of each declared set what somebody should look at. What is told is no failure: a set may be built later. That rows
/// cannot be looked at is one.
fn check(config: &CtlConfig, declarations: Declarations) -> Result<(), Exit> {
    let store = config.store()?;
    let runtime = crate::runtime()?;
    let _entered = runtime.enter();
    let (mut config, clock) = (config.features.clone(), Arc::new(Timestamp::now));
    // Nobody waits as a request does.
    config.timeout = config.timeout.max(PATIENCE);
    let asked = Some(Arc::clone(&store));
    let retriever = Retriever::new(RetrieverParts { store: asked, declarations, config, clock });
    let mut unseen = 0;
    for set in retriever.declarations().sets() {
        let report = runtime.block_on(retriever.report(set.name()));
        let report = report.map_err(|error| Exit::because(ExitReason::Unavailable, error))?;
        let features = set.features().len();
        print(&format!("{}: {features} features, {} entities looked at", set.name(), report.sampled))?;
        let deep = runtime.block_on(retriever.depth_warnings(set));
        report.warnings.iter().for_each(|told| eprintln!("{}: {told}", set.name()));
        deep.iter().for_each(|told| eprintln!("{told}"));
        unseen += usize::from(!report.looked);
    }
    match unseen {
        0 => Ok(()),
        sets => {
            let message = format!("the rows of {sets} sets could not be looked at");
            // A sampled set says no more than that it could not be sampled.
            let asked = runtime.block_on(store.ping());
            let why = asked.map_or_else(|error| format!(": {}", with_causes(&error)), |()| String::new());
            Err(Exit::told(ExitReason::Unavailable, message + &why))
        }
    }
}

fn data(error: impl std::error::Error) -> Exit {
    Exit::because(ExitReason::Data, error)
}

/// The declared sets.
pub(crate) fn declared(config: &CtlConfig, path: Option<&Path>) -> Result<Declarations, Exit> {
    let Some(path) = path.or(config.features.declarations.as_deref()) else {
        return Err(Exit::told(
            ExitReason::NoInput,
            "say where the sets are declared: --declarations features.yaml",
        ));
    };
    Declarations::load(path).map_err(data)
}

fn undeclared(set: &str, declarations: &Declarations) -> Exit {
    let known: Vec<&str> = declarations.sets().iter().map(|set| set.name().as_str()).collect();
    Exit::told(ExitReason::Data, format!("no feature set {set:?} is declared, only {}", known.join(", ")))
}

fn time(text: Option<String>) -> Result<Option<Timestamp>, Exit> {
    text.map(|text| parse_timestamp(&text).map_err(data)).transpose()
}

fn run_build(
    config: &CtlConfig,
    set: &FeatureSet,
    request: &BuildRequest,
    output: Option<&Path>,
) -> Result<(), Exit> {
    if output.is_none() && !request.store {
        let message = "say where the rows go: --output FILE.csv, --store, or both";
        return Err(Exit::told(ExitReason::Data, message));
    }
    let columns: Vec<_> = set.feature_names().map(|name| (name.to_owned(), TableColumn::Number)).collect();
    let (store, runtime) = (config.store()?, crate::runtime()?);
    runtime.block_on(check_rows(set, &*store))?;
    let mut table = output.map(|path| create(path, &columns)).transpose()?;
    let bar = ingest::bar(None, "building");
    let mut taken = |computed: &serve_features::Computed, rows: std::ops::Range<usize>| {
        bar.inc(rows.len() as u64);
        let Some(table) = &mut table else { return Ok(()) };
        let rows: Vec<_> = computed.rows_in(rows).collect();
        table.write(&rows)
    };
    let built = runtime.block_on(build(set, &*store, request, &mut taken)).map_err(unbuilt)?;
    bar.finish_and_clear();
    if built.rows == 0 {
        eprintln!("no rows: {} has none of the times asked for", set.name());
    }
    if let (Some(table), Some(path)) = (table, output) {
        table.finish().map_err(|error| unwritable(path, &error))?;
        print(&format!("{} rows of {} written to {}", built.rows, set.name(), path.display()))?;
    }
    if request.store {
        print(&format!("{} rows of {} written to the store", built.rows, set.name()))?;
    }
    if built.rejected > 0 {
        eprintln!("{} rows were left out: a feature with `missing: reject` had no value", built.rejected);
    }
    if built.rows > 0 && !built.valueless.is_empty() {
        let names = built.valueless.join(", ");
        eprintln!(
            "no row has a value of {names}: a window is longer than the history, or an expression never has one"
        );
    }
    built.unreadable.iter().for_each(|unreadable| eprintln!("{unreadable}"));
    match built.unreadable.len() {
        0 => Ok(()),
        left_out => {
            let message = format!("{left_out} entities were left out: a raw row of theirs cannot be read");
            Err(Exit::told(ExitReason::Data, message))
        }
    }
}

/// A set whose first table has no rows at all is a mistake: another store, or nothing ingested yet.
async fn check_rows(set: &FeatureSet, store: &dyn FeatureStore) -> Result<(), Exit> {
    let (Some(raw), Some(source)) = (store.raw(), set.sources().first()) else { return Ok(()) };
    let found = raw.raw_entities(source.table.clone(), None, 1).await;
    if found.map_err(|error| Exit::because(ExitReason::Unavailable, error))?.is_empty() {
        let message = format!("{} cannot be built: the store has no rows of {}", set.name(), source.table);
        return Err(Exit::told(ExitReason::Data, message));
    }
    Ok(())
}

fn unbuilt(error: BuildError) -> Exit {
    let reason = match &error {
        BuildError::NoRaw { .. } => ExitReason::Config,
        BuildError::Read(_) | BuildError::Write(_) => ExitReason::Unavailable,
        BuildError::Sink(_) => ExitReason::CannotCreate,
        _ => ExitReason::Data,
    };
    Exit::because(reason, error)
}

/// A file for rows.
pub(crate) fn create(path: &Path, columns: &[(String, TableColumn)]) -> Result<TableFile, Exit> {
    TableFile::create(path, columns).map_err(|error| unwritable(path, &error))
}

/// A file that rows cannot be written to.
pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Exit {
    Exit::told(ExitReason::CannotCreate, format!("{} cannot be written: {error}", path.display()))
}
