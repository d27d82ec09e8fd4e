//! Standard input, read by a thread of its own: a job that is to end does not wait for bytes that may never come.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CHUNK: usize = 1 << 18;
/// Chunks that wait to be taken.
const AHEAD: usize = 2;
/// How often it is looked whether the job is to end, while nothing comes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Standard input, and by what its reader sees that it is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe {
    stop: Arc<OnceLock<Arc<AtomicBool>>>,
}

/// There is only one.
impl PartialEq for Pipe {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pipe {}

impl Pipe {
    /// Ends reading with an error once `stop` is set; the first that is said counts.
    pub(crate) fn stop_with(&self, stop: &Arc<AtomicBool>) {
        self.stop.get_or_init(|| Arc::clone(stop));
    }

    fn is_stopped(&self) -> bool {
        self.stop.get().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(super) fn reader(&self) -> Piped {
        let (sender, chunks) = sync_channel(AHEAD);
        let read = move || {
            let (mut stdin, mut buffer) = (io::stdin().lock(), vec![0; CHUNK]);
            loop {
                let chunk = match stdin.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => Ok(buffer[..read].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = chunk.is_err();
                if sender.send(chunk).is_err() || failed {
                    return;
                }
            }
        };
        // Without a thread the channel is closed, and the first read says so.
        let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(read);
        Piped { chunks, current: Vec::new(), at: 0, pipe: self.clone(), failed: started.err() }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Piped {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
    pipe: Pipe,
    failed: Option<io::Error>,
}

impl Read for Piped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.at == self.current.len() {
            match self.chunks.recv_timeout(BETWEEN_LOOKS) {
                Ok(chunk) => (self.current, self.at) = (chunk?, 0),
                Err(RecvTimeoutError::Timeout) if self.pipe.is_stopped() => {
                    return Err(io::Error::other("the job is ended"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let some = into.len().min(self.current.len() - self.at);
        into[..some].copy_from_slice(&self.current[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}
