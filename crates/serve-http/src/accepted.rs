//! One connection, from its acceptance to its end: a place, TLS where it is spoken, then HTTP/1.1 or HTTP/2, whichever the
//! client begins with.

use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tracing::{debug, error};

use crate::call::Peer;
use crate::connection::{Connection, Phase, Place};
use crate::conversation::Protocols;
use crate::event_loops::Load;
use crate::exchange::{self, Ends};
use crate::failure::{Dialect, Failure};
use crate::owed::Owed;
use crate::reply::{self, Reply};
use crate::routes::{App, boxed};
use crate::tls::{self, Tls, TlsConfig};
use crate::transport::Transport;
use crate::watchman::Full;
use crate::wire::{HeadLimits, Wire};

/// How long somebody who is turned away at the door gets to hear why.
const TURNED_AWAY: Duration = Duration::from_millis(500);

/// How many of them hear it at a time; others are let go without a word.
const FAREWELLS: usize = 64;

/// Takes connections in.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    app: Arc<App>,
    protocols: Arc<Protocols>,
    limits: HeadLimits,
    /// Seconds that browsers shall use TLS only; 0, where that is not said.
    hsts: u64,
    farewells: Arc<Semaphore>,
}

impl Accepted {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        let config = &app.config;
        let limits = HeadLimits {
            header_bytes: usize::try_from(config.max_header_bytes.0).unwrap_or(usize::MAX),
            uri_bytes: usize::try_from(config.max_uri_bytes.0).unwrap_or(usize::MAX),
        };
        let protocols = Arc::new(Protocols::new(config, limits.header_bytes));
        let (hsts, farewells) =
            (TlsConfig::hsts_seconds(config.tls.as_ref()), Arc::new(Semaphore::new(FAREWELLS)));
        Self { app: Arc::clone(app), protocols, limits, hsts, farewells }
    }

    /// Serves a connection in a task of its own, or turns it away.
    pub(crate) fn take(&self, socket: TcpStream, address: SocketAddr, load: Load) {
        let phase = if self.app.tls.is_some() { Phase::Handshake } else { Phase::Idle };
        let place = match self.app.watchman.enter(address.ip(), phase, load) {
            Ok(place) => place,
            Err(full) => return self.turn_away(socket, full),
        };
        let local = socket.local_addr().unwrap_or(address);
        let shown = address.to_string().into();
        let secure = self.app.tls.is_some();
        let peer =
            Peer { address, shown, client: address.ip().to_canonical(), local, secure, certificate: None };
        match &self.app.tls {
            None => self.speak(Transport::Plain(socket), peer, place),
            Some(tls) => {
                let (accepted, tls) = (self.clone(), Arc::clone(tls));
                tokio::spawn(async move { accepted.secure(&tls, socket, peer, place).await });
            }
        }
    }

    /// Says that there is no place, to a few at a time: there is no end to who can be turned away.
    fn turn_away(&self, socket: TcpStream, full: Full) {
        debug!(?full, "a connection is refused");
        let Ok(turn) = Arc::clone(&self.farewells).try_acquire_owned() else { return };
        if self.app.tls.is_none() {
            tokio::spawn(async move {
                tell(socket, no_place(full)).await;
                drop(turn);
            });
        }
    }

    /// Agrees on TLS; what that takes is given back before HTTP is spoken.
    async fn secure(self, tls: &Tls, socket: TcpStream, mut peer: Peer, place: Place) {
        match handshake(tls, socket, &place.connection).await {
            Ok(stream) => {
                peer.certificate = tls::client(stream.get_ref().1.peer_certificates());
                self.speak(Transport::Tls(stream), peer, place);
            }
            Err(error) => {
                self.app.watchman.counts.handshakes_failed.fetch_add(1, Relaxed);
                debug!(%error, address = %peer.address, "a TLS handshake came to nothing");
            }
        }
    }

    /// Speaks HTTP, in a task of its own, until one side ends it.
    fn speak(&self, transport: Transport, peer: Peer, place: Place) {
        let connection = Arc::clone(&place.connection);
        let service = service(Arc::clone(&self.app), peer, Arc::clone(&connection));
        let wire = Wire::new(transport, place, self.limits, self.hsts);
        let protocols = Arc::clone(&self.protocols);
        tokio::spawn(async move { protocols.speak(wire, connection, service).await });
    }
}

/// What answers a connection's requests.
///
/// Connections wait far longer than they work, so a request's own future is boxed: the parser keeps a place for it as long
/// as the connection lives.
fn service(
    app: Arc<App>,
    peer: Peer,
    connection: Arc<Connection>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Owed<http_body_util::Full<Bytes>>>,
    Error = Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    // Counted once for the connection: who counts the app for each request waits for the other threads that do.
    let ends = Arc::new(Ends { app, peer });
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if connection.phase() == Phase::Asking {
            request.extensions_mut().insert(connection.upgrade());
        }
        let in_pieces = request.version() == Version::HTTP_2;
        let mut under_way = connection.begin();
        let answering = boxed(|| exchange::answer(Arc::clone(&ends), request));
        let connection = Arc::clone(&connection);
        async move {
            let answered = AssertUnwindSafe(answering).catch_unwind().await;
            let mut answer = answered.unwrap_or_else(panicked);
            under_way.answered();
            leave_protocol(&connection, &mut answer);
            Ok::<_, Infallible>(answer.map(|body| Owed::new(body, under_way, in_pieces)))
        }
    })
}

/// A client that asked for another protocol gets it, or an answer and the end: what it sends next was not looked at.
fn leave_protocol<B: Body>(connection: &Connection, answer: &mut Response<B>) {
    if connection.phase() != Phase::Asking {
        return;
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.enter(Phase::Upgraded);
    } else {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Agrees on TLS. The watchman's limit of time is the caller's to keep: a cut drops this.
async fn handshake(
    tls: &Tls,
    socket: TcpStream,
    connection: &Connection,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let agree = async {
        let mut first = [0; 1];
        socket.peek(&mut first).await?;
        // A TLS record begins with 22; a letter is the beginning of a method.
        if first[0].is_ascii_alphabetic() {
            let message = "this port speaks TLS; expected https://";
            tell(socket, Failure::unreadable("tls_required", message)).await;
            return Err(io::Error::other("plain HTTP on a port of TLS"));
        }
        tls.acceptor().accept(socket).await
    };
    tokio::select! {
        agreed = agree => {
            let stream = agreed?;
            connection.enter(Phase::Idle);
            Ok(Box::new(stream))
        }
        _ = connection.told() => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sends an error to a client that was not listened to, and ends.
async fn tell(mut socket: TcpStream, failure: Failure) {
    // What is not under TLS does not say that all shall be.
    let words = reply::on_the_wire(failure, Dialect::Native, 0);
    let farewell = async {
        socket.write_all(&words).await?;
        socket.shutdown().await?;
        // What is unread when a socket closes takes back what was sent.
        let mut scratch = [0; 4096];
        while socket.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    drop(tokio::time::timeout(TURNED_AWAY, farewell).await);
}

/// Why there is no place, to be told.
fn no_place(full: Full) -> Failure {
    let (setting, of) = match full {
        Full::Server => ("http.connections.max", "this server"),
        Full::Address => ("http.connections.max_per_address", "your address"),
    };
    let message = format!("{of} has as many connections as are allowed ({setting})");
    Failure::of(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message)
}

/// A panic of ours is logged by the panic hook; the client gets our error body.
fn panicked(_: Box<dyn Any + Send>) -> Reply {
    error!("a request's handler panicked");
    Failure::internal().reply(Dialect::Native, "")
}
