//! The program: arguments, pipes, exit codes and messages.

mod bad;
mod buckets;
mod queries;
mod reports;
mod resume;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serve_core::doctest::logistic;
use serve_registry::{Directory, Storage};

struct Folder(tempfile::TempDir);

impl Folder {
    /// With a registry of one model, a logistic regression over `a` and `b`.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Directory::create(folder.path().join("models").as_path()).expect("a registry");
        let bundle = logistic("direction", "v1", 0.0).build().expect("proves");
        registry.publish(&bundle, "tests").expect("publishes");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str, input: &str) -> Output {
        let arguments = ["--model", "direction"].into_iter().chain(arguments.split_whitespace());
        self.run_with(&arguments.collect::<Vec<_>>(), input)
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_serve-score"))
            .current_dir(self.0.path())
            .args(["--registry", "models"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("is piped");
        // What the program does not read it need not take.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("ends")
    }

    /// The program with other arguments than a job's.
    fn program(&self, arguments: &str) -> Output {
        let arguments = arguments.split_whitespace();
        let program = Command::new(env!("CARGO_BIN_EXE_serve-score"))
            .current_dir(self.0.path())
            .args(arguments)
            .output();
        program.expect("starts")
    }

    /// The exit code and what was said on standard error.
    fn told(&self, arguments: &str) -> (i32, String) {
        let output = self.run(arguments, "");
        (output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

const ROWS: &str = "id,a,b\n1,0.5,1\n2,x,1\n3,-1,0.25\n";

#[test]
fn rows_go_through_pipes() {
    let folder = Folder::new();
    let output = folder.run("--input - --input-format csv --output - --format csv --keep id", ROWS);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[0], "id,direction,probability_down,probability_up,model_version");
    assert!(lines[1].starts_with("1,up,0.0") && lines[1].ends_with(",v1"), "{answers}");
    assert_eq!(lines.len(), 3);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("3 rows, 1 rejected, by direction@v1"), "{told}");
}

#[test]
fn json_lines_go_through_pipes() {
    let folder = Folder::new();
    let rows = "{\"id\":7,\"a\":0.5,\"b\":1}\n";
    let output = folder.run("--input - --input-format json --output - --format json --keep id --quiet", rows);
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answers.starts_with("{\"id\":7,\"direction\":\"up\",\"probability_down\":0.0"), "{answers}");
    assert!(output.stderr.is_empty());
}

#[test]
fn exit_codes_are_those_of_the_design() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), ROWS).expect("writes");
    fs::write(folder.path("other.csv"), "c,d\n1,2\n").expect("writes");
    fs::write(folder.path("there.csv"), "mine").expect("writes");
    for (arguments, code, told) in [
        ("--input rows.csv --output out.csv", 0, "3 rows, 1 rejected (out.csv.rejects.csv)"),
        ("--input rows.csv", 2, "--output"),
        ("--input rows.csv --output o.csv --max-rejects many", 2, "--max-rejects"),
        ("--input other.csv --output o.csv", 65, "missing columns \"a\", \"b\""),
        ("--input rows.csv --output o.csv --max-rejects 0", 65, "1 of 3 rows were rejected"),
        ("--input nothing.csv --output o.csv", 66, "nothing.csv cannot be opened"),
        ("--input rows.csv --output there.csv", 73, "--overwrite"),
        ("--input rows.csv --output nowhere/o.csv", 73, "nowhere/o.csv cannot be written"),
    ] {
        let (got, stderr) = folder.told(arguments);
        assert_eq!(got, code, "{arguments}: {stderr}");
        assert!(stderr.contains(told), "{arguments}: {stderr}");
    }
    assert_eq!(fs::read_to_string(folder.path("there.csv")).expect("reads"), "mine");
    assert!(!folder.path("o.csv").exists());
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), "id,x,b\n1,0.5,1\n2,x,1\n").expect("writes");
    let output = folder.run("--input rows.csv --output out.csv --map a=x --keep id --dry-run", "");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in
        ["direction@v1", "a = x", "b = b", "probability_up Float64", "| 1  | up", "row 2 is rejected"]
    {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert!(output.status.success() && !folder.path("out.csv").exists());
}
