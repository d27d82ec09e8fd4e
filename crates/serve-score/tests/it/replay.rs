//! Logged predictions by another version: what changes is what the two versions' own answers say.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields};
use serve_core::Value;
use serve_score::replay::{ReplayOptions, ReplayReport, replay};
use serve_score::{Output, PinnedModel, Progress, ScoreError, Source, location, log};

use crate::fixture::{Fixture, batch, parquet, read_parquet, served};

/// A prediction that was logged.
struct Row {
    model: &'static str,
    version: &'static str,
    a: Option<f64>,
    b: f64,
    /// The probabilities of down and up, where they are known.
    scores: Option<[f64; 2]>,
}

fn scores(model: &PinnedModel, a: f64, b: f64) -> [f64; 2] {
    let scores = served(model, &[("a", Value::Number(a)), ("b", Value::Number(b))]).expect("answers");
    [scores[0], scores[1]]
}

/// Predictions of `plain@v1`, and some that have to be left out or cannot be compared.
fn rows(fixture: &Fixture) -> Vec<Row> {
    let model = fixture.model("plain@v1");
    let row = |i: u32| {
        let (a, b) = (f64::from(i % 41) / 10.0 - 2.0, f64::from(i % 7) / 7.0 - 0.5);
        Row { model: "plain", version: "v1", a: Some(a), b, scores: Some(scores(&model, a, b)) }
    };
    let mut rows: Vec<Row> = (0..500).map(row).collect();
    rows.insert(3, Row { model: "other", ..row(0) });
    rows.insert(9, Row { a: None, ..row(9) });
    rows.push(Row { scores: None, ..row(11) });
    rows
}

fn texts(text: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(text.map(Some).collect::<StringArray>())
}

/// The columns that the design has, as something that writes a log would make them.
fn log_batch(rows: &[Row]) -> RecordBatch {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let features = Fields::from(vec![number("a"), number("b"), number("more")]);
    let schema = log::schema(features.clone(), &["down".to_owned(), "up".to_owned()]);
    let scores = |class: usize| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| row.scores.map_or(f64::NAN, |scores| scores[class]))
                .collect::<Float64Array>(),
        )
    };
    let DataType::Struct(fields) = schema.field_with_name(log::SCORE).expect("is there").data_type().clone()
    else {
        unreachable!("scores are a struct")
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.a).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.b)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|_| Some(1.0)).collect::<Float64Array>()),
    ];
    let mut imputed =
        ListBuilder::new(StringBuilder::new()).with_field(Field::new_list_field(DataType::Utf8, false));
    rows.iter().for_each(|_| imputed.append(true));
    let count = rows.len();
    let columns: Vec<ArrayRef> = vec![
        texts((0..count).map(|i| format!("prediction-{i}"))),
        texts((0..count).map(|i| format!("request-{i}"))),
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..1000).take(count)).with_timezone("UTC")),
        texts(rows.iter().map(|row| row.model.to_owned())),
        texts(rows.iter().map(|row| row.version.to_owned())),
        texts((0..count).map(|_| "0".repeat(64))),
        Arc::new((0..count).map(|i| (i % 2 == 0).then(|| format!("entity-{i}"))).collect::<StringArray>()),
        Arc::new(StructArray::new(features, columns, None)),
        Arc::new(imputed.finish()),
        Arc::new(StructArray::new(fields, vec![scores(0), scores(1)], None)),
        Arc::new(UInt64Array::from_iter_values(0..count as u64)),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("fits its schema")
}

/// The same as text, without the columns that are only told.
fn text_batch(rows: &[Row]) -> RecordBatch {
    let json = |name: &str, x: Option<f64>| {
        format!("\"{name}\": {}", x.map_or("null".to_owned(), |x| x.to_string()))
    };
    let features = |row: &Row| format!("{{{}, {}}}", json("b", Some(row.b)), json("a", row.a));
    let score = |row: &Row| match row.scores {
        Some([down, up]) => format!("{{{}, {}}}", json("up", Some(up)), json("down", Some(down))),
        None => "null".to_owned(),
    };
    batch(vec![
        (log::MODEL, texts(rows.iter().map(|row| row.model.to_owned()))),
        (log::VERSION, texts(rows.iter().map(|row| row.version.to_owned()))),
        (log::FEATURES, texts(rows.iter().map(features))),
        (log::SCORE, texts(rows.iter().map(score))),
    ])
}

fn options(output: Option<Output>) -> ReplayOptions {
    ReplayOptions { model: None, version: None, tolerance: 0.0, top: 5, output, threads: 3 }
}

fn replayed(
    fixture: &Fixture,
    path: &Path,
    model: &str,
    options: &ReplayOptions,
) -> Result<ReplayReport, ScoreError> {
    let source = Source::open(location::list(&path.to_string_lossy())?, None)?;
    replay(&fixture.registry, fixture.model(model), source, options, &Progress::default())
}

#[test]
fn decisions_change_where_the_answers_of_both_versions_say_so() {
    let fixture = Fixture::new();
    let rows = rows(&fixture);
    parquet(&fixture.path("log.parquet"), &log_batch(&rows), 60);
    let output =
        Output::new(&fixture.path("changes.parquet").to_string_lossy(), None, false).expect("an output");
    let report = replayed(&fixture, &fixture.path("log.parquet"), "plain@v2", &options(Some(output)));
    let report = report.expect("replays");

    let new = fixture.model("plain@v2");
    let compared = rows.iter().zip(1_u64..).filter(|(row, _)| row.model == "plain" && row.a.is_some());
    let both = compared.filter_map(|(row, number)| {
        let old = row.scores?;
        Some((number, old, scores(&new, row.a.unwrap_or_default(), row.b)))
    });
    let both: Vec<(u64, [f64; 2], [f64; 2])> = both.collect();
    let up = |scores: [f64; 2]| scores[1] > scores[0];
    let changed: Vec<u64> =
        both.iter().filter(|(_, old, new)| up(*old) != up(*new)).map(|(number, ..)| *number).collect();
    assert!(changed.len() > 10 && changed.len() < 400);

    let told = &report.rows;
    assert_eq!((told.read, told.skipped, told.rejected, told.without_scores), (503, 1, 1, 1));
    assert_eq!((told.compared, told.changed), (both.len() as u64, changed.len() as u64));
    let decisions: Vec<(&str, &str, u64)> =
        report.decisions.iter().map(|moved| (&*moved.from, &*moved.to, moved.rows)).collect();
    assert_eq!(decisions[0], ("down", "up", changed.len() as u64));
    assert_eq!(decisions.iter().map(|(.., rows)| rows).sum::<u64>(), told.compared);
    let differences: Vec<f64> = both.iter().map(|(_, old, new)| (new[1] - old[1]).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    assert!((report.mean_difference - mean).abs() < 1e-12);
    let greatest = differences.iter().copied().fold(0.0, f64::max);
    assert!((report.greatest_difference - greatest).abs() < 1e-12);
    assert_eq!(report.most.len(), 5);
    assert!((report.most[0].difference.abs() - greatest).abs() < 1e-12);
    assert_eq!(report.most[0].prediction_id, Some(format!("prediction-{}", report.most[0].row - 1)));
    assert_eq!(report.reasons[0].column, "a");
    assert_eq!((report.versions.len(), report.versions[0].own_rule), (1, true));

    let written = read_parquet(&fixture.path("changes.parquet"));
    let numbers = written.column(0).as_primitive::<arrow_array::types::UInt64Type>();
    assert_eq!(numbers.values().to_vec(), changed);
    assert_eq!(written.column_by_name("new_decision").expect("is there").as_string::<i32>().value(0), "up");
}

#[test]
fn one_number_is_the_score_of_the_second_of_two_classes() {
    let fixture = Fixture::new();
    let rows = rows(&fixture);
    let batch_with = |scores: ArrayRef| {
        batch(vec![
            (log::MODEL, texts(rows.iter().map(|row| row.model.to_owned()))),
            (log::VERSION, texts(rows.iter().map(|row| row.version.to_owned()))),
            (log::FEATURES, text_batch(&rows).column(2).clone()),
            (log::SCORE, scores),
        ])
    };
    let second: Vec<Option<f64>> = rows.iter().map(|row| row.scores.map(|[_, up]| up)).collect();
    let json = texts(second.iter().map(|x| x.map_or("null".to_owned(), |x| x.to_string())));
    let batches = [
        text_batch(&rows),
        batch_with(Arc::new(second.into_iter().collect::<Float64Array>())),
        batch_with(json),
    ];
    let reports = batches.iter().enumerate().map(|(i, batch)| {
        let path = fixture.path(&format!("log-{i}.parquet"));
        parquet(&path, batch, 100);
        replayed(&fixture, &path, "plain@v2", &options(None)).expect("replays")
    });
    let reports: Vec<ReplayReport> = reports.collect();
    for report in &reports[1..] {
        assert_eq!((report.rows, &report.decisions), (reports[0].rows, &reports[0].decisions));
        assert!((report.mean_difference - reports[0].mean_difference).abs() < 1e-12);
    }
}

#[test]
fn features_and_scores_may_be_text() {
    let fixture = Fixture::new();
    let rows = rows(&fixture);
    parquet(&fixture.path("nested.parquet"), &log_batch(&rows), 60);
    parquet(&fixture.path("text.parquet"), &text_batch(&rows), 1000);
    let [nested, text] = ["nested.parquet", "text.parquet"]
        .map(|name| replayed(&fixture, &fixture.path(name), "plain@v2", &options(None)).expect("replays"));
    assert_eq!(nested.rows, text.rows);
    assert_eq!(nested.decisions, text.decisions);
    let numbers = |report: &ReplayReport| report.most.iter().map(|change| change.row).collect::<Vec<_>>();
    assert_eq!(numbers(&nested), numbers(&text));
}

#[test]
fn the_same_version_changes_nothing() {
    let fixture = Fixture::new();
    parquet(&fixture.path("log.parquet"), &log_batch(&rows(&fixture)), 100);
    let report =
        replayed(&fixture, &fixture.path("log.parquet"), "plain@v1", &options(None)).expect("replays");
    assert_eq!((report.rows.changed, report.greatest_difference, report.most.len()), (0, 0.0, 0));
    assert!(
        report.text().starts_with("0 of 500 decisions change with plain@v1 (0 %)\n"),
        "{}",
        report.text()
    );
}

#[test]
fn what_was_decided_then_follows_from_the_rule_of_then_where_it_is_known() {
    let fixture = Fixture::new();
    let scored = |version| Row { model: "ruled", version, a: Some(1.0), b: 0.0, scores: Some([0.3, 0.7]) };
    parquet(&fixture.path("log.parquet"), &log_batch(&[scored("v1"), scored("v9")]), 100);
    let report =
        replayed(&fixture, &fixture.path("log.parquet"), "ruled@v2", &options(None)).expect("replays");
    // By the rule of v1, 0.7 is too little; v9 is not there, and the new rule takes the greater.
    let decisions: Vec<(&str, &str, u64)> =
        report.decisions.iter().map(|moved| (&*moved.from, &*moved.to, moved.rows)).collect();
    assert_eq!(decisions, [("down", "up", 1), ("up", "up", 1)]);
    let rules: Vec<(&str, bool)> =
        report.versions.iter().map(|version| (&*version.version, version.own_rule)).collect();
    assert_eq!(rules, [("v1", true), ("v9", false)]);
    let only = ReplayOptions { version: Some("v9".to_owned()), ..options(None) };
    let report = replayed(&fixture, &fixture.path("log.parquet"), "ruled@v2", &only).expect("replays");
    assert_eq!((report.rows.skipped, report.rows.changed), (1, 0));
}

#[test]
fn what_is_no_log_is_told_by_what_it_lacks() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", "a,b,model\n1,2,x\n");
    let error = replayed(&fixture, &input, "plain", &options(None)).expect_err("no log").to_string();
    assert!(
        error.ends_with(
            "is no log of predictions: expected one column each of \"version\", \"features\", \"score\""
        ),
        "{error}"
    );
}

#[test]
fn a_version_of_other_answers_is_refused() {
    let fixture = Fixture::new();
    parquet(&fixture.path("log.parquet"), &text_batch(&rows(&fixture)), 100);
    let options = ReplayOptions { model: Some("plain".to_owned()), ..options(None) };
    let error =
        replayed(&fixture, &fixture.path("log.parquet"), "answered@v1", &options).expect_err("is refused");
    assert!(
        error
            .to_string()
            .contains("plain@v1 answered the classes down, up, --model answers the classes no, yes"),
        "{error}"
    );
}
