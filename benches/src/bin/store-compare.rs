//! What the stores' seam costs: one cached row of 56 features through [`FeatureStore`] beside the bare client's own query
//! for the same row.
//!
//! ```text
//! eval "$(tests/databases start)"
//! cargo run --release -p serve-benches --bin store-compare
//! ```
//!
//! For each store three subjects take turns, 20 times: the client's query that gets the row's text and nothing more, the same
//! with the text decoded by serde_json into a `HashMap`, and ours. Counted is the CPU time of this process, all its threads; a
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
use serve_benches::timing::{median, process_cpu};
use serve_features::{
    Entity, FeatureRow, FeatureSetName, FeatureStore, FetchRequest, MemoryStore, PostgresStore, RedisCache,
    RedisCacheOptions, RedisStore, SqliteOptions, SqliteStore, StoreOptions, StoreUrl, parse_timestamp,
};

/// Turns of each subject.
const TURNS: usize = 20;
/// Features of a row.
const FEATURES: usize = 56;
/// Rows are of so many entities, asked one after another.
const ENTITIES: usize = 100;

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
    println!("| store | text | text and HashMap | ours | ours / text | ours / HashMap |");
    println!("|---|---|---|---|---|---|");
    sqlite().await?;
    if let Ok(server) = std::env::var("SERVE_TEST_POSTGRES") {
        postgres(&server).await?;
    }
    if let Ok(server) = std::env::var("SERVE_TEST_REDIS") {
        redis_store(&server).await?;
        redis_cache(&server).await?;
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
fn rows() -> Outcome<Vec<FeatureRow>> {
    let at = parse_timestamp("2026-11-21T12:00:00Z")?;
    let value = |entity: usize, i: usize| {
        let x = ((entity * FEATURES + i) as f64).sin() * 1e4;
        if i % 20 == 19 { f64::NAN } else { x / 7.0 }
    };
    let row = |e: usize| {
        let features = (0..FEATURES).map(|i| (format!("feature_{i:02}_mean").into(), value(e, i).into()));
        Ok(FeatureRow::new(entity(e)?, at, features.collect::<Vec<_>>()))
    };
    (0..ENTITIES).map(row).collect()
}

fn decoded(json: &str) -> HashMap<String, Option<f64>> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Prints one store's line: medians of CPU microseconds a row, and of the ratios.
async fn compare(
    name: &str,
    calls: usize,
    mut text: impl AsyncFnMut(usize) -> Outcome,
    mut map: impl AsyncFnMut(usize) -> Outcome,
    mut ours: impl AsyncFnMut(usize) -> Outcome,
) -> Outcome {
    let mut turns: [Vec<f64>; 3] = Default::default();
    for turn in 0..=TURNS {
        let costs =
            [cost(calls, &mut text).await?, cost(calls, &mut map).await?, cost(calls, &mut ours).await?];
        // The first turn warms caches and connections.
        if turn > 0 {
            turns.iter_mut().zip(costs).for_each(|(turns, cost)| turns.push(cost));
        }
    }
    let ratio = |to: &[f64]| median(turns[2].iter().zip(to).map(|(ours, theirs)| ours / theirs).collect());
    let ratios = (ratio(&turns[0]), ratio(&turns[1]));
    let [text, map, ours] = turns.map(median);
    println!("| {name} | {text:.2} | {map:.2} | {ours:.2} | {:.2} | {:.2} |", ratios.0, ratios.1);
    Ok(())
}

/// CPU microseconds a call.
async fn cost(calls: usize, call: &mut impl AsyncFnMut(usize) -> Outcome) -> Outcome<f64> {
    let start = process_cpu();
    for i in 0..calls {
        call(i % ENTITIES).await?;
    }
    Ok(process_cpu().saturating_sub(start).as_secs_f64() * 1e6 / calls as f64)
}

/// One row through the seam, held against what has to come.
async fn fetch(store: &dyn FeatureStore, set: &FeatureSetName, entity: &Entity) -> Outcome {
    let found = store.fetch(FetchRequest::newest(set.clone(), [entity.clone()])).await?;
    let features = found.iter().flatten().flatten().next().map_or(0, |row| row.features().len());
    black_box(&found);
    if features == FEATURES { Ok(()) } else { Err(format!("{features} features of {entity}").into()) }
}

async fn sqlite() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("features.db");
    let store = SqliteStore::open(&path, SqliteOptions::default())?;
    let (set, rows) = (set()?, rows()?);
    store.write(set.clone(), rows.clone()).await?;
    let bare = Connection::open(&path)?;
    let newest = "SELECT timestamp, features FROM feature_data
        WHERE feature_set_name = ?1 AND entity = ?2 AND timestamp <= ?3 ORDER BY timestamp DESC LIMIT 1";
    let (mut one, mut two) = (bare.prepare(newest)?, bare.prepare(newest)?);
    let text = |statement: &mut rusqlite::Statement<'_>, i: usize| {
        let sought = rusqlite::params![set.as_str(), rows[i].entity().as_str(), i64::MAX];
        statement.query_row(sought, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
    };
    compare(
        "SQLite",
        5000,
        async |i| {
            black_box(text(&mut one, i)?);
            Ok(())
        },
        async |i| {
            black_box(decoded(&text(&mut two, i)?.1));
            Ok(())
        },
        async |i| fetch(&store, &set, rows[i].entity()).await,
    )
    .await
}

/// Both without encryption, which would be most of the cost.
async fn postgres(server: &str) -> Outcome {
    let schema = format!("bench_{}", std::process::id());
    let StoreUrl::Postgres(url) = format!("{server}?sslmode=disable&schema={schema}").parse()? else {
        return Err("SERVE_TEST_POSTGRES is no postgres:// URL".into());
    };
    PostgresStore::migrate(&url, StoreOptions::default())?;
    let store = PostgresStore::open(&url, StoreOptions::default())?;
    let (set, rows) = (set()?, rows()?);
    store.write(set.clone(), rows.clone()).await?;
    let (bare, connection) =
        tokio_postgres::connect(&format!("{server}?sslmode=disable"), tokio_postgres::NoTls).await?;
    let driving = tokio::spawn(connection);
    let sql = format!(
        "SELECT features::text FROM {schema}.feature_data WHERE feature_set_name = $1 AND entity = $2
         ORDER BY timestamp DESC LIMIT 1"
    );
    let newest = bare.prepare(&sql).await?;
    let text = async |i: usize| {
        let row = bare.query_one(&newest, &[&set.as_str(), &rows[i].entity().as_str()]).await?;
        row.try_get::<_, String>(0)
    };
    let compared = compare(
        "PostgreSQL",
        500,
        async |i| {
            black_box(text(i).await?);
            Ok(())
        },
        async |i| {
            black_box(decoded(&text(i).await?));
            Ok(())
        },
        async |i| fetch(&store, &set, rows[i].entity()).await,
    )
    .await;
    bare.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    driving.abort();
    compared
}

/// A connection as the client's own documentation makes it.
async fn bare_redis(server: &str) -> Outcome<MultiplexedConnection> {
    Ok(redis::Client::open(server)?.get_multiplexed_async_connection().await?)
}

async fn redis_store(server: &str) -> Outcome {
    let StoreUrl::Redis(url) = format!("{server}?prefix=bench-store").parse()? else {
        return Err("SERVE_TEST_REDIS is no redis:// URL".into());
    };
    let store = RedisStore::open(&url, StoreOptions::default())?;
    let (set, rows) = (set()?, rows()?);
    store.write(set.clone(), rows.clone()).await?;
    let keys: Vec<String> = rows.iter().map(|row| format!("bench-store:s:{set}:{}", row.entity())).collect();
    let bare = bare_redis(server).await?;
    let text = async |i: usize| {
        let mut bare = bare.clone();
        let mut command = redis::cmd("ZRANGE");
        command.arg(&keys[i]).arg("+").arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(1);
        let mut found: Vec<String> = command.query_async(&mut bare).await?;
        found.pop().ok_or_else(|| redis::RedisError::from(std::io::Error::other("no row")))
    };
    compare(
        "Redis, as a store",
        1000,
        async |i| {
            black_box(text(i).await?);
            Ok(())
        },
        async |i| {
            black_box(decoded(&text(i).await?[16..]));
            Ok(())
        },
        async |i| fetch(&store, &set, rows[i].entity()).await,
    )
    .await
}

async fn redis_cache(server: &str) -> Outcome {
    let StoreUrl::Redis(url) = format!("{server}?prefix=bench-cache").parse()? else {
        return Err("SERVE_TEST_REDIS is no redis:// URL".into());
    };
    let (set, rows) = (set()?, rows()?);
    let inner = Arc::new(MemoryStore::new());
    inner.write(set.clone(), rows.clone()).await?;
    let options =
        RedisCacheOptions { timeout: std::time::Duration::from_secs(1), ..RedisCacheOptions::default() };
    let cache = RedisCache::open(&url, inner, options)?;
    let keys: Vec<String> = rows.iter().map(|row| format!("bench-cache:c:{set}:{}", row.entity())).collect();
    let bare = bare_redis(server).await?;
    let mut filled = bare.clone();
    while filled.mget::<_, Vec<Option<String>>>(&keys).await?.contains(&None) {
        for row in &rows {
            fetch(&cache, &set, row.entity()).await?;
        }
    }
    let text = async |i: usize| bare.clone().get::<_, String>(&keys[i]).await;
    let before = cache.counts();
    compare(
        "Redis, as a cache",
        1000,
        async |i| {
            black_box(text(i).await?);
            Ok(())
        },
        async |i| {
            black_box(decoded(&text(i).await?[16..]));
            Ok(())
        },
        async |i| fetch(&cache, &set, rows[i].entity()).await,
    )
    .await?;
    let missed = cache.counts().misses - before.misses;
    if missed == 0 { Ok(()) } else { Err(format!("{missed} rows were not in the cache").into()) }
}
