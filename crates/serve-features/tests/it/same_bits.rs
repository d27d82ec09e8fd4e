//! Offline over the whole history, on demand from the newest raw rows and any earlier state, and on a stream: the same bits
//! of every feature at every row. The set is that of [`super::lookahead`].

use std::sync::Arc;

use jiff::{Span, Timestamp};
use proptest::prelude::*;
use serve_core::Value;
use serve_features::{
    BoxFuture, Entity, FeatureRow, FeatureSet, FeatureSetName, FeatureStore, FeatureStream, MemoryStore,
    OnDemandRequest, RawRequest, RawRow, RawSlot, RawStore, RawTable, RetrieveError, SourceFrames,
    StoredState, WriteError, on_demand,
};

use super::lookahead::{DELAYS, rows, set, text};
use super::{block_on, entity};

type Generated = Vec<(i64, Vec<f64>)>;

const PRICE: [&str; 5] = ["open", "high", "low", "close", "volume"];

fn minute(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(Span::new().minutes(minute)).expect("is in range")
}

/// Raw rows; those of one moment are told apart by a text.
fn raw(generated: &Generated, names: &[&str], texts: bool) -> Vec<RawRow> {
    let (mut at, mut rows) = (0, Vec::new());
    for (i, (gap, values)) in generated.iter().enumerate() {
        at += gap;
        let number = |x: f64| if x.is_nan() { Value::Missing } else { Value::Number(x) };
        let mut columns: Vec<(Arc<str>, Value<'static>)> =
            names.iter().zip(values).map(|(name, x)| (Arc::from(*name), number(*x))).collect();
        if texts {
            columns.push(("text".into(), Value::Text(format!("{i} {}", text(60 * at)).into())));
        }
        rows.push(RawRow::new(entity("A"), minute(at), columns));
    }
    rows
}

/// A history, and what the offline build makes of it.
struct History {
    set: FeatureSet,
    price: Vec<RawRow>,
    news: Vec<RawRow>,
    offline: Vec<FeatureRow>,
}

impl History {
    fn new(prices: &Generated, news: &Generated) -> Self {
        let (price, news) = (raw(prices, &PRICE, false), raw(news, &["score"], true));
        let mut history = Self { set: set(), price, news, offline: Vec::new() };
        history.offline =
            history.set.compute(&entity("A"), &history.frames()).expect("computes").rows().collect();
        history
    }

    fn frames(&self) -> SourceFrames {
        let frame = |table: RawTable, rows: &[RawRow]| table.frame(rows, &entity("A")).expect("is a frame");
        SourceFrames::from([
            ("price".to_owned(), frame(RawTable::Price, &self.price)),
            ("news".to_owned(), frame(RawTable::Sentiment, &self.news)),
        ])
    }

    fn store(&self, checkpoint: Option<Timestamp>) -> MemoryStore {
        let store = MemoryStore::new();
        let raw = store.raw().expect("keeps raw rows");
        block_on(raw.write_raw(RawTable::Price, self.price.clone())).expect("writes");
        block_on(raw.write_raw(RawTable::Sentiment, self.news.clone())).expect("writes");
        let moments: Vec<Timestamp> = checkpoint.into_iter().collect();
        let states = self.set.compute_with_states(&entity("A"), &self.frames(), &moments);
        let (_, states) = states.expect("computes");
        block_on(raw.write_states(self.set.name().clone(), states)).expect("writes");
        store
    }
}

/// Reads a part of what is asked, so that short histories have to be read deeper too.
#[derive(Debug)]
struct Shallow<'a>(&'a dyn RawStore, usize);

impl RawStore for Shallow<'_> {
    fn read_raw(&self, mut request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        request.depth.rows = request.depth.rows.div_ceil(self.1);
        self.0.read_raw(request)
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.0.write_raw(table, rows)
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        self.0.raw_entities(table, after, limit)
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        self.0.read_states(set, declaration, entities, as_of)
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        self.0.write_states(set, states)
    }
}

fn demanded(
    set: &FeatureSet,
    raw: &dyn RawStore,
    as_of: Timestamp,
    max_rows: usize,
) -> Option<(FeatureRow, bool)> {
    let request = OnDemandRequest { entities: vec![entity("A")], as_of, deadline: None, max_rows };
    let mut slots = block_on(on_demand(set, raw, request)).expect("reads");
    assert_eq!(slots.len(), 1);
    slots.pop().expect("is one").expect("nothing is rejected").map(|found| (found.row, found.warm))
}

/// What differs, if anything does.
fn difference(found: Option<&(FeatureRow, bool)>, expected: Option<&FeatureRow>) -> Option<String> {
    match (found, expected) {
        (None, None) => None,
        (Some((row, true)), Some(expected)) if row.timestamp() == expected.timestamp() => {
            let pairs = row.features().zip(expected.features()).filter(|(a, b)| a != b);
            let told: Vec<String> =
                pairs.map(|((name, a), (_, b))| format!("{name}: {a:?}, expected {b:?}")).collect();
            (!told.is_empty()).then(|| told.join("\n"))
        }
        (found, expected) => Some(format!("{found:?}, expected {expected:?}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn on_demand_gives_the_row_of_the_offline_build(
        prices in rows(5, 1),
        news in rows(1, 0),
        checkpoint in prop::option::of(0..800i64),
        later in 0..1200i64,
        shallow in prop_oneof![Just(1usize), Just(64), Just(200)],
    ) {
        let history = History::new(&prices, &news);
        let store = history.store(checkpoint.map(minute));
        let raw = Shallow(store.raw().expect("keeps raw rows"), shallow);
        let as_of = minute(checkpoint.unwrap_or(0) + later);
        let expected = history.offline.iter().rev().find(|row| row.timestamp() <= as_of);
        let found = demanded(&history.set, &raw, as_of, 1 << 20);
        prop_assert_eq!(difference(found.as_ref(), expected), None);
    }

    #[test]
    fn every_row_from_every_state(prices in rows(5, 1), news in rows(1, 0), checkpoint in 0..800i64) {
        let history = History::new(&prices, &news);
        let store = history.store(Some(minute(checkpoint)));
        let raw = Shallow(store.raw().expect("keeps raw rows"), 100);
        for row in &history.offline {
            let found = demanded(&history.set, &raw, row.timestamp(), 1 << 20);
            prop_assert_eq!(difference(found.as_ref(), Some(row)), None);
        }
    }

    #[test]
    fn a_stream_that_goes_on_from_a_store_gives_the_rest_of_the_offline_build(
        prices in rows(5, 1),
        news in rows(1, 0),
        checkpoint in prop::option::of(0..800i64),
        until in 0..1000i64,
        mut steps in prop::collection::vec(0..1600i64, 0..20),
        shallow in prop_oneof![Just(1usize), Just(64), Just(200)],
    ) {
        let history = History::new(&prices, &news);
        let mut stored = History::new(&prices, &news);
        // Some of what becomes visible later is in the store already, and comes again.
        let seen = minute(until + 20);
        stored.price.retain(|row| row.timestamp <= seen);
        stored.news.retain(|row| row.timestamp <= seen);
        let store = stored.store(checkpoint.filter(|at| *at <= until).map(minute));
        let raw = Shallow(store.raw().expect("keeps raw rows"), shallow);
        let entities = [entity("A")];
        let stream = FeatureStream::resume(&history.set, &raw, &entities, minute(until));
        let mut stream = block_on(stream).expect("resumes");
        for (rows, table, delay) in
            [(&history.price, RawTable::Price, DELAYS[0]), (&history.news, RawTable::Sentiment, DELAYS[1])]
        {
            let later = rows.iter().filter(|row| row.timestamp > minute(until - delay)).cloned().collect();
            stream.push(&table, later).expect("is not late");
        }
        steps.sort_unstable();
        steps.push(100_000);
        let given: Vec<FeatureRow> =
            steps.into_iter().flat_map(|step| stream.advance(minute(step)).expect("advances")).collect();
        let expected = history.offline.iter().filter(|row| row.timestamp() > minute(until));
        prop_assert_eq!(given, expected.cloned().collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_gives_the_rows_of_the_offline_build(
        prices in rows(5, 1),
        news in rows(1, 0),
        mut steps in prop::collection::vec(0..1600i64, 0..60),
    ) {
        let history = History::new(&prices, &news);
        let mut stream = FeatureStream::new(&history.set).expect("is declared");
        let mut waiting: Vec<(Timestamp, RawTable, RawRow)> = Vec::new();
        for (rows, table, delay) in
            [(&history.price, RawTable::Price, DELAYS[0]), (&history.news, RawTable::Sentiment, DELAYS[1])]
        {
            waiting.extend(rows.iter().map(|row| {
                let visible = row.timestamp.checked_add(Span::new().minutes(delay)).expect("is in range");
                (visible, table.clone(), row.clone())
            }));
        }
        steps.sort_unstable();
        steps.push(100_000);
        let mut given = Vec::new();
        for step in steps {
            let now = minute(step);
            let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, ..)| *at <= now);
            waiting = rest;
            for (_, table, row) in ready {
                stream.push(&table, vec![row]).expect("is not late");
            }
            given.extend(stream.advance(now).expect("advances"));
        }
        prop_assert_eq!(given, history.offline);
    }
}
