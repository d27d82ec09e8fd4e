//! Whether there is somebody to do the work. Ballista leaves a job waiting without a word when it never had an executor, so the client asks
//! the scheduler itself, every second.

use std::time::{Duration, Instant};

use serve_score::{Fault, ScoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::args::Address;

const BETWEEN: Duration = Duration::from_secs(1);
/// When it is said that a scheduler is waited for, and how often again.
const FIRST_WORD: Duration = Duration::from_secs(2);
const BETWEEN_WORDS: Duration = Duration::from_secs(15);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What a scheduler answers when it is asked whether it can work: a status of HTTP. Else what is wrong.
async fn status(scheduler: &Address) -> Result<[u8; 3], String> {
    let asked = timeout(ANSWER, async {
        let mut stream =
            TcpStream::connect((scheduler.host.trim_matches(['[', ']']), scheduler.port)).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {scheduler}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    });
    match asked.await {
        Ok(Ok([.., b' ', a, b, c])) => Ok([a, b, c]),
        Ok(Ok(_)) => Ok(*b"000"),
        Ok(Err(error)) => Err(format!("the scheduler does not answer: {error}")),
        Err(_) => Err("the scheduler does not answer".to_owned()),
    }
}

/// What is wrong with a cluster at the moment; nothing, where it can work.
async fn problem(scheduler: &Address) -> Option<String> {
    match status(scheduler).await {
        Ok(status) if status == *b"200" => None,
        Ok(status) if status == *b"503" => Some("no executor is there to score".to_owned()),
        Ok(_) => Some("what answers is no scheduler".to_owned()),
        Err(problem) => Some(problem),
    }
}

/// Waits for a scheduler, with or without executors; says so now and then.
pub(crate) async fn answers(scheduler: &Address, patience: Duration) -> Result<(), String> {
    let (began, mut tell) = (Instant::now(), FIRST_WORD);
    loop {
        let problem = match status(scheduler).await {
            Ok(status) if [*b"200", *b"503"].contains(&status) => return Ok(()),
            Ok(_) => "what answers is no scheduler".to_owned(),
            Err(problem) => problem,
        };
        let waited = began.elapsed();
        if waited >= patience {
            let seconds = waited.as_secs();
            return Err(format!("{scheduler}: {problem}; waited {seconds} s"));
        }
        if waited >= tell {
            tell += BETWEEN_WORDS;
            eprintln!("serve-cluster: {scheduler}: {problem}; waits for it up to {} s", patience.as_secs());
        }
        sleep(BETWEEN.min(patience.saturating_sub(waited))).await;
    }
}

/// What stands in the way of a cluster at the moment, as an error.
pub(crate) async fn trouble(scheduler: &Address) -> Option<ScoreError> {
    problem(scheduler).await.map(|problem| unavailable(scheduler, &problem))
}

/// Waits until a cluster can work.
pub(crate) async fn ready(scheduler: &Address, patience: Duration) -> Result<(), ScoreError> {
    let began = Instant::now();
    while let Some(problem) = problem(scheduler).await {
        if began.elapsed() >= patience {
            return Err(unavailable(scheduler, &problem));
        }
        sleep(BETWEEN.min(patience)).await;
    }
    Ok(())
}

/// Ends when a cluster has not been able to work for so long.
pub(crate) async fn lost(scheduler: &Address, patience: Duration) -> ScoreError {
    let mut since: Option<Instant> = None;
    loop {
        sleep(BETWEEN).await;
        match problem(scheduler).await {
            None => since = None,
            Some(problem) if since.get_or_insert_with(Instant::now).elapsed() >= patience => {
                return unavailable(scheduler, &problem);
            }
            Some(_) => {}
        }
    }
}

fn unavailable(scheduler: &Address, problem: &str) -> ScoreError {
    ScoreError::Remote {
        problem: format!("the cluster at {scheduler}: {problem}"),
        fault: Fault::Unavailable,
    }
}
