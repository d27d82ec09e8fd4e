//! `serve-ctl bench` on a small model that is registered first.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn ctl(registry: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve-ctl"));
    command.env_remove("SERVE_CONFIG").arg("--registry").arg(registry).args(args);
    command.output().expect("serve-ctl starts")
}

fn registry() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let model =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/lightgbm/regression-two-leaves/model.txt");
    let import = ctl(folder.path(), &["import", model, "--name", "small", "--version", "v1"]);
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    folder
}

#[test]
fn every_batch_is_measured_on_one_thread_and_on_every_core() {
    let registry = registry();
    let output = ctl(registry.path(), &["bench", "small@champion", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Json = serde_json::from_slice(&output.stdout).expect("prints JSON");
    assert_eq!((&report["model"], &report["version"]), (&"small".into(), &"v1".into()));
    assert!(report["load_ms"]["read"].as_f64() > Some(0.0), "{report}");
    let cells = report["cells"].as_array().expect("has cells");
    let of = |threads: u64| {
        let cells = cells.iter().filter(move |cell| cell["threads"] == threads);
        cells.map(|cell| cell["batch"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(of(1), [1, 64, 1000, 100_000]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    if cores > 1 {
        assert_eq!(of(cores), [64, 1000, 100_000]);
    }
    assert!(
        cells.iter().all(|cell| cell["kernels"].as_array().is_some_and(|list| list.len() == 1)),
        "{report}"
    );
    assert!(report["tree_bytes"].as_u64() > Some(0), "{report}");
    assert!(cells.iter().all(|cell| cell["ns_per_row"].as_f64() > Some(0.0)), "{report}");
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let registry = registry();
    let output = ctl(registry.path(), &["bench", "other"]);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "serve-ctl: unknown model \"other\"\n");
}
