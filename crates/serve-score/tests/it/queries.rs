//! Models in queries: the answers are a plain job's bit for bit, columns are found by name, and what does not fit is told before
//! anything is read.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use serve_core::Alias;
use serve_score::sql::{self, QueryOptions, QuerySummary};
use serve_score::{Fault, Output, Progress, ScoreError, Source, location, register};

use crate::fixture::{Fixture, batch, bits, parquet, read_parquet};
use crate::formats::{ROWS, csv, expected, rows};

const OPTIONS: QueryOptions = QueryOptions { threads: 2, memory_bytes: None };

fn query(fixture: &Fixture, input: &Path, sql: &str, output: &str) -> Result<QuerySummary, ScoreError> {
    query_with(fixture, input, sql, output, OPTIONS)
}

fn query_with(
    fixture: &Fixture,
    input: &Path,
    sql: &str,
    output: &str,
    options: QueryOptions,
) -> Result<QuerySummary, ScoreError> {
    let source = Source::open(location::list(&input.to_string_lossy())?, None)?;
    let output = Output::new(&fixture.path(output).to_string_lossy(), None, false)?;
    sql::query(&fixture.registry, source, sql, options, &output, &Progress::default())
}

/// What a query answers over the table `t`, with the first column as text.
fn asked(fixture: &Fixture, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let session = SessionContext::new();
    register(&session, &fixture.registry).expect("registers");
    session.register_batch("t", few()).expect("a table");
    let batches = runtime.block_on(async { session.sql(sql).await?.collect().await }).expect(sql);
    let column = |rows: &RecordBatch| {
        let text = arrow_cast::cast(rows.column(0), &arrow_schema::DataType::Utf8).expect("as text");
        text.as_string::<i32>().iter().map(|x| x.unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

fn few() -> RecordBatch {
    let b: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.25, -3.0]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let a: ArrayRef = Arc::new(Float64Array::from(vec![0.5, -1.0, 2.0]));
    batch(vec![("b", b), ("id", id), ("a", a)])
}

/// Rows of all types; two of them have no answer.
fn typed() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
    let x: ArrayRef =
        Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e-320), Some(-0.0), Some(1.5)]));
    let city: ArrayRef = Arc::new(StringArray::from(vec!["Bern", "Genf", "Basel", "Bern", "Genf"]));
    let age: ArrayRef = Arc::new(Int64Array::from(vec![30, 0, 7, 121, 120]));
    let member: ArrayRef = Arc::new(arrow_array::BooleanArray::from(vec![
        Some(true),
        None,
        Some(false),
        Some(false),
        Some(false),
    ]));
    batch(vec![("id", ids), ("x", x), ("city", city), ("age", age), ("member", member)])
}

fn write_formats(fixture: &Fixture, rows: &RecordBatch) -> [&'static str; 4] {
    parquet(&fixture.path("rows.parquet"), rows, 2);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&csv(rows)).expect("writes");
    fixture.text("rows.csv.gz", gzip.finish().expect("ends"));
    let mut json = arrow_json::LineDelimitedWriter::new(Vec::new());
    json.write(rows).expect("writes");
    fixture.text("rows.jsonl", json.into_inner());
    let mut arrow = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &rows.schema()).expect("begins");
    arrow.write(rows).expect("writes");
    fixture.text("rows.arrow", arrow.into_inner().expect("ends"));
    ["rows.parquet", "rows.csv.gz", "rows.jsonl", "rows.arrow"]
}

#[test]
fn answers_are_those_of_a_plain_job_in_every_format() {
    let fixture = Fixture::new();
    for input in write_formats(&fixture, &typed()) {
        let path = fixture.path(input);
        let plain = fixture.score("typed", &path, &format!("{input}.plain.parquet"), "id").expect("scores");
        let text = "SELECT id, predict('typed', *) AS label, predict_proba('typed', *)['up'] AS up FROM input \
                    ORDER BY CAST(id AS BIGINT)";
        let output = format!("{input}.sql.parquet");
        let summary = query(&fixture, &path, text, &output).expect(input);
        assert_eq!((plain.rows, plain.rejected, summary.rows), (5, 2, 5), "{input}");
        let plain = read_parquet(&fixture.path(&format!("{input}.plain.parquet")));
        let answers = read_parquet(&fixture.path(&output));
        let up = answers.column(2).as_primitive::<Float64Type>();
        let answered: Vec<u64> = up.iter().flatten().map(f64::to_bits).collect();
        assert_eq!(answered, bits(&plain, "probability_up"), "{input}");
        assert!(up.is_null(2) && up.is_null(3) && answers.column(1).null_count() == 2, "{input}");
        let labels: Vec<_> = answers.column(1).as_string::<i32>().iter().flatten().collect();
        let expected: Vec<_> = plain.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(labels, expected, "{input}");
    }
}

#[test]
fn many_rows_come_to_the_same_bits() {
    let fixture = Fixture::new();
    parquet(&fixture.path("rows.parquet"), &rows(), 3_000);
    fixture.text("rows.csv", csv(&rows()));
    for input in ["rows.parquet", "rows.csv"] {
        let text = "SELECT predict_proba('plain@v2', *)['up'] AS up FROM input ORDER BY CAST(id AS BIGINT)";
        let output = format!("{input}.out.parquet");
        let summary = query(&fixture, &fixture.path(input), text, &output).expect(input);
        assert_eq!((summary.rows, summary.unanswered), (ROWS as u64, Some(0)), "{input}");
        let answers = read_parquet(&fixture.path(&output));
        assert_eq!(bits(&answers, "up"), expected(&fixture, "plain@v2"), "{input}");
    }
}

#[test]
fn inputs_are_found_by_name_in_any_order_and_any_place() {
    let fixture = Fixture::new();
    let expected = asked(&fixture, "SELECT predict_proba('plain', a, b)['up'] FROM t ORDER BY id");
    for text in [
        "SELECT predict_proba('plain', *)['up'] FROM t ORDER BY id",
        "SELECT predict_proba('plain', t.*)['up'] FROM t ORDER BY id",
        "SELECT predict_proba('plain@champion', b, a)['up'] FROM t ORDER BY id",
        "SELECT predict_proba('plain@v1', s.b, s.a)['up'] FROM t AS s ORDER BY id",
        "SELECT predict_proba('plain', a + 0, b * 1)['up'] FROM t ORDER BY id",
        "SELECT predict_proba('plain', u.*)['up'] FROM t JOIN t AS u ON t.id = u.id ORDER BY t.id",
        "SELECT p['up'] FROM (SELECT id, predict_proba('plain', *) AS p FROM t) ORDER BY id",
        "WITH s AS (SELECT * FROM t WHERE a > -100) SELECT predict_proba('plain', s.*)['up'] FROM s ORDER BY id",
    ] {
        assert_eq!(asked(&fixture, text), expected, "{text}");
    }
    let ups = "SELECT count(*) FROM t WHERE predict('plain', *) = 'up'";
    let groups = "SELECT count(*), predict('plain', *) AS p FROM t GROUP BY p HAVING p = 'up'";
    assert_eq!(asked(&fixture, ups), asked(&fixture, groups));
    let contributions = asked(&fixture, "SELECT explain('plain', *)['a'] FROM t ORDER BY id");
    // The usual dialect ends a list at a comma before EXPLAIN.
    let second = "SELECT c FROM (SELECT id, explain('plain', *)['a'] AS c FROM t) AS s ORDER BY id";
    assert_eq!(asked(&fixture, second), contributions);
    assert!(contributions.iter().all(|x| x.parse::<f64>().is_ok()) && contributions[0] != contributions[1]);
}

#[test]
fn what_does_not_fit_is_told_before_the_first_row() {
    let fixture = Fixture::new();
    let texts: ArrayRef = Arc::new(arrow_array::BinaryArray::from(vec![Some(&b"x"[..])]));
    let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let one = batch(vec![("a", Arc::clone(&texts)), ("b", number), ("id", texts)]);
    parquet(&fixture.path("one.parquet"), &one, 10);
    for (text, fault, told) in [
        ("SELECT predict('nobody', *) FROM input", Fault::NoInput, "nobody"),
        ("SELECT predict('plain@v9', *) FROM input", Fault::NoInput, "v9"),
        ("SELECT predict('plain', b, c) FROM input", Fault::Data, "No field named c"),
        ("SELECT predict('plain', b) FROM input", Fault::Data, "plain@v1: the input \"a\" is missing"),
        ("SELECT predict('plain', b, b) FROM input", Fault::Data, "the input \"a\" is missing"),
        ("SELECT predict('plain', *) FROM input", Fault::Data, "the input \"a\" expects numbers, got Binary"),
        (
            "SELECT predict('plain', a, b) FROM input",
            Fault::Data,
            "the input \"a\" expects numbers, got Binary",
        ),
        ("SELECT predict('plain', 1, b, 3) FROM input", Fault::Data, "takes 2 inputs (a, b), got 3"),
        (
            "SELECT predict('plain', *) FROM (SELECT b FROM input)",
            Fault::Data,
            "the input \"a\" is not among",
        ),
        (
            "SELECT predict('plain', *) FROM input JOIN input AS u ON input.b = u.b",
            Fault::Data,
            "several tables have a column \"a\"",
        ),
        ("SELECT predict(concat('pl', id), *) FROM input", Fault::Data, "a text that is not computed"),
        ("SELECT b, b FROM input", Fault::Data, "b"),
        ("SELECT input.b, u.b FROM input JOIN input AS u ON input.b = u.b", Fault::Data, "two columns \"b\""),
        ("DROP TABLE input", Fault::Usage, "DDL"),
        ("COPY input TO 'x.csv'", Fault::Usage, "DML"),
        ("SELECT FROM", Fault::Usage, "cannot be read"),
    ] {
        let error = query(&fixture, &fixture.path("one.parquet"), text, "out.parquet").expect_err(text);
        let (mut shown, mut cause) = (error.to_string(), std::error::Error::source(&error));
        while let Some(error) = cause {
            shown = format!("{shown}: {error}");
            cause = error.source();
        }
        assert!(shown.contains(told), "{text}: {shown}");
        assert_eq!(error.fault(), fault, "{text}: {shown}");
    }
    let nested = "SELECT predict_proba('plain', 1.0, b) AS p FROM input";
    let error = query(&fixture, &fixture.path("one.parquet"), nested, "out.csv").expect_err("no CSV of that");
    assert!(error.to_string().contains("p['…']"), "{error}");
    assert_eq!(fixture.names(), ["one.parquet", "registry"]);
}

#[test]
fn rows_without_an_answer_are_null_and_counted() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", "id,a,b\n1,0.5,1\n2,x,1\n3,,1\n");
    let text = "SELECT id, predict('plain', *) AS label FROM input";
    let summary = query(&fixture, &input, text, "out.jsonl").expect("runs");
    assert_eq!((summary.rows, summary.unanswered), (3, Some(2)));
    assert!(summary.reasons[0].contains("a: expected a number, got text \"x\""), "{:?}", summary.reasons);
    assert!(fixture.read("out.jsonl").contains("{\"id\":\"2\",\"label\":null}"));
}

#[test]
fn a_session_answers_from_the_version_that_it_found_first() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let session = SessionContext::new();
    register(&session, &fixture.registry).expect("registers");
    session.register_batch("t", few()).expect("a table");
    let ask = |text: &str| {
        let rows = runtime.block_on(async { session.sql(text).await?.collect().await }).expect(text);
        rows[0].column(0).as_primitive::<Float64Type>().value(0).to_bits()
    };
    let champion = "SELECT predict_proba('plain@champion', *)['up'] FROM t ORDER BY id";
    let before = ask(champion);
    let (name, version) = ("plain".parse().expect("a name"), "v2".parse().expect("a version"));
    fixture.registry.promote(&name, &version, &Alias::champion(), "test").expect("moved");
    assert_eq!(ask(champion), before);
    assert_ne!(ask("SELECT predict_proba('plain@v2', *)['up'] FROM t ORDER BY id"), before);
}

#[test]
fn folders_give_columns_and_names_are_no_patterns() {
    let fixture = Fixture::new();
    let rows = rows();
    parquet(&fixture.path("in/day=1/a b[1]*?#%41.parquet"), &rows.slice(0, 5), 2);
    parquet(&fixture.path("in/day=1/a.pq.parquet"), &rows.slice(5, 5), 2);
    parquet(&fixture.path("in/day=__HIVE_DEFAULT_PARTITION__/a.parquet"), &rows.slice(10, 5), 2);
    let text = "SELECT id, day, predict_proba('plain@v2', *)['up'] AS up FROM input ORDER BY id";
    query(&fixture, &fixture.path("in"), text, "out.parquet").expect("runs");
    let answers = read_parquet(&fixture.path("out.parquet"));
    assert_eq!(bits(&answers, "up"), expected(&fixture, "plain@v2")[..15]);
    let days = answers.column(1).as_string::<i32>();
    assert!(days.iter().take(10).all(|day| day == Some("1")) && days.null_count() == 5);
}

#[test]
fn files_of_a_folder_have_the_columns_of_the_first() {
    let fixture = Fixture::new();
    fixture.text("json/a.jsonl", "{\"id\":1,\"a\":1,\"b\":2}\n");
    fixture.text("json/b.jsonl", "{\"b\":0.25,\"a\":-1.5,\"id\":2}\n");
    let text = "SELECT sum(a) AS a FROM input";
    query(&fixture, &fixture.path("json"), text, "sum.jsonl").expect("runs");
    assert_eq!(fixture.read("sum.jsonl"), "{\"a\":-0.5}\n");
    parquet(&fixture.path("lack/a.parquet"), &few(), 10);
    parquet(&fixture.path("lack/b.parquet"), &few().project(&[0, 1]).expect("columns"), 10);
    let error = query(&fixture, &fixture.path("lack"), text, "x.jsonl").expect_err("a column is not there");
    assert!(
        error.to_string().contains("lack/b.parquet: columns that are missing or stand twice: a"),
        "{error}"
    );
    parquet(&fixture.path("types/a.parquet"), &few(), 10);
    let text_b: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
    let other = batch(vec![("b", text_b), ("id", few().column(1).clone()), ("a", few().column(2).clone())]);
    parquet(&fixture.path("types/b.parquet"), &other, 10);
    let error = query(&fixture, &fixture.path("types"), text, "x.jsonl").expect_err("types differ");
    assert!(error.to_string().contains("the column \"b\" is Utf8, in the first file Float64"), "{error}");
}

#[test]
fn a_broken_row_ends_a_query_with_its_number() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", "id,a,b\n1,0.5,1\n2,1\n");
    let error = query(&fixture, &input, "SELECT a FROM input", "out.csv").expect_err("a ragged line");
    let expected = format!("row 2 of {} is broken: expected 3 cells, got 2", input.display());
    assert_eq!(error.to_string(), expected);
    assert!(!fixture.path("out.csv").exists());
}

#[test]
fn sorts_and_joins_beyond_the_limit_go_to_disk() {
    let fixture = Fixture::new();
    // Some forty megabytes, of which a batch is less than one.
    let ids = || (0_i64..).take(20 * ROWS);
    let long: ArrayRef = Arc::new(StringArray::from_iter_values(ids().map(|id| format!("{id:0>60}"))));
    let number = |by: i64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(ids().map(|id| (id * 7919 % by) as f64)))
    };
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids()));
    let columns = vec![("long", long), ("id", id), ("a", number(10_007)), ("b", number(10_009))];
    parquet(&fixture.path("rows.parquet"), &batch(columns), 100_000);
    let options = QueryOptions { threads: 2, memory_bytes: Some(32 << 20) };
    for (text, output) in [
        ("SELECT id, long, predict('plain', *) AS label FROM input ORDER BY a", "sorted.parquet"),
        (
            "SELECT input.id, u.long, predict('plain', u.*) AS label FROM input JOIN input AS u ON input.long = u.long",
            "joined.parquet",
        ),
    ] {
        let summary = query_with(&fixture, &fixture.path("rows.parquet"), text, output, options);
        assert_eq!(summary.expect(text).rows, 20 * ROWS as u64);
    }
}

#[test]
fn a_query_that_is_stopped_leaves_nothing() {
    let fixture = Fixture::new();
    parquet(&fixture.path("rows.parquet"), &rows(), 100);
    let source =
        Source::open(location::list(&fixture.path("rows.parquet").to_string_lossy()).expect("lists"), None);
    let output = Output::new(&fixture.path("out.parquet").to_string_lossy(), None, false).expect("an output");
    let progress = Progress::default();
    progress.stop();
    let endless = "SELECT a.id FROM input a, input b, input c ORDER BY a.id + b.id * c.id";
    let source = source.expect("opens");
    let error = sql::query(&fixture.registry, source, endless, OPTIONS, &output, &progress);
    assert_eq!(error.expect_err("is stopped").fault(), Fault::Interrupted);
    assert_eq!(fixture.names(), ["registry", "rows.parquet"]);
}
