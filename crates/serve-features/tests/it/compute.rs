//! What a declared set makes of its sources: joins, delays, policies.

use serve_core::Value;
use serve_features::{ComputeError, Computed, Declarations, Frame, RawTable, SourceFrames, read_raw};

use super::{at, entity};

fn prices(closes: &[(&str, f64)]) -> Frame {
    let mut lines = vec!["symbol,timestamp,open,high,low,close,volume".to_owned()];
    lines.extend(closes.iter().map(|(when, close)| format!("A,{when},1,1,1,{close},1")));
    let rows = read_raw(&RawTable::Price, lines.join("\n").as_bytes()).expect("reads");
    RawTable::Price.frame(&rows, &entity("A")).expect("is a frame")
}

fn news(lines: &str) -> Frame {
    let csv = format!("symbol,timestamp,text,score\n{lines}");
    let rows = read_raw(&RawTable::Sentiment, csv.as_bytes()).expect("reads");
    RawTable::Sentiment.frame(&rows, &entity("A")).expect("is a frame")
}

/// Computes `f` from the sources `price` and `news`, as declared.
fn compute(sources: &str, feature: &str, price: Frame, news: Frame) -> Result<Computed, ComputeError> {
    let yaml = format!(
        "feature_sets: {{ s: {{ entity: symbol, sources: {{ {sources} }}, features: {{ f: {feature} }} }} }}"
    );
    let declarations = Declarations::parse(&yaml).unwrap_or_else(|error| unreachable!("{error}"));
    let frames = SourceFrames::from([("price".to_owned(), price), ("news".to_owned(), news)]);
    declarations.get("s").expect("is declared").compute(&entity("A"), &frames)
}

/// Each row as `timestamp=value`.
fn shown(computed: &Computed) -> Vec<String> {
    let value = |value: Option<&Value<'_>>| match value {
        Some(Value::Number(x)) => x.to_string(),
        _ => "-".to_owned(),
    };
    computed.rows().map(|row| format!("{}={}", row.timestamp(), value(row.get("f")))).collect()
}

const BOTH: &str = "price: { table: price_data }, news: { table: sentiment_data }";

#[test]
fn a_row_sees_the_newest_score_of_its_moment_or_before() {
    let price = prices(&[("2024-01-01", 1.0), ("2024-01-02", 2.0), ("2024-01-03", 3.0)]);
    let news = news("A,2024-01-02,,0.5\nA,2024-01-02T00:00:01Z,,0.75\n");
    let computed = compute(BOTH, "news.score", price, news).expect("computes");
    let expected = ["2024-01-01T00:00:00Z=-", "2024-01-02T00:00:00Z=0.5", "2024-01-03T00:00:00Z=0.75"];
    assert_eq!(shown(&computed), expected);
}

#[test]
fn a_function_of_one_source_counts_that_sources_rows() {
    let price = prices(&[("2024-01-01", 1.0), ("2024-01-10", 2.0)]);
    let news = news("A,2024-01-02,,1\nA,2024-01-03,,2\nA,2024-01-04,,6\n");
    let computed = compute(BOTH, "\"rolling_mean(news.score, 3)\"", price, news).expect("computes");
    assert_eq!(shown(&computed), ["2024-01-01T00:00:00Z=-", "2024-01-10T00:00:00Z=3"]);
}

#[test]
fn a_function_of_two_sources_counts_the_first_ones_rows() {
    let price = prices(&[("2024-01-01", 1.0), ("2024-01-02", 2.0), ("2024-01-03", 3.0)]);
    let news = news("A,2024-01-01,,10\n");
    for feature in ["\"rolling_sum(close * news.score, 2)\"", "\"rolling_sum(news.score * close, 2)\""] {
        let computed = compute(BOTH, feature, price.clone(), news.clone()).expect("computes");
        let expected = ["2024-01-01T00:00:00Z=-", "2024-01-02T00:00:00Z=30", "2024-01-03T00:00:00Z=50"];
        assert_eq!(shown(&computed), expected, "{feature}");
    }
}

#[test]
fn a_score_older_than_its_source_allows_is_missing() {
    let sources = "price: { table: price_data }, news: { table: sentiment_data, join: as_of, max_age: 1d }";
    let price = prices(&[("2024-01-02", 1.0), ("2024-01-02T00:00:01Z", 2.0)]);
    let computed = compute(sources, "news.score", price, news("A,2024-01-01,,0.5\n")).expect("computes");
    assert_eq!(shown(&computed), ["2024-01-02T00:00:00Z=0.5", "2024-01-02T00:00:01Z=-"]);
}

#[test]
fn a_delay_moves_when_a_row_is_known_and_not_its_calendar() {
    let sources = "price: { table: price_data, delay: 1d }, news: { table: sentiment_data, delay: 1h }";
    let price = || prices(&[("2024-01-01", 1.0), ("2024-01-02", 2.0)]);
    let scores = || news("A,2024-01-01T23:00:00Z,,0.5\nA,2024-01-01T23:00:01Z,,0.75\n");
    let computed = compute(sources, "news.score", price(), scores()).expect("computes");
    // The candle of January 1st, stamped at its opening, is known on the 2nd; the second score an hour and a second later.
    assert_eq!(shown(&computed), ["2024-01-02T00:00:00Z=0.5", "2024-01-03T00:00:00Z=0.75"]);
    let computed = compute(sources, "day_of_month(timestamp)", price(), scores()).expect("computes");
    assert_eq!(shown(&computed), ["2024-01-02T00:00:00Z=1", "2024-01-03T00:00:00Z=2"]);
}

#[test]
fn of_events_of_one_moment_the_last_gives_the_row() {
    let sources = "news: { table: sentiment_data }";
    let events = news("A,2024-01-01,a,1\nA,2024-01-01,b,2\nA,2024-01-02,c,4\n");
    let computed = compute(sources, "\"rolling_sum(score, 2)\"", Frame::default(), events).expect("computes");
    assert_eq!(shown(&computed)[0], "2024-01-01T00:00:00Z=3");
    assert_eq!(computed.len(), 2);
}

#[test]
fn the_policy_says_what_a_missing_value_becomes() {
    let price = || prices(&[("2024-01-01", 2.0), ("2024-01-02", 4.0)]);
    let computed = |missing: &str| {
        let feature = format!("{{ expr: \"return(close, 1)\", missing: {missing} }}");
        compute(BOTH, &feature, price(), Frame::default()).expect("computes")
    };
    let filled = computed("{ constant: -0.5 }");
    assert_eq!(shown(&filled), ["2024-01-01T00:00:00Z=-0.5", "2024-01-02T00:00:00Z=1"]);
    assert_eq!((filled.filled(), filled.rejected()), (1, 0));
    let rejected = computed("reject");
    assert_eq!(shown(&rejected), ["2024-01-02T00:00:00Z=1"]);
    assert_eq!((rejected.filled(), rejected.rejected()), (0, 1));
    assert_eq!(shown(&computed("nan")), ["2024-01-01T00:00:00Z=-", "2024-01-02T00:00:00Z=1"]);
}

#[test]
fn a_value_that_is_not_finite_is_missing() {
    let price = prices(&[("2024-01-01", 0.0), ("2024-01-02", 1.0)]);
    let computed = compute(BOTH, "\"return(close, 1)\"", price, Frame::default()).expect("computes");
    assert_eq!(shown(&computed)[1], "2024-01-02T00:00:00Z=-");
}

#[test]
fn an_entity_without_rows_in_a_source_has_missing_values_there() {
    let price = prices(&[("2024-01-01", 3.0)]);
    let feature = "\"max(close, news.anything)\"";
    let computed = compute(BOTH, feature, price, Frame::default()).expect("computes");
    assert_eq!(shown(&computed), ["2024-01-01T00:00:00Z=-"]);
    assert_eq!(
        compute(BOTH, feature, Frame::default(), news("A,2024-01-01,,1\n")).map(|c| c.len()).ok(),
        None
    );
    let nobody = compute(BOTH, feature, Frame::default(), Frame::default()).expect("computes");
    assert!(nobody.is_empty());
}

#[test]
fn a_column_or_source_that_is_not_there_is_named() {
    let price = || prices(&[("2024-01-01", 1.0)]);
    let error = compute(BOTH, "news.scroe", price(), news("A,2024-01-01,,1\n")).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "feature \"f\" of set \"s\": source \"news\" has no column `scroe`, it has score, text"
    );
    let sources = "candles: { table: price_data }";
    let error = compute(sources, "close", price(), Frame::default()).expect_err("is refused");
    assert_eq!(error.to_string(), "feature set \"s\" needs the rows of source \"candles\"");
    let declarations = Declarations::parse("feature_sets: { s: { entity: x } }").expect("is sound");
    let error = declarations.sets()[0].compute(&entity("A"), &SourceFrames::new()).expect_err("is refused");
    assert_eq!(error.to_string(), "feature set \"s\" declares no features to compute");
}

#[test]
fn a_moment_past_the_last_gives_no_row() {
    let sources = "price: { table: price_data, delay: 36500d }";
    let price = prices(&[("2024-01-01", 1.0), ("9999-12-01", 2.0)]);
    let computed = compute(sources, "close", price, Frame::default()).expect("computes");
    assert_eq!(computed.len(), 1);
    assert_eq!(computed.timestamps()[0], at("2123-12-08"));
}
