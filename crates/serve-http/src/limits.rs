//! Limits on one request: the length of its body and the time it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use serve_core::ByteSize;

use crate::allowance::Allowance;
use crate::bodies::{Bodies, Room};
use crate::failure::Failure;
use crate::waiting::{self, Waker};

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
pub(crate) async fn read_body(mut body: Incoming, reading: Reading<'_>) -> Result<Received, Failure> {
    let Reading { limit, allowance, waker, bodies } = reading;
    let most = usize::try_from(limit.0).unwrap_or(usize::MAX);
    let announced = body.size_hint().exact().unwrap_or(0);
    let may_be = if announced > limit.0 { Err(Failure::too_large(limit)) } else { bodies.expect(announced) };
    if let Err(failure) = may_be {
        discard(body);
        return Err(failure);
    }
    let (mut first, mut rest, mut room) = (Bytes::new(), BytesMut::new(), None);
    let mut wait = Wait { allowance, waker, total: Duration::ZERO };
    while !body.is_end_stream() {
        let Some(frame) = wait.next(&mut body).await? else { break };
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        let may_be =
            if length > most { Err(Failure::too_large(limit)) } else { bodies.hold(&mut room, length) };
        if let Err(failure) = may_be {
            discard(body);
            return Err(failure);
        }
        // Nearly every body is one piece, which is taken as it is.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    let body = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Received { body, room, waited: wait.total })
}

/// How a body is waited for.
struct Wait {
    allowance: Allowance,
    waker: Waker,
    total: Duration,
}

impl Wait {
    /// The next piece, waited for as long as the allowance lasts.
    async fn next(&mut self, body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Failure> {
        let (frame, waited) = waiting::waited(self.allowance.left(), self.waker, body.frame()).await;
        self.total += waited;
        let Some(frame) = frame else {
            let message = "the body comes too slowly (http.connections.min_bytes_per_second and patience)";
            return Err(Failure::of(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message));
        };
        let broken = |error| Failure::unreadable("body_broken_off", format!("the body broke off: {error}"));
        let frame = frame.transpose().map_err(broken)?;
        self.allowance.wait(waited);
        self.allowance.earn(frame.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64));
        Ok(frame)
    }
}

/// Reads on without keeping anything. The task ends with the body, or after [`DISCARD`].
fn discard(mut body: Incoming) {
    tokio::spawn(tokio::time::timeout(DISCARD, async move { while let Some(Ok(_)) = body.frame().await {} }));
}
