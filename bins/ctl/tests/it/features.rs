//! `features`: files into a store, and out of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serve_features::{LabelRows, RowReader, SqliteDatabase, SqliteOptions};
use tempfile::TempDir;

fn ctl(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve-ctl"));
    command.current_dir(folder).args(["--features", "sqlite://features.db", "features"]).args(args);
    command.output().expect("runs")
}

/// Standard output of a run that must succeed.
fn ok(folder: &Path, args: &[&str]) -> String {
    let output = ctl(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Exit code and standard error of a run that must fail.
fn refused(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = ctl(folder, args);
    assert!(!output.status.success(), "{args:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A folder with days of prices and a declared set.
fn folder(days: i64) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |day: i64| {
        let at = jiff::Timestamp::from_second(1_546_300_800 + 86_400 * day).expect("is in range");
        format!("BTC/USD,{at},1,1,1,{},1\n", 100 + day * day % 17)
    };
    let csv: String = (0..days).map(line).collect();
    let csv = format!("symbol,timestamp,open,high,low,close,volume\n{csv}");
    fs::write(folder.path().join("prices.csv"), csv).expect("writes");
    let yaml = "feature_sets:\n  daily:\n    entity: symbol\n    sources: { price: { table: price_data } }\n    features: { change: 'return(close, 1)', smooth: 'ema(close, 3)' }\n";
    fs::write(folder.path().join("features.yaml"), yaml).expect("writes");
    folder
}

#[test]
fn raw_rows_become_features_in_both_kinds_of_files_and_in_the_store() {
    let folder = folder(30);
    let path = folder.path();
    let ingest = ["ingest", "--table", "price_data", "prices.csv"];
    assert_eq!(ok(path, &ingest), "30 rows written to price_data\n");
    assert_eq!(ok(path, &ingest), "30 rows written to price_data\n", "a second time changes nothing");
    let build = ["build", "--declarations", "features.yaml", "--set", "daily"];
    let told = ok(path, &[&build[..], &["--output", "rows.parquet", "--store"]].concat());
    assert_eq!(told, "30 rows of daily written to rows.parquet\n30 rows of daily written to the store\n");
    ok(path, &[&build[..], &["--output", "rows.csv"]].concat());
    // What was built goes back in from either file, and is the same.
    for file in ["rows.csv", "rows.parquet"] {
        let set = file.replace("rows.", "from_");
        assert_eq!(
            ok(path, &["ingest", "--set", &set, file]),
            format!("30 rows written to feature set {set}\n")
        );
    }
    let database = SqliteDatabase::open(path.join("features.db"), SqliteOptions::default()).expect("opens");
    let newest = |set: &str| {
        let rows = database.sample(&set.parse().expect("is a set"), 10).expect("reads");
        rows.first()
            .map(|row| row.as_ref().expect("reads"))
            .map(|row| (row.timestamp(), row.names().to_vec(), row.values().to_vec()))
    };
    assert!(newest("daily").is_some());
    assert_eq!(newest("daily"), newest("from_csv"));
    assert_eq!(newest("daily"), newest("from_parquet"));
}

#[test]
fn a_file_goes_on_where_it_was_cut_off_and_only_the_same_file() {
    let folder = folder(12);
    let path = folder.path();
    let ingest = ["ingest", "--table", "price_data", "prices.csv"];
    // The notes of a run that ended after ten rows, of which the store has the first and the last: those between are not
    // written again.
    let csv = fs::read_to_string(path.join("prices.csv")).expect("reads");
    let lines: Vec<&str> = csv.lines().collect();
    fs::write(path.join("two.csv"), [lines[0], lines[1], lines[10]].join("\n")).expect("writes");
    let metadata = fs::metadata(path.join("prices.csv")).expect("is there");
    let modified =
        metadata.modified().expect("has a time").duration_since(std::time::UNIX_EPOCH).expect("is later");
    let note = |bytes: u64| {
        ok(path, &["ingest", "--table", "price_data", "two.csv"]);
        let store = fs::canonicalize(path.join("features.db")).expect("is there");
        let json = serde_json::json!({
            "store": format!("sqlite://{}", store.display()), "destination": "price_data", "bytes": bytes,
            "modified_nanoseconds": u64::try_from(modified.as_nanos()).expect("fits"), "rows": 10,
        });
        fs::write(path.join("prices.csv.serve-ingest"), json.to_string()).expect("writes");
    };
    let rows = || {
        let database =
            SqliteDatabase::open(path.join("features.db"), SqliteOptions::default()).expect("opens");
        let bitcoin = "BTC/USD".parse().expect("is an entity");
        database.read_frame(&"price_data".parse().expect("is a table"), &bitcoin).expect("reads").len()
    };
    note(metadata.len());
    assert_eq!(ok(path, &ingest), "12 rows written to price_data\n");
    assert_eq!(rows(), 4);
    assert!(!path.join("prices.csv.serve-ingest").exists());
    // Another file.
    note(metadata.len() + 1);
    ok(path, &ingest);
    assert_eq!(rows(), 12);
    // The same file, and a database that was deleted since.
    note(metadata.len());
    fs::remove_file(path.join("features.db")).expect("removes");
    let output = ctl(path, &ingest);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("beginning anew: the store lacks rows of prices.csv"), "{told}");
    assert_eq!(rows(), 12);
}

#[test]
fn a_bad_line_far_down_is_found_before_anything_is_written() {
    let folder = folder(6_000);
    let path = folder.path();
    let csv = fs::read_to_string(path.join("prices.csv")).expect("reads");
    fs::write(path.join("prices.csv"), csv + "BTC/USD,2040-01-01,1,1,1,cheap,1\n").expect("writes");
    let (code, told) = refused(path, &["ingest", "--table", "price_data", "prices.csv"]);
    assert_eq!(code, Some(65));
    assert_eq!(
        told,
        "serve-ctl: prices.csv: line 6002, column `close`: expected a finite number, or nothing, got \"cheap\"\n"
    );
    let database = SqliteDatabase::open(path.join("features.db"), SqliteOptions::default()).expect("opens");
    assert_eq!(database.raw_entities(&"price_data".parse().expect("a table"), None, 9).expect("lists"), []);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder(1);
    let path = folder.path();
    let (code, told) = refused(path, &["ingest", "--table", "price_data", "gone.csv"]);
    assert_eq!((code, told.contains("gone.csv cannot be read")), (Some(66), true), "{told}");
    let (code, told) = refused(path, &["ingest", "--table", "Prices", "prices.csv"]);
    assert_eq!((code, told.contains("table \"Prices\": expected")), (Some(65), true), "{told}");
    let (code, told) = refused(path, &["ingest", "--table", "price_data", "."]);
    assert_eq!((code, told.contains("is a folder")), (Some(66), true), "{told}");
}

#[test]
fn labels_meet_what_was_known_at_their_moment() {
    let folder = folder(10);
    let path = folder.path();
    ok(path, &["ingest", "--table", "price_data", "prices.csv"]);
    ok(path, &["build", "--declarations", "features.yaml", "--set", "daily", "--store"]);
    let labels = "entity,timestamp,up,note\nBTC/USD,2019-01-03T12:00:00Z,1,late\nBTC/USD,2019-01-03,0,\nBTC/USD,2018-12-31,1,early\nETH/USD,2019-01-03,1,other\n";
    fs::write(path.join("labels.csv"), labels).expect("writes");
    let join = ["join", "--labels", "labels.csv", "--set", "daily", "--output", "train.csv"];
    assert_eq!(ok(path, &join), "2 of 4 labels written to train.csv\n");
    let joined = fs::read_to_string(path.join("train.csv")).expect("reads");
    let lines: Vec<&str> = joined.lines().collect();
    assert_eq!(lines[0], "entity,timestamp,up,note,change,smooth");
    // Closes are 100, 101, 104: the change to the third day is 104/101 - 1.
    assert!(lines[1].starts_with("BTC/USD,2019-01-03T12:00:00Z,1,late,0.02970297029702973,"), "{joined}");
    assert!(lines[2].starts_with("BTC/USD,2019-01-03T00:00:00Z,0,,0.02970297029702973,"), "{joined}");
    let join = [&join[..], &["--max-age", "1h"]].concat();
    assert_eq!(ok(path, &join), "1 of 4 labels written to train.csv\n");
}

#[test]
fn labels_of_whole_numbers_are_integers_in_a_parquet_file() {
    let folder = folder(10);
    let path = folder.path();
    ok(path, &["ingest", "--table", "price_data", "prices.csv"]);
    ok(path, &["build", "--declarations", "features.yaml", "--set", "daily", "--store"]);
    let labels = "entity,timestamp,up,note,weight,smooth_before\nBTC/USD,2019-01-03,1,7,1,\nBTC/USD,2019-01-04,,late,0.5,\nBTC/USD,2019-01-05,0,,2,\n";
    fs::write(path.join("labels.csv"), labels).expect("writes");
    let join = |labels, output| {
        ok(path, &["join", "--labels", labels, "--set", "daily", "--output", output]);
        RowReader::open(LabelRows, path.join(output)).expect("opens")
    };
    let whole = |reader: &RowReader<'_, LabelRows>| {
        ["up", "note", "weight", "smooth_before", "change"].map(|name| reader.is_whole(name) == Some(true))
    };
    let mut first = join("labels.csv", "first.parquet");
    assert_eq!(whole(&first), [true, false, false, false, false]);
    let rows = first.next_batch(9).expect("reads");
    let ups: Vec<_> = rows.iter().map(|row| row.get("up").cloned()).collect();
    assert_eq!(ups, [Some(1.0.into()), Some(serve_core::Value::Missing), Some(0.0.into())]);
    // Integers of a Parquet file stay integers, and doubles doubles, whatever their values are.
    ok(path, &["build", "--declarations", "features.yaml", "--set", "daily", "--output", "doubles.parquet"]);
    fs::write(path.join("wholes.csv"), "entity,timestamp,close\nBTC/USD,2019-01-03,1\n").expect("writes");
    ok(path, &["ingest", "--set", "wholes", "wholes.csv"]);
    let again = |labels| {
        let output = "again.parquet";
        ok(path, &["join", "--labels", labels, "--set", "wholes", "--output", output]);
        RowReader::open(LabelRows, path.join(output)).expect("opens")
    };
    assert_eq!(whole(&again("first.parquet")), [true, false, false, false, false]);
    let smooth_of = again("doubles.parquet").is_whole("smooth");
    assert_eq!(smooth_of, Some(false));
}

#[test]
fn whole_numbers_that_no_double_is_stay_as_they_are_written() {
    let folder = folder(10);
    let path = folder.path();
    fs::write(path.join("wholes.csv"), "entity,timestamp,close\nA,2019-01-03,1\n").expect("writes");
    ok(path, &["ingest", "--set", "wholes", "wholes.csv"]);
    let labels =
        "entity,timestamp,order\nA,2019-01-03T00:00:00Z,12345678901234567\nA,2019-01-04T00:00:00Z,8\n";
    fs::write(path.join("labels.csv"), labels).expect("writes");
    let join = |labels, output| {
        ok(path, &["join", "--labels", labels, "--set", "wholes", "--output", output]);
    };
    join("labels.csv", "train.csv");
    let joined = "entity,timestamp,order,close\nA,2019-01-03T00:00:00Z,12345678901234567,1\nA,2019-01-04T00:00:00Z,8,1\n";
    assert_eq!(fs::read_to_string(path.join("train.csv")).expect("is written"), joined);
    join("labels.csv", "train.parquet");
    let mut reader = RowReader::open(LabelRows, path.join("train.parquet")).expect("opens");
    let rows = reader.next_batch(9).expect("reads");
    let orders: Vec<_> = rows.iter().map(|row| row.get("order").cloned()).collect();
    let text = |digits: &str| Some(serve_core::Value::Text(digits.to_owned().into()));
    assert_eq!(orders, [text("12345678901234567"), text("8")]);
}

#[test]
fn ready_rows_are_held_against_their_declaration_and_the_clock() {
    let folder = folder(1);
    let path = folder.path();
    let ingest = ["ingest", "--set", "daily", "--declarations", "features.yaml", "rows.csv"];
    let rows = |lines: &str| {
        fs::write(path.join("rows.csv"), format!("entity,timestamp,change,smooth\n{lines}")).expect("writes");
    };
    rows("A,2024-01-01,1,2\nA,2024-01-02,up,true\nA,2024-01-03,1,\nA,2024-01-04,1,x\n");
    let (code, told) = refused(path, &ingest);
    assert_eq!(code, Some(65));
    assert!(told.starts_with("serve-ctl: rows.csv: 2 of 4 rows are refused, and none is written"), "{told}");
    assert!(
        told.contains("line 3: `change`: expected a number, got text; `smooth`: expected a number"),
        "{told}"
    );
    assert!(told.contains("line 5: `smooth`: expected a number, got text"), "{told}");
    rows("A,2999-01-01,1,2\n");
    let (_, told) = refused(path, &ingest);
    assert!(told.contains("line 2: `timestamp`: expected a moment that has been"), "{told}");
    rows("A,2024-01-01,1,2\n");
    assert_eq!(ok(path, &ingest), "1 rows written to feature set daily\n");
    rows("");
    let output = ctl(path, &ingest);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("no rows: rows.csv"), "{output:?}");
}

#[test]
fn a_build_of_nothing_and_a_label_named_as_a_feature_are_refused() {
    let folder = folder(3);
    let path = folder.path();
    let build = ["build", "--declarations", "features.yaml", "--set", "daily", "--store"];
    let (code, told) = refused(path, &build);
    assert_eq!((code, told.contains("the store has no rows of price_data")), (Some(65), true), "{told}");
    let (code, told) = refused(path, &[&build[..], &["--from", "2019-01-02", "--to", "2019-01-02"]].concat());
    assert_eq!((code, told.contains("is not before --to")), (Some(2), true), "{told}");
    ok(path, &["ingest", "--table", "price_data", "prices.csv"]);
    ok(path, &build);
    let join = ["join", "--labels", "labels.csv", "--set", "daily", "--output", "train.csv"];
    fs::write(path.join("labels.csv"), "symbol,timestamp,change\nBTC/USD,2019-01-03,1\n").expect("writes");
    let (code, told) = refused(path, &join);
    assert_eq!((code, told.contains("labels.csv: column `change`: expected another name")), (Some(65), true));
    let twice = "symbol,timestamp,up\nBTC/USD,2019-01-03,1\nBTC/USD,2019-01-03,0\n";
    fs::write(path.join("labels.csv"), twice).expect("writes");
    assert_eq!(ok(path, &join), "2 of 2 labels written to train.csv\n");
}

#[test]
fn what_is_joined_is_trained_on_from_both_kinds_of_files_alike() {
    let folder = folder(60);
    let path = folder.path();
    ok(path, &["ingest", "--table", "price_data", "prices.csv"]);
    ok(
        path,
        &["build", "--declarations", "features.yaml", "--set", "daily", "--output", "rows.csv", "--store"],
    );
    let label = |day: i64| {
        let at = jiff::Timestamp::from_second(1_546_300_800 + 86_400 * day).expect("is in range");
        format!("BTC/USD,{at},{},{}\n", if day * day % 17 > 8 { "up" } else { "down" }, day % 3 == 0)
    };
    let labels: String = (5..60).map(label).collect();
    fs::write(path.join("labels.csv"), format!("entity,timestamp,move,third\n{labels}")).expect("writes");
    for kind in ["csv", "parquet"] {
        let output = format!("train.{kind}");
        ok(path, &["join", "--labels", "labels.csv", "--set", "daily", "--output", &output]);
        let told = Command::new(env!("CARGO_BIN_EXE_serve-ctl"))
            .current_dir(path)
            .args(["train", "--registry", "models", "--name", kind, "--version", "v1", "--data", &output])
            .args(["--algorithm", "random_forest", "--trees", "5", "--target", "move"])
            .output()
            .expect("runs");
        let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(out.contains("rows: 55 read, 55 used"), "{out}{err}");
    }
    let model = |kind: &str| fs::read(path.join(format!("models/{kind}/v1/model.bin"))).expect("is there");
    assert!(model("csv") == model("parquet"));
}
