//! Listening and connections: HTTP/1.1 and prior-knowledge HTTP/2 on one port, layers around the application, and a stop
//! that lets requests under way finish.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;
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

use crate::call::{Began, RequestId};
use crate::failure::{Dialect, Failure};
use crate::reply::Reply;
use crate::routes::{App, dialect};

const REQUEST_ID: &str = "x-request-id";

/// Longest id of a client's that is taken over.
const LONGEST_ID: usize = 128;

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
        let timeout = self.app.config.request_timeout;
        let app = Arc::clone(&self.app);
        let service = ServiceBuilder::new()
            .option_layer(self.cors.clone())
            .layer(CatchPanicLayer::custom(panicked))
            .service_fn(move |request| answer(Arc::clone(&app), timeout, request));
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
            tokio::time::sleep(FAREWELL.min(draining.config.drain_timeout)).await;
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Answers are small and wanted at once.
            drop(stream.set_nodelay(true));
            let service = TowerToHyperService::new(service.clone());
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "a connection ended");
                }
            });
        }
        drop(self.listener);
        match tokio::time::timeout(self.app.config.drain_timeout, graceful.shutdown()).await {
            Ok(()) => Stopped::Drained,
            Err(_) => Stopped::CutOff,
        }
    }
}

/// One request: its id, its time limit, its answer.
async fn answer(app: Arc<App>, timeout: Duration, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let began = Began(Instant::now());
    let id = request_id(&request);
    let dialect = dialect(request.uri().path());
    let mut reply = match tokio::time::timeout(timeout, app.answer(request, id.clone(), began)).await {
        Ok(reply) => reply,
        Err(_) => Failure::timeout(timeout).reply(dialect, &id.0),
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        reply.headers_mut().insert(REQUEST_ID, value);
    }
    if app.is_draining() {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply)
}

/// The client's id, if it is one that can be written to a log, else a new one.
fn request_id(request: &Request<Incoming>) -> RequestId {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable =
        |id: &&str| !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
    RequestId(match given.filter(usable) {
        Some(id) => id.into(),
        None => {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            Arc::from(&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text))
        }
    })
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
