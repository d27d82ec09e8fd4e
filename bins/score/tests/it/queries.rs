//! Queries: `--sql`.

use std::fs;
use std::process::Output;

use crate::{Folder, ROWS};

fn query(folder: &Folder, sql: &str, arguments: &str, input: &str) -> Output {
    let arguments = ["--sql", sql].into_iter().chain(arguments.split_whitespace());
    folder.run_with(&arguments.collect::<Vec<_>>(), input)
}

#[test]
fn a_query_reads_and_writes_pipes_and_tells_rows_without_an_answer() {
    let folder = Folder::new();
    let sql =
        "SELECT id, predict('direction', *) AS label FROM input WHERE CAST(id AS BIGINT) < 3 ORDER BY id";
    let output = query(&folder, sql, "--input - --input-format csv --output - --format csv", ROWS);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "id,label\n1,up\n2,\n");
    assert!(told.contains("a row without an answer: a: expected a number, got text \"x\""), "{told}");
    assert!(told.contains("2 rows, 1 without an answer, in"), "{told}");
}

#[test]
fn rows_that_a_query_leaves_out_are_not_scored() {
    let folder = Folder::new();
    let sql = "SELECT id, predict('direction', *) AS label FROM input WHERE id <> '2' ORDER BY id";
    let output = query(&folder, sql, "--input - --input-format csv --output - --format csv", ROWS);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "id,label\n1,up\n3,down\n");
    assert!(output.status.success() && told.contains("2 rows, 0 without an answer"), "{told}");
}

#[test]
fn what_a_query_cannot_do_is_told_with_its_code() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), ROWS).expect("writes");
    fs::write(folder.path("there.csv"), "mine").expect("writes");
    for (sql, arguments, code, told) in [
        ("SELECT predict('nobody', *) FROM input", "--input rows.csv --output o.csv", 66, "nobody"),
        (
            "SELECT predict('direction', x) FROM input",
            "--input rows.csv --output o.csv",
            65,
            "No field named x",
        ),
        ("SELECT id FROM input", "--input none.csv --output o.csv", 66, "none.csv cannot be opened"),
        (
            "SELECT sum(a) FROM input",
            "--input rows.csv --output o.csv",
            65,
            "sum does not take values of these types; the columns of a CSV are text, and CAST(column AS DOUBLE)",
        ),
        ("SELEC id FROM input", "--input rows.csv --output o.csv", 2, "the query cannot be read: Expected"),
        ("DROP TABLE input", "--input rows.csv --output o.csv", 2, "a query reads and changes nothing"),
        ("SELECT id FROM input", "--input rows.csv --output o.csv --keep id", 2, "--keep"),
        ("SELECT id FROM input", "--input rows.csv --output rows.csv", 2, "--output and --input are both"),
        ("SELECT id FROM input", "--input rows.csv --output there.csv", 73, "--overwrite"),
        (
            "SELECT a.id FROM input a JOIN input b ON a.id = b.id",
            "--input - --input-format csv --output o.csv",
            65,
            "reads standard input twice",
        ),
    ] {
        let output = query(&folder, sql, arguments, ROWS);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{sql}: {stderr}");
        assert!(stderr.contains(told), "{sql}: {stderr}");
    }
    assert!(!folder.path("o.csv").exists());
}

#[test]
fn a_dry_run_shows_what_a_query_answers() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), ROWS).expect("writes");
    let sql = "SELECT id, predict('direction', *) AS label FROM input ORDER BY id";
    let output = query(&folder, sql, "--input rows.csv --output o.csv --dry-run", "");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in ["rows.csv, csv", "o.csv, csv", "label Utf8", "| 1  | up"] {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert!(output.status.success() && !folder.path("o.csv").exists());
}
