//! Files into tables: what is stored, what is merged, and that a bad file changes nothing.

use serve_core::Value;
use serve_features::{RawRow, RawTable, SqliteDatabase, SqliteOptions, WriteError, read_raw};
use tempfile::TempDir;

use super::{at, entity};

fn database() -> (TempDir, SqliteDatabase) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = SqliteDatabase::open(folder.path().join("features.db"), SqliteOptions::default());
    (folder, database.expect("opens"))
}

fn prices(csv: &str) -> Vec<RawRow> {
    read_raw(&RawTable::Price, csv.as_bytes()).expect("reads")
}

fn sentiment(csv: &str) -> Vec<RawRow> {
    read_raw(&RawTable::Sentiment, csv.as_bytes()).expect("reads")
}

const PRICES: &str = "symbol,timestamp,open,high,low,close,volume
ETH/USD,2024-01-01,1,1,1,10,1
BTC/USD,2024-01-02,1,1,1,20,
BTC/USD,2024-01-01,1,1,1,10,5
";

#[test]
fn prices_come_back_as_a_frame_oldest_first_with_gaps_as_nan() {
    let (_folder, mut database) = database();
    let rows = prices(PRICES);
    database.write_raw(&RawTable::Price, &rows).expect("writes");
    assert_eq!(
        database.raw_entities(&RawTable::Price, None, 10).expect("lists"),
        [entity("BTC/USD"), entity("ETH/USD")]
    );
    let frame = database.read_frame(&RawTable::Price, &entity("BTC/USD")).expect("reads");
    assert_eq!(frame.timestamps(), [at("2024-01-01"), at("2024-01-02")]);
    assert_eq!(frame.column("close"), Some(&[10.0, 20.0][..]));
    assert!(frame.column("volume").is_some_and(|volume| volume[0] == 5.0 && volume[1].is_nan()));
    // The same rows without a database make the same frame.
    let direct = RawTable::Price.frame(&rows, &entity("BTC/USD")).expect("is a frame");
    assert_eq!(format!("{direct:?}"), format!("{frame:?}"));
    assert!(database.read_frame(&RawTable::Price, &entity("DOGE")).expect("reads").is_empty());
}

#[test]
fn a_corrected_file_replaces_what_it_repeats_and_keeps_the_rest() {
    let (_folder, mut database) = database();
    database.write_raw(&RawTable::Price, &prices(PRICES)).expect("writes");
    let corrected = "symbol,timestamp,open,high,low,close,volume\nBTC/USD,2024-01-01,1,1,1,11,5\n";
    database.write_raw(&RawTable::Price, &prices(corrected)).expect("writes");
    let frame = database.read_frame(&RawTable::Price, &entity("BTC/USD")).expect("reads");
    assert_eq!(frame.column("close"), Some(&[11.0, 20.0][..]));
}

#[test]
fn one_bad_row_keeps_the_good_ones_before_it_out() {
    let (_folder, mut database) = database();
    let mut rows = prices(PRICES);
    let bad = RawRow { values: vec![("open".into(), Value::Number(f64::INFINITY))], ..rows[0].clone() };
    rows.push(bad);
    let error = database.write_raw(&RawTable::Price, &rows).expect_err("is refused");
    assert!(matches!(error, WriteError::RawNotStorable { column, .. } if column == "open"));
    assert_eq!(database.raw_entities(&RawTable::Price, None, 10).expect("lists"), []);
}

#[test]
fn the_scores_of_two_models_come_in_two_files() {
    let (_folder, mut database) = database();
    let vader = "symbol,timestamp,score,neutral,positive\nBTC/USD,2024-01-01,0.5,0.1,0.6\nBTC/USD,2024-01-02,-0.5,0.2,0.7\n";
    let finbert = "symbol,timestamp,finbert,neutral\nBTC/USD,2024-01-02,0.9,\nBTC/USD,2024-01-03,0.8,0.3\n";
    for file in [vader, finbert] {
        database.write_raw(&RawTable::Sentiment, &sentiment(file)).expect("writes");
    }
    let frame = database.read_frame(&RawTable::Sentiment, &entity("BTC/USD")).expect("reads");
    let shown = |name| format!("{:?}", frame.column(name));
    assert_eq!(frame.names().collect::<Vec<_>>(), ["finbert", "neutral", "positive", "score", "text"]);
    assert_eq!(shown("score"), "Some([0.5, -0.5, NaN])");
    assert_eq!(shown("positive"), "Some([0.6, 0.7, NaN])");
    assert_eq!(shown("finbert"), "Some([NaN, 0.9, 0.8])");
    assert_eq!(shown("neutral"), "Some([0.1, NaN, 0.3])");
}

#[test]
fn texts_of_one_moment_are_rows_of_their_own() {
    let (_folder, mut database) = database();
    let csv = "symbol,timestamp,text,score\nA,2024-01-01,up,1\nA,2024-01-01,down,-1\nA,2024-01-01,,0\nA,2023-01-01,up,0.5\n";
    let rows = sentiment(csv);
    database.write_raw(&RawTable::Sentiment, &rows).expect("writes");
    database.write_raw(&RawTable::Sentiment, &rows).expect("writes the same again");
    let frame = database.read_frame(&RawTable::Sentiment, &entity("A")).expect("reads");
    assert_eq!(frame.len(), 4);
    assert_eq!(frame.column("score").map(|score| score[0]), Some(0.5));
    assert_eq!(frame, RawTable::Sentiment.frame(&rows, &entity("A")).expect("is a frame"));
}
