//! What is told before the first row.

use serve_score::{Fault, PlanOptions, ScoreError};

use crate::fixture::Fixture;

fn refused(fixture: &Fixture, text: &str, options: &PlanOptions) -> String {
    refused_for(fixture, text, options, Fault::Data)
}

fn refused_for(fixture: &Fixture, text: &str, options: &PlanOptions, fault: Fault) -> String {
    let input = fixture.text("rows.csv", text);
    let error = fixture.job("plain", &input, options).expect_err("must be refused");
    assert_eq!(error.fault(), fault, "{error}");
    error.to_string().replace(&input.display().to_string(), "rows.csv")
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let fixture = Fixture::new();
    let plain = PlanOptions::default();
    assert_eq!(
        refused(&fixture, "a,c,d\n1,2,3\n", &plain),
        "rows.csv: missing columns \"b\"; it has \"c\", \"d\" (--map FEATURE=COLUMN renames)"
    );
    assert_eq!(refused(&fixture, "a,b,a\n1,2,3\n", &plain), "rows.csv: columns that stand twice: \"a\"");
    let map = |feature: &str, column: &str| PlanOptions {
        map: vec![(feature.to_owned(), column.to_owned())],
        ..PlanOptions::default()
    };
    assert_eq!(
        refused_for(&fixture, "a,b\n", &map("z", "a"), Fault::Usage),
        "--map: the model has no inputs \"z\"; it has \"a\", \"b\""
    );
    assert!(refused(&fixture, "a,b\n", &map("b", "z")).contains("missing columns \"z\"; it has \"b\""));
    let keep = PlanOptions { keep: "direction".parse().expect("never fails"), ..PlanOptions::default() };
    assert!(refused(&fixture, "a,b,direction\n", &keep).contains("two columns \"direction\""));
}

#[test]
fn a_column_that_is_not_read_may_stand_twice() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", "a,b,z,z\n1,2,3,4\n");
    fixture.job("plain", &input, &PlanOptions::default()).expect("plans");
}

#[test]
fn what_is_no_file_of_rows_is_refused() {
    let fixture = Fixture::new();
    let refused = |name: &str, bytes: &[u8]| {
        let input = fixture.text(name, bytes);
        let error = fixture.job("plain", &input, &PlanOptions::default()).expect_err("must be refused");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        (error.fault(), cause)
    };
    for (name, bytes, told) in [
        ("empty.csv", &b""[..], "expected a header"),
        ("empty.jsonl", b"", "one object a line"),
        ("empty.parquet", b"", ""),
        ("half.parquet", b"PAR1 and no more", ""),
        ("half.arrow", b"ARROW1", ""),
        ("list.jsonl", b"[1,2]\n", "an object"),
    ] {
        let (fault, cause) = refused(name, bytes);
        assert_eq!(fault, Fault::Data, "{name}: {cause}");
        assert!(cause.contains(told), "{name}: {cause}");
    }
    let missing = fixture.job("plain", &fixture.path("nothing.csv"), &PlanOptions::default());
    assert_eq!(missing.expect_err("is not there").fault(), Fault::NoInput);
    let unknown = fixture.text("rows.xls", "");
    let error = fixture.job("plain", &unknown, &PlanOptions::default()).expect_err("no format");
    assert!(error.to_string().contains("say --input-format"), "{error}");
}

#[test]
fn a_folder_of_different_files_is_refused() {
    let fixture = Fixture::new();
    fixture.text("in/a.csv", "a,b,id\n1,2,3\n");
    fixture.text("in/b.csv", "a,id\n1,3\n");
    let error = fixture.job("plain", &fixture.path("in"), &PlanOptions::default()).expect_err("one lacks b");
    assert!(error.to_string().contains("b.csv: missing columns \"b\""), "{error}");
    fixture.text("mixed/a.csv", "a,b\n");
    fixture.text("mixed/b.jsonl", "{}\n");
    let error =
        fixture.job("plain", &fixture.path("mixed"), &PlanOptions::default()).expect_err("two formats");
    assert!(
        matches!(error, ScoreError::Plan { .. }) && error.to_string().contains("expected one format"),
        "{error}"
    );
}

#[test]
fn a_model_is_pinned_when_the_job_is_planned() {
    let fixture = Fixture::new();
    let input = fixture.text("rows.csv", "a,b\n1,2\n");
    let job = fixture.job("plain@v2", &input, &PlanOptions::default()).expect("plans");
    assert_eq!(job.planned().model().to_string(), "plain@v2");
    assert_eq!(
        serve_score::PinnedModel::resolve(&fixture.registry, "none").expect_err("is not there").fault(),
        Fault::NoInput
    );
}
