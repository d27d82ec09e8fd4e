//! Rows that fail: which, why, and that the others are answered.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use serve_core::Value;
use serve_score::{Fault, PlanOptions, Progress};

use crate::fixture::{Fixture, batch, bits, parquet, read_parquet, served};

const TYPED: &str = "id,x,city,age,member\n\
    1,0.5,Bern,30,true\n\
    2,,Genf,0,\n\
    3,oops,Bern,30,1\n\
    4,1,Basel,30,0\n\
    5,1,NA,130,0\n\
    6,1\n\
    7,inf,Bern,30.5,maybe\n\
    8,1,\"Genf\",120,False\n\
    9,1,,5,0\n";

#[test]
fn each_rejected_row_is_told_with_its_number_column_reason_and_text() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", TYPED);
    let summary = fixture.score("typed", &input, "out.csv", "id").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (9, 6));
    let rejects = fixture.read("out.csv.rejects.csv");
    let expected = "row,column,reason,input\n\
        3,x,\"x: expected a number, got text \"\"oops\"\"\",\"3,oops,Bern,30,1\"\n\
        4,city,\"city: expected one of \"\"Bern\"\", \"\"Genf\"\", \"\"NA\"\", got \"\"Basel\"\"\",\"4,1,Basel,30,0\"\n\
        5,age,\"age: expected 0 to 120, got 130\",\"5,1,NA,130,0\"\n\
        6,,\"expected 5 cells, got 2\",\"6,1\"\n\
        7,x,\"x: expected a finite number, got inf; age: expected a whole number, got 30.5; \
        member: expected true or false, got text \"\"maybe\"\"\",\"7,inf,Bern,30.5,maybe\"\n\
        9,city,\"city: missing, and the model has no value to stand in\",\"9,1,,5,0\"\n";
    assert_eq!(rejects, expected);
    let ids: Vec<String> = fixture
        .read("out.csv")
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ids, ["1", "2", "8"]);
}

#[test]
fn missing_values_follow_the_policies_of_serving() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", TYPED);
    fixture.score("typed", &input, "out.parquet", "id").expect("scores");
    let model = fixture.model("typed");
    let rows = [
        vec![
            ("x", Value::Number(0.5)),
            ("city", Value::Text("Bern".into())),
            ("age", Value::Number(30.0)),
            ("member", Value::Bool(true)),
        ],
        vec![("city", Value::Text("Genf".into())), ("age", Value::Number(0.0))],
        vec![
            ("x", Value::Number(1.0)),
            ("city", Value::Text("Genf".into())),
            ("age", Value::Number(120.0)),
            ("member", Value::Bool(false)),
        ],
    ];
    let expected: Vec<u64> =
        rows.iter().map(|row| served(&model, row).expect("answers")[1].to_bits()).collect();
    assert_eq!(bits(&read_parquet(&fixture.path("out.parquet")), "probability_up"), expected);
}

#[test]
fn rows_without_text_are_told_as_json() {
    let fixture = Fixture::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(Float64Array::from(vec![Some(1.0), None]))),
        ("city", Arc::new(StringArray::from(vec![Some("Bern"), None]))),
        ("age", Arc::new(Int64Array::from(vec![7, 8]))),
        ("member", Arc::new(BooleanArray::from(vec![true, false]))),
        ("unread", Arc::new(Int64Array::from(vec![0, 0]))),
    ];
    parquet(&fixture.path("rows.parquet"), &batch(columns), 10);
    fixture.score("typed", &fixture.path("rows.parquet"), "out.parquet", "").expect("scores");
    assert_eq!(
        fixture.read("out.parquet.rejects.csv").lines().nth(1),
        Some(
            "2,city,\"city: missing, and the model has no value to stand in\",\
             \"{\"\"x\"\":null,\"\"city\"\":null,\"\"age\"\":8,\"\"member\"\":false}\""
        )
    );
}

#[test]
fn broken_lines_of_json_are_rejects() {
    let fixture = Fixture::new();
    let text = "{\"a\":1,\"b\":2,\"id\":1}\n{\"a\":1\n\n{\"a\":\"2\",\"b\":null,\"id\":\"x\"}\n[]\n{\"b\":0,\"a\":-1.5e0,\"id\":4}\n{\"a\":1,\"a\":2,\"b\":1}\n";
    let mut first = String::new();
    // The first lines say that `id` is a whole number.
    (0..1000).for_each(|_| first.push_str("{\"a\":0,\"b\":0,\"id\":0}\n"));
    let input = fixture.text("rows.jsonl", first + text);
    let summary = fixture.score("plain", &input, "out.jsonl", "id").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (1006, 4));
    let rejects = fixture.read("out.jsonl.rejects.csv");
    let rows: Vec<(&str, &str)> = rejects
        .lines()
        .skip(1)
        .map(|line| {
            let mut cells = line.splitn(3, ',');
            (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
        })
        .collect();
    assert_eq!(rows, [("1002", ""), ("1003", "id"), ("1004", ""), ("1006", "a")]);
}

#[test]
fn bytes_that_are_no_utf_8_reject_their_row_only_where_they_are_read() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", b"a,b,note\n1,2,gr\xfcn\n\xff,2,x\n3,4,y\n");
    let summary = fixture.score("plain", &input, "out.csv", "").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (3, 1));
    assert!(fixture.read("out.csv.rejects.csv").contains("2,a,\"expected UTF-8 text"));
    let summary = fixture.score("plain", &input, "kept.csv", "note").expect("scores");
    assert_eq!(summary.rejected, 2);
}

#[test]
fn too_many_rejects_fail_the_job_and_leave_nothing() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", TYPED);
    let before = fixture.names();
    for (limit, fails) in [("5", true), ("6", false), ("66%", true), ("67%", false)] {
        let job = fixture.job("typed", &input, &PlanOptions::default()).expect("plans");
        let output = format!("out{}.csv", limit.trim_end_matches('%'));
        let mut options = fixture.run(&output).expect("an output");
        options.max_rejects = Some(limit.parse().expect("a limit"));
        match job.run(&options, &Progress::default()) {
            Ok(_) => assert!(!fails && fixture.path(&output).exists(), "{limit}"),
            Err(error) => {
                assert!(fails && error.fault() == Fault::Data, "{limit}: {error}");
                assert!(!fixture.path(&output).exists());
            }
        }
    }
    let after: Vec<String> = fixture.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(after, ["out6.csv", "out6.csv.rejects.csv", "out67.csv", "out67.csv.rejects.csv"]);
}

#[test]
fn only_nulls_are_all_rejected_and_no_rows_are_none() {
    let fixture = Fixture::new();
    let empty = fixture.text("none.csv", "a,b\n");
    let summary = fixture.score("plain", &empty, "none.parquet", "a").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (0, 0));
    assert_eq!(read_parquet(&fixture.path("none.parquet")).num_rows(), 0);
    let nulls = fixture.text("nulls.csv", "a,b\n,\nNA,null\n");
    let summary = fixture.score("plain", &nulls, "nulls.csv.out.csv", "").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (2, 2));
    assert_eq!(fixture.read("nulls.csv.out.csv").lines().count(), 1);
}
