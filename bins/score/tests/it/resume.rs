//! A program that is killed at any moment, and goes on.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serve_core::doctest::logistic;
use serve_registry::{Directory, Registry, Storage};

use crate::Folder;

const ROWS: usize = 300_000;

impl Folder {
    fn spawn(&self, model: &str, arguments: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_serve-score"))
            .current_dir(self.0.path())
            .args(["--registry", "models", "--model", model])
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    /// Every thousandth row is rejected.
    pub(crate) fn rows(&self) {
        let line = |n: usize| {
            if n.is_multiple_of(1000) { format!("{n},x,1\n") } else { format!("{n},{}.5,1\n", n % 97) }
        };
        let text: String = std::iter::once("id,a,b\n".to_owned()).chain((1..=ROWS).map(line)).collect();
        fs::write(self.path("rows.csv"), text).expect("writes");
    }

    pub(crate) fn finished_parts(&self, output: &str) -> usize {
        let journal =
            fs::read_to_string(self.path(&format!(".{output}.partial/journal"))).unwrap_or_default();
        journal.matches('\n').count()
    }
}

fn told(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("is piped").read_to_string(&mut text).expect("reads");
    text
}

/// Whether an output has the bytes of the one of a job that was not killed.
fn same(folder: &Folder, name: &str) -> bool {
    let whole = folder.path(&format!("whole-{name}"));
    let diff =
        Command::new("diff").args(["-r".as_ref(), folder.path(name).as_os_str(), whole.as_os_str()]).output();
    diff.expect("diff runs").status.success()
}

/// Numbers without a pattern.
fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Kills the job again and again, each time when some more parts are finished and then some, until it comes through.
fn kill_until_done(folder: &Folder, arguments: &str, output: &str, seed: &mut u64) -> u32 {
    let mut kills = 0;
    loop {
        let before = folder.finished_parts(output);
        let mut child = folder.spawn("direction", arguments);
        // At first it may also be killed before anything is finished.
        let wanted = before + chance(seed) as usize % 4;
        while folder.finished_parts(output) < wanted && child.try_wait().expect("waits").is_none() {
            sleep(Duration::from_micros(200));
        }
        sleep(Duration::from_micros(chance(seed) % 20_000));
        let _ended_already = child.kill();
        let status = child.wait().expect("waits");
        if status.success() {
            return kills;
        }
        if status.code() == Some(73) && same(folder, output) {
            // It was killed between its last step and its end.
            return kills;
        }
        assert_eq!(status.code(), None, "{}", told(&mut child));
        kills += 1;
        // It may have been killed after it was done, but what has the final name is whole.
        assert!(!folder.path(output).exists() || same(folder, output), "{output} is there and not whole");
    }
}

#[test]
fn a_job_that_is_killed_again_and_again_comes_to_the_same_bytes() {
    let folder = Folder::new();
    folder.rows();
    let to_parquet = "--input rows.csv --output rows.parquet --keep all --rejects none.csv";
    assert!(folder.spawn("direction", to_parquet).wait().expect("waits").success());
    // Rejected rows are not in it, so that input has other rejects: none.
    let mut seed = 7;
    let mut kills = 0;
    for (input, output) in [
        ("rows.csv", "out.csv"),
        ("rows.csv", "out.csv.zst"),
        ("rows.csv", "parts/"),
        ("rows.csv", "out.arrow"),
        ("rows.parquet", "out.parquet"),
        ("rows.parquet", "out.jsonl"),
    ] {
        let arguments = |output: &str| {
            format!("--input {input} --output {output} --keep id --part-rows 15000 --threads 2")
        };
        let whole = format!("whole-{output}");
        assert!(folder.spawn("direction", &arguments(&whole)).wait().expect("waits").success());
        let name = output.trim_end_matches('/');
        kills += kill_until_done(&folder, &format!("{} --resume", arguments(output)), name, &mut seed);
        assert!(same(&folder, name), "{input} to {output} after {kills} kills");
        let rejects = |name: &str| fs::read_to_string(folder.path(&format!("{name}.rejects.csv"))).ok();
        let got = rejects(name);
        assert_eq!(got, rejects(whole.trim_end_matches('/')));
        assert_eq!(got.map_or(0, |text| text.lines().count()), if input == "rows.csv" { 301 } else { 0 });
        assert!(!folder.path(&format!(".{name}.partial")).exists());
    }
    assert!(kills > 6, "only {kills} kills");
}

#[test]
fn a_reference_that_moved_is_told_and_the_pinned_version_goes_on() {
    let folder = Folder::new();
    folder.rows();
    let registry = Directory::open(folder.path("models").as_path()).expect("opens");
    let arguments = "--input rows.csv --output out.csv --part-rows 20000 --threads 1";
    let mut child = folder.spawn("direction@champion", arguments);
    while folder.finished_parts("out.csv") < 2 {
        assert!(child.try_wait().expect("waits").is_none(), "it ended before it could be killed");
        sleep(Duration::from_micros(200));
    }
    child.kill().expect("kills");
    child.wait().expect("waits");
    registry.publish(&logistic("direction", "v2", 3.0).build().expect("proves"), "tests").expect("publishes");
    let promoting = Registry::open(folder.path("models")).expect("opens");
    let (name, version) = ("direction".parse().expect("a name"), "v2".parse().expect("a version"));
    let promoted = promoting.promote(&name, &version, &serve_core::Alias::champion(), "tests");
    promoted.expect("promotes");
    let mut other = folder.spawn("direction@v2", &format!("{arguments} --resume"));
    assert_eq!(other.wait().expect("waits").code(), Some(65));
    let text = told(&mut other);
    assert!(text.contains("the model was direction@v1, is direction@v2"), "{text}");
    let mut child = folder.spawn("direction@champion", &format!("{arguments} --resume"));
    let status = child.wait().expect("waits");
    let text = told(&mut child);
    assert!(status.success(), "{text}");
    assert!(
        text.contains("direction@champion is direction@v2 by now; the job goes on with direction@v1"),
        "{text}"
    );
    assert!(text.contains("goes on behind") && text.contains("of them earlier"), "{text}");
    let answers = fs::read_to_string(folder.path("out.csv")).expect("reads");
    assert!(answers.lines().skip(1).all(|line| line.ends_with(",v1")));
    assert_eq!(answers.lines().count(), 1 + ROWS - ROWS / 1000);
}

#[test]
fn an_interrupt_keeps_finished_parts_and_says_how_to_go_on() {
    let folder = Folder::new();
    folder.rows();
    let arguments = "--input rows.csv --output out.csv --part-rows 20000 --threads 1";
    let mut child = folder.spawn("direction", arguments);
    while folder.finished_parts("out.csv") < 1 {
        assert!(child.try_wait().expect("waits").is_none(), "it ended before it could be interrupted");
        sleep(Duration::from_micros(200));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let status = child.wait().expect("waits");
    let text = told(&mut child);
    assert_eq!(status.code(), Some(75), "{text}");
    assert!(text.contains("--resume goes on") && text.contains("no output was written"), "{text}");
    assert!(!folder.path("out.csv").exists());
    let mut child = folder.spawn("direction", &format!("{arguments} --resume"));
    assert!(child.wait().expect("waits").success(), "{}", told(&mut child));
}

#[test]
fn pipes_have_nothing_to_go_on_with() {
    let folder = Folder::new();
    folder.rows();
    for (arguments, expected) in [
        ("--input rows.csv --output - --format csv --resume", "standard output keeps nothing"),
        ("--input - --input-format csv --output out.csv --resume", "standard input cannot be read again"),
    ] {
        let output = folder.run(arguments, "a,b\n1,2\n");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_job_that_waits_for_standard_input_ends_when_it_is_told() {
    for rows in [0, 1_000_000] {
        waits_for(rows);
    }
}

fn waits_for(rows: usize) {
    let folder = Folder::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_serve-score"))
        .current_dir(folder.0.path())
        .args(["--registry", "models", "--model", "direction", "--input", "-", "--input-format", "csv"])
        .args(["--output", "out.csv"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    let lines = "0.5,1\n".repeat(rows);
    stdin.write_all(format!("a,b\n{lines}").as_bytes()).expect("is read");
    // Signals are caught by a thread that is there before the first byte is waited for, and before the folder is.
    let threads = format!("/proc/{}/task", child.id());
    let named = |name: &str| {
        let tasks = fs::read_dir(&threads).into_iter().flatten().flatten();
        tasks
            .map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default())
            .any(|comm| comm.trim() == name)
    };
    while !named("stdin") || (rows > 0 && !folder.path(".out.csv.partial").exists()) {
        assert_eq!(child.try_wait().expect("waits"), None);
        sleep(Duration::from_millis(5));
    }
    let ended = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("runs");
    assert!(ended.success());
    let (told, status) = (told(&mut child), child.wait().expect("ends"));
    assert!(status.code() == Some(75) && told.contains("interrupted after"), "{status} {told}");
    assert!(!folder.path(".out.csv.partial").exists() && !folder.path("out.csv").exists());
    drop(stdin);
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_kept() {
    let folder = Folder::new();
    folder.rows();
    let arguments = "--input rows.csv --output out.csv --part-rows 15000";
    let (code, told) = folder.told(&format!("{arguments} --max-rejects 250"));
    assert_eq!(code, 65, "{told}");
    let facts = folder.path(".out.csv.partial/job.json");
    let whole = fs::read(&facts).expect("reads");
    fs::write(&facts, &whole[..whole.len() / 2]).expect("writes");
    let (code, told) = folder.told(&format!("{arguments} --resume"));
    assert!(code == 65 && told.contains(".out.csv.partial is damaged"), "{code} {told}");
    assert!(folder.finished_parts("out.csv") > 10, "what is finished stays");
    fs::write(&facts, &whole).expect("writes");
    let (code, told) = folder.told(&format!("{arguments} --resume"));
    assert!(code == 0 && told.contains("goes on behind"), "{code} {told}");
    let (code, told) = folder.told(&format!("{arguments} --resume"));
    assert!(code == 73 && told.contains("no ended job is left to go on with"), "{code} {told}");
}
