//! The threads that connections live on, each with an event loop of its own.
//!
//! A connection stays with the loop that it was given to, so its request is read, answered and written by one thread: no
//! task wanders to another core, and no thread is woken to look for work that another one found. What takes long is
//! computed elsewhere all the same (`serve_app`'s workers, the registry's threads), so a loop is never held up for long.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serve_app::striped;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::warn;

use crate::accepted::Accepted;
use awake::Requests;
use turns::Turns;

mod awake;
mod turns;

/// Threads of one loop for work that blocks, such as unpacking a long body.
const BLOCKING_THREADS: usize = 8;

/// A connection that was accepted, and is counted by the loop that it goes to.
struct Arrival {
    socket: std::net::TcpStream,
    address: SocketAddr,
    load: Load,
}

/// All loops. They end, with what still runs on them, when this is dropped.
#[derive(Debug)]
pub(crate) struct EventLoops(Vec<EventLoop>);

#[derive(Debug)]
struct EventLoop {
    arrivals: UnboundedSender<Arrival>,
    connections: Arc<Connections>,
}

/// How many connections a loop has.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    /// Those of them that rest.
    resting: AtomicUsize,
    requests: Requests,
    turns: Turns,
}

impl Connections {
    /// Those that may work, and all; which loop should have the next goes by the first.
    fn count(&self) -> (usize, usize) {
        let (open, resting) = (self.open.load(Relaxed), self.resting.load(Relaxed));
        (open.saturating_sub(resting), open)
    }
}

/// One connection of a loop, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Load {
    of: Arc<Connections>,
    rests: AtomicBool,
}

impl Load {
    pub(crate) fn of(connections: &Arc<Connections>) -> Self {
        connections.open.fetch_add(1, Relaxed);
        connections.resting.fetch_add(1, Relaxed);
        Self { of: Arc::clone(connections), rests: AtomicBool::new(true) }
    }

    /// Whether it rests, as it does until it is first asked something.
    pub(crate) fn rests(&self) -> bool {
        self.rests.load(Relaxed)
    }

    /// A request has come on it.
    pub(crate) fn begin(&self) {
        self.of.requests.begin();
    }

    /// Whether what its loop answers in this turn goes out together.
    pub(crate) fn sends_together(&self) -> bool {
        self.of.turns.are_together()
    }

    /// Says whether it rests.
    pub(crate) fn rest(&self, rests: bool) {
        match (self.rests.swap(rests, Relaxed), rests) {
            (false, true) => drop(self.of.resting.fetch_add(1, Relaxed)),
            (true, false) => drop(self.of.resting.fetch_sub(1, Relaxed)),
            _ => {}
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.rest(false);
        self.of.open.fetch_sub(1, Relaxed);
    }
}

impl EventLoops {
    /// Starts so many threads.
    ///
    /// # Errors
    /// When the system gives no thread, or no event queue.
    pub(crate) fn start(threads: usize, accepted: &Accepted) -> io::Result<Self> {
        let start = |number| EventLoop::start(number, accepted.clone());
        (0..threads).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Hands a connection to the loop that has the fewest which do not rest. Among equals chance decides: clients that come in a
    /// pattern, such as a busy one after each silent one, would else have one loop do all the work.
    pub(crate) fn take(&self, socket: TcpStream, address: SocketAddr) {
        let chance = RandomState::new();
        let loops = self.0.iter().enumerate();
        let chosen = loops.min_by_key(|(number, one)| (one.connections.count(), chance.hash_one(number)));
        let Some((_, chosen)) = chosen else { return };
        match socket.into_std() {
            Ok(socket) => {
                let load = Load::of(&chosen.connections);
                // It listens for as long as there is this sender.
                drop(chosen.arrivals.send(Arrival { socket, address, load }));
            }
            Err(error) => warn!(%error, "a connection cannot be handed on"),
        }
    }
}

impl EventLoop {
    fn start(number: usize, accepted: Accepted) -> io::Result<Self> {
        let connections = Arc::<Connections>::default();
        let theirs = Arc::clone(&connections);
        let turn_ends = move || theirs.turns.end(theirs.requests.begun());
        let mut runtime = Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(BLOCKING_THREADS).on_thread_park(turn_ends);
        let runtime = runtime.build()?;
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let theirs = Arc::clone(&connections);
        let run = move || {
            striped::own_a_copy();
            runtime.spawn(async move { theirs.requests.stay_awake().await });
            runtime.block_on(serve(arriving, accepted));
        };
        std::thread::Builder::new().name(format!("http-{number}")).spawn(run)?;
        Ok(Self { arrivals, connections })
    }
}

async fn serve(mut arriving: UnboundedReceiver<Arrival>, accepted: Accepted) {
    while let Some(Arrival { socket, address, load }) = arriving.recv().await {
        match TcpStream::from_std(socket) {
            Ok(socket) => accepted.take(socket, address, load),
            Err(error) => warn!(%error, "a connection cannot be watched"),
        }
    }
}
