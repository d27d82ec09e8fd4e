//! Inputs and outputs that are not as they should be: what is said, the exit code, and that nothing is left under the output's name.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::Folder;

impl Folder {
    /// Runs a job that has to fail, with what it says; nothing of it is left.
    fn refused(&self, input: &str, code: i32) -> String {
        let (got, told) = self.told(&format!("--input {input} --output out.csv --keep a"));
        assert_eq!(got, code, "{input}: {told}");
        let left: Vec<String> = self.names().into_iter().filter(|name| name.contains("out.csv")).collect();
        assert!(left.is_empty(), "{input}: {left:?}");
        told
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("reads");
        entries.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned()).collect()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("writes");
    }
}

fn utf_16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_file_that_is_cut_off_fails_the_job() {
    let folder = Folder::new();
    folder.rows();
    for name in ["whole.parquet", "whole.arrow", "whole.csv.gz", "whole.jsonl.zst"] {
        let (code, told) = folder
            .told(&format!("--input rows.csv --output {name} --keep a,b --rejects none.csv --overwrite"));
        assert_eq!(code, 0, "{told}");
        let bytes = fs::read(folder.path(name)).expect("reads");
        let half = format!("half{}", name.strip_prefix("whole").expect("begins so"));
        folder.file(&half, &bytes[..bytes.len() / 2]);
        let told = folder.refused(&half, 65);
        assert!(told.contains(&format!("{half} cannot be read as ")), "{told}");
    }
}

#[test]
fn what_is_no_table_is_told_by_its_name() {
    let folder = Folder::new();
    folder.file("empty.csv", "");
    folder.file("empty.parquet", "");
    folder.file("twice.csv", "a,b,a\n1,2,3\n");
    folder.file("wide.csv", utf_16("a,b\n1,2\n"));
    folder.file("latin.csv", b"a,b,gr\xfc\xdfe\n1,2,3\n");
    folder.file("other.csv", "amount,country\n1,CH\n");
    folder.file("texts.jsonl", "{\"a\":[1],\"b\":2}\n");
    folder.file("folder/1.csv", "a,b,c\n1,2,3\n");
    folder.file("folder/2.csv", "a,c\n1,3\n");
    folder.file("kinds/1.csv", "a,b\n1,2\n");
    folder.file("kinds/2.jsonl", "{\"a\":1,\"b\":2}\n");
    folder.file("none/_hidden.csv", "a,b\n");
    for (input, code, expected) in [
        ("empty.csv", 65, &["empty.csv cannot be read as csv", "expected a header"][..]),
        ("empty.parquet", 65, &["empty.parquet cannot be read as parquet"]),
        ("twice.csv", 65, &["twice.csv: columns that stand twice: \"a\""]),
        ("wide.csv", 65, &["wide.csv cannot be read as csv", "the header is not UTF-8"]),
        ("latin.csv", 65, &["latin.csv cannot be read as csv", "the header is not UTF-8"]),
        ("other.csv", 65, &["missing columns \"a\", \"b\"; it has \"amount\", \"country\""]),
        ("folder", 65, &["2.csv: missing columns \"b\""]),
        ("kinds", 65, &["1.csv is csv", "2.jsonl is json: expected one format"]),
        ("none", 66, &["none cannot be opened"]),
        ("nothing.csv", 66, &["nothing.csv cannot be opened"]),
    ] {
        let told = folder.refused(input, code);
        expected.iter().for_each(|expected| assert!(told.contains(expected), "{input}: {told}"));
    }
}

#[test]
fn rows_that_are_none_are_rejected_and_the_others_answered() {
    let folder = Folder::new();
    folder.file("ragged.csv", b"id,a,b\n1,0.5,1\n2,0.5\n3,0.5,1,9\n4,\xff,1\n5,,\n6,1,1\n\"7,1,1\n8,1,1\n");
    let (code, told) = folder.told("--input ragged.csv --output out.csv --keep id");
    assert_eq!(code, 0, "{told}");
    let rejects = fs::read_to_string(folder.path("out.csv.rejects.csv")).expect("reads");
    let reasons = [
        "expected 3 cells, got 2",
        "expected 3 cells, got 4",
        "expected UTF-8 text",
        "missing",
        "expected 3 cells, got 1",
    ];
    let lines: Vec<&str> = rejects.lines().skip(1).collect();
    assert_eq!(lines.len(), reasons.len(), "{rejects}");
    lines.iter().zip(reasons).for_each(|(line, reason)| assert!(line.contains(reason), "{line}: {reason}"));
    let answers = fs::read_to_string(folder.path("out.csv")).expect("reads");
    let ids: Vec<&str> = answers.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(ids, ["1", "6", "8"]);
    folder.file("none.csv", "id,a,b\n");
    let (code, told) = folder.told("--input none.csv --output none.parquet");
    assert!(code == 0 && told.contains("0 rows, none rejected"), "{told}");
}

#[test]
fn a_disk_that_is_full_keeps_what_is_finished_and_the_job_goes_on_when_there_is_room() {
    let folder = Folder::new();
    folder.rows();
    let arguments = "--input rows.csv --output out.csv --part-rows 100000 --quiet";
    let (code, told) = folder.told("--input rows.csv --output whole.csv");
    assert_eq!(code, 0, "{told}");
    let whole = fs::read(folder.path("whole.csv")).expect("reads");
    let limited = |bytes: usize| {
        let blocks = bytes >> 10;
        let script = format!("ulimit -f {blocks}; exec \"$@\"");
        let output = Command::new("bash")
            .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_serve-score")])
            .args(["--registry", "models", "--model", "direction"])
            .args(format!("{arguments} --resume").split_whitespace())
            .current_dir(folder.0.path())
            .output()
            .expect("starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // There is room for no part, then for each of them but not for the whole.
    let (code, told) = limited(whole.len() / 8);
    assert_eq!(code, Some(73), "{told}");
    assert!(told.contains("out.csv cannot be written") && told.contains("File too large"), "{told}");
    assert!(!folder.path(".out.csv.partial").exists() && !folder.path("out.csv").exists());
    let (code, told) = limited(whole.len() / 2);
    assert_eq!(code, Some(73), "{told}");
    assert!(!folder.path("out.csv").exists());
    assert_eq!(folder.finished_parts("out.csv"), 3);
    let (code, told) = folder.told(&format!("{arguments} --resume"));
    assert_eq!(code, 0, "{told}");
    assert!(fs::read(folder.path("out.csv")).expect("reads") == whole);
}

#[test]
fn places_that_may_not_be_read_or_written_are_named() {
    let folder = Folder::new();
    folder.file("rows.csv", "id,a,b\n1,0.5,1\n");
    folder.file("there", "a file");
    let (code, told) = folder.told("--input rows.csv --output there/out.csv");
    assert!(code == 73 && told.contains("there/out.csv cannot be written"), "{code} {told}");
    let (code, told) = folder.told("--input rows.csv --output out.csv --rejects nowhere/rejects.csv");
    assert!(code == 73 && told.contains("nowhere/rejects.csv cannot be written"), "{code} {told}");
    assert!(!folder.path("out.csv").exists(), "it is told before the first row");
    fs::create_dir(folder.path("locked")).expect("made");
    fs::set_permissions(folder.path("locked"), Permissions::from_mode(0o500)).expect("changes");
    fs::set_permissions(folder.path("rows.csv"), Permissions::from_mode(0o000)).expect("changes");
    // Who may do everything is not kept out.
    if fs::File::open(folder.path("rows.csv")).is_err() {
        let (code, told) = folder.told("--input rows.csv --output o.csv");
        assert!(code == 66 && told.contains("rows.csv cannot be opened"), "{code} {told}");
        let (code, told) = folder.told("--input bad.csv --output locked/o.csv");
        assert!(code == 73 && told.contains("locked/o.csv cannot be written"), "{code} {told}");
    }
}

#[test]
fn nothing_is_written_over_what_is_read_or_written_elsewhere() {
    let folder = Folder::new();
    folder.rows();
    let rows = fs::read(folder.path("rows.csv")).expect("reads");
    folder.file("nested/deep/rows.csv", &rows);
    folder.file("kept/notes.txt", "mine");
    for (arguments, code, expected) in [
        ("--input rows.csv --output rows.csv", 2, "--output and --input are both"),
        ("--input rows.csv --output out.csv --rejects rows.csv", 2, "--rejects and --input are both"),
        ("--input rows.csv --output out.csv --rejects ./out.csv", 2, "--rejects and --output are both"),
        ("--input rows.csv --output out.json --report out.json", 2, "--report and --output are both"),
        (
            "--input rows.csv --output out.csv --report a.json --report a.json",
            2,
            "--report and --report are both",
        ),
        (
            "--input rows.csv --output out.csv --report nowhere/r.html",
            73,
            "nowhere/r.html cannot be written (--report)",
        ),
        ("--input nested/deep --output nested/ --format csv", 2, "--output"),
        (
            "--input rows.csv --output models/direction/v1/golden.json --format json",
            2,
            "lies in the registry",
        ),
        ("--input rows.csv --output out.csv --rejects models/rejects.csv", 2, "lies in the registry"),
        ("--input rows.csv --output kept/ --format csv", 73, "it holds \"notes.txt\""),
    ] {
        let (got, told) = folder.told(&format!("{arguments} --overwrite"));
        assert!(got == code && told.contains(expected), "{arguments}: {got} {told}");
        assert!(!folder.path("out.csv").exists() && !folder.path("out.json").exists(), "{arguments}");
    }
    assert_eq!(fs::read(folder.path("rows.csv")).expect("is there"), rows);
    assert!(folder.path("kept/notes.txt").exists() && folder.path("nested/deep/rows.csv").exists());
}

#[test]
fn patterns_leave_out_what_is_hidden() {
    let folder = Folder::new();
    for name in ["in/a.csv", "in/.b.csv.partial/part.csv", "in/_tmp/c.csv"] {
        folder.file(name, "a,b\n1,2\n");
    }
    for (pattern, rows) in [("in/**/*.csv", "1 rows"), ("in/_tmp/*.csv", "1 rows")] {
        let (code, told) = folder.told(&format!("--input {pattern} --output out.csv --overwrite"));
        assert!(code == 0 && told.contains(rows), "{pattern}: {told}");
    }
}
