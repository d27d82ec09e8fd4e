//! Jobs that go on: what an earlier run finished is not scored again, and the output is that of a job that was never ended.

use std::fs;

use serve_registry::{Directory, Storage};
use serve_score::job::RunOptions;
use serve_score::part::State;
use serve_score::{Fault, Job, Output, PlanOptions, Progress, ScoreError, Summary};

use crate::fixture::{Fixture, batch, parquet};

const ROWS: usize = 60_000;

/// Rows of which the one with this number is none.
fn rows(broken: usize) -> String {
    let line = |n: usize| if n == broken { format!("{n},x,1\n") } else { format!("{n},{}.5,1\n", n % 7) };
    std::iter::once("id,a,b\n".to_owned()).chain((1..=ROWS).map(line)).collect()
}

fn keep(columns: &str) -> PlanOptions {
    PlanOptions { keep: columns.parse().expect("never fails"), ..PlanOptions::default() }
}

struct Resumed<'f> {
    fixture: &'f Fixture,
    input: &'f str,
    options: PlanOptions,
    output: Output,
    threads: usize,
    ordered: bool,
}

impl<'f> Resumed<'f> {
    fn new(fixture: &'f Fixture, input: &'f str, output: &str) -> Self {
        let output = format!("{}{output}", fixture.path("").display());
        let output = Output::new(&output, None, false).expect("an output");
        let output = Output { part_rows: 10_000, ..output };
        Self { fixture, input, options: keep("id"), output, threads: 2, ordered: true }
    }

    fn job(&self) -> Job {
        self.fixture.job("plain@v1", &self.fixture.path(self.input), &self.options).expect("plans")
    }

    /// A run that ends with the first rejected row, or goes through.
    fn run(&self, resume: bool, ends: bool) -> (Result<Summary, ScoreError>, Vec<String>) {
        let progress = Progress::default();
        let mut options = RunOptions::new(self.output.clone());
        (options.threads, options.ordered, options.resume) = (self.threads, self.ordered, resume);
        "plain@v1".clone_into(&mut options.asked);
        options.max_rejects = ends.then_some(serve_score::MaxRejects::Rows(0));
        let ran = self.job().run(&options, &progress);
        (ran, progress.notices())
    }
}

/// Everything below a path, by name.
fn content(fixture: &Fixture, name: &str) -> Vec<(String, Vec<u8>)> {
    let path = fixture.path(name);
    if path.is_file() {
        return vec![(String::new(), fs::read(path).expect("reads"))];
    }
    let entries = fs::read_dir(path).expect("reads").map(|entry| entry.expect("reads"));
    let mut all: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("reads"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_job_that_goes_on_comes_to_the_same_bytes() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(45_000));
    let plain = rows(45_000);
    let lines = plain.lines().skip(1).map(|line| {
        let mut cells = line.split(',');
        let (id, a) = (cells.next().expect("id"), cells.next().expect("a"));
        let a = if a == "x" { "\"x\"" } else { a };
        format!("{{\"id\":{id},\"a\":{a},\"b\":1}}\n")
    });
    fixture.text("rows.jsonl", lines.collect::<String>());
    fixture.text("rows.csv.gz", {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, plain.as_bytes()).expect("writes");
        gzip.finish().expect("ends")
    });
    for input in ["rows.csv", "rows.jsonl", "rows.csv.gz"] {
        for output in ["out.csv", "out.csv.gz", "out.jsonl.zst", "out.parquet", "out.arrow", "folder/"] {
            let whole = Resumed::new(&fixture, input, &format!("whole-{output}"));
            let (ran, notices) = whole.run(false, false);
            let ran = ran.expect("scores");
            assert_eq!((ran.rows, ran.rejected, ran.earlier_rows), (ROWS as u64, 1, 0));
            assert!(notices.is_empty(), "{notices:?}");
            let ended = Resumed::new(&fixture, input, output);
            let (ran, notices) = ended.run(false, true);
            assert_eq!(ran.expect_err("too many rejects").fault(), Fault::Data);
            assert!(notices[0].contains("finished rows are kept in"), "{notices:?}");
            let (ran, notices) = ended.run(true, false);
            let ran = ran.expect("goes on");
            assert!(
                ran.earlier_rows >= 20_000 && notices[0].starts_with("goes on behind"),
                "{ran:?} {notices:?}"
            );
            assert_eq!((ran.rows, ran.rejected), (ROWS as u64, 1));
            let name = output.trim_end_matches('/');
            assert_eq!(
                content(&fixture, name),
                content(&fixture, &format!("whole-{name}")),
                "{input} {output}"
            );
            let rejects = |name: &str| fixture.read(&format!("{name}.rejects.csv"));
            assert_eq!(rejects(name), rejects(&format!("whole-{name}")));
            assert!(rejects(name).contains("45000,a,"));
            for name in fixture.names().iter().filter(|name| name.contains("out") || name.contains("folder"))
            {
                let path = fixture.path(name);
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
                    .expect("removes");
            }
        }
    }
    let left: Vec<String> = fixture.names().into_iter().filter(|name| name.contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn parquet_goes_on_in_the_middle_of_a_row_group() {
    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use std::sync::Arc;
    let fixture = Fixture::new();
    let value = |n: i64| if n == 180_000 { f64::INFINITY } else { n as f64 / 1e6 };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(1..=200_000))),
        ("a", Arc::new(Float64Array::from_iter_values((1..=200_000).map(value)))),
        ("b", Arc::new(Float64Array::from(vec![1.0; 200_000]))),
    ];
    parquet(&fixture.path("rows/1.parquet"), &batch(columns.clone()).slice(0, 30_000), 7000);
    parquet(&fixture.path("rows/2.parquet"), &batch(columns).slice(30_000, 170_000), 1 << 20);
    for ordered in [true, false] {
        let mut whole = Resumed::new(&fixture, "rows", "whole.parquet");
        let mut ended = Resumed::new(&fixture, "rows", "out.parquet");
        for job in [&mut whole, &mut ended] {
            (job.ordered, job.threads, job.output.overwrite) = (ordered, 3, true);
        }
        whole.run(false, false).0.expect("scores");
        ended.run(false, true).0.expect_err("too many rejects");
        let ran = ended.run(true, false).0.expect("goes on");
        assert!((ran.rows, ran.rejected) == (200_000, 1) && ran.earlier_rows >= 10_000, "{ran:?}");
        let read = |name: &str| crate::fixture::read_parquet(&fixture.path(name));
        if ordered {
            assert_eq!(content(&fixture, "out.parquet"), content(&fixture, "whole.parquet"));
        } else {
            let sorted = |name: &str| {
                let rows = read(name);
                let scores = crate::fixture::bits(&rows, "probability_up");
                let ids =
                    arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(rows.column(0));
                let mut pairs: Vec<(i64, u64)> = ids.values().iter().copied().zip(scores).collect();
                pairs.sort_unstable();
                pairs
            };
            assert_eq!(sorted("out.parquet"), sorted("whole.parquet"));
        }
        assert_eq!(read("out.parquet").num_rows(), 199_999);
    }
}

#[test]
fn what_decides_the_rows_may_not_change() {
    let fixture = Fixture::new();
    fixture.text("rows/1.csv", rows(50_000));
    fixture.text("rows/2.csv", rows(0));
    let mut job = Resumed::new(&fixture, "rows", "out.csv");
    job.run(false, true).0.expect_err("too many rejects");
    let refused = |job: &Resumed<'_>| {
        let error = job.run(true, false).0.expect_err("it changed");
        assert_eq!(error.fault(), Fault::Data);
        error.to_string()
    };
    job.options = keep("id,b");
    job.output.part_rows = 9;
    let told = refused(&job);
    for expected in
        ["--keep was id, is id,b", "--part-rows was 10000, is 9", "without --resume it begins anew"]
    {
        assert!(told.contains(expected), "{told}");
    }
    (job.options, job.output.part_rows) = (keep("id"), 10_000);
    fixture.text("rows/3.csv", rows(0));
    assert!(refused(&job).contains("rows/3.csv was added"));
    fs::remove_file(fixture.path("rows/3.csv")).expect("removes");
    fs::rename(fixture.path("rows/2.csv"), fixture.path("2.csv")).expect("renames");
    assert!(refused(&job).contains("rows/2.csv is missing"));
    fixture.text("rows/2.csv", rows(7));
    let told = refused(&job);
    assert!(told.contains("rows/2.csv was ") && told.contains(" bytes of 20"), "{told}");
    fs::rename(fixture.path("2.csv"), fixture.path("rows/2.csv")).expect("renames");
    let ran = job.run(true, false).0.expect("all is as it was");
    assert_eq!((ran.rows, ran.earlier_rows > 0), (2 * ROWS as u64, true));
}

#[test]
fn another_model_is_refused_and_a_version_of_other_content_too() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(50_000));
    let job = Resumed::new(&fixture, "rows.csv", "out.csv");
    job.run(false, true).0.expect_err("too many rejects");
    let options = RunOptions { resume: true, ..RunOptions::new(job.output.clone()) };
    let other = fixture.job("plain@v2", &fixture.path("rows.csv"), &job.options).expect("plans");
    let told = other.run(&options, &Progress::default()).expect_err("another model").to_string();
    assert!(told.contains("the model was plain@v1, is plain@v2") && told.contains("the digest of"), "{told}");
    // The same name and version in another registry, with other content.
    let folder = Directory::create(fixture.path("other").as_path()).expect("a registry");
    let bundle = serve_core::doctest::logistic("plain", "v1", 0.25).build().expect("proves");
    folder.publish(&bundle, "tests").expect("publishes");
    let registry = serve_registry::Registry::open(fixture.path("other")).expect("opens");
    let model = serve_score::PinnedModel::resolve(&registry, "plain@v1").expect("resolves");
    let files = serve_score::location::list(&fixture.path("rows.csv").to_string_lossy()).expect("lists");
    let source = serve_score::Source::open(files, None).expect("opens");
    let job = Job::plan(model, source, &job.options).expect("plans");
    let told = job.run(&options, &Progress::default()).expect_err("other content").to_string();
    assert!(told.contains("the digest of plain@v1 was ") && !told.contains("the model was"), "{told}");
}

#[test]
fn without_resume_what_was_left_is_removed() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(50_000));
    let job = Resumed::new(&fixture, "rows.csv", "out.csv");
    let (ran, notices) = job.run(true, true);
    ran.expect_err("too many rejects");
    assert!(notices[0].contains("nothing to go on with"), "{notices:?}");
    let (ran, notices) = job.run(false, false);
    assert_eq!(ran.expect("scores").earlier_rows, 0);
    assert!(notices[0].starts_with("begins anew: ") && notices.len() == 1, "{notices:?}");
    assert_eq!(fixture.names(), ["out.csv", "out.csv.rejects.csv", "registry", "rows.csv"]);
}

#[test]
fn a_finished_part_that_was_damaged_is_done_again() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(58_000));
    Resumed::new(&fixture, "rows.csv", "whole.csv").run(false, false).0.expect("scores");
    let job = Resumed::new(&fixture, "rows.csv", "out.csv");
    job.run(false, true).0.expect_err("too many rejects");
    let state = State::beside(&fixture.path("out.csv"));
    let parts = fs::read_dir(&state).expect("reads").map(|entry| entry.expect("reads").path());
    let second = parts
        .into_iter()
        .find(|path| path.file_name().expect("a name").to_string_lossy().starts_with("part-00001."))
        .expect("it was finished");
    let mut bytes = fs::read(&second).expect("reads");
    bytes[100] ^= 1;
    fs::write(&second, bytes).expect("writes");
    fs::write(state.join("part-00009.x.csv"), "left").expect("writes");
    let ran = job.run(true, false).0.expect("goes on");
    assert!((10_000..20_000).contains(&ran.earlier_rows), "{ran:?}");
    assert_eq!(content(&fixture, "out.csv"), content(&fixture, "whole.csv"));
}

#[test]
fn one_job_at_a_time_writes_an_output() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(50_000));
    let job = Resumed::new(&fixture, "rows.csv", "out.csv");
    job.run(false, true).0.expect_err("too many rejects");
    let lock = State::beside(&fixture.path("out.csv")).join("lock");
    let lock = fs::File::open(lock).expect("opens");
    lock.lock().expect("locks");
    for resume in [true, false] {
        let error = job.run(resume, false).0.expect_err("locked");
        assert!(error.fault() == Fault::Output && error.to_string().contains("by another job"), "{error}");
    }
    drop(lock);
    assert!(job.run(true, false).0.expect("goes on").earlier_rows > 0);
}

#[test]
fn what_is_to_be_written_of_a_job_is_not_lost_with_a_kill() {
    let fixture = Fixture::new();
    fixture.text("rows.csv", rows(7));
    let resumed = Resumed {
        options: PlanOptions { tally: true, ..keep("id") },
        ..Resumed::new(&fixture, "rows.csv", "out.csv")
    };
    let run = |resume: bool| {
        let mut options = RunOptions::new(resumed.output.clone());
        (options.keep_state, options.resume) = (true, resume);
        "plain@v1".clone_into(&mut options.asked);
        resumed.job().run(&options, &Progress::default()).expect("runs")
    };
    let first = run(false);
    assert!(fixture.path("out.csv").exists() && fixture.path(".out.csv.partial").exists());
    // As after a kill before the report: the same numbers come again.
    let again = run(true);
    assert_eq!((again.rows, again.rejected, &again.rejects), (first.rows, 1, &first.rejects));
    assert_eq!(again.tally, first.tally);
    assert!(first.tally.is_some());
    resumed.output.forget();
    assert!(!fixture.path(".out.csv.partial").exists() && fixture.path("out.csv").exists());
}
