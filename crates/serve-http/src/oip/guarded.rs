//! What a guard window asks again of this protocol's requests: the first row of the tensors, read as either version would
//! read it.

use serve_registry::Deployment;
use serve_registry::guard::Reply;

use super::matrix::matrix;
use super::tensor::Tensor;

/// Keeps the first row of a request for the guard of the version that answers it, if there is one with room for it.
pub(super) fn offer(deployment: &Deployment, inputs: &[Tensor<'_>]) {
    if let Some(guard) = deployment.guard() {
        guard.offer(|| {
            let alone = inputs.len() == 1;
            let kept: Vec<_> = inputs.iter().map(|tensor| tensor.first_row(alone)).collect();
            Box::new(move |deployment| reply(deployment, &kept))
        });
    }
}

fn reply(deployment: &Deployment, kept: &[Tensor<'static>]) -> Reply {
    let pipeline = deployment.pipeline();
    let Ok(rows) = matrix(kept.to_vec(), pipeline.signature(), &|_| Ok(())) else { return Reply::Error };
    match rows.rows().into_iter().next().as_ref().and_then(|row| row.as_slice()) {
        Some(row) => pipeline.predict(row).map_or(Reply::Error, Reply::Answer),
        None => Reply::Unknown,
    }
}
