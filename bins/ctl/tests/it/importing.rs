//! What `import` learns and what it refuses: training data, ranges, metrics.

use serde_json::json;

use crate::shop::{Shop, csv, model};

#[test]
fn training_data_is_recorded_shown_and_never_enforced() {
    let shop = Shop::empty();
    let rows = ["2024-01-02,0.5,1,x", "2024-01-01,2.5,,y", "2024-01-05,1.5,3,x"];
    let data = shop.file("training.csv", &csv("day,rain,wind,other", &rows));
    shop.import("v1", 1.0, &["--training-data", &data, "--time", "day"]).ok();
    let shown = shop.ctl(&["show", "m@v1"]).json();
    let observed = &shown["training_data"];
    assert_eq!(observed["rows"], 3);
    assert_eq!(observed["window"], json!(["2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"]));
    assert_eq!(observed["features"]["rain"], json!({"min": 0.5, "max": 2.5, "null_rate": 0.0}));
    let wind = &observed["features"]["wind"];
    assert_eq!((&wind["min"], &wind["max"]), (&json!(1.0), &json!(3.0)));
    assert!(shown["signature"].to_string().find("range").is_none(), "nothing is enforced: {shown}");
    let reference = std::fs::read(shop.path("registry/m/v1/reference.json")).expect("there");
    let reference: serde_json::Value = serde_json::from_slice(&reference).expect("JSON");
    assert_eq!(reference["features"][0]["quantiles"].as_array().map(Vec::len), Some(256));
    assert_eq!(reference["scores"][0]["name"], "value");
}

#[test]
fn training_data_that_does_not_fit_is_refused_by_name() {
    let shop = Shop::empty();
    let data = shop.file("training.csv", "rain\n1\n");
    let told = shop.import("v1", 1.0, &["--training-data", &data]).failed(65);
    assert_eq!(told, format!("{data}: the training data has no column \"wind\""));
    let missing = shop.path("none.csv").display().to_string();
    let told = shop.import("v1", 1.0, &["--training-data", &missing]).failed(66);
    assert!(told.starts_with(&format!("{missing} cannot be read: ")), "{told}");
    let parquet = shop.file("training.parquet", "PAR1");
    let told = shop.import("v1", 1.0, &["--training-data", &parquet]).failed(65);
    assert!(told.starts_with(&format!("{parquet} cannot be read: ")), "{told}");
    let told = shop.import("v1", 1.0, &["--training-data", &shop.file("words.csv", "rain,wind\nmuch,1\n")]);
    assert!(told.failed(65).contains("expected a number, got \"much\""));
    assert!(!shop.path("registry/m").exists());
    let truths = shop.file("truths.csv", "rain,wind\nTrue,1\nFalse,<NA>\n0.5,2\n");
    shop.import("v1", 1.0, &["--training-data", &truths]).ok();
}

#[test]
fn a_golden_row_outside_a_declared_range_is_named() {
    let shop = Shop::empty();
    let ranges = shop.file("ranges.yaml", "rain: {min: 0, max: 3}\n");
    let golden = shop.file("golden.csv", &csv("wind,predict,rain", &["1,10,0.5", "1,20,4"]));
    let told = shop.import("v1", 1.0, &["--ranges", &ranges, "--golden", &golden]).failed(65);
    assert_eq!(
        told,
        format!(
            "{golden}: golden row 1 would be refused: invalid input: rain: expected 0 to 3, got 4; leave it out, or \
             declare other ranges"
        )
    );
    let golden = shop.file("golden.csv", &csv("wind,predict,rain", &["1,10,0.5", "1,20,3"]));
    let told = shop.import("v1", 1.0, &["--ranges", &ranges, "--golden", &golden]).ok();
    assert_eq!(told, "published m@v1: 2 features, 2 golden rows by lightgbm\n");
    let unknown = shop.file("ranges.yaml", "snow: {max: 3}\n");
    let told = shop.import("v2", 1.0, &["--ranges", &unknown]).failed(65);
    assert_eq!(told, format!("{unknown}: the model has no feature \"snow\""));
}

#[test]
fn a_golden_file_that_does_not_fit_is_named() {
    let shop = Shop::empty();
    let file = shop.file("m.txt", &model(1.0, true));
    let import = |header: &str, row: &str| {
        let golden = shop.file("golden.csv", &csv(header, &[row]));
        let args = ["import", &file, "--name", "m", "--classes", "no,yes", "--golden", &golden];
        shop.ctl(&args).failed(65).replace(&golden, "golden.csv")
    };
    assert_eq!(
        import("rain,predict,predict_proba:no,predict_proba:yes", "1,no,1,0"),
        "golden.csv: the golden file has no column \"wind\""
    );
    assert_eq!(
        import("rain,wind,predict,predict_proba:no", "1,1,no,1"),
        "golden.csv: the golden file has probabilities of \"no\", the model has the classes \"no\", \"yes\""
    );
    assert_eq!(
        import("rain,wind,predict,predict_proba:no,predict_proba:yes", "1,1,yes,0.75,0.25"),
        "golden.csv: line 2, column \"predict\": expected \"no\", whose probability 0.75 is the greatest, got \"yes\""
    );
}

#[test]
fn a_metric_says_its_direction_and_its_rows() {
    let shop = Shop::empty();
    let metric = ["--metric", "surprise=0.25", "--metric", "accuracy=0.5"];
    let more = ["--metric-direction", "minimize", "--metric-rows", "500", "--metric-min-rows", "400"];
    shop.import("v1", 1.0, &[&metric[..], &more[..]].concat()).ok();
    let metrics = &shop.ctl(&["show", "m@v1"]).json()["metrics"];
    assert_eq!(
        *metrics,
        json!({
            "primary": "surprise", "direction": "minimize", "min_rows": 400,
            "holdout": {"surprise": 0.25, "accuracy": 0.5}, "holdout_rows": 500
        })
    );
    let told = shop.ctl(&["list"]).ok();
    assert!(told.contains("surprise 0.2500 (minimize, 500 rows)"), "{told}");
    let told = shop.import("v2", 1.0, &["--metric", "a=1", "--metric-direction", "up"]);
    assert_eq!(told.code, Some(2), "{}", told.err);
    assert!(told.err.contains("expected maximize or minimize"), "{}", told.err);
}
