//! Publishing, refusing, promoting and rolling back; and how the programs end when they cannot do what they are told.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::server::{Server, command, ctl, ctl_ok, repository, told};

/// LightGBM's model of 30 features, and its answers.
pub(crate) fn golden(file: &str) -> PathBuf {
    repository().join("tests/golden/lightgbm/binary").join(file)
}

/// Imports that model into `folder/registry`.
pub(crate) fn import(folder: &Path, name: &str, version: &str, more: &[&str]) {
    let registry = folder.join("registry").display().to_string();
    let file = golden("model.txt").display().to_string();
    ctl_ok(
        ["import", &registry_flag(&registry), "--name", name, "--version", version, &file].iter().chain(more),
    );
}

fn registry_flag(registry: &str) -> String {
    format!("--registry={registry}")
}

/// Trains a small model of the features `a` and `b` into `folder/registry`; seed 1 learns the opposite of what
/// others learn.
pub(crate) fn train(folder: &Path, name: &str, version: &str, seed: u32) {
    let mut csv = String::from("a,b,y\n");
    for row in 0..200_u32 {
        let (a, b) = ((row * 7) % 50, (row * 13) % 31);
        let label = if (a < 25) == (seed == 1) { "yes" } else { "no" };
        writeln!(csv, "{a}.5,{b}.25,{label}").expect("text grows");
    }
    let data = folder.join(format!("{name}-{version}.csv"));
    fs::write(&data, csv).expect("writes");
    let registry = registry_flag(&folder.join("registry").display().to_string());
    let (seed, data) = (seed.to_string(), data.display().to_string());
    ctl_ok([
        "train",
        &registry,
        "--name",
        name,
        "--version",
        version,
        "--algorithm",
        "random_forest",
        "--data",
        &data,
        "--target",
        "y",
        "--trees",
        "10",
        "--seed",
        &seed,
    ]);
}

/// Changes a file in place.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a published file");
    change(&mut bytes);
    fs::write(path, bytes).expect("writes");
}

#[test]
fn broken_versions_are_refused_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 1);
    let server = Server::of(&folder.path().join("registry"));
    let ask = json!({"model": "m", "features": {"a": 3.5, "b": 4.25}});
    let before = server.post("/predict", &ask).ok();
    for (version, file) in [("v2", "model.bin"), ("v3", "model.bin"), ("v4", "golden.json")] {
        train(folder.path(), "m", version, 2);
        let path = folder.path().join("registry/m").join(version).join(file);
        change(&path, |bytes| match version {
            "v2" => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            "v3" => bytes.truncate(bytes.len() / 2),
            _ => {
                // Another expected answer: the first digit of the file's last number.
                let at = bytes.iter().rposition(u8::is_ascii_digit).expect("golden rows have numbers");
                bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            }
        });
        let reply = server.put("/models/m/aliases/champion", &json!({"version": version}));
        let (status, code, message) = reply.error();
        assert_eq!((status, code), (409, "version_refused"), "{version}: {message}");
        assert!(message.starts_with(&format!("m@{version} is refused: ")), "{message}");
        let after = server.post("/predict", &ask).ok();
        assert_eq!(after["prediction"], before["prediction"]);
        assert_eq!(after["model_info"], before["model_info"]);
        // Somebody else points the champion to it: the server stays where it is, and says why.
        let aliases = folder.path().join("registry/m/aliases.json");
        let good = fs::read_to_string(&aliases).expect("aliases");
        fs::write(&aliases, good.replacen("\"v1\"", &format!("\"{version}\""), 1)).expect("writes");
        let reloaded = server.post("/models/reload", &json!({"model": "m"})).ok();
        let entry = &reloaded["models"][0];
        assert_eq!((&entry["status"], &entry["to"]), (&json!("refused"), &json!("v1")), "{entry}");
        assert!(entry["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{entry}");
        assert_eq!(server.post("/predict", &ask).ok()["prediction"], before["prediction"]);
        fs::write(&aliases, good).expect("writes");
    }
}

#[test]
fn a_rollback_returns_to_what_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 1);
    let server = Server::of(&folder.path().join("registry"));
    let none = server.post("/models/m/rollback", &json!({}));
    let expected =
        (409, "nothing_to_roll_back", "m has nothing to roll back to: its champion replaced no version");
    assert_eq!(none.error(), expected);
    train(folder.path(), "m", "v2", 2);
    server.post("/models/reload", &json!({})).ok();
    let champion = || server.get("/models/m").ok()["version"].clone();
    assert_eq!(champion(), "v1", "a version that arrives does not serve");
    let moved = server.put("/models/m/aliases/champion", &json!({"version": "v2"})).ok();
    assert_eq!((&moved["from"], &moved["to"]), (&json!("v1"), &json!("v2")));
    assert_eq!(champion(), "v2");
    let moved = server.post("/models/m/rollback", &json!({})).ok();
    assert_eq!((&moved["from"], &moved["to"]), (&json!("v2"), &json!("v1")));
    assert_eq!(champion(), "v1");
}

#[test]
fn the_server_says_why_it_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "m", "v1", &[]);
    let registry = folder.path().join("registry").display().to_string();
    let end =
        |args: &[&str]| told(&command("serve-server").args(args).output().expect("serve-server starts"));

    let running = Server::of(Path::new(&registry));
    let port = running.address.port().to_string();
    let (code, message) = end(&["--registry", &registry, "--port", &port]);
    assert_eq!(code, Some(69), "{message}");
    assert!(message.contains(&format!("port {port} of 127.0.0.1 is in use")), "{message}");

    let missing = folder.path().join("missing").display().to_string();
    let (code, message) = end(&["--registry", &missing, "--port", "0"]);
    assert_eq!(code, Some(66), "{message}");
    assert!(message.contains(&format!("there is no registry at {missing}")), "{message}");

    let (code, message) = end(&["--registry", &registry, "--port", "0", "--host", "0.0.0.0"]);
    assert_eq!(code, Some(78), "{message}");
    assert!(
        message.contains("http.host is 0.0.0.0") && message.contains("auth: { mode: none }"),
        "{message}"
    );

    assert_eq!(end(&["--nope"]).0, Some(2));

    let config = folder.path().join("bad.yaml");
    fs::write(&config, "http: {port: many, prot: 1}\nfeatures: {max_age: soon}\nnosuch: 1\n")
        .expect("writes");
    let (code, message) = end(&["--config", &config.display().to_string(), "--check-config"]);
    assert_eq!(code, Some(78), "{message}");
    for mistake in ["features.max_age: ", "http.port: ", "http.prot: unknown key", "nosuch: unknown key"] {
        assert!(message.contains(mistake), "{mistake:?} is not in {message}");
    }
}

#[test]
fn a_check_tells_what_the_registry_lacks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |yaml: &str| {
        let config = folder.path().join("serve.yaml");
        fs::write(&config, yaml).expect("writes");
        let config = config.display().to_string();
        told(&command("serve-server").args(["--check-config", "--config", &config]).output().expect("starts"))
    };
    let missing = folder.path().join("nowhere").display().to_string();
    let (code, message) = check(&format!("http: {{ compare: [vader] }}\nregistry:\n  url: {missing}\n"));
    assert_eq!(code, Some(78), "{message}");
    for mistake in [
        "serve.yaml:1: http.compare: \"vader\" alone; expected two sets or more, or none".to_owned(),
        format!("serve.yaml:3: registry.url: there is no registry at {missing}: no such folder"),
    ] {
        assert!(message.contains(&mistake), "{mistake:?} is not in {message}");
    }
    import(folder.path(), "m", "v1", &[]);
    let registry = folder.path().join("registry").display().to_string();
    let check =
        |default: &str| check(&format!("registry: {{ url: {registry}, default_model: {default} }}\n"));
    let (code, message) = check("other");
    assert_eq!(code, Some(0), "{message}");
    assert!(
        message.contains(&format!("registry.default_model: the registry {registry} has no model \"other\"")),
        "{message}"
    );
    let (code, message) = check("m");
    assert!(code == Some(0) && !message.contains("default_model:"), "{message}");
}

#[test]
fn ctl_says_why_it_does_not_publish() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "m", "v1", &[]);
    let registry = registry_flag(&folder.path().join("registry").display().to_string());
    let model = golden("model.txt").display().to_string();
    let (code, message) = told(&ctl(["import", &registry, "--name", "m", "--version", "v1", &model]));
    assert_eq!(code, Some(65), "{message}");
    assert!(message.contains("m@v1 is published already"), "{message}");

    let readme = folder.path().join("notes.md");
    fs::write(&readme, "# Not a model\n").expect("writes");
    let (code, message) = told(&ctl(["import", &registry, "--name", "n", &readme.display().to_string()]));
    assert_eq!(code, Some(65), "{message}");
    assert!(!folder.path().join("registry/n").exists());

    let nowhere = registry_flag(&folder.path().join("missing").display().to_string());
    assert_eq!(told(&ctl(["list", &nowhere])).0, Some(66));
    assert_eq!(told(&ctl(["import", "--nope"])).0, Some(2));
    ctl_ok(["verify", &registry, "m"]);
}

#[test]
fn a_server_that_trusts_a_key_serves_what_it_signed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key.pem").display().to_string();
    ctl_ok(["keygen", "--out", &key]);
    import(folder.path(), "m", "v1", &["--sign", &key]);
    import(folder.path(), "m", "v2", &[]);
    let registry = folder.path().join("registry").display().to_string();
    let keys = format!("[\"{key}.pub\"]");
    let server = Server::start(["--registry", &registry], &[("SERVE__REGISTRY__TRUSTED_KEYS", &keys)]);
    assert_eq!(server.get("/models/m").ok()["version"], "v1");
    let reply = server.put("/models/m/aliases/champion", &json!({"version": "v2"}));
    let (status, code, message) = reply.error();
    assert_eq!((status, code), (409, "version_refused"), "{message}");
    assert!(message.contains("it is not signed"), "{message}");
    ctl_ok(["sign", &registry_flag(&registry), "m@v2", "--key", &key]);
    server.put("/models/m/aliases/champion", &json!({"version": "v2"})).ok();
    assert_eq!(server.get("/models/m").ok()["version"], "v2");
    let wrong = [("SERVE__REGISTRY__TRUSTED_KEYS", "[nowhere]")];
    let end = command("serve-server").args(["--registry", &registry, "--port", "0"]).envs(wrong).output();
    let (code, message) = told(&end.expect("serve-server starts"));
    assert_eq!(code, Some(78), "{message}");
    assert!(message.contains("\"nowhere\" is neither a public key"), "{message}");
}
