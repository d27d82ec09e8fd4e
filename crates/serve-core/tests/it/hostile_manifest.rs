//! `manifest.json` in an attacker's hands.

use serde_json::{Value, json};
use serve_core::bundle::{BundleError, read_manifest};
use serve_core::doctest::{logistic, logistic_bundle};
use serve_core::pipeline::InvalidPipeline;
use serve_core::transform::{apply, output_names};
use serve_core::{Bundle, DecisionPolicy, Manifest, Task, Transform};

use crate::memory::measure;

fn manifest() -> Value {
    serde_json::from_slice(logistic_bundle().manifest_bytes()).expect("JSON")
}

fn read(change: impl FnOnce(&mut Value)) -> Result<Manifest, BundleError> {
    let mut manifest = manifest();
    change(&mut manifest);
    read_manifest(manifest.to_string().as_bytes())
}

#[test]
fn a_whole_manifest_reads() {
    assert_eq!(read(|_| ()).expect("reads").name.as_str(), "doctest");
}

#[test]
fn depth_is_an_error_and_no_stack_overflow() {
    let whole = manifest().to_string();
    let deep = ["[".repeat(200_000), "]".repeat(200_000)].concat();
    let hyperparameters =
        whole.replace(r#""hyperparameters":{}"#, &format!(r#""hyperparameters":{{"a":{deep}}}"#));
    assert_ne!(hyperparameters, whole);
    for text in [deep.clone(), hyperparameters, "[".repeat(200_000), "{\"format\":".repeat(200_000)] {
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let read = thread.spawn(move || read_manifest(text.as_bytes())).expect("a thread");
        let error = read.join().expect("the stack sufficed").expect_err("refused");
        assert!(matches!(error, BundleError::Manifest(_)), "{error:?}");
    }
}

#[test]
fn a_giant_manifest_is_refused_before_it_is_parsed() {
    let bytes = vec![b' '; (64 << 20) + 1];
    let (error, usage) = measure(|| read_manifest(&bytes).expect_err("refused"));
    assert!(matches!(error, BundleError::ManifestSize { bytes } if bytes == (64 << 20) + 1));
    assert_eq!(usage.allocations, 0);
}

#[test]
fn formats_of_the_future_are_told_apart() {
    for (format, newer) in
        [(json!(3), true), (json!(u64::MAX), true), (json!(-1), false), (json!("1"), false)]
    {
        let error = read(|manifest| manifest["format"] = format.clone()).expect_err("refused");
        assert_eq!(matches!(error, BundleError::Format { .. }), newer, "{format}: {error:?}");
    }
}

#[test]
fn unknown_keys_and_wrong_identifiers_are_refused() {
    for (key, value) in [
        ("surprise", json!(1)),
        ("name", json!("../../etc/passwd")),
        ("version", json!("..")),
        ("signature", json!({"inputs": []})),
        ("target", json!({"name": "x", "task": {"classification": {}}})),
    ] {
        let error = read(|manifest| manifest[key] = value).expect_err("refused");
        assert!(matches!(error, BundleError::Manifest(_)), "{key}: {error:?}");
    }
}

#[test]
fn a_file_that_would_leave_the_bundle_is_refused_by_name() {
    let entry = manifest()["files"]["model.bin"].clone();
    for name in
        ["../model.bin", "source/../../x", "/etc/passwd", "source/", "a\\b", "manifest.json", "a\0b", "."]
    {
        let error = read(|manifest| manifest["files"][name] = entry.clone()).expect_err("refused");
        assert!(matches!(&error, BundleError::FileName { name: got } if got == name), "{error:?}");
    }
    let mut builder = logistic("a", "v1", 0.0);
    builder.source.file = Some("../../x".to_owned());
    builder.source_bytes = Some(vec![1]);
    let error = builder.build().expect_err("refused");
    assert!(matches!(&error, BundleError::FileName { name } if name == "source/../../x"), "{error:?}");
}

#[test]
fn a_file_that_is_not_listed_is_never_asked_for() {
    let bundle = logistic_bundle();
    let mut asked = Vec::new();
    let opened = Bundle::open::<BundleError>(bundle.manifest_bytes().to_vec(), |name, _| {
        asked.push(name.to_owned());
        Ok(bundle.file(name)?.to_vec())
    });
    assert_eq!(opened.expect("opens").digest(), bundle.digest());
    assert_eq!(asked, ["golden.json", "model.bin"]);
    let error = bundle.file("reference.json").expect_err("not there");
    assert_eq!(error.to_string(), "reference.json is missing");
}

/// A megabyte of manifest must not ask for gigabytes of column names, or for hours of planning.
#[test]
fn transforms_that_explode_are_refused_in_little_memory() {
    let long: Vec<String> = (0..8).map(|i| format!("{i}{}", "x".repeat(100_000))).collect();
    let names = || long.iter().map(String::as_str);
    let polynomial = |columns: Vec<String>, degree| Transform::Polynomial {
        columns,
        degree,
        interaction_only: false,
        include_bias: false,
    };
    let (error, usage) =
        measure(|| output_names(names(), &[polynomial(long.clone(), 6)]).expect_err("refused"));
    assert_eq!(
        error.to_string(),
        "transform 0 (polynomial): the names of the columns it makes have more than 67108864 bytes"
    );
    assert!(usage.peak_bytes < 256 << 20, "{usage:?}");

    let wide: Vec<String> = (0..400).map(|i| format!("x{i}")).collect();
    let names = || wide.iter().map(String::as_str);
    let again = [polynomial(wide.clone(), 2), Transform::Select { columns: vec!["x0".into()] }];
    let made = output_names(names(), &again[..1]).expect("within the limits");
    assert_eq!(made.len(), 400 + 400 * 401 / 2);
    let log = |times: usize| Transform::Log1p { columns: vec![made.clone(); times].concat() };
    let (error, usage) =
        measure(|| output_names(names(), &[again[0].clone(), log(20)]).expect_err("refused"));
    assert_eq!(error.to_string(), "transform 1 (log1p): more than 1000000 steps");
    assert!(usage.peak_bytes < 256 << 20, "{usage:?}");
}

#[test]
fn a_hundred_thousand_columns_are_planned_at_once() {
    let names: Vec<String> = (0..100_000).map(|i| format!("x{i}")).collect();
    let inputs = || names.iter().map(String::as_str);
    let transforms = [
        Transform::Log1p { columns: names.clone() },
        Transform::Select { columns: names.iter().rev().cloned().collect() },
        Transform::Polynomial {
            columns: names.clone(),
            degree: 1,
            interaction_only: true,
            include_bias: false,
        },
    ];
    // Linear work: a plan that looked each name up among all would take minutes.
    let out = apply(inputs(), &transforms, &vec![0.0; 100_000]).expect("within the limits");
    assert_eq!(out, vec![0.0; 100_000]);
}

#[test]
fn parts_that_mean_two_things_are_refused() {
    let mut twice = logistic("a", "v1", 0.0);
    twice.target.task = Task::Classification { classes: vec!["up".to_owned(); 2] };
    let error = twice.build().expect_err("refused");
    assert!(
        matches!(&error, BundleError::Pipeline(InvalidPipeline::Class { class, .. }) if class == "up"),
        "{error:?}"
    );
    let policy = |decision| {
        let built = serve_core::BundleBuilder { decision, ..logistic("a", "v1", 0.0) }.build();
        match built.expect_err("refused") {
            BundleError::Pipeline(error) => error.to_string(),
            other => other.to_string(),
        }
    };
    let bands = |cuts| DecisionPolicy::Bands {
        class: Some("up".to_owned()),
        cuts,
        labels: vec!["SELL".to_owned(), "BUY".to_owned()],
        abstain: None,
    };
    let ascending = "decision policy: expected ascending cuts and one label more than cuts";
    assert_eq!(policy(bands(vec![f64::NAN])), ascending);
    assert_eq!(policy(bands(vec![0.5, 0.4])), ascending);
    let thresholds =
        DecisionPolicy::Thresholds { thresholds: vec![0.5, f64::NAN], otherwise: "up".to_owned() };
    assert_eq!(policy(thresholds), "decision policy: the threshold of class \"up\" is not a number");
}
