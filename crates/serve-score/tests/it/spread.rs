//! Shares of a job that others score, and what they tell on the way.

use std::fmt::Write;

use serve_score::spread::{Pace, Paces};
use serve_score::{MaxRejects, PlanOptions, Progress, ScoreError};

use crate::fixture::Fixture;

#[test]
fn shares_tell_how_far_they_are() {
    let fixture = Fixture::new();
    for (file, rows) in [("rows/a.csv", 300), ("rows/b.csv", 500)] {
        let mut text = "a,b\n".to_owned();
        (0..rows).for_each(|row| {
            let a = if row % 100 == 7 { "x".to_owned() } else { row.to_string() };
            writeln!(text, "{a},0.5").expect("a text takes all");
        });
        fixture.text(file, text);
    }
    let job = fixture.job("plain", &fixture.path("rows"), &PlanOptions::default()).expect("plans");
    let (schema, progress) = (job.planned().schema().clone(), Progress::default());
    let options = fixture.run("out.csv").expect("an output");
    let summary = job.run_elsewhere(&options, &progress, |spread| {
        let mut paces = Paces::new(&spread);
        assert_eq!((paces.look(), spread.shares()), (Pace::default(), 2));
        let score = |share| spread.score(share, fixture.model("plain"), &schema, &|| false);
        let first = score(0)?;
        let pace = paces.look();
        assert_eq!((pace.rows, pace.rejected, first.read), (300, 3, 300));
        assert_eq!(pace.bytes, std::fs::metadata(fixture.path("rows/a.csv")).expect("is there").len());
        progress.follow(pace);
        assert_eq!((progress.rows(), progress.rejected(), progress.bytes()), (300, 3, pace.bytes));
        let enough = progress.check(Some(MaxRejects::Rows(2)), false);
        assert!(
            matches!(enough, Err(ScoreError::TooManyRejects { rejected: 3, rows: 300, .. })),
            "{enough:?}"
        );
        let second = score(1)?;
        assert_eq!((paces.look().rows, paces.look().rejected), (800, 8));
        Ok(vec![second, first])
    });
    let summary = summary.expect("scores");
    assert_eq!((summary.rows, summary.rejected), (800, 8));
    assert_eq!(fixture.read("out.csv").lines().count(), 793);
    assert_eq!(fixture.names(), ["out.csv", "out.csv.rejects.csv", "registry", "rows"]);
}
