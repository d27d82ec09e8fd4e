//! Whether there is somebody to do the work. Ballista leaves a job waiting without a word when it never had an executor, so the client asks
//! the scheduler itself, every second.

use std::time::{Duration, Instant};

use serve_score::{Fault, ScoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::args::Address;

const BETWEEN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What is wrong with a cluster at the moment; nothing, where it can work.
async fn problem(scheduler: &Address) -> Option<String> {
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
        Ok(Ok(answer)) if answer.ends_with(b" 200") => None,
        Ok(Ok(answer)) if answer.ends_with(b" 503") => Some("no executor is there to score".to_owned()),
        Ok(Ok(_)) => Some("what answers is no scheduler".to_owned()),
        Ok(Err(error)) => Some(format!("the scheduler does not answer: {error}")),
        Err(_) => Some("the scheduler does not answer".to_owned()),
    }
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
