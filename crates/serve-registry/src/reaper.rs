//! Frees what was replaced, off the request path: a [`Drain`] of deployments.

use std::sync::Arc;

use crate::deployment::Deployment;
use crate::sync::drain::Drain;

pub(crate) struct Reaper(Drain<Deployment>);

impl Reaper {
    pub(crate) fn start() -> std::io::Result<Self> {
        Drain::start("registry-reaper").map(Self)
    }

    /// Takes over a deployment that no snapshot holds any more, and calls `freed` on the reaper's thread once it is gone.
    pub(crate) fn retire_then(&self, deployment: Arc<Deployment>, freed: impl FnOnce() + Send + 'static) {
        self.0.retire(deployment, freed);
    }
}
