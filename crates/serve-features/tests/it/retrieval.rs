//! Retrieval through the public API, before a real SQLite file.

use std::sync::Arc;
use std::time::Duration;

use serve_features::{
    Declarations, FeatureStore, FeaturesConfig, IngestRequest, MaxAge, Mode, Origin, RawTable,
    RetrieveRequest, Retriever, RetrieverParts, SqliteOptions, SqliteStore, Unavailable, read_raw,
};

use super::{at, entity, row, set, x};

const DECLARED: &str = "
feature_sets:
  daily:
    entity: symbol
    sources: { price: { table: price_data, delay: 1d } }
    features:
      change: return(close, 1)
";

struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    retriever: Arc<Retriever>,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("features.db"), SqliteOptions::default());
    let store = Arc::new(store.expect("opens"));
    let config = FeaturesConfig {
        max_age: MaxAge::Limit(Duration::from_hours(24)),
        // The machine that runs this test may be slow.
        timeout: Duration::from_secs(60),
        ..FeaturesConfig::default()
    };
    let now = at("2024-01-03T12:00:00Z");
    let retriever = Retriever::new(RetrieverParts {
        store: Some(Arc::clone(&store) as _),
        declarations: Declarations::parse(DECLARED).expect("is sound"),
        config,
        clock: Arc::new(move || now),
    });
    Bench { _folder: folder, store, retriever: Arc::new(retriever) }
}

#[tokio::test]
async fn what_is_ingested_is_retrieved_with_its_age() {
    let bench = bench();
    let rows = vec![row("A", "2024-01-03", 1.0), row("B", "2024-01-01", 2.0)];
    let request = IngestRequest { set: set("ready"), rows, partial: false };
    assert_eq!(bench.retriever.ingest(request).await.expect("stores").written, 2);
    let names = ["B", "A", "'; drop table feature_data; --"].map(entity);
    let found =
        bench.retriever.retrieve(RetrieveRequest::cached(set("ready"), names)).await.expect("answers");
    assert!(
        matches!(&found[0], Err(Unavailable::Stale { stale, .. }) if stale.age_seconds == 2.5 * 86_400.0)
    );
    let fresh = found[1].as_ref().expect("is fresh");
    assert_eq!((x(Some(&fresh.row)), fresh.age_seconds), (Some(1.0.into()), 43_200.0));
    assert!(matches!(&found[2], Err(Unavailable::NoRow { .. })));
    let report = bench.retriever.report(&set("ready")).await.expect("samples");
    assert_eq!((report.sampled, report.stale), (2, 1));
}

#[tokio::test]
async fn auto_computes_from_raw_rows_what_is_not_stored() {
    let bench = bench();
    let csv = "symbol,timestamp,open,high,low,close,volume\nA,2024-01-01,1,1,1,100,1\nA,2024-01-02,1,1,1,150,1\n\
               A,2024-01-03,1,1,1,1,1\n";
    let rows = read_raw(&RawTable::Price, csv.as_bytes()).expect("reads");
    let raw = bench.store.raw().expect("keeps raw rows");
    raw.write_raw(RawTable::Price, rows).await.expect("stores");
    let request =
        RetrieveRequest { mode: Mode::Auto, ..RetrieveRequest::cached(set("daily"), [entity("A")]) };
    let found = bench.retriever.retrieve(request).await.expect("answers").remove(0).expect("computes");
    assert_eq!((found.origin, found.age_seconds), (Origin::Computed, 43_200.0));
    assert_eq!(found.row.get("change"), Some(&0.5.into()));
    let lineage = bench.retriever.lineage(&set("daily"), &entity("A"), None).await.expect("is traced");
    assert_eq!(lineage.sources[0].newest, Some(at("2024-01-02")));
    assert_eq!(lineage.features[0].reads, ["price.close"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stampede_from_many_threads_gets_one_answer_each() {
    let bench = bench();
    bench.store.write(set("ready"), vec![row("A", "2024-01-03", 1.0)]).await.expect("stores");
    let ask = |_| {
        let retriever = Arc::clone(&bench.retriever);
        tokio::spawn(async move {
            let request = RetrieveRequest::cached(set("ready"), ["A", "B"].map(entity));
            retriever.retrieve(request).await.map(|slots| slots[0].is_ok() && slots[1].is_err())
        })
    };
    for answer in (0..500).map(ask).collect::<Vec<_>>() {
        assert_eq!(answer.await.expect("runs"), Ok(true));
    }
    let counters = bench.retriever.counters();
    assert_eq!((counters.cached, counters.unavailable), (500, 500));
    assert_eq!(counters.cache.misses + counters.cache.joined, 1_000);
    assert_eq!(counters.store.failures, 0);
}
