//! Answers as bytes.

use std::cell::Cell;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde::Serialize;
use serve_app::text::Millis;

use crate::failure::{Dialect, Failure};

/// What every handler returns.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Headers that an answer may have without growing its table.
const HEADERS: usize = 12;

thread_local! {
    /// The emptied table of a request that this thread has answered. The parser reads the next request of a connection into the
    /// table of its last answer: so, where an answer takes that of a request, no table is made for either.
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// Takes the table of a request that has its answer.
pub(crate) fn spare(mut headers: HeaderMap) {
    if (HEADERS..=4 * HEADERS).contains(&headers.capacity()) {
        headers.clear();
        SPARE.set(Some(headers));
    }
}

/// `value` as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Reply {
    let mut body = Vec::with_capacity(1024);
    if serde_json::to_writer(&mut body, value).is_err() {
        // Only a map with keys that are not text fails, and no answer of ours has one.
        return Failure::internal().reply(Dialect::Native, "");
    }
    raw(status, body.into())
}

/// JSON that is written already.
pub(crate) fn raw(status: StatusCode, body: Bytes) -> Reply {
    of(status, "application/json", body)
}

/// Bytes of some type.
pub(crate) fn of(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    *reply.headers_mut() = SPARE.take().unwrap_or_else(|| HeaderMap::with_capacity(HEADERS));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Text of some type.
pub(crate) fn text(content_type: &'static str, body: String) -> Reply {
    of(StatusCode::OK, content_type, body.into())
}

/// A failure as the bytes of HTTP/1.1, for a client whose request the parser does not know; the connection ends with it. `hsts`
/// is for how many seconds TLS only shall be used, where that is said.
pub(crate) fn on_the_wire(failure: Failure, dialect: Dialect, hsts: u64) -> Bytes {
    let id = crate::id::new().hyphenated().to_string();
    let (parts, body) = failure.reply(dialect, &id).into_parts();
    let body = whole(body);
    let mut bytes =
        format!("HTTP/1.1 {}\r\nconnection: close\r\nx-request-id: {id}\r\n", parts.status).into_bytes();
    bytes.extend_from_slice(b"x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n");
    bytes.extend_from_slice(
        format!("cache-control: no-store\r\ncontent-length: {}\r\n", body.len()).as_bytes(),
    );
    if hsts > 0 {
        bytes.extend_from_slice(format!("strict-transport-security: max-age={hsts}\r\n").as_bytes());
    }
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()) {
        bytes.extend_from_slice(format!("date: {date}\r\n").as_bytes());
    }
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes.into()
}

/// The bytes of a body that is one piece.
fn whole(mut body: Full<Bytes>) -> Bytes {
    let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
    match hyper::body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut waker) {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// A time as answers tell it: RFC 3339, UTC, milliseconds.
pub(crate) fn timestamp(at: Timestamp) -> String {
    Millis(at).to_string()
}
