//! Where the connections of a store over the network live. The stores' seam needs no particular runtime, and tokio's sockets
//! need one: a store that is opened inside a tokio runtime uses that one, so a server's requests cross no thread; opened
//! anywhere else, it has a thread of its own. Its futures may then be polled anywhere.

use std::future::poll_fn;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::store::BoxFuture;

/// A runtime that is there as long as the store.
#[derive(Debug)]
pub(crate) struct StoreRuntime {
    handle: Handle,
    own: Option<Runtime>,
}

impl StoreRuntime {
    /// The runtime that this is called in, or a new one.
    pub(crate) fn here() -> io::Result<Self> {
        if let Ok(handle) = Handle::try_current() {
            return Ok(Self { handle, own: None });
        }
        let own = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("feature-store")
            .enable_all()
            .build()?;
        Ok(Self { handle: own.handle().clone(), own: Some(own) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The same future, which finds the store's runtime wherever it is polled.
    pub(crate) fn run<'a, T>(&'a self, future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        // In a box of its own it is moved once; as a local of another future it would take its room twice.
        let mut future = Box::pin(future);
        Box::pin(poll_fn(move |context| {
            let _entered = self.handle.enter();
            future.as_mut().poll(context)
        }))
    }
}

impl Drop for StoreRuntime {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // Waiting for it is not allowed inside another runtime; its tasks own nothing that others wait for.
            own.shutdown_background();
        }
    }
}
