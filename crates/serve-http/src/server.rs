//! Listening and connections: HTTP/1.1 and prior-knowledge HTTP/2 on one port, layers around the application, and a stop
//! that lets requests under way finish.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Method, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{debug, error, warn};

use crate::call::Peer;
use crate::exchange::{self, REQUEST_ID};
use crate::failure::{Dialect, Failure};
use crate::reply::Reply;
use crate::routes::App;

/// How long a stopping server goes on taking requests, each answered with `Connection: close`, before it closes idle
/// connections: a client that is about to send on a connection it thinks open is answered, and told to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long accepting waits after the system refused a connection, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// An origin in the configuration is not one.
    #[error("http.cors.allowed_origins: {origin:?} is not an origin such as https://app.example.com")]
    Origin {
        /// The text.
        origin: String,
    },
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    cors: Option<CorsLayer>,
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
    /// Listens on the configured address. From here on clients can connect; they are answered by [`run`](Self::run).
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(app: App) -> Result<Self, BindError> {
        let address = SocketAddr::new(app.config.host, app.config.port);
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Refused { address, source },
        })?;
        let cors = cors(&app.config.cors.allowed_origins)?;
        Ok(Self { listener, app: Arc::new(app), cors })
    }

    /// Where the server listens, with the real port where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` completes and a second longer, asking clients to leave; then takes no more connections and waits
    /// for requests under way.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let graceful = GracefulShutdown::new();
        let following = self.app.service.follow_features(self.app.config.websocket.poll);
        let layers =
            ServiceBuilder::new().option_layer(self.cors.clone()).layer(CatchPanicLayer::custom(panicked));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.app.config.header_timeout)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(20)));
        let draining = Arc::clone(&self.app);
        let stop = async move {
            stop.await;
            draining.draining.store(true, Ordering::Relaxed);
            draining.sockets.close();
            tokio::time::sleep(FAREWELL.min(draining.config.drain_timeout)).await;
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Answers are small and wanted at once.
            drop(stream.set_nodelay(true));
            let (app, peer) = (Arc::clone(&self.app), Peer { address });
            let service = layers.clone().service_fn(move |request| {
                let answer = exchange::answer(Arc::clone(&app), peer, request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let service = TowerToHyperService::new(service);
            let connection =
                builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "a connection ended");
                }
            });
        }
        drop(self.listener);
        let ended = async { tokio::join!(graceful.shutdown(), self.app.sockets.ended()) };
        let stopped = match tokio::time::timeout(self.app.config.drain_timeout, ended).await {
            Ok(_) => Stopped::Drained,
            Err(_) => Stopped::CutOff,
        };
        following.abort();
        stopped
    }
}

/// A panic of ours is logged by the panic hook; the client gets our error body.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Reply {
    error!("a request's handler panicked");
    Failure::internal().reply(Dialect::Native, "")
}

fn cors(origins: &[String]) -> Result<Option<CorsLayer>, BindError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let parse = |origin: &String| match HeaderValue::from_str(origin) {
            Ok(value) if origin.contains("://") => Ok(value),
            _ => Err(BindError::Origin { origin: origin.clone() }),
        };
        AllowOrigin::list(origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([header::CONTENT_TYPE, header::HeaderName::from_static(REQUEST_ID)])
        .expose_headers([header::HeaderName::from_static(REQUEST_ID)]);
    Ok(Some(layer))
}
