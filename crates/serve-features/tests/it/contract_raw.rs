//! What every store must do with raw rows and states, run against each of them.

use std::time::Instant;

use serve_core::Value;
use serve_features::{
    Depth, FeatureStore, Frame, RawRequest, RawRow, RawRows, RawStore, RawTable, RetrieveError, StoredState,
    WriteError,
};

use super::contract;
use super::{at, block_on, entity, readable, set};

/// Runs a check against an empty store of each kind that keeps raw rows.
fn every_store(check: impl Fn(&dyn FeatureStore)) {
    contract::every_store(|store| {
        if store.raw().is_some() {
            check(store);
        }
    });
}

fn raw(store: &dyn FeatureStore) -> &dyn RawStore {
    store.raw().expect("keeps raw rows")
}

fn events() -> RawTable {
    "payments".parse().expect("is a table")
}

fn raw_row(name: &str, moment: &str, values: &[(&str, Value<'static>)]) -> RawRow {
    let values = values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    RawRow::new(entity(name), at(moment), values)
}

fn candle(name: &str, moment: &str, close: f64) -> RawRow {
    raw_row(name, moment, &[("close", close.into())])
}

fn news(moment: &str, text: &'static str, scores: &[(&str, Value<'static>)]) -> RawRow {
    let mut values = vec![("text", Value::Text(text.into()))];
    values.extend(scores.iter().cloned());
    raw_row("A", moment, &values)
}

fn write(store: &dyn FeatureStore, table: &RawTable, rows: Vec<RawRow>) {
    block_on(raw(store).write_raw(table.clone(), rows)).expect("writes");
}

fn request(table: &RawTable, names: &[&str], depth: Depth) -> RawRequest {
    let entities = names.iter().map(|name| entity(name)).collect();
    RawRequest { table: table.clone(), entities, until: None, depth, deadline: None }
}

fn read(store: &dyn FeatureStore, request: RawRequest) -> Vec<RawRows> {
    readable(block_on(raw(store).read_raw(request)).expect("reads"))
}

fn whole(store: &dyn FeatureStore, table: &RawTable, name: &str) -> Frame {
    read(store, request(table, &[name], Depth::ALL)).remove(0).frame
}

/// Which days of January a frame has.
fn days(rows: &RawRows) -> (Vec<i8>, bool) {
    let day = |at: &jiff::Timestamp| at.to_string()[8..10].parse().expect("is a day");
    (rows.frame.timestamps().iter().map(day).collect(), rows.complete)
}

#[test]
fn a_depth_is_what_is_later_and_so_many_rows_before() {
    every_store(|store| {
        let moments = ["2024-01-03", "2024-01-01", "2024-01-05", "2024-01-02", "2024-01-04"];
        write(store, &RawTable::Price, moments.iter().map(|day| candle("A", day, 1.0)).collect());
        let found = |until: Option<&str>, since: Option<&str>, rows| {
            let depth = Depth { since: since.map(at), rows };
            let mut request = request(&RawTable::Price, &["A"], depth);
            request.until = until.map(at);
            days(&read(store, request)[0])
        };
        assert_eq!(found(None, None, 2), (vec![4, 5], false), "{store:?}");
        assert_eq!(found(None, None, 5), (vec![1, 2, 3, 4, 5], true));
        assert_eq!(found(None, None, 0), (vec![], false));
        assert_eq!(found(Some("2024-01-03"), None, 2), (vec![2, 3], false));
        assert_eq!(found(None, Some("2024-01-03"), 0), (vec![4, 5], false));
        assert_eq!(found(None, Some("2024-01-03"), 2), (vec![2, 3, 4, 5], false));
        assert_eq!(found(None, Some("2024-01-03"), 3), (vec![1, 2, 3, 4, 5], true));
        assert_eq!(found(Some("2024-01-02"), Some("2024-01-04"), 1), (vec![2], false));
        assert_eq!(found(Some("2023-01-01"), None, 3), (vec![], true));
        let all = read(store, request(&RawTable::Price, &["A"], Depth::ALL));
        assert_eq!(days(&all[0]), (vec![1, 2, 3, 4, 5], true));
    });
}

#[test]
fn raw_rows_come_one_slot_an_entity_in_the_order_asked() {
    every_store(|store| {
        let rows = [("B", "2024-01-01", 1.0), ("A", "2024-01-01", 2.0), ("A", "2024-01-02", 3.0)];
        let rows = rows.map(|(name, day, close)| candle(name, day, close));
        write(store, &RawTable::Price, rows.to_vec());
        let slots = read(store, request(&RawTable::Price, &["A", "none", "B", "A"], Depth::newest(1)));
        let closes: Vec<_> =
            slots.iter().map(|slot| slot.frame.column("close").map(<[f64]>::to_vec)).collect();
        assert_eq!(closes, [Some(vec![3.0]), Some(vec![]), Some(vec![1.0]), Some(vec![3.0])], "{store:?}");
        assert_eq!(slots.iter().map(|slot| slot.complete).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(slots[1].frame.names().collect::<Vec<_>>(), ["close", "high", "low", "open", "volume"]);
        assert_eq!(read(store, request(&RawTable::Price, &[], Depth::ALL)), []);
    });
}

#[test]
fn a_candle_is_replaced_and_one_that_comes_twice_in_a_batch_is_the_last() {
    every_store(|store| {
        let full = raw_row("A", "2024-01-01", &[("close", 1.0.into()), ("volume", 5.0.into())]);
        write(store, &RawTable::Price, vec![full, candle("A", "2024-01-02", f64::NAN)]);
        write(
            store,
            &RawTable::Price,
            vec![candle("A", "2024-01-01", 2.0), candle("A", "2024-01-01", 0.1 + 0.2)],
        );
        let frame = whole(store, &RawTable::Price, "A");
        assert_eq!(format!("{:?}", frame.column("close")), "Some([0.30000000000000004, NaN])", "{store:?}");
        assert_eq!(format!("{:?}", frame.column("volume")), "Some([NaN, NaN])");
    });
}

#[test]
fn scores_of_a_text_are_merged_also_within_a_batch() {
    every_store(|store| {
        let (day, text) = ("2024-01-01", "to the moon");
        let vader = news(day, text, &[("score", 0.5.into()), ("neutral", 0.1.into())]);
        let finbert = news(day, text, &[("finbert", 0.9.into())]);
        let gone = news(day, text, &[("neutral", Value::Missing), ("b", 1.0.into())]);
        write(store, &RawTable::Sentiment, vec![vader.clone(), finbert]);
        write(store, &RawTable::Sentiment, vec![gone, news(day, "other", &[("neutral", 1.0.into())])]);
        let frame = whole(store, &RawTable::Sentiment, "A");
        let place =
            frame.texts("text").and_then(|texts| texts.iter().position(|said| said.as_deref() == Some(text)));
        let score = |name| frame.column(name).map(|column| column[place.expect("is there")].to_string());
        assert_eq!(frame.len(), 2, "{store:?}");
        assert_eq!(score("score").as_deref(), Some("0.5"));
        assert_eq!(score("finbert").as_deref(), Some("0.9"));
        assert_eq!(score("neutral").as_deref(), Some("NaN"));
        assert_eq!(score("b").as_deref(), Some("1"));
        write(store, &RawTable::Sentiment, vec![news(day, text, &[("score", Value::Missing)])]);
        let frame = whole(store, &RawTable::Sentiment, "A");
        assert!(frame.column("score").is_some_and(|score| score.iter().any(|x| x.is_nan())));
    });
}

#[test]
fn an_event_that_is_there_stays_and_others_of_its_moment_are_rows_of_their_own() {
    every_store(|store| {
        let event = |amount: f64| {
            let values = [
                ("amount", amount.into()),
                ("kind", Value::Text("näive\n\"x\"".into())),
                ("ok", Value::Bool(true)),
            ];
            raw_row("A", "2024-01-01", &values)
        };
        let rows =
            vec![event(1.0), event(2.0), event(1.0), raw_row("A", "2024-01-02", &[("other", 3.0.into())])];
        write(store, &events(), rows.clone());
        write(store, &events(), vec![event(2.0)]);
        let frame = whole(store, &events(), "A");
        // One of the two that are alike; in the order of the digests, as without a store.
        let direct = events().frame(&[&rows[..2], &rows[3..]].concat(), &entity("A")).expect("is a frame");
        assert_eq!(format!("{frame:?}"), format!("{direct:?}"), "{store:?}");
        let other: RawTable = "refunds".parse().expect("is a table");
        assert!(whole(store, &other, "A").is_empty());
    });
}

#[test]
fn a_column_of_texts_and_numbers_reads_as_either_whatever_the_order() {
    let values: [Value<'static>; 4] =
        [Value::Text("late".into()), 12345.0.into(), Value::Bool(true), Value::Missing];
    for turn in 0..values.len() {
        every_store(|store| {
            let row = |i: usize| {
                let from = (i + turn) % values.len();
                raw_row("A", &format!("2024-01-0{}", from + 1), &[("x", values[from].clone())])
            };
            write(store, &events(), (0..values.len()).map(row).collect());
            let frame = whole(store, &events(), "A");
            assert_eq!(format!("{:?}", frame.column("x")), "Some([NaN, 12345.0, 1.0, NaN])", "{store:?}");
            let said: Vec<_> =
                frame.texts("x").into_iter().flatten().map(|said| said.as_deref().unwrap_or("-")).collect();
            assert_eq!(said, ["late", "12345", "true", "-"], "{store:?}");
        });
    }
}

#[test]
fn a_row_that_its_table_cannot_hold_keeps_the_others_out() {
    every_store(|store| {
        let rows = vec![candle("A", "2024-01-01", 1.0), candle("B", "2024-01-01", f64::INFINITY)];
        let error = block_on(raw(store).write_raw(RawTable::Price, rows)).expect_err("is refused");
        assert!(matches!(error, WriteError::RawNotStorable { column, .. } if column == "close"), "{store:?}");
        assert!(whole(store, &RawTable::Price, "A").is_empty());
    });
}

#[test]
fn entities_are_listed_page_by_page() {
    every_store(|store| {
        let names = ["b", "B", "a", "É", "_"];
        for table in [RawTable::Price, RawTable::Sentiment, events()] {
            let rows =
                names.iter().flat_map(|name| ["2024-01-01", "2024-01-02"].map(|day| raw_row(name, day, &[])));
            write(store, &table, rows.collect());
            let page = |after: Option<&str>, limit| {
                let listed = block_on(raw(store).raw_entities(table.clone(), after.map(entity), limit));
                listed.expect("lists").iter().map(|entity| entity.as_str().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(page(None, 10), ["B", "_", "a", "b", "É"], "{store:?} {table}");
            assert_eq!(page(None, 2), ["B", "_"]);
            assert_eq!(page(Some("_"), 2), ["a", "b"]);
            assert_eq!(page(Some("É"), 2), Vec::<String>::new());
        }
        let other: RawTable = "refunds".parse().expect("is a table");
        assert_eq!(block_on(raw(store).raw_entities(other, None, 10)).expect("lists"), []);
    });
}

#[test]
fn raw_work_past_its_deadline_is_refused() {
    every_store(|store| {
        write(store, &RawTable::Price, vec![candle("A", "2024-01-01", 1.0)]);
        let mut late = request(&RawTable::Price, &["A"], Depth::ALL);
        late.deadline = Some(Instant::now());
        let error = block_on(raw(store).read_raw(late)).expect_err("is too late");
        assert!(matches!(error, RetrieveError::RawDeadline { table: RawTable::Price }), "{store:?}");
    });
}

fn state(name: &str, moment: &str, declaration: &str, state: &str) -> StoredState {
    let (entity, timestamp) = (entity(name), at(moment));
    StoredState { entity, timestamp, declaration: declaration.into(), state: state.into() }
}

fn states(
    store: &dyn FeatureStore,
    names: &[&str],
    declaration: &str,
    as_of: Option<&str>,
) -> Vec<Option<String>> {
    let entities = names.iter().map(|name| entity(name)).collect();
    let found = raw(store).read_states(set("vader"), declaration.to_owned(), entities, as_of.map(at));
    block_on(found).expect("reads").into_iter().map(|state| state.map(|state| state.state)).collect()
}

#[test]
fn the_newest_state_of_the_same_declaration_is_found() {
    every_store(|store| {
        let written = vec![
            state("A", "2024-01-01", "d1", "one"),
            state("A", "2024-01-02", "d1", "two"),
            state("A", "2024-01-03", "d2", "three"),
            state("B", "2024-01-01", "d1", "old"),
            state("B", "2024-01-01", "d1", "four"),
        ];
        block_on(raw(store).write_states(set("vader"), written)).expect("writes");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            states(store, &["B", "C", "A"], "d1", None),
            [some("four"), None, some("two")],
            "{store:?}"
        );
        assert_eq!(states(store, &["A"], "d1", Some("2024-01-01T12:00:00Z")), [some("one")]);
        assert_eq!(states(store, &["A"], "d2", None), [some("three")]);
        assert_eq!(states(store, &["A"], "d3", None), [None]);
        let replaced = vec![state("A", "2024-01-02", "d2", "five")];
        block_on(raw(store).write_states(set("vader"), replaced)).expect("writes");
        assert_eq!(states(store, &["A"], "d1", None), [some("one")]);
    });
}

#[test]
fn rows_that_come_late_forget_the_states_that_do_not_know_them() {
    every_store(|store| {
        let days = ["2024-01-01", "2024-01-02", "2024-01-03"];
        for name in ["A", "B"] {
            let written = days.map(|day| state(name, day, "d", day)).to_vec();
            block_on(raw(store).write_states(set("vader"), written)).expect("writes");
        }
        write(store, &RawTable::Price, vec![candle("A", "2024-01-05", 1.0), candle("A", "2024-01-02", 1.0)]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(states(store, &["A", "B"], "d", None), [some(days[0]), some(days[2])], "{store:?}");
        write(store, &events(), vec![raw_row("B", "2023-01-01", &[("x", 1.0.into())])]);
        assert_eq!(states(store, &["A", "B"], "d", None), [some(days[0]), None]);
    });
}

#[test]
fn rows_that_are_there_already_forget_no_state() {
    every_store(|store| {
        let candles = || vec![candle("A", "2024-01-01", 1.0), candle("A", "2024-01-02", 2.0)];
        let scored =
            |score: f64| vec![news("2024-01-01", "up", &[("score", score.into()), ("x", 0.5.into())])];
        let unscored = || vec![news("2024-01-02", "down", &[("x", 0.25.into())])];
        let event = |x: f64| vec![raw_row("A", "2024-01-01", &[("x", x.into())])];
        let (price, sentiment) = (RawTable::Price, RawTable::Sentiment);
        for (table, rows) in [
            (&price, candles()),
            (&sentiment, scored(0.5)),
            (&sentiment, unscored()),
            (&events(), event(1.0)),
        ] {
            write(store, table, rows.clone());
            block_on(raw(store).write_states(set("vader"), vec![state("A", "2024-01-03", "d", "s")]))
                .expect("writes");
            write(store, table, rows);
            assert_eq!(states(store, &["A"], "d", None), [Some("s".to_owned())], "{table} {store:?}");
        }
        let other = vec![candle("A", "2024-01-01", 1.0), candle("A", "2024-01-02", 2.5)];
        for (table, rows) in [(&price, other), (&sentiment, scored(0.25)), (&events(), event(2.0))] {
            block_on(raw(store).write_states(set("vader"), vec![state("A", "2024-01-03", "d", "s")]))
                .expect("writes");
            write(store, table, rows);
            assert_eq!(states(store, &["A"], "d", None), [None], "{table} {store:?}");
        }
    });
}
