//! `smoke`: tries every endpoint of a running server and says what fails. Nothing is changed: what would change something is
//! asked of a model or set that does not exist, and has to be refused in the right words.

mod tries;

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value as Json;
use serve_app::{Exit, ExitReason};

use crate::args::remote::Smoke;
use crate::print;
use crate::remote::{Answer, Ask, Remote};
use crate::table::aligned;
use tries::{Expected, Try};

/// What came of one try.
#[derive(Debug, Serialize)]
struct Outcome {
    endpoint: String,
    result: Verdict,
    /// What was wrong, or why it was not tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    milliseconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Failed,
    /// The key does not permit it, or there is nothing to try it with.
    Skipped,
}

/// What the server says of itself, which the tries are made from.
pub(crate) struct Ground {
    /// As `GET /` lists them.
    endpoints: Vec<String>,
    /// A model that answers, as `GET /models/{name}` describes it; else why there is none.
    model: Result<Json, &'static str>,
    /// A feature set, or why there is none.
    set: Result<String, &'static str>,
}

/// So often a try that comes too soon is repeated.
const PATIENCE: usize = 3;

/// How long that is waited for at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

const NO_KEY: &str = "it needs a key (--key)";
const NOT_PERMITTED: &str = "the key does not permit it";
/// Why nothing is tried with what the server has.
const UNREAD: &str = "what models and sets there are needs the permission read";

pub(crate) fn run(options: &Smoke) -> Result<(), Exit> {
    let remote = Remote::new(&options.remote, false)?;
    let outcomes = crate::runtime()?.block_on(async {
        let ground = ground(&remote).await?;
        Ok::<_, Exit>(all(&remote, &ground).await)
    })?;
    let count = |verdict: Verdict| outcomes.iter().filter(|outcome| outcome.result == verdict).count();
    let (ok, failed, skipped) = (count(Verdict::Ok), count(Verdict::Failed), count(Verdict::Skipped));
    if options.json {
        let text = serde_json::to_string_pretty(&outcomes);
        print(&text.map_err(|error| Exit::because(ExitReason::Software, error))?)?;
    } else {
        print(&told(&outcomes))?;
        print(&format!("{ok} ok, {failed} failed, {skipped} skipped"))?;
    }
    if failed == 0 {
        return Ok(());
    }
    let which: Vec<&str> =
        outcomes.iter().filter(|o| o.result == Verdict::Failed).map(|o| o.endpoint.as_str()).collect();
    Err(Exit::told(ExitReason::Unavailable, format!("{failed} failed: {}", which.join(", "))))
}

fn told(outcomes: &[Outcome]) -> String {
    let rows: Vec<[String; 4]> = outcomes
        .iter()
        .map(|outcome| {
            let result = match outcome.result {
                Verdict::Ok => "ok",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "skipped",
            };
            let time = format!("{:.1}", outcome.milliseconds);
            [result.to_owned(), time, outcome.endpoint.clone(), outcome.detail.clone()]
        })
        .collect();
    aligned(["result", "ms", "endpoint", ""], &rows)
}

/// Asks the server what it has.
async fn ground(remote: &Remote) -> Result<Ground, Exit> {
    let Some(index) = json(remote, "/").await? else {
        let endpoints = tries::ALL.map(str::to_owned).to_vec();
        return Ok(Ground { endpoints, model: Err(UNREAD), set: Err(UNREAD) });
    };
    let endpoints = index["endpoints"].as_array().map(|endpoints| {
        endpoints.iter().filter_map(|endpoint| endpoint.as_str().map(str::to_owned)).collect()
    });
    let endpoints = endpoints
        .ok_or_else(|| Exit::told(ExitReason::Data, "GET / lists no endpoints: is that a serve-server?"))?;
    let models = json(remote, "/models").await?.unwrap_or_default();
    let live = |model: &&Json| model["status"] != "refused";
    let name = models["models"].as_array().and_then(|models| models.iter().find(live)?["name"].as_str());
    let model = match name {
        Some(name) => json(remote, &format!("/models/{name}")).await?.ok_or(UNREAD),
        None => Err("the server has no model that answers"),
    };
    let sets = json(remote, "/features").await?.unwrap_or_default();
    let set = sets["feature_sets"].as_array().and_then(|sets| {
        let first = sets.first()?;
        first["name"].as_str().or_else(|| first["feature_set"].as_str()).or_else(|| first.as_str())
    });
    Ok(Ground { endpoints, model, set: set.map(str::to_owned).ok_or("the server has no feature set") })
}

/// What the server answers; nothing, where whoever asks may not know.
async fn json(remote: &Remote, path: &str) -> Result<Option<Json>, Exit> {
    let (answer, _) = asked(remote, &Ask::get(path)).await;
    let answer = answer.map_err(|error| Exit::told(ExitReason::Unavailable, error))?;
    let told = || {
        let message = format!("GET {path} is answered {}: {}", answer.status, answer.excerpt());
        Exit::told(ExitReason::Unavailable, message)
    };
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).map(Some).map_err(|_| told());
    }
    if turned_away(remote, &answer).is_some() { Ok(None) } else { Err(told()) }
}

/// Why whoever asks is turned away, where that is no failure of the server's.
fn turned_away(remote: &Remote, answer: &Answer) -> Option<&'static str> {
    // Each protocol has a place of its own for them, and some have no codes.
    let words = String::from_utf8_lossy(&answer.body);
    match answer.status.as_u16() {
        401 if !remote.has_key() => Some(NO_KEY),
        403 if ["it needs the permission", "\"not_permitted\"", "may not use"]
            .iter()
            .any(|part| words.contains(part)) =>
        {
            Some(NOT_PERMITTED)
        }
        _ => None,
    }
}

async fn all(remote: &Remote, ground: &Ground) -> Vec<Outcome> {
    let bar = ProgressBar::new(ground.endpoints.len() as u64);
    let mut outcomes = Vec::with_capacity(ground.endpoints.len());
    for endpoint in &ground.endpoints {
        let outcome = match tries::of(endpoint, ground) {
            Ok(attempt) => tried(remote, endpoint, attempt).await,
            Err(why) => Outcome {
                endpoint: endpoint.clone(),
                result: Verdict::Skipped,
                detail: why,
                milliseconds: 0.0,
            },
        };
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcomes
}

/// Asks, and says how long that took. Who may ask only so often is no failure of the server's, and asks again.
async fn asked(remote: &Remote, ask: &Ask) -> (Result<Answer, String>, Duration) {
    let mut left = PATIENCE;
    loop {
        let began = Instant::now();
        let answer = remote.ask(ask).await;
        let took = began.elapsed();
        match answer.as_ref().ok().and_then(too_soon) {
            Some(after) if left > 0 => tokio::time::sleep(after).await,
            _ => return (answer, took),
        }
        left -= 1;
    }
}

/// How long to wait, where more was asked than the key's or the address's rate allows.
fn too_soon(answer: &Answer) -> Option<Duration> {
    answer.retry_after.filter(|after| answer.status == 429 && *after <= LONGEST_WAIT)
}

async fn tried(remote: &Remote, endpoint: &str, attempt: Try) -> Outcome {
    let (answer, took) = asked(remote, &attempt.ask).await;
    let (result, detail) = match answer {
        Ok(answer) => match turned_away(remote, &answer) {
            Some(why) => (Verdict::Skipped, why.to_owned()),
            None => judged(&answer, &attempt.expected),
        },
        Err(error) => (Verdict::Failed, error),
    };
    Outcome { endpoint: endpoint.to_owned(), result, detail, milliseconds: milliseconds(took) }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// Holds an answer against what was expected, and what a server may well lack.
fn judged(answer: &Answer, expected: &Expected) -> (Verdict, String) {
    let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let lacks = match body["code"].as_str() {
        Some("features_unavailable") => Some("the server has no feature store"),
        Some("model_required") => Some("the server has no default model"),
        _ => None,
    };
    match (held(answer, &body, expected), lacks) {
        ((Verdict::Failed, _), Some(lacks)) if answer.status == 422 => (Verdict::Skipped, lacks.to_owned()),
        (held, _) => held,
    }
}

fn held(answer: &Answer, body: &Json, expected: &Expected) -> (Verdict, String) {
    let status = answer.status.as_u16();
    let wrong =
        |what: &str| (Verdict::Failed, format!("expected {what}, got {status}: {}", answer.excerpt()));
    let fine = (Verdict::Ok, String::new());
    match expected {
        Expected::Json(_, holds) if status == 200 && holds(body) => fine,
        Expected::Json(what, _) => wrong(&format!("200 with {what}")),
        Expected::Text(part) => {
            if status == 200 && String::from_utf8_lossy(&answer.body).contains(part) {
                fine
            } else {
                wrong(&format!("200 with {part:?}"))
            }
        }
        Expected::Refused(expected, part) => {
            if status == *expected && String::from_utf8_lossy(&answer.body).contains(part) {
                fine
            } else {
                wrong(&format!("{expected} with {part:?}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = status.try_into().expect("is a status");
        Answer { status, retry_after: None, body: body.to_owned().into() }
    }

    #[test]
    fn an_answer_is_held_against_what_was_expected() {
        let holds = Expected::Json("success", |body| body["success"] == true);
        assert_eq!(judged(&answer(200, r#"{"success":true}"#), &holds).0, Verdict::Ok);
        let (verdict, detail) = judged(&answer(500, r#"{"success":false}"#), &holds);
        assert_eq!(verdict, Verdict::Failed);
        assert!(detail.contains("expected 200 with success, got 500"), "{detail}");
        let refused = Expected::Refused(404, "unknown_model");
        assert_eq!(judged(&answer(404, r#"{"code":"unknown_model"}"#), &refused).0, Verdict::Ok);
        assert_eq!(judged(&answer(200, "{}"), &refused).0, Verdict::Failed);
        let lacking = answer(422, r#"{"code":"features_unavailable"}"#);
        assert_eq!(judged(&lacking, &refused).0, Verdict::Skipped);
        assert_eq!(judged(&answer(422, r#"{"code":"invalid_rows"}"#), &refused).0, Verdict::Failed);
    }
}
