//! What takes long to compute is done where the program says, and is the same there.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use serve_features::{
    Declarations, FeatureStore, FeaturesConfig, MemoryStore, Mode, Piece, RawRow, RawTable, RetrieveRequest,
    Retrieved, Retriever, RetrieverParts, Threads, Unavailable, read_raw,
};

use super::{at, entity, set};

const DECLARED: &str = "
feature_sets:
  deep:
    entity: symbol
    sources: { price: { table: price_data } }
    features:
      mean: rolling_mean(close, 9000)
      spread: rolling_std(close, 9000)
      lowest: rolling_min(close, 9000)
      highest: rolling_max(close, 9000)
      total: rolling_sum(volume, 9000)
      change: return(close, 8000)
  flat:
    entity: symbol
    sources: { price: { table: price_data } }
    features:
      change: return(close, 1)
";

/// Counts pieces, and where they ran; does none of them where it is told so.
#[derive(Debug, Default)]
struct Noted {
    pieces: AtomicUsize,
    at: Mutex<Vec<ThreadId>>,
    idle: bool,
}

/// The same, with an owner that threads can share.
#[derive(Debug, Clone)]
struct Elsewhere(Arc<Noted>);

impl Threads for Elsewhere {
    fn run(&self, pieces: Vec<Piece>) {
        self.0.pieces.fetch_add(pieces.len(), Ordering::SeqCst);
        if self.0.idle {
            return;
        }
        let noted = Arc::clone(&self.0);
        thread::spawn(move || {
            noted.at.lock().expect("whole").push(thread::current().id());
            pieces.into_iter().for_each(|piece| piece());
        });
    }
}

fn prices(symbol: &str, rows: usize) -> Vec<RawRow> {
    let mut csv = String::from("symbol,timestamp,open,high,low,close,volume\n");
    for i in 0..rows {
        let (day, hour, minute) = (1 + i / 1_440, i / 60 % 24, i % 60);
        let close = 100 + (i * 7) % 31;
        writeln!(csv, "{symbol},2024-01-{day:02}T{hour:02}:{minute:02}:00Z,1,1,1,{close},1")
            .expect("text grows");
    }
    read_raw(&RawTable::Price, csv.as_bytes()).expect("reads")
}

async fn retriever() -> Retriever {
    let store = MemoryStore::new();
    for symbol in ["A", "B"] {
        let raw = store.raw().expect("keeps raw rows");
        raw.write_raw(RawTable::Price, prices(symbol, 10_000)).await.expect("writes");
    }
    let mut config = FeaturesConfig::default();
    config.on_demand.max_rows = 20_000;
    // The machine that runs this test may be slow.
    config.on_demand.timeout = Duration::from_secs(60);
    config.timeout = Duration::from_secs(60);
    let now = at("2024-01-08");
    Retriever::new(RetrieverParts {
        store: Some(Arc::new(store)),
        declarations: Declarations::parse(DECLARED).expect("is sound"),
        config: FeaturesConfig { max_age: serve_features::MaxAge::Unlimited, ..config },
        clock: Arc::new(move || now),
    })
}

async fn computed(retriever: &Retriever, name: &str) -> Vec<Result<Retrieved, Unavailable>> {
    let names = ["A", "B"].map(entity);
    let request = RetrieveRequest { mode: Mode::Compute, ..RetrieveRequest::cached(set(name), names) };
    retriever.retrieve(request).await.expect("answers")
}

#[tokio::test]
async fn deep_windows_are_computed_elsewhere_and_give_the_same() {
    let expected = computed(&retriever().await, "deep").await;
    assert!(expected.iter().all(Result::is_ok), "{expected:?}");
    let (retriever, noted) = (retriever().await, Arc::new(Noted::default()));
    retriever.compute_on(Arc::new(Elsewhere(Arc::clone(&noted))));
    assert_eq!(computed(&retriever, "deep").await, expected);
    assert_eq!(noted.pieces.load(Ordering::SeqCst), 2, "one an entity");
    assert!(noted.at.lock().expect("whole").iter().all(|at| *at != thread::current().id()));
    assert!(computed(&retriever, "flat").await.iter().all(Result::is_ok));
    assert_eq!(noted.pieces.load(Ordering::SeqCst), 2, "what is short stays where it is");
}

#[tokio::test]
async fn what_nobody_computes_is_an_error_and_no_wait() {
    let (retriever, noted) = (retriever().await, Arc::new(Noted { idle: true, ..Noted::default() }));
    retriever.compute_on(Arc::new(Elsewhere(noted)));
    for row in computed(&retriever, "deep").await {
        let error = row.expect_err("nobody computes");
        assert!(matches!(error, Unavailable::Computing { .. }), "{error:?}");
    }
}
