//! Several processes at one registry. Each is this test binary once more, told by the environment what to do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serve_core::Alias;
use serve_registry::{Directory, PublishError, Registry, Storage};

use crate::shop::{Shop, bundle, model, served, version};

const TASK: &str = "SERVE_REGISTRY_TEST_TASK";
const FOLDER: &str = "SERVE_REGISTRY_TEST_FOLDER";
const NUMBER: &str = "SERVE_REGISTRY_TEST_NUMBER";
const EXISTS: i32 = 65;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What another process does. Without a task it is no test at all.
#[test]
fn does_what_it_is_told() {
    let Some(task) = variable(TASK) else { return };
    let folder = variable(FOLDER).expect("a folder");
    let number: usize = variable(NUMBER).expect("a number").parse().expect("a number");
    // Ready; then wait for the word that all are.
    std::io::stderr().write_all(b"ready\n").expect("written");
    std::io::stdin().read_line(&mut String::new()).expect("read");
    let code = match task.as_str() {
        "publish" => publish(&folder, number),
        "promote" => promote(&folder, number),
        other => unreachable!("{other} is no task"),
    };
    std::process::exit(code);
}

fn publish(folder: &str, number: usize) -> i32 {
    let directory = Directory::open(folder).expect("opens");
    match directory.publish(&bundle("v2", number as f64), "test") {
        Ok(()) => 0,
        Err(PublishError::Exists { .. }) => EXISTS,
        Err(other) => unreachable!("{other}"),
    }
}

/// Ten promotions to a version of its own.
fn promote(folder: &str, number: usize) -> i32 {
    let registry = Registry::open(folder).expect("opens");
    let to = version(&format!("v{}", number + 1));
    for _ in 0..10 {
        registry.promote(&model(), &to, &Alias::champion(), number.to_string().as_str()).expect("moved");
    }
    0
}

fn start(shop: &Shop, task: &str, number: usize) -> Child {
    Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "processes::does_what_it_is_told", "--nocapture"])
        .envs([(TASK, task), (NUMBER, &number.to_string())])
        .env(FOLDER, shop.directory.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Starts processes and lets them loose at once when all are ready.
fn let_loose(shop: &Shop, task: &str, count: usize) -> Vec<Child> {
    let mut children: Vec<_> = (0..count).map(|number| start(shop, task, number)).collect();
    for child in &mut children {
        let stderr = BufReader::new(child.stderr.as_mut().expect("piped"));
        let mut lines = stderr.lines().map(|line| line.expect("text"));
        assert!(lines.any(|line| line == "ready"));
    }
    for child in &mut children {
        child.stdin.take().expect("piped").write_all(b"go\n").expect("written");
    }
    children
}

fn code(child: Child) -> Option<i32> {
    let output = child.wait_with_output().expect("it ends");
    let code = output.status.code();
    assert_ne!(code, Some(101), "{}", String::from_utf8_lossy(&output.stderr));
    code
}

#[test]
fn of_racing_processes_exactly_one_publishes_a_version() {
    let shop = Shop::with(&["v1"]);
    let mut codes: Vec<_> = let_loose(&shop, "publish", 4).into_iter().map(code).collect();
    codes.sort();
    assert_eq!(codes, [Some(0), Some(EXISTS), Some(EXISTS), Some(EXISTS)]);
    let survivor = shop.directory.bundle(&model(), &version("v2")).expect("it verifies");
    let candidates: Vec<_> = (0..4).map(|number| bundle("v2", f64::from(number)).digest()).collect();
    assert!(candidates.contains(&survivor.digest()), "it is one of the four, whole");
}

#[test]
fn promotions_of_other_processes_are_none_lost_and_followed_while_they_happen() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    let mut children = let_loose(&shop, "promote", 3);
    while children.iter_mut().any(|child| child.try_wait().expect("a process").is_none()) {
        let outcomes = registry.poll().expect("reads");
        assert!(outcomes.iter().all(|outcome| outcome.reason.is_none()), "{outcomes:?}");
        served(&registry, "m");
    }
    assert_eq!(children.into_iter().map(code).collect::<Vec<_>>(), [Some(0); 3]);
    let aliases = shop.directory.aliases(&model()).expect("reads");
    let moves = |by: &str| aliases.history("champion").iter().filter(|step| step.by == by).count();
    assert_eq!(["test", "0", "1", "2"].map(moves), [1, 10, 10, 10]);
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), aliases.target("champion").expect("a champion").to_string());
}
