//! A proxy between a store and its server that fails in the ways in which networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They pass.
    Pass,
    /// Connections are cut, new ones at once.
    Cut,
    /// Connections are taken, and nothing passes.
    Hang,
}

/// Passes at first.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    accepted: AtomicUsize,
}

struct State {
    mode: Mode,
    /// Connections of an older generation hang for ever.
    generation: u64,
    /// How long bytes are under way, in either direction.
    delay: Duration,
    open: Vec<TcpStream>,
    ended: bool,
}

impl Proxy {
    pub(super) fn to(upstream: SocketAddr) -> Self {
        Self::at("127.0.0.1:0", upstream)
    }

    /// Listens where it is told.
    pub(super) fn at(address: &str, upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("listens");
        let address = listener.local_addr().expect("has an address");
        let (mode, delay) = (Mode::Pass, Duration::ZERO);
        let state = State { mode, generation: 0, delay, open: Vec::new(), ended: false };
        let (state, changed, accepted) = (Mutex::new(state), Condvar::new(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { upstream, state, changed, accepted });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, mode: Mode) {
        self.shared.change(|state| state.mode = mode);
    }

    /// Has bytes be under way for so long, in either direction.
    pub(super) fn slow(&self, delay: Duration) {
        self.shared.change(|state| state.delay = delay);
    }

    /// Lets the connections that are there hang for ever, as if their peer had vanished; new ones pass.
    pub(super) fn strand(&self) {
        self.shared.change(|state| state.generation += 1);
    }

    /// How many connections were taken so far.
    pub(super) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| (state.mode, state.ended) = (Mode::Cut, true));
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().expect("is not poisoned");
        change(&mut state);
        if state.mode == Mode::Cut {
            for stream in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let mut state = self.state.lock().expect("is not poisoned");
            if state.ended {
                return;
            }
            self.accepted.fetch_add(1, Ordering::SeqCst);
            let Ok(server) = TcpStream::connect(self.upstream) else { continue };
            if state.mode == Mode::Cut {
                continue;
            }
            let generation = state.generation;
            let mut both = |stream: &TcpStream| {
                stream.set_nodelay(true).expect("is a socket");
                state.open.push(stream.try_clone().expect("clones"));
                stream.try_clone().expect("clones")
            };
            let ways = [(both(&client), server.try_clone().expect("clones")), (both(&server), client)];
            for (from, to) in ways {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.copy(from, to, generation));
            }
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, generation: u64) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let mut state = self.state.lock().expect("is not poisoned");
            while state.mode == Mode::Hang || (state.generation != generation && state.mode == Mode::Pass) {
                state = self.changed.wait(state).expect("is not poisoned");
            }
            let delay = state.delay;
            drop(state);
            thread::sleep(delay);
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
