//! Reports: the numbers of a job that people and programs read.

use serde_json::Value as Json;
use serve_score::digest;
use serve_score::report::{Circumstances, Files};
use serve_score::{PlanOptions, Progress, Report, ReportFile};

use crate::fixture::{Fixture, training};

/// The report on the rows of a CSV by a model.
fn report(fixture: &Fixture, model: &str, rows: &str) -> Report {
    let input = fixture.text("<rows>.csv", rows);
    let job =
        fixture.job(model, &input, &PlanOptions { tally: true, ..PlanOptions::default() }).expect("plans");
    let (plan, files) = (std::sync::Arc::clone(job.planned()), job.source().files().to_vec());
    let options = fixture.run("out.csv").expect("an output");
    let summary = job.run(&options, &Progress::default()).expect("scores");
    let (go_on, format) = (std::sync::atomic::AtomicBool::new(false), "csv".to_owned());
    let circumstances = Circumstances {
        options: vec![("--keep".to_owned(), "<q>".to_owned())],
        input: Files { format: format.clone(), files: digest::of_input(&files, &go_on) },
        output: Files { format, files: digest::of_output(&options.output, &go_on) },
        threads: Some(options.threads),
    };
    Report::new(&plan, &summary, circumstances)
}

/// As many rows as training had, `b` moved by so much.
fn rows(by: f64) -> String {
    let row = |row: u32| format!("{},{}\n", training(row).0, training(row).1 + by);
    std::iter::once("a,b\n".to_owned()).chain((0..256).map(row)).chain(["oops,1\n".to_owned()]).collect()
}

#[test]
fn drift_rejects_and_files_are_told() {
    let fixture = Fixture::new();
    let report = report(&fixture, "referenced", &rows(1.0));
    assert_eq!((report.rows.read, report.rows.answered, report.rows.rejected), (257, 256, 1));
    let json: Json = serde_json::to_value(&report).expect("writes");
    // The worst is first: a third of `b` now lies above all that training had.
    assert_eq!(json["features"][0]["name"], "b");
    assert_eq!(json["features"][0]["drift"]["change"], "major");
    assert_eq!(json["features"][0]["above"], 85);
    let ks = json["features"][0]["drift"]["ks"].as_f64().expect("a number");
    assert!((ks - 86.0 / 256.0).abs() < 0.01, "{ks}");
    assert_eq!(json["features"][1]["drift"]["change"], "none");
    assert_eq!(json["features"][1]["unreadable"], 1);
    assert_eq!(json["rows"]["reasons"][0]["reason"], "expected a number");
    assert_eq!(json["model"]["training_rows"], 256);
    assert_eq!(json["input"]["files"][0]["name"], "<rows>.csv");
    let bytes = std::fs::read(fixture.path("out.csv")).expect("is there");
    let digest = serve_core::Digest::of(&bytes).to_string();
    assert_eq!(json["output"]["files"][0]["sha256"], digest.as_str());
    let bars = json["scores"][1]["histogram"]["numbers"].as_array().expect("bars");
    let shares: f64 = bars.iter().filter_map(|bar| bar["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
}

#[test]
fn a_page_needs_nothing_else_and_tells_nothing_of_the_machine() {
    let fixture = Fixture::new();
    let page = report(&fixture, "referenced", &rows(0.0)).html();
    for absent in
        ["http:", "https:", "src=", "@import", "<rows>", "<q>", fixture.path("").to_str().expect("text")]
    {
        assert!(!page.contains(absent), "{absent:?} is in the page");
    }
    for there in ["&lt;rows&gt;.csv", "PSI 0.0", "<svg", "prefers-color-scheme: dark", "viewport"] {
        assert!(page.contains(there), "{there:?} is not in the page");
    }
}

#[test]
fn without_a_training_window_ranges_and_histograms_are_told_and_drift_is_not() {
    let fixture = Fixture::new();
    let text = "x,city,age,member\n0.5,Bern,30,1\n,Genf,0,\n-3,NA,130,0\n900,Basel,44,1\n";
    let report = report(&fixture, "typed", text);
    assert!(report.features.iter().all(|feature| feature.drift.is_none()));
    let json: Json = serde_json::to_value(&report).expect("writes");
    let cities = json["features"][1]["histogram"]["categories"].as_array().expect("bars");
    assert_eq!(cities[0]["name"], "Bern");
    assert_eq!(
        (json["features"][1]["unknown"].as_u64(), json["features"][2]["above"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(json["features"][0]["max"], 900.0);
    assert!(report.html().contains("no record of its training data"));
}

#[test]
fn a_report_is_a_page_or_json_as_its_name_ends() {
    let fixture = Fixture::new();
    let report = report(&fixture, "plain", "a,b\n1,2\n");
    for (name, begins) in [("r.html", "<!doctype html>"), ("r.JSON", "{\n  \"format\": 1,")] {
        let file: ReportFile = fixture.path(name).to_string_lossy().parse().expect("a name");
        file.write(&report, Report::html, false).expect("writes");
        assert!(fixture.read(name).starts_with(begins), "{name}");
        assert!(file.check(false).expect_err("is there").to_string().contains("--overwrite"));
    }
    assert!("report.txt".parse::<ReportFile>().is_err());
}
