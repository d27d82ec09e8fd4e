//! What is counted of rows: the same numbers however the rows are cut, and against the training window where there is one.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array};
use serve_score::job::RunOptions;
use serve_score::tally::{Counts, Kind};
use serve_score::{PlanOptions, Progress, Tally};

use crate::fixture::{Fixture, batch, parquet, training};

const COUNTED: PlanOptions =
    PlanOptions { map: Vec::new(), keep: serve_score::Keep::None, explain: false, tally: true };

fn tally(fixture: &Fixture, model: &str, input: &str, output: &str, threads: usize) -> Tally {
    let job = fixture.job(model, &fixture.path(input), &COUNTED).expect("plans");
    let options = RunOptions { threads, ..fixture.run(output).expect("an output") };
    job.run(&options, &Progress::default()).expect("scores").tally.expect("was asked for")
}

#[test]
fn rows_rejects_and_columns_are_counted() {
    let fixture = Fixture::new();
    let rows = "x,city,age,member\n0.5,Bern,30,1\n,Genf,0,\noops,Bern,30,1\n1,Basel,30,0\n-3,NA,130,0\n6,1\n";
    fixture.text("rows.csv", rows);
    let tally = tally(&fixture, "typed", "rows.csv", "out.csv", 1);
    assert_eq!((tally.rows, tally.rejected), (6, 4));
    let reasons: Vec<(&str, &str, u64)> =
        tally.reasons.iter().map(|r| (r.column.as_str(), r.reason.as_str(), r.rows)).collect();
    assert_eq!(
        reasons,
        [
            ("x", "expected a number", 1),
            ("city", "expected one of \"Bern\", \"Genf\", \"NA\"", 1),
            ("age", "expected 0 to 120", 1),
            ("", "expected 5 cells", 1),
        ]
        .map(|(column, reason, rows)| (
            column,
            if column.is_empty() { "expected 4 cells" } else { reason },
            rows
        ))
    );
    let [x, city, age, member] = &tally.features[..] else { panic!("four inputs") };
    assert_eq!(
        (x.missing, x.unreadable, x.finite, x.mean(), x.range),
        (1, 1, 3, Some(-0.5), Some((-3.0, 1.0)))
    );
    assert_eq!((city.unreadable, city.unknown, &city.counts), (1, 1, &Counts::Dense(vec![2, 1, 1, 0])));
    assert_eq!((age.below, age.above, member.missing), (0, 1, 1));
    assert_eq!(tally.labels.iter().sum::<u64>(), 2);
    assert_eq!(tally.histograms[1].total(), 2);
}

#[test]
fn cells_are_those_of_the_training_window_in_either_width() {
    let fixture = Fixture::new();
    let rows: Vec<(f64, f64)> = (0..256).map(training).collect();
    let wide: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(rows.iter().map(|row| row.0).chain([-1.0, 9.0, f64::NAN]).collect::<Float64Array>())),
        ("b", Arc::new(rows.iter().map(|row| row.1).chain([0.5, 0.0, 0.0]).collect::<Float64Array>())),
    ];
    let narrow = |column: &ArrayRef| -> ArrayRef {
        let column = column.as_any().downcast_ref::<Float64Array>().expect("numbers");
        Arc::new(column.iter().map(|x| x.map(|x| x as f32)).collect::<Float32Array>())
    };
    let single = wide.iter().map(|(name, column)| (*name, narrow(column))).collect();
    parquet(&fixture.path("wide.parquet"), &batch(wide), 100);
    parquet(&fixture.path("narrow.parquet"), &batch(single), 100);
    let tallies = ["wide", "narrow"]
        .map(|name| tally(&fixture, "referenced", &format!("{name}.parquet"), &format!("{name}.csv"), 2));
    let model = fixture.model("referenced").with_reference(&fixture.registry).expect("reads");
    let gauge = serve_score::Gauge::new(&model, model.reference());
    for tally in &tallies {
        let [a, b] = &tally.features[..] else { panic!("two inputs") };
        assert_eq!((a.missing, a.below, a.above, b.below, b.above), (1, 1, 1, 0, 0));
        for (meter, column) in gauge.features.iter().zip([a, b]) {
            let (Kind::Quantiles(scale), Counts::Dense(counts)) = (&meter.kind, &column.counts) else {
                panic!("counted by quantiles")
            };
            let statistic = scale.kolmogorov_smirnov(counts).expect("has rows");
            assert!(statistic < 0.01, "{}: {statistic}", meter.name);
            assert!(scale.stability(counts, column.missing).expect("has rows") < 0.02);
        }
        // Every training value of `a` is on an edge of its own.
        assert_eq!((0..256).map(|edge| a.counts.get(2 * edge + 1)).sum::<u64>(), 256);
        assert_eq!(b.counts, Counts::Dense(vec![0, 88, 1, 85, 0, 85, 0]));
    }
    assert_eq!(tallies[0].features[1], tallies[1].features[1]);
}

#[test]
fn threads_pieces_and_journals_change_nothing() {
    let fixture = Fixture::new();
    let column = |seed: u32| -> ArrayRef {
        let value = |i: u32| f64::from(i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) / 1e6 - 3.0;
        Arc::new((0..30_000).map(|i| (i % 97 != 0).then(|| value(i))).collect::<Float64Array>())
    };
    parquet(&fixture.path("rows.parquet"), &batch(vec![("a", column(1)), ("b", column(99))]), 5000);
    let one = tally(&fixture, "plain", "rows.parquet", "one.parquet", 1);
    let many = tally(&fixture, "plain", "rows.parquet", "many.parquet", 4);
    assert_eq!(one, many);
    assert_eq!((one.rows, one.rejected, one.reasons.len()), (30_000, 310, 1));
    let text = serde_json::to_string(&one).expect("writes");
    let back: Tally = serde_json::from_str(&text).expect("reads");
    assert_eq!(back, one);
    let mut twice = back;
    twice.merge(&one);
    assert_eq!((twice.rows, twice.features[0].counts.total()), (60_000, 2 * one.features[0].counts.total()));
}
