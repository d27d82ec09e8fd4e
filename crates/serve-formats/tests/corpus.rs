//! The fuzzer's seeds and what it once found, read by the very code that the fuzz targets run: nothing may panic, take
//! long, or hold memory that the bytes do not bear out. `fuzz/findings/<target>/` is where a finding goes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests do what tests may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serve_formats::Format;

#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a crate of its own for the fuzzer")]
mod fuzz;
#[path = "../../serve-core/tests/it/memory.rs"]
mod memory;

/// Longest time for one file of some kilobytes, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);
/// Most memory for one file: what a small model, its compiled form and its golden rows may hold.
const BOUND: isize = 32 << 20;

const IMPORTED: [&str; 7] = [
    "catboost_json",
    "lightgbm_dump",
    "lightgbm_text",
    "onnx",
    "sklearn_json",
    "xgboost_json",
    "xgboost_ubjson",
];

const OTHERS: [&str; 5] = ["golden_csv", "golden_json", "manifest", "mlmodel", "model_bin"];

fn run(target: &str, bytes: &[u8]) {
    match target {
        "golden_csv" => fuzz::read_rows(bytes),
        "golden_json" => fuzz::prove_rows(bytes),
        "manifest" => drop(serve_core::bundle::read_manifest(bytes)),
        "mlmodel" => fuzz::describe_folder(bytes),
        "model_bin" => fuzz::open_and_predict(bytes),
        target if IMPORTED.contains(&target) => fuzz::import_and_predict(bytes, Format::Auto),
        other => panic!("{other} is no fuzz target"),
    }
}

/// The files below a folder of `fuzz`, with their targets.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
    let Ok(targets) = fs::read_dir(root) else { return Vec::new() };
    let mut files = Vec::new();
    for target in targets.map(|target| target.unwrap()) {
        let name = target.file_name().to_string_lossy().into_owned();
        let inside = fs::read_dir(target.path()).unwrap().map(|file| file.unwrap().path());
        files.extend(inside.map(|file| (name.clone(), file)));
    }
    files.sort();
    files
}

fn check(target: &str, file: &Path, bytes: &[u8]) {
    let start = Instant::now();
    let ((), usage) = memory::measure(|| run(target, bytes));
    assert!(start.elapsed() < LONGEST, "{}: {:?}", file.display(), start.elapsed());
    assert!(usage.peak_bytes < BOUND, "{}: {} bytes", file.display(), usage.peak_bytes);
}

#[test]
fn seeds_are_read_and_answer_as_the_naive_evaluator() {
    let files = files("seeds");
    for target in IMPORTED.iter().chain(&OTHERS) {
        assert!(files.iter().any(|(name, _)| name == target), "no seeds for {target}");
    }
    for (target, file) in &files {
        let bytes = fs::read(file).unwrap();
        if IMPORTED.contains(&target.as_str()) {
            serve_formats::import(&bytes, Format::Auto).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
        check(target, file, &bytes);
    }
}

#[test]
fn seeds_cut_off_and_changed_are_survived() {
    for (target, file) in files("seeds") {
        let bytes = fs::read(&file).unwrap();
        for cut in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            check(&target, &file, &bytes[..cut]);
            let mut changed = bytes.clone();
            for (place, byte) in [(cut, 0xff), (cut, b'9'), (cut / 2, b'-'), (bytes.len() - 1 - cut, 0)] {
                let kept = std::mem::replace(&mut changed[place], byte);
                check(&target, &file, &changed);
                changed[place] = kept;
            }
        }
    }
}

#[test]
fn findings_stay_fixed() {
    files("findings").iter().for_each(|(target, file)| check(target, file, &fs::read(file).unwrap()));
}
