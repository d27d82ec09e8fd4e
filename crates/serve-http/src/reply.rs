//! Answers as bytes.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::{Dialect, Failure};

/// What every handler returns.
pub(crate) type Reply = Response<Full<Bytes>>;

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
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// Text of some type.
pub(crate) fn text(content_type: &'static str, body: String) -> Reply {
    let mut reply = raw(StatusCode::OK, body.into());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A time as answers tell it: RFC 3339, UTC, milliseconds.
pub(crate) fn timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time that is written without a string of its own.
#[derive(Debug)]
pub(crate) struct Millis(pub(crate) Timestamp);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}
