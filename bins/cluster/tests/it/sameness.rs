//! The same rows with the same bits as on one machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::processes::{Cluster, publish, registry, write_csv};

pub(crate) fn write_parquet(path: &Path, first: i64, rows: i64) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let number = |id: i64, by: i64| (id % by) as f64 / 7.0 - 9.0;
    let a: ArrayRef =
        Arc::new(Float64Array::from_iter_values((first..first + rows).map(|id| number(id, 131))));
    let b: Float64Array = (first..first + rows).map(|id| (id % 503 != 5).then(|| number(id, 127))).collect();
    let b: ArrayRef = Arc::new(b);
    let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("b", b, true), ("a", a, true)]);
    let rows = rows.expect("columns of one length");
    let file = fs::File::create(path).expect("creates");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("begins");
    writer.write(&rows).expect("writes");
    writer.close().expect("ends");
}

/// All rows of a file.
pub(crate) fn read_parquet(path: &Path) -> Vec<RecordBatch> {
    let file = fs::File::open(path).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("is Parquet").with_batch_size(1 << 20);
    reader.build().expect("begins").map(|batch| batch.expect("reads")).collect()
}

#[test]
fn jobs_and_queries_answer_as_on_one_machine() {
    let cluster = Cluster::start(2);
    fs::create_dir(cluster.path("rows")).expect("a folder");
    write_parquet(&cluster.path("rows/a.parquet"), 0, 9_000);
    write_parquet(&cluster.path("rows/b.parquet"), 9_000, 1);
    write_parquet(&cluster.path("rows/c.parquet"), 9_001, 11_000);
    write_csv(&cluster.path("texts"), 5, 1_000);

    let job = |input, output| {
        vec![
            "--model",
            "direction",
            "--input",
            input,
            "--output",
            output,
            "--keep",
            "id",
            "--part-rows",
            "7000",
        ]
    };
    let check = |arguments: Vec<&str>| {
        let (code, told) = cluster.run(&arguments);
        assert_eq!(code, 0, "{arguments:?}: {told}");
        told
    };
    let told = check(job("rows", "cluster.parquet"));
    assert!(told.contains("20001 rows, 40 rejected (cluster.parquet.rejects.csv)"), "{told}");
    cluster.alone(&job("rows", "alone.parquet"));
    assert_eq!(read_parquet(&cluster.path("cluster.parquet")), read_parquet(&cluster.path("alone.parquet")));
    let text = |name: &str| fs::read_to_string(cluster.path(name)).expect(name);
    assert_eq!(text("cluster.parquet.rejects.csv"), text("alone.parquet.rejects.csv"));

    let told = check(job("texts", "cluster.csv"));
    assert!(told.contains("5000 rows, 5 rejected"), "{told}");
    cluster.alone(&job("texts", "alone.csv"));
    assert_eq!(text("cluster.csv"), text("alone.csv"));
    assert_eq!(text("cluster.csv.rejects.csv"), text("alone.csv.rejects.csv"));

    for (input, sql) in [
        ("rows", "SELECT id, predict_proba('direction', *)['up'] AS up FROM input ORDER BY id"),
        ("texts", "SELECT id, predict('direction@champion', *) AS p FROM input ORDER BY CAST(id AS BIGINT)"),
        (
            "rows",
            "SELECT predict('direction@v1', *) AS p, count(*) AS n FROM input WHERE a > 0 GROUP BY p ORDER BY n",
        ),
    ] {
        let query = |output| vec!["--sql", sql, "--input", input, "--output", output, "--overwrite"];
        let told = check(query("cluster.parquet"));
        let alone = cluster.alone(&query("alone.parquet"));
        let alone = String::from_utf8_lossy(&alone.stderr).into_owned();
        assert_eq!(unanswered(&told), unanswered(&alone), "{sql}");
        assert!(unanswered(&told).contains(" without an answer"), "{told}");
        assert_eq!(
            read_parquet(&cluster.path("cluster.parquet")),
            read_parquet(&cluster.path("alone.parquet")),
            "{sql}"
        );
    }
}

#[test]
fn an_executor_refuses_a_version_that_is_not_the_one_that_was_planned_with() {
    let mut cluster = Cluster::start(0);
    registry(&cluster.path("other"), 0.5);
    cluster.add("other");
    write_csv(&cluster.path("rows"), 1, 10);
    for arguments in [
        vec!["--model", "direction", "--input", "rows", "--output", "out.csv"],
        vec![
            "--sql",
            "SELECT predict('direction', *) AS p FROM input",
            "--input",
            "rows",
            "--output",
            "out.csv",
        ],
    ] {
        let (code, told) = cluster.run(&arguments);
        assert_eq!(code, 65, "{told}");
        assert!(
            told.starts_with("serve-cluster: the registry (other) of the executor at 127.0.0.1:"),
            "{told}"
        );
        assert!(told.contains(": direction@v1 has the digest"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    cluster.executors[0].kill();
    fs::create_dir(cluster.path("empty")).expect("a folder");
    cluster.add("empty");
    let (code, told) = cluster.run(&["--model", "direction", "--input", "rows", "--output", "out.csv"]);
    assert_eq!(code, 66, "{told}");
    assert!(told.starts_with("serve-cluster: the registry (empty) of the executor at "), "{told}");
    assert!(told.contains("direction") && told.lines().count() == 1, "{told}");
    assert_eq!(cluster.names(), ["empty", "models", "other", "rows"]);
}

#[test]
fn what_the_engine_refuses_is_told_as_on_one_machine() {
    let cluster = Cluster::start(1);
    write_csv(&cluster.path("rows"), 1, 10);
    let cast = "SELECT CAST(a AS DOUBLE) AS x, predict('direction', *) AS p FROM input";
    let (code, told) = cluster.run(&["--sql", cast, "--input", "rows", "--output", "out.csv"]);
    assert_eq!(code, 65, "{told}");
    let expected =
        "serve-cluster: Arrow error: Cast error: Cannot cast string 'x' to value of Float64 type\n";
    assert_eq!(told, expected);
}

#[test]
fn what_only_one_machine_can_do_is_refused() {
    let mut cluster = Cluster::start(0);
    cluster.end_scheduler();
    let query = ["--sql", "SELECT predict('direction', *) AS p FROM input"];
    for (arguments, expected) in [
        (&[&query[..], &["--input", "-", "--output", "out.csv"]].concat()[..], "--input -: "),
        (&["--model", "direction", "--input", "-", "--output", "out.csv"], "--input -: "),
        (&["--model", "direction", "--input", "rows", "--output", "-"], "--output -: "),
        (&["--model", "direction", "--input", "rows", "--output", "s3://a/b.csv"], "--output s3://…: "),
        (&["--model", "direction", "--input", "rows", "--output", "out.csv", "--resume"], "--resume is "),
    ] {
        let (code, told) = cluster.run(arguments);
        assert_eq!(code, 2, "{told}");
        assert!(told.starts_with(&format!("serve-cluster: {expected}")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn reports_are_those_of_one_machine() {
    let cluster = Cluster::start(2);
    fs::create_dir(cluster.path("rows")).expect("a folder");
    write_parquet(&cluster.path("rows/a.parquet"), 0, 30_011);
    write_parquet(&cluster.path("rows/b.parquet"), 30_011, 20_000);
    let report = |name: &str, arguments: &dyn Fn(&[&str])| {
        let [output, report] = [format!("{name}/"), format!("{name}.json")];
        // Shares and parts are cut in other places.
        let part_rows = if name == "alone" { "50000" } else { "7001" };
        arguments(&[
            "--model",
            "direction",
            "--input",
            "rows",
            "--output",
            &output,
            "--report",
            &report,
            "--part-rows",
            part_rows,
        ]);
        let text = fs::read_to_string(cluster.path(&report)).expect("is written");
        serde_json::from_str::<serde_json::Value>(&text).expect("is JSON")
    };
    let alone = report("alone", &|arguments| drop(cluster.alone(arguments)));
    let ours = report("cluster", &|arguments| {
        let (code, told) = cluster.run(arguments);
        assert_eq!(code, 0, "{told}");
        assert!(told.lines().all(|line| line.starts_with("serve-cluster: ")), "{told}");
    });
    for key in ["model", "input", "rows", "labels", "scores", "features"] {
        assert!(!alone[key].is_null() && alone[key] == ours[key], "{key}: {} and {}", alone[key], ours[key]);
    }
    assert!(ours["features"][0]["drift"]["psi"].is_number(), "{}", ours["features"][0]);
    assert!(ours["speed"].get("threads").is_none() && alone["speed"]["threads"].is_number());
}

/// What was told of rows without an answer, without the program and the time.
fn unanswered(told: &str) -> String {
    let lines = told.lines().filter_map(|line| line.split_once(": ")).map(|(_, line)| line);
    let mut lines: Vec<_> = lines.map(|line| line.split(" in ").next().unwrap_or(line)).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn executors_find_what_was_published_after_they_began() {
    let cluster = Cluster::start(1);
    write_parquet(&cluster.path("rows.parquet"), 0, 100);
    let arguments =
        |model| ["--model", model, "--input", "rows.parquet", "--output", "out.csv", "--overwrite"];
    // The executor has looked at its registry.
    assert_eq!(cluster.run(&arguments("direction")).0, 0);
    publish(&cluster.path("models"), "later", 0.0);
    let (code, told) = cluster.run(&arguments("later"));
    assert_eq!(code, 0, "{told}");
}
