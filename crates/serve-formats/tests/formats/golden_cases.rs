//! Every golden case: our answers are the library's, alone, in a batch and by the naive evaluator, and the sums before
//! the link function have the same bits. Run with `--nocapture` for what was reached.

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::Link;
use serve_core::tree::{Aggregation, Shape};
use serve_core::{Estimator, Golden, Task, Tolerance, TreeEnsemble, naive};
use serve_formats::{Format, ImportedModel, import, read_golden};

use crate::cases::{Case, cases, chain, coded, pipeline};

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn check_description(case: &Case, model: &ImportedModel) {
    let summary = model.summary();
    assert_eq!(summary.trees as u64, case.json["n_trees"].as_u64().unwrap(), "{}", case.name);
    assert_eq!(summary.features as u64, case.json["n_features"].as_u64().unwrap(), "{}", case.name);
    assert_eq!(summary.objective.split(' ').next(), case.json["objective"].as_str(), "{}", case.name);
    let task = match case.json["task"].as_str().unwrap() {
        "regression" => Task::Regression,
        _ => Task::Classification { classes: strings(&case.json["classes"]) },
    };
    assert_eq!(model.task, task, "{}", case.name);
    let header = String::from_utf8(case.read("golden.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(header.as_bytes());
    let names: Vec<String> =
        reader.headers().unwrap().iter().take(summary.features).map(str::to_owned).collect();
    assert_eq!(model.feature_names(), names, "{}", case.name);
}

/// The largest difference, and how many rows have the very bits.
fn compare(case: &Case, model: &ImportedModel, golden: &Golden) -> (f64, usize) {
    let names = model.feature_names();
    let (mut worst, mut equal) = (0.0_f64, 0);
    for (number, (row, expected)) in golden.rows.iter().zip(&golden.scores).enumerate() {
        let got = naive::scores(&model.estimator, &names, row).unwrap();
        assert_eq!(got.len(), expected.len(), "{}", case.name);
        for (got, expected) in got.iter().zip(expected) {
            let close = golden.tolerance.allows(*expected, *got);
            assert!(close, "{}, row {number}, naive: expected {expected}, got {got}", case.name);
            worst = worst.max((got - expected).abs());
        }
        equal += usize::from(got.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    (worst, equal)
}

/// The library's margins of the first rows, bit for bit. LightGBM's of a forest are sums, not means.
fn check_margins(case: &Case, model: &ImportedModel, golden: &Golden) {
    let Model::Trees(trees) = &model.estimator.model else { panic!("{}: no trees", case.name) };
    let shape = Shape { aggregation: Aggregation::Sum, ..trees.shape().clone() };
    let trees = TreeEnsemble::new(shape, &trees.trees().collect::<Vec<_>>()).unwrap();
    let estimator = Estimator::of(Model::Trees(trees), Link::IDENTITY);
    let expected = case.json["raw_score"].as_array().unwrap();
    assert!(!expected.is_empty(), "{}", case.name);
    for (number, (row, expected)) in golden.rows.iter().zip(expected).enumerate() {
        let one = std::slice::from_ref(expected);
        let expected = expected.as_array().map_or(one, Vec::as_slice);
        let got = naive::scores(&estimator, &model.feature_names(), row).unwrap();
        let expected: Vec<f64> = expected.iter().map(|margin| margin.as_f64().unwrap()).collect();
        assert_eq!(got, expected, "{}, row {number}", case.name);
    }
}

fn check_case(case: &Case, file: &str, format: Format) {
    let model =
        import(&case.read(file), Format::Auto).unwrap_or_else(|e| panic!("{}: {}", case.name, chain(&e)));
    import(&case.read(file), format).unwrap_or_else(|e| panic!("{}: {}", case.name, chain(&e)));
    check_description(case, &model);
    let model = coded(model);
    let tolerance = case.json["tolerance"].as_f64().unwrap();
    let golden = read_golden(&case.read("golden.csv"), &model);
    let golden = golden.unwrap_or_else(|e| panic!("{}: {}", case.name, chain(&e)));
    assert_eq!(golden.rows.len() as u64, case.json["rows"].as_u64().unwrap(), "{}", case.name);
    let golden = Golden { tolerance: Tolerance { absolute: tolerance, relative: 0.0 }, ..golden };
    // alone and in a batch
    golden.prove(&pipeline(&model)).unwrap_or_else(|e| panic!("{}: {}", case.name, chain(&e)));
    check_margins(case, &model, &golden);
    let (worst, equal) = compare(case, &model, &golden);
    assert!(model.task != Task::Regression || worst == 0.0, "{}: sums have the library's bits", case.name);
    println!("{:<32} {:>4} rows, {equal:>4} bit-equal, max |diff| {worst:.1e}", case.name, golden.rows.len());
}

#[test]
fn lightgbm_models_answer_as_lightgbm_does() {
    cases("lightgbm").iter().for_each(|case| check_case(case, "model.txt", Format::LightGbm));
}

#[test]
fn xgboost_models_answer_as_xgboost_does() {
    cases("xgboost").iter().for_each(|case| check_case(case, "model.json", Format::XgBoost));
}
