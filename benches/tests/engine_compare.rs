//! `engine-compare` as a harness runs it: the lines that it prints, and the answers that it writes, which are held
//! against the naive evaluator.

use std::path::Path;
use std::process::{Command, Output};

use ndarray::Array2;
use serde_json::Value as Json;
use serve_benches::matrix;
use serve_core::naive;
use serve_formats::{Format, import};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/lightgbm-100x31.txt");
const FEATURES: usize = 30;

/// Rows of -2..2; every seventh number is missing.
fn rows(count: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, FEATURES), |(row, column)| match row * FEATURES + column {
        n if n % 7 == 0 => f64::NAN,
        n => ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 22) - 2.0,
    })
}

fn compare(folder: &Path, rows: &Array2<f64>, features: usize) -> Output {
    let file = folder.join("x.f64");
    matrix::write(&file, rows.as_slice().expect("row-major")).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine-compare"));
    command.args([Path::new(MODEL), &file]).args([rows.nrows().to_string(), features.to_string()]);
    command.arg(folder.join("out.f64")).args(["--cells", "1/1,8/2"]);
    command.output().expect("engine-compare starts")
}

#[test]
fn prints_a_line_per_cell_and_writes_an_answer_per_row() {
    let (folder, rows) = (tempfile::tempdir().expect("a folder"), rows(101));
    let output = compare(folder.path(), &rows, FEATURES);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let cells: Vec<_> = lines.iter().map(|line| (line["batch"].as_u64(), line["threads"].as_u64())).collect();
    assert_eq!(cells, [(Some(1), Some(1)), (Some(8), Some(2))]);
    for line in &lines {
        assert!(line["wall_ns"].as_f64() > Some(0.0) && line["cpu_ns"].as_f64() > Some(0.0), "{line}");
    }
    let answers = matrix::read(&folder.path().join("out.f64"), 101, 1).expect("reads");
    let model = import(&std::fs::read(MODEL).expect("reads"), Format::Auto).expect("imports");
    let names = model.feature_names();
    for (row, answer) in rows.rows().into_iter().zip(&answers) {
        let expected = naive::scores(&model.estimator, &names, &row.to_vec()).expect("answers");
        assert_eq!(answer.to_bits(), expected[1].to_bits());
    }
}

#[test]
fn a_matrix_of_another_width_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = compare(folder.path(), &rows(29), FEATURES + 1);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.ends_with("the model takes 30 features, got 31\n"), "{message}");
}
