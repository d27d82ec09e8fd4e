//! VADER's scores of headlines (`benches/data/headlines.txt`), beside `benches/peers/vader.py`, and of one long text.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use serve_features::vader::Analyzer;

const HEADLINES: &str = include_str!("../data/headlines.txt");

fn main() {
    let headlines: Vec<_> = HEADLINES.lines().collect();
    let analyzer = Analyzer::shared();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("vader");
    group.throughput(Throughput::Elements(headlines.len() as u64));
    group.bench_function("headlines", |b| {
        b.iter(|| headlines.iter().map(|text| analyzer.scores(black_box(text)).compound).sum::<f64>());
    });
    // 1 MB with many a `but`.
    let long = HEADLINES.repeat(1_000_000 / HEADLINES.len());
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("one text of 1 MB", |b| b.iter(|| analyzer.scores(black_box(&long))));
    group.finish();
    criterion.final_summary();
}
