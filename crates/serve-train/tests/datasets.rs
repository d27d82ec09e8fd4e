//! Files as they come: what is read, what is left out, and what is refused with which words.

use serve_train::{Dataset, DatasetError, DatasetOptions, Fault, RowCounts};

fn read(csv: &str) -> Result<Dataset, DatasetError> {
    Dataset::from_csv(csv.as_bytes(), &DatasetOptions::new("y"))
}

fn refused(csv: &str) -> String {
    let error = read(csv).expect_err("refused");
    assert_eq!(error.fault(), Fault::Data, "{error}");
    error.to_string()
}

#[test]
fn rows_are_sorted_by_time_and_equal_times_keep_their_order() {
    let csv = "date,x,y\n2024-01-03,3,a\n2024-01-01,1,b\n2024-01-03,4,b\n2024-01-02 12:00:00,2,a\n2024-01-01T06:00:00+06:00,0,a\n";
    let dataset = read(csv).expect("reads");
    assert_eq!(dataset.rows().iter().copied().collect::<Vec<_>>(), [1.0, 0.0, 2.0, 3.0, 4.0]);
    assert_eq!(dataset.labels(), [1, 0, 0, 0, 1]);
    assert!(dataset.times().expect("has times").is_sorted());
}

#[test]
fn without_times_the_order_is_the_files() {
    let dataset = read("x,y\n3,a\n1,b\n2,a\n").expect("reads");
    assert_eq!(dataset.rows().iter().copied().collect::<Vec<_>>(), [3.0, 1.0, 2.0]);
    assert_eq!(dataset.times(), None);
}

#[test]
fn incomplete_rows_are_left_out_and_counted() {
    let dataset = read("x,y,z\n1,a,1\n,a,1\nNaN,b,1\n2,,1\n,null,\n 3 , b ,n/a\n4,b,-1e3\n").expect("reads");
    let counts = RowCounts { read: 7, used: 2, missing_target: 2, missing_feature: 3 };
    assert_eq!(dataset.counts(), counts);
    assert_eq!(dataset.rows().iter().copied().collect::<Vec<_>>(), [1.0, 1.0, 4.0, -1000.0]);
}

#[test]
fn comments_quotes_blank_lines_and_line_ends_are_no_obstacle() {
    let csv = "\u{feff}# made by hand\r\nx,y,\"note, long\"\r\n1,a,0\r\n\r\n# more\r\n2,\"b\",0\r\n";
    let dataset = read(csv).expect("reads");
    assert_eq!(dataset.features(), ["x", "note, long"]);
    assert_eq!(dataset.classes(), ["a", "b"]);
    assert_eq!(dataset.counts().read, 2);
}

#[test]
fn entity_columns_are_left_out_and_named() {
    let dataset = read("symbol,x,y\nBTC,1,a\nETH,2,b\n").expect("reads");
    assert_eq!(
        (dataset.features(), dataset.entity_columns()),
        (&["x".to_owned()][..], &["symbol".to_owned()][..])
    );
}

#[test]
fn cells_that_are_no_numbers_are_named_with_column_line_and_value() {
    assert_eq!(
        refused("# c\nx,mood,y\n1,2,a\n# c\n\n1,happy,b\n"),
        "column \"mood\", line 6: expected a number, got \"happy\"; leave the column out with --exclude mood"
    );
    assert_eq!(
        refused("x,y\r\n1,a\r\n-inf,b"),
        "column \"x\", line 3: expected a finite number, got \"-inf\""
    );
    assert_eq!(refused("x,y\n1e999,b"), "column \"x\", line 2: expected a finite number, got \"1e999\"");
    assert_eq!(
        refused("time,x,y\nyesterday,1,b"),
        "column \"time\", line 2: expected a time such as 2024-05-01T12:00:00Z, 2024-05-01 12:00:00 (UTC) or 2024-05-01, got \"yesterday\""
    );
    assert_eq!(refused("x,y\n1,a\n\n1,b,c\n"), "line 4 has 3 cells, the header has 2");
}

#[test]
fn the_line_is_right_after_a_cell_of_several_lines() {
    let options = DatasetOptions { exclude: vec!["text".to_owned()], ..DatasetOptions::new("y") };
    let csv = "text,x,y\n\"one\ntwo\nthree\",1,a\n\"four\nfive\",no,b\n";
    let error = Dataset::from_csv(csv.as_bytes(), &options).expect_err("refused").to_string();
    assert_eq!(
        error,
        "column \"x\", line 5: expected a number, got \"no\"; leave the column out with --exclude x"
    );
}

#[test]
fn files_without_rows_to_learn_from_are_refused() {
    assert_eq!(refused(""), "the file is empty, expected a line with the columns' names");
    assert_eq!(refused("# only this\n"), "the file is empty, expected a line with the columns' names");
    assert_eq!(refused("x,y\n"), "the file has no rows");
    assert_eq!(
        refused("x,z,y\n1,,a\n2,,b\n"),
        "column \"z\" is empty in all 2 rows; leave it out with --exclude z"
    );
    assert_eq!(
        refused("x,z,y\n1,,a\n,2,b\n3,3,\n"),
        "none of the 3 rows is complete: 1 lack the target, 2 lack a feature"
    );
    assert_eq!(
        refused("x,y\n1,a\n2,a\n"),
        "target \"y\" is \"a\" in every complete row, expected two classes or more"
    );
}

#[test]
fn a_column_that_is_not_there_is_the_options_fault() {
    let error = Dataset::from_csv("x,z\n1,2\n".as_bytes(), &DatasetOptions::new("y")).expect_err("refused");
    assert_eq!(error.fault(), Fault::Options);
    assert_eq!(error.to_string(), "there is no column \"y\" (target); the file has x, z");
}

#[test]
fn a_class_seen_only_in_incomplete_rows_is_no_class() {
    assert_eq!(read("x,y\n1,a\n,c\n2,b\n").expect("reads").classes(), ["a", "b"]);
}
