//! Outputs: whole or not at all, in parts, and never over what somebody wants to keep.

use std::fs;

use serve_core::Explainer;
use serve_score::job::RunOptions;
use serve_score::{Fault, Output, PlanOptions, Progress};

use crate::fixture::{Fixture, bits, read_parquet};

fn rows(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|n| format!("{n},{}.5,1\n", n % 7)).collect();
    format!("id,a,b\n{}", lines.concat())
}

#[test]
fn an_output_that_exists_is_kept_unless_it_may_be_replaced() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", rows(3));
    fixture.text("out.csv", "mine");
    let error = fixture.score("plain", &input, "out.csv", "").expect_err("it exists");
    assert_eq!((error.fault(), fixture.read("out.csv").as_str()), (Fault::Output, "mine"));
    let output = Output::new(&fixture.path("out.csv").to_string_lossy(), None, true).expect("an output");
    let job = fixture.job("plain", &input, &PlanOptions::default()).expect("plans");
    job.run(&RunOptions::new(output), &Progress::default()).expect("scores");
    assert_eq!(fixture.read("out.csv").lines().count(), 4);
}

#[test]
fn a_folder_is_written_in_parts() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", rows(25_000));
    let write = |overwrite, part_rows| {
        let output = Output::new(&format!("{}/", fixture.path("out").display()), None, overwrite)?;
        let job = fixture.job(
            "plain",
            &input,
            &PlanOptions { keep: "id".parse().expect("never fails"), ..PlanOptions::default() },
        )?;
        job.run(&RunOptions::new(Output { part_rows, ..output }), &Progress::default())
    };
    write(false, 10_000).expect("scores");
    let parts = |name: &str| read_parquet(&fixture.path("out").join(name)).num_rows();
    // A part ends with the batch that fills it.
    assert_eq!(["part-00000.parquet", "part-00001.parquet"].map(parts), [16_384, 8_616]);
    assert_eq!(write(false, 10_000).expect_err("it exists").fault(), Fault::Output);
    write(true, 100_000).expect("scores");
    assert_eq!(fs::read_dir(fixture.path("out")).expect("reads").count(), 1);
    assert_eq!(fixture.names(), ["out", "registry", "rows.csv"]);
}

#[test]
fn a_job_that_is_stopped_leaves_nothing() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", rows(50_000));
    let job = fixture.job("plain", &input, &PlanOptions::default()).expect("plans");
    let progress = Progress::default();
    progress.stop();
    let error = job.run(&fixture.run("out.csv").expect("an output"), &progress).expect_err("stopped");
    assert_eq!(error.fault(), Fault::Interrupted);
    assert_eq!(fixture.names(), ["registry", "rows.csv"]);
}

#[test]
fn a_file_that_breaks_off_leaves_nothing() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", rows(50_000));
    fixture.score("plain", &input, "whole.parquet", "all").expect("scores");
    let whole = fs::read(fixture.path("whole.parquet")).expect("reads");
    fixture.text("half.parquet", &whole[..whole.len() / 2]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, rows(50_000).as_bytes()).expect("writes");
        encoder.finish().expect("ends")
    };
    fixture.text("half.csv.gz", &gzip[..gzip.len() / 2]);
    for name in ["half.parquet", "half.csv.gz"] {
        let error = fixture.score("plain", &fixture.path(name), "out.csv", "").expect_err("it is broken");
        assert_eq!(error.fault(), Fault::Data, "{name}: {error}");
        assert!(
            !fixture.names().iter().any(|name| name.contains("out.csv")),
            "{name}: {:?}",
            fixture.names()
        );
    }
}

#[test]
fn contributions_are_those_of_the_explainer() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", rows(100));
    let options = PlanOptions { explain: true, ..PlanOptions::default() };
    let job = fixture.job("plain", &input, &options).expect("plans");
    job.run(&fixture.run("out.parquet").expect("an output"), &Progress::default()).expect("scores");
    let answers = read_parquet(&fixture.path("out.parquet"));
    let model = serve_score::PinnedModel::resolve_explained(&fixture.registry, "plain").expect("explains");
    let explainer: &Explainer = model.explainer().expect("was resolved with it");
    let expected: Vec<u64> = (0..100)
        .map(|n| {
            let explanation = explainer.explain(&[f64::from(n % 7) + 0.5, 1.0]).expect("explains");
            explanation.outputs().next().expect("one output").contributions[0].to_bits()
        })
        .collect();
    assert_eq!(bits(&answers, "contribution_a"), expected);
    assert!(answers.column_by_name("contribution_b").is_some());
}
