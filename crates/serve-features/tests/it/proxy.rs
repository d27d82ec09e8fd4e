//! A TCP proxy between a store and its server, which does what networks do: forwards, cuts, and falls silent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They go on.
    Forward,
    /// They stay here; connections are taken, and stay open.
    Hang,
    /// Connections are closed as soon as they are taken.
    Close,
}

/// A proxy that ends with the process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    mode: Mutex<Mode>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a free port of this address, or on the given one.
    pub(crate) fn start(at: &str, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).expect("listens");
        let address = listener.local_addr().expect("has an address");
        let (mode, changed, streams) = (Mutex::new(Mode::Forward), Condvar::new(), Mutex::default());
        let shared = Arc::new(Shared { to, mode, changed, streams });
        let taking = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&taking);
                thread::spawn(move || shared.take(&stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("is sound") = mode;
        self.shared.changed.notify_all();
    }

    /// Ends every connection there is.
    pub(crate) fn cut(&self) {
        for stream in self.shared.streams.lock().expect("is sound").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections it has taken and not cut.
    pub(crate) fn connections(&self) -> usize {
        self.shared.streams.lock().expect("is sound").len() / 2
    }
}

impl Shared {
    fn take(self: &Arc<Self>, client: &TcpStream) {
        if *self.mode.lock().expect("is sound") == Mode::Close {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        let server = TcpStream::connect(self.to).expect("the server is there");
        let pairs = [(client, &server), (&server, client)];
        let copies =
            pairs.map(|(from, to)| (from.try_clone().expect("clones"), to.try_clone().expect("clones")));
        let kept = copies.each_ref().map(|(from, _)| from.try_clone().expect("clones"));
        self.streams.lock().expect("is sound").extend(kept);
        for (from, to) in copies {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pump(from, to));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            let mode = self.mode.lock().expect("is sound");
            drop(self.changed.wait_while(mode, |mode| *mode == Mode::Hang).expect("is sound"));
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
