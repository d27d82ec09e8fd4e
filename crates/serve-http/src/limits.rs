//! Limits on one request: the length of its body and the time it takes.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serve_core::ByteSize;

use crate::allowance::Allowance;
use crate::bodies::{Bodies, Room};
use crate::failure::Failure;
use crate::waiting::{Waiting, Waker};

/// How long the rest of a body that is too long is read and thrown away, so that the client sees the answer.
const DISCARD: Duration = Duration::from_secs(2);

/// How a body is read.
pub(crate) struct Reading<'a> {
    /// The longest that is read.
    pub(crate) limit: ByteSize,
    pub(crate) allowance: Allowance,
    pub(crate) waker: Waker,
    /// All bodies under way, of which this is one.
    pub(crate) bodies: &'a Arc<Bodies>,
}

/// A body that was read, with its room among all of them, and how long it was waited for.
pub(crate) struct Received {
    pub(crate) body: Bytes,
    pub(crate) room: Option<Room>,
    pub(crate) waited: Duration,
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413 as soon as it is known to be longer; 503 where there is no room for it; 408 when it comes too slowly; 400 when the
/// client breaks off.
pub(crate) fn read_body(body: Incoming, reading: Reading<'_>) -> ReadBody<'_> {
    let Reading { limit, allowance, waker, bodies } = reading;
    let (first, rest, room) = (Bytes::new(), BytesMut::new(), None);
    let (waiting, waited) = (None, Duration::ZERO);
    ReadBody { body: Some(body), first, rest, room, bodies, limit, allowance, waker, waiting, waited }
}

/// A body that is being read. Written out by hand: each request's future holds one, and what the compiler makes of the same
/// steps is three times as long.
#[must_use]
pub(crate) struct ReadBody<'a> {
    /// Until it is read.
    body: Option<Incoming>,
    /// Nearly every body is one piece, which is taken as it is.
    first: Bytes,
    /// All pieces, where there are several.
    rest: BytesMut,
    room: Option<Room>,
    bodies: &'a Arc<Bodies>,
    limit: ByteSize,
    allowance: Allowance,
    waker: Waker,
    /// For the next piece.
    waiting: Option<Waiting>,
    waited: Duration,
}

impl Future for ReadBody<'_> {
    type Output = Result<Received, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.waiting.is_none() {
            this.expect()?;
        }
        while let Some(body) = this.body.as_mut().filter(|body| !body.is_end_stream()) {
            let frame = match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let left = this.allowance.left();
                    let waiting = this.waiting.get_or_insert_with(|| Waiting::begin(left, this.waker));
                    ready!(waiting.poll(context));
                    let message =
                        "the body comes too slowly (http.connections.min_bytes_per_second and patience)";
                    let failure = Failure::of(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message);
                    return Poll::Ready(Err(failure));
                }
            };
            let waited = this.waiting.take().map_or(Duration::ZERO, |waiting| waiting.took());
            this.waited += waited;
            this.allowance.wait(waited);
            let Some(frame) = frame else { break };
            let broken =
                |error| Failure::unreadable("body_broken_off", format!("the body broke off: {error}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            this.allowance.earn(data.len() as u64);
            this.keep(data)?;
        }
        let body = if this.rest.is_empty() { mem::take(&mut this.first) } else { this.rest.split().freeze() };
        Poll::Ready(Ok(Received { body, room: this.room.take(), waited: this.waited }))
    }
}

impl ReadBody<'_> {
    /// Looks at what the client says that the length is, as long as nothing was read.
    fn expect(&mut self) -> Result<(), Failure> {
        let announced = self.body.as_ref().and_then(|body| body.size_hint().exact()).unwrap_or(0);
        let may_be = if announced > self.limit.0 {
            Err(Failure::too_large(self.limit))
        } else {
            self.bodies.expect(announced)
        };
        may_be.inspect_err(|_| self.discard())
    }

    fn keep(&mut self, data: Bytes) -> Result<(), Failure> {
        let length = self.first.len() + self.rest.len() + data.len();
        let may_be = if length as u64 > self.limit.0 {
            Err(Failure::too_large(self.limit))
        } else {
            self.bodies.hold(&mut self.room, length)
        };
        may_be.inspect_err(|_| self.discard())?;
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&mem::take(&mut self.first));
            }
            self.rest.extend_from_slice(&data);
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.body.take().into_iter().for_each(discard);
    }
}

/// Reads on without keeping anything. The task ends with the body, or after [`DISCARD`].
fn discard(mut body: Incoming) {
    tokio::spawn(tokio::time::timeout(DISCARD, async move { while let Some(Ok(_)) = body.frame().await {} }));
}
