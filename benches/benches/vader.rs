//! VADER's scores of headlines (`benches/data/headlines.txt`), beside `benches/peers/vader.py`, and of one long text. Times are
//! CPU time, as the peer's are.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use serve_benches::timing::process_cpu;
use serve_features::vader::Analyzer;

const HEADLINES: &str = include_str!("../data/headlines.txt");

/// The CPU time of doing it so often.
fn cpu(times: u64, mut call: impl FnMut()) -> Duration {
    let start = process_cpu();
    (0..times).for_each(|_| call());
    process_cpu().saturating_sub(start)
}

fn main() {
    let headlines: Vec<_> = HEADLINES.lines().collect();
    let analyzer = Analyzer::shared();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("vader");
    let mut rotating = headlines.iter().cycle();
    group.bench_function("a headline", |b| {
        b.iter_custom(|times| {
            cpu(times, || _ = black_box(rotating.next().map(|text| analyzer.scores(text))))
        });
    });
    // 1 MB with many a `but`.
    let long = HEADLINES.repeat(1_000_000 / HEADLINES.len());
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("one text of 1 MB", |b| {
        b.iter_custom(|times| cpu(times, || _ = black_box(analyzer.scores(black_box(&long)))));
    });
    group.finish();
    criterion.final_summary();
}
