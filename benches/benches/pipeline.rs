//! What the pipeline adds to the engine: a LightGBM model of 100 trees with 31 leaves, 30 features.
//!
//! The floor is `predict_checked` on a row that was admitted before: no names, no checks, no transforms; what is left
//! is the trees, the link and the decision.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use ndarray::Array2;
use serve_core::{BatchPrediction, CheckedRow, DecisionPolicy, Pipeline, Target, Value};
use serve_formats::{Format, import};

const MODEL: &[u8] = include_bytes!("../data/lightgbm-100x31.txt");
const INPUTS: usize = 30;
const ROWS: usize = 1000;

/// Rows that differ, so that branches are not learnt by heart: numbers in -2..2 from a counter.
fn rows() -> Array2<f64> {
    Array2::from_shape_fn((ROWS, INPUTS), |(row, column)| {
        let mixed = ((row * INPUTS + column) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        mixed as f64 / f64::from(1_u32 << 22) - 2.0
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = import(MODEL, Format::Auto)?;
    let target = Target { name: "label".to_owned(), task: model.task.clone() };
    let pipeline = Pipeline::new(model.signature()?, &model.estimator, target, DecisionPolicy::default())?;
    let rows = rows();
    let signature = pipeline.signature();
    let names: Vec<_> = signature.names().map(str::to_owned).collect();
    let numbers: Vec<Vec<f64>> = rows.rows().into_iter().map(|row| row.to_vec()).collect();
    let named: Vec<Vec<_>> = numbers
        .iter()
        .map(|row| names.iter().map(String::as_str).zip(row.iter().map(|x| Value::Number(*x))).collect())
        .collect();
    let mut checked = Vec::new();
    for row in &numbers {
        let mut into = CheckedRow::new();
        signature.read_numbers(row, &mut into)?;
        checked.push(into);
    }

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("one row");
    let mut rows_of = checked.iter().cycle();
    group.bench_function("bare engine (predict_checked)", |b| {
        b.iter(|| rows_of.next().map(|row| pipeline.predict_checked(black_box(row))));
    });
    let mut rows_of = numbers.iter().cycle();
    group.bench_function("numbers (predict)", |b| {
        b.iter(|| rows_of.next().map(|row| pipeline.predict(black_box(row))));
    });
    let mut rows_of = named.iter().cycle();
    let mut row = CheckedRow::new();
    group.bench_function("names (read_named, predict_checked)", |b| {
        b.iter(|| {
            let given = rows_of.next().map(|given| signature.read_named(black_box(given), &mut row));
            (given, pipeline.predict_checked(&row))
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("1000 rows");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("one after another (predict_checked)", |b| {
        b.iter(|| checked.iter().filter(|row| pipeline.predict_checked(black_box(row)).is_ok()).count());
    });
    let mut out = BatchPrediction::new();
    group.bench_function("predict_batch", |b| {
        b.iter(|| pipeline.predict_batch(black_box(rows.view()), &mut out));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
