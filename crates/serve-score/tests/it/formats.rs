//! The same rows in every format, in files, folders and parts, come to the same bits in the same order.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch};
use serve_core::Value;
use serve_score::PlanOptions;
use serve_score::job::RunOptions;
use serve_score::{Job, Progress, Source, location};

use crate::fixture::{Fixture, batch, bits, parquet, read_parquet, served};

pub(crate) const ROWS: usize = 20_000;

fn numbers(salt: u64) -> impl Iterator<Item = f64> {
    let mut state = salt;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 20.0)
    })
}

pub(crate) fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0_i64..).take(ROWS)));
    let a: ArrayRef = Arc::new(Float64Array::from_iter_values(numbers(1).take(ROWS)));
    let b: ArrayRef = Arc::new(Float64Array::from_iter_values(numbers(2).take(ROWS)));
    batch(vec![("id", ids), ("b", b), ("a", a)])
}

pub(crate) fn expected(fixture: &Fixture, model: &str) -> Vec<u64> {
    let model = fixture.model(model);
    let score = |(a, b)| {
        let row = [("a", Value::Number(a)), ("b", Value::Number(b))];
        served(&model, &row).expect("answers")[1].to_bits()
    };
    numbers(1).zip(numbers(2)).take(ROWS).map(score).collect()
}

pub(crate) fn csv(rows: &RecordBatch) -> Vec<u8> {
    let mut text = Vec::new();
    arrow_csv::Writer::new(&mut text).write(rows).expect("writes");
    text
}

fn check(fixture: &Fixture, input: &str) {
    let output = format!("{}.out.parquet", input.replace('/', "_"));
    let summary = fixture.score("plain@v2", &fixture.path(input), &output, "id").expect("scores");
    assert_eq!((summary.rows, summary.rejected), (ROWS as u64, 0), "{input}");
    let answers = read_parquet(&fixture.path(&output));
    assert_eq!(bits(&answers, "probability_up"), expected(fixture, "plain@v2"), "{input}");
    let ids = arrow_cast::cast(answers.column(0), &arrow_schema::DataType::Int64).expect("numbers");
    assert_eq!(&ids, rows().column(0), "{input}");
}

#[test]
fn parquet_of_any_row_groups() {
    let fixture = Fixture::new();
    for group in [ROWS, 7_001] {
        parquet(&fixture.path(&format!("g{group}.parquet")), &rows(), group);
        check(&fixture, &format!("g{group}.parquet"));
    }
}

#[test]
fn csv_plain_and_compressed() {
    let fixture = Fixture::new();
    let text = csv(&rows());
    fixture.text("rows.csv", &text);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).expect("writes");
    fixture.text("rows.csv.gz", gzip.finish().expect("ends"));
    fixture.text("rows.csv.zst", zstd::encode_all(&text[..], 1).expect("compresses"));
    for input in ["rows.csv", "rows.csv.gz", "rows.csv.zst"] {
        check(&fixture, input);
    }
}

#[test]
fn json_lines() {
    let fixture = Fixture::new();
    let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
    writer.write(&rows()).expect("writes");
    fixture.text("rows.jsonl", writer.into_inner());
    check(&fixture, "rows.jsonl");
}

#[test]
fn arrow_files_and_streams() {
    let fixture = Fixture::new();
    let rows = rows();
    let mut file = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &rows.schema()).expect("begins");
    let mut stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &rows.schema()).expect("begins");
    for at in (0..ROWS).step_by(3_000) {
        let part = rows.slice(at, 3_000.min(ROWS - at));
        file.write(&part).expect("writes");
        stream.write(&part).expect("writes");
    }
    fixture.text("rows.arrow", file.into_inner().expect("ends"));
    fixture.text("rows.arrows", stream.into_inner().expect("ends"));
    check(&fixture, "rows.arrow");
    check(&fixture, "rows.arrows");
}

#[test]
fn folders_in_the_order_of_their_names() {
    let fixture = Fixture::new();
    let rows = rows();
    parquet(&fixture.path("in/day=1/a.parquet"), &rows.slice(0, 5_000), 2_000);
    parquet(&fixture.path("in/day=1/b.parquet"), &rows.slice(5_000, 1), 2_000);
    parquet(&fixture.path("in/day=2/a.parquet"), &rows.slice(5_001, ROWS - 5_001), 9_000);
    fixture.text("in/_SUCCESS", "");
    check(&fixture, "in");
    check(&fixture, "in/day=*/*.parquet");
    fixture.score("plain@v2", &fixture.path("in"), "days.csv", "day").expect("scores");
    let days = fixture.read("days.csv");
    let days: Vec<&str> = days.lines().skip(1).map(|line| line.split(',').next().expect("a cell")).collect();
    assert_eq!(days, [vec!["1"; 5_001], vec!["2"; ROWS - 5_001]].concat());
}

#[test]
fn single_precision_answers_as_the_same_numbers_in_double() {
    let fixture = Fixture::new();
    let narrow = |salt| numbers(salt).take(ROWS).map(|x| x as f32).collect::<Vec<f32>>();
    let (a, b) = (narrow(1), narrow(2));
    let columns: Vec<(&str, ArrayRef)> =
        vec![("a", Arc::new(Float32Array::from(a.clone()))), ("b", Arc::new(Float32Array::from(b.clone())))];
    parquet(&fixture.path("narrow.parquet"), &batch(columns), ROWS);
    fixture.score("plain", &fixture.path("narrow.parquet"), "out.parquet", "").expect("scores");
    let model = fixture.model("plain@v1");
    let expected = a.iter().zip(&b).map(|(a, b)| {
        let row = [("a", Value::Number(f64::from(*a))), ("b", Value::Number(f64::from(*b)))];
        served(&model, &row).expect("answers")[1].to_bits()
    });
    let answers = read_parquet(&fixture.path("out.parquet"));
    assert_eq!(bits(&answers, "probability_up"), expected.collect::<Vec<_>>());
}

#[test]
fn every_output_format_holds_the_same_rows() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", "id,a,b\n1,0.5,1\n2,-3,0.25\n");
    for output in ["o.csv", "o.jsonl", "o.arrow", "o.csv.gz", "o.jsonl.zst"] {
        fixture.score("plain", &fixture.path("rows.csv"), output, "id").expect("scores");
        check_output(&fixture, output);
    }
    assert_eq!(
        fixture.read("o.csv").lines().next(),
        Some("id,direction,probability_down,probability_up,model_version")
    );
}

fn check_output(fixture: &Fixture, output: &str) {
    let model = fixture.model("plain");
    let ups: Vec<f64> = [[0.5, 1.0], [-3.0, 0.25]]
        .iter()
        .map(|row| model.pipeline().predict(row).expect("answers").scores()[1])
        .collect();
    // Read again by the program's own readers, as features of the same names.
    let source =
        Source::open(location::list(&fixture.path(output).to_string_lossy()).expect("is there"), None);
    let options = PlanOptions {
        map: vec![("a".to_owned(), "probability_up".to_owned()), ("b".to_owned(), "id".to_owned())],
        keep: "all".parse().expect("never fails"),
        ..PlanOptions::default()
    };
    let kept: serve_score::Keep = "id,probability_up".parse().expect("never fails");
    let options = PlanOptions { keep: kept, ..options };
    let error =
        Job::plan(model.clone(), source.expect("reads"), &options).expect_err("a column stands twice");
    assert!(error.to_string().contains("two columns \"probability_up\""), "{error}");
    let source =
        Source::open(location::list(&fixture.path(output).to_string_lossy()).expect("is there"), None);
    let options = PlanOptions { keep: "id".parse().expect("never fails"), ..options };
    let job = Job::plan(model.clone(), source.expect("reads"), &options).expect("plans");
    let scored = job.sample(10).expect("reads").expect("rows");
    let again: Vec<u64> = ups
        .iter()
        .zip([1.0, 2.0])
        .map(|(up, id)| model.pipeline().predict(&[*up, id]).expect("answers").scores()[1].to_bits())
        .collect();
    assert_eq!(bits(&scored.answers, "probability_up"), again, "{output}");
}

#[test]
fn one_thread_or_many_write_the_same_bytes() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", csv(&rows()));
    let mut written = Vec::new();
    for threads in [1, 2, 7] {
        let output = format!("t{threads}.csv");
        let job = fixture.job("plain", &fixture.path("rows.csv"), &PlanOptions::default()).expect("plans");
        let options = RunOptions { threads, waiting_bytes: 1, ..fixture.run(&output).expect("an output") };
        job.run(&options, &Progress::default()).expect("scores");
        written.push(fixture.read(&output));
    }
    assert!(written[0] == written[1] && written[1] == written[2]);
}
