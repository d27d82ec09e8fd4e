//! What the stores' seam costs: one cached row of 56 features through [`FeatureStore`] beside the bare client's own query
//! for the same row.
//!
//! ```text
//! eval "$(tests/databases start)"
//! cargo run --release -p serve-benches --bin store-compare
//! ```
//!
//! Each store is asked twice: for rows of few entities in turn, whose text it has seen before, and for those of so many that
//! each text is new to it, as after every row was written anew. For each, four subjects take turns, 20 times: the client's
//! query that gets the row's text and nothing more; the same with the text decoded by serde_json into a struct of these 56
//! numbers, as who knows them all beforehand would write by hand; the same into a `HashMap`, as who does not; and ours. Counted is the CPU time of this process, all its threads; a
//! server's own is not in it. The ratios are medians over the turns, each of neighbours in time. A server that is not
//! named by `SERVE_TEST_POSTGRES` or `SERVE_TEST_REDIS` is left out.
#![allow(clippy::print_stdout, reason = "its lines are its result")]

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use rusqlite::Connection;
use serde::Deserialize;
use serve_benches::timing::{median, process_cpu};
use serve_features::{
    Entity, FeatureRow, FeatureSetName, FeatureStore, FetchRequest, MemoryStore, PostgresStore, RedisCache,
    RedisCacheOptions, RedisStore, SqliteOptions, SqliteStore, StoreOptions, StoreUrl, parse_timestamp,
};

/// Turns of each subject.
const TURNS: usize = 20;
/// Features of a row.
const FEATURES: usize = 56;
/// The digits of its moment before a row's text in Redis.
const STAMP: usize = 16;
/// Rows are of so many entities, asked one after another.
const FEW: usize = 100;
/// More than a store remembers rows of: what was asked first is forgotten before it is asked again.
const MANY: usize = 5000;

macro_rules! features {
    ($($name:ident)*) => {
        /// A row of which all names are known when the program is written.
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "what is measured is that it is made")]
        struct Known {
            $($name: Option<f64>),*
        }

        const NAMES: [&str; FEATURES] = [$(stringify!($name)),*];
    };
}

features! {
    feature_00_mean feature_01_mean feature_02_mean feature_03_mean feature_04_mean feature_05_mean feature_06_mean
    feature_07_mean feature_08_mean feature_09_mean feature_10_mean feature_11_mean feature_12_mean feature_13_mean
    feature_14_mean feature_15_mean feature_16_mean feature_17_mean feature_18_mean feature_19_mean feature_20_mean
    feature_21_mean feature_22_mean feature_23_mean feature_24_mean feature_25_mean feature_26_mean feature_27_mean
    feature_28_mean feature_29_mean feature_30_mean feature_31_mean feature_32_mean feature_33_mean feature_34_mean
    feature_35_mean feature_36_mean feature_37_mean feature_38_mean feature_39_mean feature_40_mean feature_41_mean
    feature_42_mean feature_43_mean feature_44_mean feature_45_mean feature_46_mean feature_47_mean feature_48_mean
    feature_49_mean feature_50_mean feature_51_mean feature_52_mean feature_53_mean feature_54_mean feature_55_mean
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome {
    println!(
        "| store | text | and struct | and HashMap | ours | ours / text | ours / struct | ours / HashMap |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for entities in [FEW, MANY] {
        sqlite(entities).await?;
        if let Ok(server) = std::env::var("SERVE_TEST_POSTGRES") {
            postgres(&server, entities).await?;
        }
        if let Ok(server) = std::env::var("SERVE_TEST_REDIS") {
            redis_store(&server, entities).await?;
            redis_cache(&server, entities).await?;
        }
    }
    Ok(())
}

fn set() -> Outcome<FeatureSetName> {
    Ok("vader".parse()?)
}

fn entity(i: usize) -> Outcome<Entity> {
    Ok(format!("COIN{i}/USD").parse()?)
}

/// Rows as computed features look: numbers of 15 to 17 digits, a missing value here and there.
fn rows(entities: usize) -> Outcome<Vec<FeatureRow>> {
    let at = parse_timestamp("2026-11-21T12:00:00Z")?;
    let value = |entity: usize, i: usize| {
        let x = ((entity * FEATURES + i) as f64).sin() * 1e4;
        if i % 20 == 19 { f64::NAN } else { x / 7.0 }
    };
    let row = |e: usize| {
        let features = NAMES.iter().enumerate().map(|(i, name)| ((*name).into(), value(e, i).into()));
        Ok(FeatureRow::new(entity(e)?, at, features))
    };
    (0..entities).map(row).collect()
}

/// The bare client's query for an entity's row, whose text begins behind so many bytes.
struct Bare<Q> {
    query: Q,
    skip: usize,
}

impl<Q: AsyncFnMut(usize) -> Outcome<String>> Bare<Q> {
    async fn text(&mut self, i: usize) -> Outcome {
        black_box((self.query)(i).await?);
        Ok(())
    }

    async fn known(&mut self, i: usize) -> Outcome {
        black_box(serde_json::from_str::<Known>(&(self.query)(i).await?[self.skip..])?);
        Ok(())
    }

    async fn map(&mut self, i: usize) -> Outcome {
        let text = (self.query)(i).await?;
        black_box(serde_json::from_str::<HashMap<String, Option<f64>>>(&text[self.skip..])?);
        Ok(())
    }
}

/// Prints one store's line: medians of CPU microseconds a row, and of the ratios.
async fn compare(
    name: &str,
    calls: usize,
    entities: usize,
    skip: usize,
    query: impl AsyncFnMut(usize) -> Outcome<String>,
    mut ours: impl AsyncFnMut(usize) -> Outcome,
) -> Outcome {
    let mut bare = Bare { query, skip };
    let mut turns: [Vec<f64>; 4] = Default::default();
    for turn in 0..=TURNS {
        // Each turn goes on where the one before it ended.
        let asked = (turn * calls..(turn + 1) * calls).map(|i| i % entities);
        let costs = [
            cost(asked.clone(), &mut async |i| bare.text(i).await).await?,
            cost(asked.clone(), &mut async |i| bare.known(i).await).await?,
            cost(asked.clone(), &mut async |i| bare.map(i).await).await?,
            cost(asked, &mut ours).await?,
        ];
        // The first turn warms caches and connections.
        if turn > 0 {
            turns.iter_mut().zip(costs).for_each(|(turns, cost)| turns.push(cost));
        }
    }
    let ratio = |to: &[f64]| median(turns[3].iter().zip(to).map(|(ours, theirs)| ours / theirs).collect());
    let ratios = [ratio(&turns[0]), ratio(&turns[1]), ratio(&turns[2])];
    let cells = turns.map(median).into_iter().chain(ratios);
    let cells: Vec<String> = cells.map(|cell| format!("{cell:.2}")).collect();
    let again = if entities == FEW { "asked again" } else { "new" };
    println!("| {name}, {again} | {} |", cells.join(" | "));
    Ok(())
}

/// CPU microseconds a call.
async fn cost(
    asked: impl ExactSizeIterator<Item = usize>,
    call: &mut impl AsyncFnMut(usize) -> Outcome,
) -> Outcome<f64> {
    let (start, calls) = (process_cpu(), asked.len());
    for i in asked {
        call(i).await?;
    }
    Ok(process_cpu().saturating_sub(start).as_secs_f64() * 1e6 / calls as f64)
}

/// One row through the seam, held against what has to come.
async fn fetch(store: &dyn FeatureStore, set: &FeatureSetName, entity: &Entity) -> Outcome {
    let found = store.fetch(FetchRequest::newest(set.clone(), [entity.clone()])).await?;
    let features = found.iter().flatten().flatten().next().map_or(0, |row| row.values().len());
    black_box(&found);
    if features == FEATURES { Ok(()) } else { Err(format!("{features} features of {entity}").into()) }
}

async fn sqlite(entities: usize) -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("features.db");
    let store = SqliteStore::open(&path, SqliteOptions::default())?;
    let (set, rows) = (set()?, rows(entities)?);
    store.write(set.clone(), rows.clone()).await?;
    let bare = Connection::open(&path)?;
    let newest = "SELECT timestamp, features FROM feature_data
        WHERE feature_set_name = ?1 AND entity = ?2 AND timestamp <= ?3 ORDER BY timestamp DESC LIMIT 1";
    let mut statement = bare.prepare(newest)?;
    let text = async |i: usize| {
        let sought = rusqlite::params![set.as_str(), rows[i].entity().as_str(), i64::MAX];
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        Ok(black_box(statement.query_row(sought, read)?).1)
    };
    compare("SQLite", 5000, entities, 0, text, async |i| fetch(&store, &set, rows[i].entity()).await).await
}

/// Both without encryption, which would be most of the cost.
async fn postgres(server: &str, entities: usize) -> Outcome {
    let schema = format!("bench_{}", std::process::id());
    let StoreUrl::Postgres(url) = format!("{server}?sslmode=disable&schema={schema}").parse()? else {
        return Err("SERVE_TEST_POSTGRES is no postgres:// URL".into());
    };
    PostgresStore::migrate(&url, StoreOptions::default())?;
    let store = PostgresStore::open(&url, StoreOptions::default())?;
    let (set, rows) = (set()?, rows(entities)?);
    store.write(set.clone(), rows.clone()).await?;
    let (bare, connection) =
        tokio_postgres::connect(&format!("{server}?sslmode=disable"), tokio_postgres::NoTls).await?;
    let driving = tokio::spawn(connection);
    let sql = format!(
        "SELECT timestamp, features::text FROM {schema}.feature_data WHERE feature_set_name = $1 AND entity = $2
         ORDER BY timestamp DESC LIMIT 1"
    );
    let newest = bare.prepare(&sql).await?;
    let text = async |i: usize| {
        let row = bare.query_one(&newest, &[&set.as_str(), &rows[i].entity().as_str()]).await?;
        // A row is its moment too, as SQLite's bare client reads it.
        black_box(row.try_get::<_, std::time::SystemTime>(0)?);
        Ok(row.try_get::<_, String>(1)?)
    };
    let ours = async |i: usize| fetch(&store, &set, rows[i].entity()).await;
    let compared = compare("PostgreSQL", 500, entities, 0, text, ours).await;
    bare.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    driving.abort();
    compared
}

/// A connection as the client's own documentation makes it.
async fn bare_redis(server: &str) -> Outcome<MultiplexedConnection> {
    Ok(redis::Client::open(server)?.get_multiplexed_async_connection().await?)
}

async fn redis_store(server: &str, entities: usize) -> Outcome {
    let StoreUrl::Redis(url) = format!("{server}?prefix=bench-store").parse()? else {
        return Err("SERVE_TEST_REDIS is no redis:// URL".into());
    };
    let store = RedisStore::open(&url, StoreOptions::default())?;
    let (set, rows) = (set()?, rows(entities)?);
    store.write(set.clone(), rows.clone()).await?;
    let keys: Vec<String> = rows.iter().map(|row| format!("bench-store:s:{set}:{}", row.entity())).collect();
    let bare = bare_redis(server).await?;
    let text = async |i: usize| {
        let mut bare = bare.clone();
        let mut command = redis::cmd("ZRANGE");
        command.arg(&keys[i]).arg("+").arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(1);
        let mut found: Vec<String> = command.query_async(&mut bare).await?;
        found.pop().ok_or_else(|| "no row".into())
    };
    let ours = async |i: usize| fetch(&store, &set, rows[i].entity()).await;
    compare("Redis, as a store", 1000, entities, STAMP, text, ours).await
}

async fn redis_cache(server: &str, entities: usize) -> Outcome {
    let StoreUrl::Redis(url) = format!("{server}?prefix=bench-cache").parse()? else {
        return Err("SERVE_TEST_REDIS is no redis:// URL".into());
    };
    let (set, rows) = (set()?, rows(entities)?);
    let inner = Arc::new(MemoryStore::new());
    inner.write(set.clone(), rows.clone()).await?;
    let options =
        RedisCacheOptions { timeout: std::time::Duration::from_secs(1), ..RedisCacheOptions::default() };
    let cache = RedisCache::open(&url, inner, options)?;
    let keys: Vec<String> = rows.iter().map(|row| format!("bench-cache:c:{set}:{}", row.entity())).collect();
    let bare = bare_redis(server).await?;
    let mut filled = bare.clone();
    // What is there may be a lease, for want of room behind the answers; that is no row.
    let is_row = |value: &Option<String>| value.as_ref().is_some_and(|value| value.len() > STAMP + FEATURES);
    while !filled.mget::<_, Vec<Option<String>>>(&keys).await?.iter().all(is_row) {
        for row in &rows {
            fetch(&cache, &set, row.entity()).await?;
        }
    }
    let text = async |i: usize| Ok(bare.clone().get::<_, String>(&keys[i]).await?);
    let before = cache.counts();
    let ours = async |i: usize| fetch(&cache, &set, rows[i].entity()).await;
    compare("Redis, as a cache", 1000, entities, STAMP, text, ours).await?;
    let missed = cache.counts().misses - before.misses;
    if missed == 0 { Ok(()) } else { Err(format!("{missed} rows were not in the cache").into()) }
}
