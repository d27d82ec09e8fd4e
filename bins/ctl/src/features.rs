//! `features migrate`, `features ingest`, `features build`.

use std::path::Path;

use jiff::Timestamp;
use serve_app::{Exit, ExitReason};
use serve_features::{
    ColumnKind, Declarations, FeatureRow, FeatureSet, SqliteDatabase, SqliteOptions, StoreUrl, TableFile,
    parse_timestamp,
};

use crate::args::Features;
use crate::config::CtlConfig;
use crate::ingest::{self, Destination};
use crate::print;

pub(crate) fn run(config: &CtlConfig, command: Features) -> Result<(), Exit> {
    match command {
        Features::Migrate => {
            let path = sqlite_path(config)?;
            SqliteDatabase::migrate(path, SqliteOptions::default()).map_err(unavailable)?;
            print(&format!("{} is up to date", path.display()))
        }
        Features::Ingest { table, set, file } => {
            ingest::run(config, &Destination::of(table.as_deref(), set.as_deref())?, &file)
        }
        Features::Build { declarations, set, from, to, output, store } => {
            let window = Window { from: time(from)?, to: time(to)? };
            let declared = declared(config, declarations.as_deref(), &set)?;
            build(config, &declared, &window, output.as_deref(), store)
        }
    }
}

fn data(error: impl std::error::Error) -> Exit {
    Exit::because(ExitReason::Data, error)
}

fn unavailable(error: impl std::error::Error) -> Exit {
    Exit::because(ExitReason::Unavailable, error)
}

fn sqlite_path(config: &CtlConfig) -> Result<&Path, Exit> {
    match config.store_url()? {
        StoreUrl::Sqlite { path, .. } => Ok(path),
        _ => {
            Err(Exit::told(ExitReason::Config, "a store in memory ends with this program; use sqlite://FILE"))
        }
    }
}

fn database(config: &CtlConfig) -> Result<SqliteDatabase, Exit> {
    SqliteDatabase::open(sqlite_path(config)?, SqliteOptions::default()).map_err(unavailable)
}

fn declared(config: &CtlConfig, path: Option<&Path>, set: &str) -> Result<FeatureSet, Exit> {
    let path = path.or(config.features.declarations.as_deref());
    let Some(path) = path else {
        return Err(Exit::told(
            ExitReason::NoInput,
            "say where the sets are declared: --declarations features.yaml",
        ));
    };
    let declarations = Declarations::load(path).map_err(data)?;
    let found = declarations.get(set).cloned();
    found.ok_or_else(|| {
        Exit::told(ExitReason::Data, format!("{} declares no feature set {set:?}", path.display()))
    })
}

/// Which rows are kept: from the first time, up to and without the second.
struct Window {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Window {
    fn holds(&self, row: &FeatureRow) -> bool {
        let at = row.timestamp();
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

fn time(text: Option<String>) -> Result<Option<Timestamp>, Exit> {
    text.map(|text| parse_timestamp(&text).map_err(data)).transpose()
}

fn build(
    config: &CtlConfig,
    set: &FeatureSet,
    window: &Window,
    output: Option<&Path>,
    store: bool,
) -> Result<(), Exit> {
    if output.is_none() && !store {
        return Err(Exit::told(
            ExitReason::Data,
            "say where the rows go: --output FILE.csv, --store, or both",
        ));
    }
    let mut database = database(config)?;
    let mut rows = Vec::new();
    for entity in database.set_entities(set).map_err(unavailable)? {
        let computed = database.compute_set(set, &entity).map_err(data)?;
        rows.extend(computed.rows().filter(|row| window.holds(row)));
    }
    if let Some(path) = output {
        write(path, set, &rows).map_err(|error| {
            Exit::told(ExitReason::CannotCreate, format!("{} cannot be written: {error}", path.display()))
        })?;
        print(&format!("{} rows of {} written to {}", rows.len(), set.name(), path.display()))?;
    }
    if store {
        database.write_features(set.name(), &rows).map_err(unavailable)?;
        print(&format!("{} rows of {} written to the store", rows.len(), set.name()))?;
    }
    Ok(())
}

fn write(path: &Path, set: &FeatureSet, rows: &[FeatureRow]) -> std::io::Result<()> {
    let columns: Vec<_> = set.feature_names().map(|name| (name.to_owned(), ColumnKind::Number)).collect();
    let mut table = TableFile::create(path, &columns)?;
    table.write(rows)?;
    table.finish()
}
