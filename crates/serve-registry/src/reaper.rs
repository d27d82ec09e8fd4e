//! Frees what was replaced, off the request path. The reaper keeps a reference of its own to every replaced deployment
//! until it holds the last one, so that no request's thread ever runs the destructor of a model.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::deployment::Deployment;

/// How long a deployment whose last request has ended may wait to be freed.
const PERIOD: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Reaper {
    sender: Option<Sender<Arc<Deployment>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("registry-reaper".to_owned()).spawn(move || reap(&receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Takes over a deployment that no snapshot holds any more.
    pub(crate) fn retire(&self, deployment: Arc<Deployment>) {
        if let Some(sender) = &self.sender {
            // The thread lives until the sender is dropped; if it is gone, dropping here is all that is left to do.
            drop(sender.send(deployment));
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn reap(receiver: &Receiver<Arc<Deployment>>) {
    let mut draining: Vec<Arc<Deployment>> = Vec::new();
    loop {
        let received = if draining.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(PERIOD)
        };
        match received {
            Ok(deployment) => draining.push(deployment),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        draining.retain(|deployment| Arc::strong_count(deployment) > 1);
    }
}
