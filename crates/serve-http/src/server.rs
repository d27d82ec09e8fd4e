//! Listening, accepting, and a stop that lets requests under way finish. What becomes of a connection stands in `accepted`.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::sockopt;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tracing::warn;

use crate::accepted::Accepted;
use crate::event_loops::EventLoops;
use crate::routes::App;
use crate::tls::{Tls, TlsError};

/// How long a stopping server goes on taking requests, each answered with `Connection: close`, before it closes idle
/// connections: a client that is about to send on a connection it thinks open is answered, and told to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long accepting waits after the system refused a connection, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// After so long of silence the system asks the other side whether it is still there, three times.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long sent bytes may stay unacknowledged before the system gives the connection up, in milliseconds.
const UNACKNOWLEDGED: u32 = 60_000;

/// Why the server does not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else has the port.
    #[error("port {} of {} is in use; stop what listens there, or choose another with --port", address.port(), address.ip())]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses for another reason.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The `http` section has mistakes.
    #[error("{}", mistakes.join("; "))]
    Config {
        /// All of them.
        mistakes: Vec<String>,
    },
    /// The system gives no threads for connections.
    #[error("cannot start {threads} threads for connections (http.threads)")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    loops: EventLoops,
}

/// How a server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every request under way was answered.
    Drained,
    /// Some were not answered in time and were cut off.
    CutOff,
}

impl Server {
    /// Listens on the configured address, in a runtime. From here on clients can connect; they are answered by [`run`](Self::run).
    ///
    /// # Errors
    /// When the section has mistakes, TLS's files do not fit, or the address cannot be had.
    pub fn bind(mut app: App) -> Result<Self, BindError> {
        app.config.check().map_err(|mistakes| BindError::Config { mistakes })?;
        app.tls = app.config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        app.runtime = Some(Handle::current());
        let address = SocketAddr::new(app.config.host, app.config.port);
        let listener = listen(address).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Refused { address, source },
        })?;
        set_options(&listener);
        let app = Arc::new(app);
        let threads = app.config.threads.map_or_else(cores, NonZero::get);
        let loops = EventLoops::start(threads, &Accepted::new(&app))
            .map_err(|source| BindError::Threads { threads, source })?;
        Ok(Self { listener, app, loops })
    }

    /// Where the server listens, with the real port where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.app.tls.is_some() { "https" } else { "http" }
    }

    /// TLS as it is served, for who wants to reload it.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.app.tls.clone()
    }

    /// Answers until `stop` completes and a second longer, asking clients to leave; then takes no more connections and waits
    /// for requests under way.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let Self { listener, app, loops } = self;
        let (watching, give_back) = (Arc::clone(&app.watchman), app.give_back);
        let watching = tokio::spawn(async move { watching.watch(give_back).await });
        let following = app.service.follow_features(app.config.websocket.poll);
        let renewing = app.tls.clone().filter(|tls| !tls.config().poll.is_zero()).map(renew);
        let draining = Arc::clone(&app);
        let stop = async move {
            stop.await;
            draining.draining.store(true, Ordering::Relaxed);
            draining.sockets.close();
            tokio::time::sleep(FAREWELL.min(draining.config.drain_timeout)).await;
        };
        accept(&listener, &loops, stop).await;
        drop(listener);
        let ended = async { tokio::join!(app.watchman.dismiss(), app.sockets.ended()) };
        let drained = tokio::time::timeout(app.config.drain_timeout, ended).await;
        watching.abort();
        following.abort();
        if let Some(renewing) = renewing {
            renewing.abort();
        }
        if drained.is_ok() { Stopped::Drained } else { Stopped::CutOff }
    }
}

/// Accepts until `stop` completes.
async fn accept(listener: &TcpListener, loops: &EventLoops, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = &mut stop => return,
        };
        match connection {
            Ok((socket, address)) => loops.take(socket, address),
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections that the system has made and that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How many cores this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port that an ended server's connections linger on is free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Options that the sockets of connections have from this one.
fn set_options(listener: &TcpListener) {
    let set = || {
        // Answers are small and wanted at once.
        sockopt::set_tcp_nodelay(listener, true)?;
        sockopt::set_socket_keepalive(listener, true)?;
        sockopt::set_tcp_keepidle(listener, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(listener, KEEP_ALIVE / 4)?;
        sockopt::set_tcp_keepcnt(listener, 3)?;
        sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED)
    };
    if let Err(error) = set() {
        warn!(%error, "the system refuses an option of TCP; clients that vanish are noticed later");
    }
}

/// Looks at the files of TLS again and again.
fn renew(tls: Arc<Tls>) -> tokio::task::JoinHandle<()> {
    let mut rounds = tokio::time::interval(tls.config().poll);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            rounds.tick().await;
            let tls = Arc::clone(&tls);
            drop(tokio::task::spawn_blocking(move || tls.refresh()).await);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn many_clients_may_come_at_once() {
        let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("listens");
        let address = listener.local_addr().expect("has one");
        // Nobody accepts; beyond the backlog a client gets no answer.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let taken: Result<Vec<TcpStream>, _> = (0..600).map(connect).collect();
        assert_eq!(taken.expect("all are taken").len(), 600);
    }
}
