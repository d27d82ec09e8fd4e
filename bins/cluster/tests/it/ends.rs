//! Processes that end in the middle of a job.

use std::fs;

use crate::processes::{Cluster, write_csv};

/// A job of some seconds in many parts.
const LONG: [&str; 9] =
    ["--model", "direction", "--input", "rows", "--output", "out.csv", "--keep", "id", "--explain"];

fn long(executors: usize) -> Cluster {
    let cluster = Cluster::start(executors);
    write_csv(&cluster.path("rows"), 40, 5_000);
    cluster
}

#[test]
fn a_killed_executor_loses_nothing() {
    let mut cluster = long(2);
    let job = cluster.begin(&LONG);
    cluster.wait_for_parts("out.csv", 4);
    cluster.executors[0].kill();
    let (code, told) = job.end();
    assert_eq!(code, 0, "{told}");
    let [answers, rejects] = ["out.csv", "out.csv.rejects.csv"]
        .map(|name| fs::read_to_string(cluster.path(name)).expect("is published"));
    cluster.alone(&[&LONG[..], &["--overwrite"]].concat());
    assert!(answers == fs::read_to_string(cluster.path("out.csv")).expect("is published"));
    assert!(rejects == fs::read_to_string(cluster.path("out.csv.rejects.csv")).expect("is published"));
    assert_eq!(cluster.names(), ["models", "out.csv", "out.csv.rejects.csv", "rows"]);
}

#[test]
fn the_last_executor_that_is_killed_ends_the_job() {
    let mut cluster = long(1);
    let job = cluster.begin(&[&LONG[..], &["--patience", "3"]].concat());
    cluster.wait_for_parts("out.csv", 2);
    cluster.executors[0].kill();
    let (code, told) = job.end();
    assert_eq!(code, 69, "{told}");
    let last = told.lines().last().expect("says why");
    assert!(last.ends_with(": no executor is there to score"), "{told}");
    assert_eq!(cluster.names(), ["models", "rows"]);
}

#[test]
fn a_scheduler_that_is_killed_ends_the_job_and_its_executors() {
    let mut cluster = long(0);
    let executor = cluster.begin_executor(&[]);
    let job = cluster.begin(&LONG);
    cluster.wait_for_parts("out.csv", 2);
    cluster.end_scheduler();
    let (code, told) = job.end();
    assert_eq!(code, 69, "{told}");
    assert!(
        told.lines().last().is_some_and(|last| last.contains(": the scheduler does not answer")),
        "{told}"
    );
    assert_eq!(cluster.names(), ["models", "rows"]);
    let (code, told) = executor.end();
    assert_eq!(code, 69, "{told}");
    let told: Vec<&str> = told.lines().collect();
    let [listens, silent, gone] = told[..] else { panic!("{told:#?}") };
    assert!(listens.starts_with("serve-cluster: the executor listens on 127.0.0.1:"), "{listens}");
    assert!(silent.ends_with(" does not answer") && gone.ends_with(" is gone"), "{told:#?}");
}

#[test]
fn an_executor_without_a_scheduler_ends() {
    let mut cluster = Cluster::start(0);
    cluster.end_scheduler();
    let (code, told) = cluster.begin_executor(&["--patience", "3"]).end();
    assert_eq!(code, 69, "{told}");
    let told: Vec<&str> = told.lines().collect();
    let [waits, ends] = told[..] else { panic!("{told:#?}") };
    assert!(
        waits.contains("the scheduler does not answer") && waits.ends_with("waits for it up to 3 s"),
        "{waits}"
    );
    assert!(ends.ends_with("; waited 3 s"), "{ends}");
}

#[test]
fn without_a_scheduler_or_an_executor_a_job_does_not_begin() {
    let mut cluster = Cluster::start(0);
    write_csv(&cluster.path("rows"), 1, 10);
    let query = ["--sql", "SELECT predict('direction', *) AS p FROM input"];
    let rest = ["--input", "rows", "--output", "out.csv", "--patience", "1"];
    let (code, told) = cluster.run(&[&query[..], &rest].concat());
    assert_eq!(code, 69, "{told}");
    assert!(told.contains("no executor is there to score"), "{told}");
    cluster.end_scheduler();
    for what in [&query[..], &["--model", "direction"]] {
        let (code, told) = cluster.run(&[what, &rest].concat());
        assert_eq!(code, 69, "{told}");
        assert!(told.contains("the scheduler does not answer"), "{told}");
    }
    assert_eq!(cluster.names(), ["models", "rows"]);
}

#[test]
fn an_interrupt_cancels_the_job() {
    let cluster = long(1);
    let job = cluster.begin(&LONG);
    cluster.wait_for_parts("out.csv", 2);
    job.interrupt();
    let (code, told) = job.end();
    assert_eq!(code, 75, "{told}");
    let last = told.lines().last().expect("says how far it was");
    let rows = last.strip_prefix("serve-cluster: interrupted after ").and_then(|rest| rest.split_once(' '));
    let rows: u64 = rows.expect("the rows").0.parse().expect("a number");
    assert!((5_000..200_000).contains(&rows), "{told}");
    assert_eq!(cluster.names(), ["models", "rows"]);
    // The executor has nothing else to do: a small job goes through at once.
    write_csv(&cluster.path("few"), 1, 10);
    let (code, told) = cluster.run(&["--model", "direction", "--input", "few", "--output", "few.csv"]);
    assert_eq!(code, 0, "{told}");
}
