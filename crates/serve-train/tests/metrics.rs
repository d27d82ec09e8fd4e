//! The measures against scikit-learn's, to 1e-12, on the golden file that `tests/golden/make_sklearn.py` writes.

use ndarray::Array2;
use serde_json::Value;
use serve_train::metrics::{accuracy, brier_score, log_loss, roc_auc};

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/sklearn/metrics.json");
    serde_json::from_slice(&std::fs::read(path).expect("the golden file is there")).expect("it is JSON")
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().expect(key).iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn classes(case: &Value, key: &str) -> Vec<u32> {
    numbers(case, key).into_iter().map(|x| x as u32).collect()
}

fn check(case: &Value, key: &str, got: f64) {
    let expected = case[key].as_f64().expect(key);
    assert!((got - expected).abs() <= 1e-12, "{} {key}: expected {expected}, got {got}", case["name"]);
}

#[test]
fn two_classes_measure_as_in_scikit_learn() {
    let golden = golden();
    let cases = golden["binary"].as_array().expect("cases");
    // Rows have no weights here.
    let plain: Vec<&Value> = cases.iter().filter(|case| case["weights"].is_null()).collect();
    let names: Vec<&str> = plain.iter().filter_map(|case| case["name"].as_str()).collect();
    assert_eq!(names, ["plain", "ties", "ends", "constant"]);
    for case in plain {
        let (labels, second) = (classes(case, "labels"), numbers(case, "probabilities"));
        let both = Array2::from_shape_fn((second.len(), 2), |(row, class)| {
            if class == 1 { second[row] } else { 1.0 - second[row] }
        });
        let positive: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
        check(case, "accuracy", accuracy(&labels, &classes(case, "predicted")));
        check(case, "log_loss", log_loss(&labels, both.view()));
        check(case, "brier_score_loss", brier_score(&labels, both.view()));
        check(case, "roc_auc_score", roc_auc(&positive, &second).expect("two classes"));
    }
}

#[test]
fn more_classes_measure_as_in_scikit_learn() {
    let golden = golden();
    let case = &golden["multiclass"];
    let rows = case["probabilities"].as_array().expect("rows");
    let flat: Vec<f64> = rows
        .iter()
        .flat_map(|row| row.as_array().expect("a row").iter().map(|p| p.as_f64().expect("a number")))
        .collect();
    let probabilities = Array2::from_shape_vec((rows.len(), 4), flat).expect("four classes");
    let labels = classes(case, "labels");
    check(case, "accuracy", accuracy(&labels, &classes(case, "predicted")));
    check(case, "log_loss", log_loss(&labels, probabilities.view()));
}
