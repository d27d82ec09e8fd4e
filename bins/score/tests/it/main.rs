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
        (
            "--input rows.csv --output o.csv --max-rejects 0",
            65,
            "--max-rejects 0 allows; the first: row 2: a: expected a number",
        ),
        ("--input rows.csv --output o.csv --keep id,none", 65, "it has \"id\", \"a\", \"b\""),
        ("--input no*.csv --output o.csv", 66, "no file's name fits the pattern"),
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
fn wrong_usage_has_a_code_of_its_own() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), ROWS).expect("writes");
    fs::create_dir(folder.path("in")).expect("made");
    fs::write(folder.path("in/rows.csv"), ROWS).expect("writes");
    for (arguments, told) in [
        ("--input rows.csv --output o", "o: its name does not tell its format"),
        ("--input rows.csv --output -", "--format csv or json"),
        ("--input rows.csv --output - --format arrow", "arrow cannot be written to standard output"),
        ("--input rows.csv --output o.parquet.gz", "compressed within"),
        ("--input rows.csv --output ./ --overwrite", "expected a name"),
        ("--input - --output o.csv", "--input-format csv or json"),
        ("--input - --input-format parquet --output o.csv", "csv or json"),
        ("--input - --input-format csv --output o.csv --resume", "cannot be read again"),
        ("--input rows.csv --output o.csv --map c=id --map a=id --map a=b", "has no inputs \"c\""),
        ("--input rows.csv --output o.csv --map c=id --map a=id --map a=b", "twice what is read for \"a\""),
        ("--input rows.csv --output o.csv --keep id,id", "\"id\" twice"),
        ("--input in --output in/o.csv", "the next run would take it for rows"),
        ("--input in/*.csv --output in/o.csv", "the next run would take it for rows"),
        ("--input r*.csv --output o.csv --rejects r.csv", "the next run would take it for rows"),
    ] {
        let output = folder.run(arguments, ROWS);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(told), "{arguments}: {stderr}");
    }
    for free in ["--input in --output in/_o.csv", "--input in/r*.csv --output in/o.csv"] {
        let (code, stderr) = folder.told(free);
        assert_eq!(code, 0, "{free}: {stderr}");
    }
    assert!(!folder.path("o.csv").exists());
}

#[test]
fn an_output_that_nobody_reads_any_more_ends_the_job_without_a_word() {
    let folder = Folder::new();
    folder.rows();
    let mut child = Command::new(env!("CARGO_BIN_EXE_serve-score"))
        .current_dir(folder.0.path())
        .args([
            "--registry",
            "models",
            "--model",
            "direction",
            "--input",
            "rows.csv",
            "--output",
            "-",
            "--format",
        ])
        .arg("json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), "id,x,b\n1,0.5,1\n2,x,1\n").expect("writes");
    let output = folder.run("--input rows.csv --output out.csv --map a=x --keep id --dry-run", "");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in [
        "direction@v1",
        "rows.csv, csv",
        "a = x (Utf8)",
        "b = b",
        "out.csv, csv",
        "probability_up Float64",
        "| 1  | up",
        "row 2 is rejected",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert!(output.status.success() && !folder.path("out.csv").exists());
    fs::write(folder.path("out.csv"), "mine").expect("writes");
    let (code, told) = folder.told("--input rows.csv --output out.csv --map a=x --keep id --dry-run");
    assert!(code == 73 && told.contains("out.csv exists"), "{code} {told}");
}
