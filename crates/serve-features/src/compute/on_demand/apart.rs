//! Where entities are computed: on the thread that asks, or, where that takes long, each as a piece of work of its own on
//! threads that the program gives. Whoever goes away, or whose deadline passes, has no further entity computed.

use std::time::Instant;

use tokio::sync::oneshot;

use super::super::{BuildError, Piece, Threads};
use super::{Asked, Demand};
use crate::store::RetrieveError;

/// Each demand with its answer, or with what it is short of; in the order in which they come.
pub(super) async fn computed(
    threads: Option<&dyn Threads>,
    asked: &Asked<'_>,
    mut demands: Vec<Demand>,
) -> Result<Vec<Demand>, BuildError> {
    let Some(threads) = threads else {
        demands.iter_mut().for_each(|demand| demand.settle(asked.set, asked.request, asked.depths));
        return Ok(demands);
    };
    let (mut pieces, mut waiting) = (Vec::with_capacity(demands.len()), Vec::with_capacity(demands.len()));
    for demand in demands {
        let (piece, done) = piece(asked, demand);
        pieces.push(piece);
        waiting.push(done);
    }
    threads.run(pieces);
    let mut computed = Vec::with_capacity(waiting.len());
    for done in waiting {
        // Nothing comes where the deadline passed, the threads end, or the work panicked, which the log tells then.
        computed.push(done.await.map_err(|_| undone(asked))?);
    }
    Ok(computed)
}

/// One entity as a piece of work, and where it comes out.
fn piece(asked: &Asked<'_>, mut demand: Demand) -> (Piece, oneshot::Receiver<Demand>) {
    let (done, wait) = oneshot::channel();
    let (set, request, depths) = (asked.set.clone(), asked.request.clone(), asked.depths.to_vec());
    let piece = move || {
        let late = request.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !late && !done.is_closed() {
            demand.settle(&set, &request, &depths);
            // Where nobody waits any more it is lost.
            drop(done.send(demand));
        }
    };
    (Box::new(piece), wait)
}

fn undone(asked: &Asked<'_>) -> BuildError {
    let set = asked.set.name.clone();
    match asked.request.deadline {
        Some(deadline) if Instant::now() >= deadline => RetrieveError::Deadline { set }.into(),
        _ => BuildError::Lost { set },
    }
}
