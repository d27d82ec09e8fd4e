//! Holds the workspace's dependencies against the two lists in `docs/ARCHITECTURE.md`: an edge between our own packages,
//! or a direct dependency on a confined crate, has to stand there, and what stands there has to exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// Crates of others that live in one place.
const CONFINED: [&str; 31] = [
    "ballista",
    "ballista-core",
    "ballista-executor",
    "ballista-scheduler",
    "datafusion-proto",
    "hyper",
    "arc-swap",
    "rusqlite",
    "smartcore",
    "clap",
    "datafusion",
    "bincode",
    "rayon",
    "object_store",
    "notify",
    "ed25519-dalek",
    "indicatif",
    "redis",
    "parquet",
    "deadpool",
    "rustls",
    "tokio-postgres",
    "tokio-postgres-rustls",
    "prometheus",
    "aide",
    "flate2",
    "governor",
    "jsonwebtoken",
    "tokio-rustls",
    "tokio-tungstenite",
    "utoipa",
];
/// Packages that may use everything.
const EXEMPT: [&str; 3] = ["serve-tests", "serve-benches", "serve-examples"];

#[test]
fn edges_are_those_of_the_architecture_document() {
    let (documented, actual) = (documented(), actual());
    let missing: Vec<&String> = actual.difference(&documented).collect();
    let stale: Vec<&String> = documented.difference(&actual).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/ARCHITECTURE.md and the Cargo.toml files disagree\n\
         edges that the document lacks: {missing:?}\n\
         edges that only the document has: {stale:?}"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies one below the root").to_owned()
}

/// The lines of the document's blocks fenced as `edges`; `crate: a, b` stands for one edge each.
fn documented() -> BTreeSet<String> {
    let path = root().join("docs/ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).expect("docs/ARCHITECTURE.md is there");
    let blocks = text.split("```edges\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).flat_map(edges_of).collect()
}

fn edges_of(line: &str) -> Vec<String> {
    match line.split_once(':') {
        Some((confined, users)) => {
            users.split(',').map(|user| format!("{}: {}", confined.trim(), user.trim())).collect()
        }
        None if line.trim().is_empty() => Vec::new(),
        None => vec![line.trim().to_owned()],
    }
}

fn actual() -> BTreeSet<String> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let name = |json: &Json| json["name"].as_str().expect("packages and dependencies have names").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let mut edges = BTreeSet::new();
    for package in packages.iter().filter(|package| !EXEMPT.contains(&name(package).as_str())) {
        let dependencies = package["dependencies"].as_array().expect("a package lists dependencies");
        // `kind` is null for what is neither for tests nor for building.
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
            let (from, to) = (name(package), name(dependency));
            if ours.contains(&to) {
                edges.insert(format!("{from} -> {to}"));
            } else if CONFINED.contains(&to.as_str()) {
                edges.insert(format!("{to}: {from}"));
            }
        }
    }
    edges
}

fn metadata() -> Json {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}
