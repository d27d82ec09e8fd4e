//! `load`: how fast a running server answers one request, sent over and over, on several connections.
//!
//! Without `--rate` each connection sends its next request once it has the last answer: that measures what the server
//! can do. With it, requests are due at fixed moments and their times count from there, so that an answer that makes
//! others wait is seen in their times too.

mod report;
mod subject;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serve_app::{Exit, ExitReason};
use tokio::task::JoinSet;

use crate::args::remote::Load;
use crate::print;
use crate::remote::{Ask, Remote};
use report::{Report, Tally};

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(200);
/// How long a connection that failed waits before the next one.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(options: &Load) -> Result<(), Exit> {
    if options.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err(Exit::told(ExitReason::Usage, "--rate: expected a number of requests a second above 0"));
    }
    let remote = Remote::new(&options.remote, options.http2)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::because(ExitReason::System, error))?;
    let report = runtime.block_on(measure(Arc::new(remote), options))?;
    if options.json {
        let text = serde_json::to_string_pretty(&report.figures());
        print(&text.map_err(|error| Exit::because(ExitReason::Software, error))?)?;
    } else {
        print(&report.to_string())?;
    }
    match (report.answered(), report.errors()) {
        (0, _) => Err(Exit::told(ExitReason::Unavailable, "no request was answered as it should be")),
        (_, 0) => Ok(()),
        (answered, errors) => {
            let all = answered + errors;
            let message = format!("{errors} of {all} requests were not answered as they should be");
            Err(Exit::told(ExitReason::Unavailable, message))
        }
    }
}

async fn measure(remote: Arc<Remote>, options: &Load) -> Result<Report, Exit> {
    let ask = Arc::new(subject::ask(&remote, options).await?);
    let said = format!("{} {}", ask.method, options.remote.url.to_string().trim_end_matches('/'));
    let said = format!("{said}{}, {} connections", ask.path, options.connections);
    if !options.warm_up.is_zero() {
        let warming = Plan::new(options.warm_up, None, options);
        all(&remote, &ask, warming, &ProgressBar::hidden()).await;
    }
    let plan = Plan::new(options.duration, options.requests, options);
    let bar = bar(&plan);
    let began = Instant::now();
    let tally = all(&remote, &ask, plan, &bar).await;
    bar.finish_and_clear();
    Ok(Report { said, took: began.elapsed(), tally, wanted: options.rate })
}

/// How many requests, for how long, how fast; shared by all connections.
struct Plan {
    lasts: Duration,
    requests: Option<u64>,
    /// Between two requests of one connection, where they are due at fixed moments.
    every: Option<Duration>,
    connections: u16,
    begun: AtomicU64,
    over: AtomicBool,
}

impl Plan {
    fn new(lasts: Duration, requests: Option<u64>, options: &Load) -> Self {
        let every = options.rate.map(|rate| Duration::from_secs_f64(f64::from(options.connections) / rate));
        Self {
            lasts,
            requests,
            every,
            connections: options.connections,
            begun: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Takes one of the requests that remain.
    fn next(&self) -> bool {
        if self.over.load(Ordering::Relaxed) {
            return false;
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        self.requests.is_none_or(|requests| begun < requests)
    }
}

fn bar(plan: &Plan) -> ProgressBar {
    let (length, template) = match plan.requests {
        Some(requests) => (requests, "{bar:30} {pos}/{len} requests, {msg}"),
        None => (plan.lasts.as_millis() as u64, "{bar:30} {elapsed} of {len:!}, {msg}"),
    };
    let template = template.replace("{len:!}", &serve_core::duration::format(plan.lasts));
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// Asks on all connections until the plan is over.
async fn all(remote: &Arc<Remote>, ask: &Arc<Ask>, plan: Plan, bar: &ProgressBar) -> Tally {
    let plan = Arc::new(plan);
    let ends = Instant::now().checked_add(plan.lasts);
    let mut connections = JoinSet::new();
    for at in 0..plan.connections {
        let first =
            plan.every.map(|every| Instant::now() + every * u32::from(at) / u32::from(plan.connections));
        connections.spawn(one(Arc::clone(remote), Arc::clone(ask), Arc::clone(&plan), first, ends));
    }
    let watching = async {
        let began = Instant::now();
        while began.elapsed() < plan.lasts && !plan.over.load(Ordering::Relaxed) {
            tokio::time::sleep(TICK.min(plan.lasts.saturating_sub(began.elapsed()))).await;
            let begun = plan.begun.load(Ordering::Relaxed);
            bar.set_position(
                plan.requests.map_or(began.elapsed().as_millis() as u64, |most| begun.min(most)),
            );
            bar.set_message(format!("{:.0} requests/s", begun as f64 / began.elapsed().as_secs_f64()));
        }
        plan.over.store(true, Ordering::Relaxed);
    };
    let asking = async {
        let tallies = connections.join_all().await;
        plan.over.store(true, Ordering::Relaxed);
        tallies
    };
    let (tallies, ()) = tokio::join!(asking, watching);
    tallies.into_iter().fold(Tally::new(), Tally::and)
}

/// One connection's requests, on another connection after an error. `first` is when the first one is due, where
/// requests have fixed moments; what would be due after the end is not waited for.
async fn one(
    remote: Arc<Remote>,
    ask: Arc<Ask>,
    plan: Arc<Plan>,
    first: Option<Instant>,
    ends: Option<Instant>,
) -> Tally {
    let mut tally = Tally::new();
    let mut connection = None;
    let mut due = first;
    loop {
        if let Some(at) = due {
            if ends.is_some_and(|ends| at >= ends) {
                return tally;
            }
            tokio::time::sleep_until(at.into()).await;
        }
        if !plan.next() {
            return tally;
        }
        let began = due.unwrap_or_else(Instant::now);
        due = due.zip(plan.every).map(|(due, every)| due + every);
        let outcome = match &mut connection {
            Some(open) => Ok(open),
            None => remote.connect().await.map(|open| connection.insert(open)),
        };
        let outcome = match outcome {
            Ok(open) => open.ask(&ask).await,
            Err(error) => Err(error),
        };
        let broken = outcome.is_err();
        tally.note(outcome, began.elapsed());
        if broken {
            connection = None;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
