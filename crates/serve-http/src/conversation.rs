//! What is spoken on a connection: HTTP/1.1 or HTTP/2, whichever the client begins with, until one side ends it.
//!
//! A connection over HTTP/1.1 on which nothing happens for a while is put to rest: its parser is given up with its buffers,
//! 16 KiB, and made anew when something comes.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tracing::debug;

use crate::config::HttpConfig;
use crate::connection::{Connection, Order, Phase};
use crate::wire::Wire;

/// What a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answers that one HTTP/2 stream may have under way; more waits with the body.
const STREAM_BUFFER: usize = 64 << 10;

/// What is spoken here, and how.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// How a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Http1,
    Http2,
    /// Not at all.
    Nothing,
}

/// How a stretch of HTTP/1.1 ends.
enum Stretch {
    /// With the connection.
    End,
    /// With silence.
    Rest,
}

impl Protocols {
    pub(crate) fn new(config: &HttpConfig, header_bytes: usize) -> Self {
        let mut http1 = http1::Builder::new();
        // Heads and pauses are the watchman's.
        http1.header_read_timeout(None::<Duration>);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.http2.max_streams)
            // A head that is a little too large is answered by us, one that is much too large by the protocol.
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX).saturating_mul(2))
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(256)
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(Some(config.http2.ping_interval))
            .keep_alive_timeout(config.http2.ping_interval);
        Self { http1, http2 }
    }

    /// Has requests answered by `service` until one side ends the connection, or it is told to end.
    pub(crate) async fn speak<S, B>(&self, mut wire: Wire, connection: Arc<Connection>, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
    {
        let beginning = begun(&mut wire, &connection).await;
        connection.wake_up();
        match beginning {
            Beginning::Http1 => self.speak_http1(wire, &connection, service).await,
            Beginning::Http2 => {
                let served = Box::pin(self.http2.serve_connection(TokioIo::new(wire), service));
                until_ended(served, &connection, http2::Connection::graceful_shutdown, || false).await;
            }
            Beginning::Nothing => {}
        }
    }

    async fn speak_http1<S, B>(&self, mut wire: Wire, connection: &Connection, mut service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = Bytes, Error: Error + Send + Sync> + 'static,
    {
        loop {
            let mut served = Box::new(self.http1.serve_connection(TokioIo::new(wire), service));
            if connection.order() == Order::Finish {
                Pin::new(&mut *served).graceful_shutdown();
            }
            let may_rest = || connection.may_rest();
            let finish = http1::Connection::graceful_shutdown;
            let stretch = until_ended(Pin::new(&mut *served), connection, finish, may_rest).await;
            if matches!(stretch, Stretch::End) && connection.phase() != Phase::Upgraded {
                return;
            }
            let parts = served.into_parts();
            (wire, service) = (parts.io.into_inner(), parts.service);
            wire.put_back(parts.read_buf);
            if matches!(stretch, Stretch::End) {
                return connection.hand_over(wire);
            }
            connection.rest();
            if !rested(&wire, connection).await {
                return;
            }
            connection.wake_up();
        }
    }
}

/// Serves until the end, or, where it may, until the connection is to rest.
async fn until_ended<F, P>(
    mut served: Pin<P>,
    connection: &Connection,
    finish: fn(Pin<&mut F>),
    may_rest: impl Fn() -> bool,
) -> Stretch
where
    P: std::ops::DerefMut<Target = F>,
    F: Future<Output = hyper::Result<()>>,
{
    loop {
        tokio::select! {
            // Who is told something is woken, so that comes next at the latest; chance costs time.
            biased;
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection ended");
                }
                return Stretch::End;
            }
            order = connection.told() => match order {
                Order::Cut => return Stretch::End,
                Order::Finish => finish(served.as_mut()),
                Order::Nothing if may_rest() => return Stretch::Rest,
                // Looking at the connection again is all it takes.
                Order::Nothing | Order::Refuse => {}
            },
        }
    }
}

/// Waits until something comes, and says whether there is something to be done about it.
async fn rested(wire: &Wire, connection: &Connection) -> bool {
    loop {
        tokio::select! {
            biased;
            ready = wire.readable() => return ready.is_ok(),
            order = connection.told() => match order {
                Order::Cut => return false,
                Order::Finish => return true,
                Order::Nothing | Order::Refuse => {}
            },
        }
    }
}

/// Reads as much as it takes to tell how a client begins, and puts it back.
async fn begun(wire: &mut Wire, connection: &Connection) -> Beginning {
    let mut first = [0; PREFACE.len()];
    let mut known = 0;
    let beginning = loop {
        tokio::select! {
            biased;
            read = wire.read(&mut first[known..]) => match read {
                Ok(0) if known > 0 => break Beginning::Http1,
                Ok(0) | Err(_) => return Beginning::Nothing,
                Ok(read) => known += read,
            },
            order = connection.told() => match order {
                Order::Cut => return Beginning::Nothing,
                Order::Finish => break Beginning::Http1,
                Order::Nothing | Order::Refuse => {}
            },
        }
        if first[..known] != PREFACE[..known] {
            break Beginning::Http1;
        }
        if known == PREFACE.len() {
            break Beginning::Http2;
        }
    };
    wire.put_back(Bytes::copy_from_slice(&first[..known]));
    beginning
}
