//! The 56 features of `models/features.yaml`: on demand over 500 raw rows, built over a history, and put by name into the
//! order of a signature. Times are CPU time of this process, so that what else the machine does counts little.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use jiff::Timestamp;
use serve_benches::timing::process_cpu;
use serve_core::{CheckedRow, Signature, Value};
use serve_features::{
    BoxFuture, Column, Declarations, Entity, FeatureRow, FeatureSet, FeatureSetName, Frame, OnDemandRequest,
    RawRequest, RawRow, RawRows, RawSlot, RawStore, RawTable, RetrieveError, SourceFrames, StoredState,
    WriteError, on_demand,
};

/// Nothing comes with the request.
const NONE: &[(&str, Value<'_>)] = &[];
const DECLARED: &str = include_str!("../../models/features.yaml");

/// CPU time of all threads, told as wall time is.
struct CpuTime(WallTime);

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        process_cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        process_cpu().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

/// Raw rows that lie ready: what is measured is not a database.
#[derive(Debug)]
struct Ready(SourceFrames);

impl RawStore for Ready {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        let source = if request.table == RawTable::Price { "price" } else { "sentiment" };
        let frame = self.0[source].clone();
        Box::pin(std::future::ready(Ok(vec![Ok(RawRows { frame, complete: true })])))
    }

    fn write_raw(&self, _: RawTable, _: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn raw_entities(
        &self,
        _: RawTable,
        _: Option<Entity>,
        _: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn read_states(
        &self,
        _: FeatureSetName,
        _: String,
        entities: Vec<Entity>,
        _: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        Box::pin(std::future::ready(Ok(vec![None; entities.len()])))
    }

    fn write_states(&self, _: FeatureSetName, _: Vec<StoredState>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Nothing here waits.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A random walk of daily prices, and a score a day.
fn history(days: i64) -> SourceFrames {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut price = 100.0;
    let mut columns: [Vec<f64>; 6] = Default::default();
    for _ in 0..days {
        price *= 1.0 + (next() - 0.5) / 50.0;
        let day = [price, price * 1.01, price * 0.99, price * (1.0 + (next() - 0.5) / 100.0), 1e6 * next()];
        columns.iter_mut().zip(day.into_iter().chain([next()])).for_each(|(column, x)| column.push(x));
    }
    let timestamps =
        || (0..days).map(|day| Timestamp::from_second(day * 3_600).unwrap_or_default()).collect();
    let [open, high, low, close, volume, score] = columns;
    let named = ["open", "high", "low", "close", "volume"].map(Arc::<str>::from);
    let price = named.into_iter().zip([open, high, low, close, volume]).collect();
    let news = vec![("vader".into(), Column::Numbers(score))];
    SourceFrames::from([
        ("price".to_owned(), Frame::new(timestamps(), price).unwrap_or_default()),
        ("sentiment".to_owned(), Frame::of(timestamps(), news).unwrap_or_default()),
    ])
}

fn demand(set: &FeatureSet, store: &Ready, entity: &Entity) -> Option<FeatureRow> {
    let request = OnDemandRequest {
        entities: vec![entity.clone()],
        as_of: Timestamp::MAX,
        deadline: None,
        max_rows: 500,
    };
    ready(on_demand(set, store, request))?.ok()?.pop()?.ok()?.map(|found| found.row)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let declarations = Declarations::parse(DECLARED)?;
    let set = declarations.get("vader").ok_or("models/features.yaml declares vader")?;
    let entity: Entity = "BTC/USD".parse()?;
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime(WallTime))
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();

    let recent = Ready(history(500));
    let row = demand(set, &recent, &entity).ok_or("the row is there")?;
    criterion.bench_function("features/on demand over 500 rows", |b| {
        b.iter(|| demand(black_box(set), &recent, &entity));
    });

    let mut names: Vec<&str> = set.feature_names().collect();
    let declared = Signature::of_numbers(names.iter().copied())?;
    names.sort_unstable();
    let sorted = Signature::of_numbers(names)?;
    for (order, signature) in [("declared", declared), ("another", sorted)] {
        let mut checked = CheckedRow::new();
        criterion.bench_function(&format!("features/by name in {order} order"), |b| {
            b.iter(|| signature.read_mixed(NONE, black_box(&row).features(), &mut checked));
        });
    }

    let days = 100_000;
    let frames = history(days);
    let mut group = criterion.benchmark_group("features");
    group.throughput(Throughput::Elements(days as u64)).sample_size(10);
    group.bench_function("built over 100,000 rows", |b| {
        b.iter(|| set.compute(black_box(&entity), &frames));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
