//! A connection's bytes, between the socket and the HTTP parser.
//!
//! Three things happen here, because neither the parser nor a handler could do them:
//! - heads are held against rules that are stricter than the parser's (`head`, `framing`). In the place of the offending byte
//!   and all after it the parser sees a NUL, which no head may have, and an end, or in a body the end of all: so it refuses the
//!   request in its turn, after the answers to those before it;
//! - the parser's own refusals have no body. They are told by what they lack, an id, and replaced by ones of ours;
//! - the connection's state is noted for the watchman ([`crate::connection`]).

mod frames;
mod framing;
mod head;
mod known;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Phase, Place};
use crate::failure::{Dialect, Failure};
use crate::reply;
use crate::transport::Transport;
use framing::Framing;
pub(crate) use head::{HeadLimits, MAX_HEADERS};
use known::Known;

/// What the parser sees of a request that is refused. It looks for an end before it looks at anything else.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(&'static str),
    MissingHost,
    UriTooLong,
    HeadersTooLarge,
    TooManyHeaders,
    TransferEncoding,
    /// The head did not come in time.
    Slow,
}

impl Refusal {
    fn failure(self, limits: &HeadLimits) -> Failure {
        match self {
            Self::Malformed(problem) => Failure::unreadable("malformed_request", problem),
            Self::MissingHost => Failure::unreadable("missing_host", "an HTTP/1.1 request names its host"),
            Self::UriTooLong => Failure::uri_too_long(limits.uri_bytes),
            Self::HeadersTooLarge => Failure::headers_too_large(limits.header_bytes),
            Self::TooManyHeaders => Failure::too_many_headers(MAX_HEADERS),
            Self::TransferEncoding => {
                let message = "the only Transfer-Encoding here is chunked";
                Failure::of(StatusCode::NOT_IMPLEMENTED, "unsupported_transfer_encoding", message)
            }
            Self::Slow => {
                let message = "the request's head did not come in time (http.header_timeout)";
                Failure::of(StatusCode::REQUEST_TIMEOUT, "timeout", message)
            }
        }
    }
}

/// The stream that the parser reads and writes.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    /// Given back with the socket, which another protocol may keep for longer than HTTP.
    place: Place,
    limits: HeadLimits,
    framing: Framing,
    known: Known,
    /// Whether something was read for which nothing was written yet.
    asked: bool,
    refusal: Option<Refusal>,
    /// What the parser has still to see of [`SPOILT`].
    spoilt: &'static [u8],
    /// Whether the parser sees an end, for it reads a body that is refused.
    broken_off: bool,
    /// What is sent in the place of the parser's own refusal, as far as it is not sent yet.
    last_words: Option<Bytes>,
    /// Whether the sending side was closed.
    closed: bool,
    /// What was read and looked at, and is to be read once more.
    ahead: Bytes,
}

impl Wire {
    pub(crate) fn new(transport: Transport, place: Place, limits: HeadLimits) -> Self {
        Self {
            transport,
            place,
            limits,
            framing: Framing::default(),
            known: Known::default(),
            asked: false,
            refusal: None,
            spoilt: &[],
            broken_off: false,
            last_words: None,
            closed: false,
            ahead: Bytes::new(),
        }
    }

    /// Has bytes read once more that were read already, before all others.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        debug_assert!(self.ahead.is_empty(), "nobody reads less than what was put back");
        // Ends of lines between requests say nothing; and none at all can hold the memory in which others stood.
        let silent = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        self.ahead = if silent { Bytes::new() } else { bytes };
        // Whoever rests takes as little memory as they can.
        self.known.forget();
    }

    /// Waits until there is something to read, once everything was read that there was. Takes no memory.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.ahead.is_empty() { self.transport.readable().await } else { Ok(()) }
    }

    /// Refuses what comes.
    fn refuse(&mut self, refusal: Refusal) {
        // A body is never whole if it ends; that it has a NUL may be all right.
        (self.broken_off, self.spoilt) =
            if matches!(self.framing, Framing::Chunk(_)) { (true, &[][..]) } else { (false, SPOILT) };
        (self.refusal, self.framing) = (Some(refusal), Framing::Tunnel);
        self.place.connection.enter(Phase::Refused);
    }

    /// Shows the parser what it has to see of a request that is refused.
    fn spoil(&mut self, buf: &mut ReadBuf<'_>) {
        let (now, later) = self.spoilt.split_at(self.spoilt.len().min(buf.remaining()));
        buf.put_slice(now);
        self.spoilt = later;
    }

    /// Follows what was read, and says how much of it is sound.
    fn inspect(&mut self, bytes: &[u8]) -> usize {
        let (was_between, was_tunnel) = (self.framing.between(), matches!(self.framing, Framing::Tunnel));
        if was_tunnel {
            return bytes.len();
        }
        self.asked = true;
        if let Err((at, refusal)) = self.framing.follow(bytes, &self.limits, &mut self.known) {
            self.refuse(refusal);
            return at;
        }
        match &self.framing {
            Framing::Frames(frames) => {
                let phase = if frames.waits() { Phase::Frame } else { Phase::Open };
                self.place.connection.pinged(frames.pings());
                if self.place.connection.phase() != phase || frames.waits() && frames.rested() {
                    self.place.connection.enter(phase);
                }
            }
            Framing::Tunnel => self.place.connection.enter(Phase::Asking),
            framing if framing.in_head() => {
                if was_between || self.place.connection.phase() != Phase::Head {
                    self.place.connection.enter(Phase::Head);
                }
            }
            framing if framing.between() => self.place.connection.enter(Phase::Idle),
            _ => self.place.connection.enter(Phase::Body),
        }
        bytes.len()
    }

    /// Has the first piece of an answer wait until the loop has seen to all who wait for it now.
    fn waits_for_others(&mut self, cx: &Context<'_>) -> bool {
        let waits = std::mem::take(&mut self.asked) && self.place.connection.sends_together();
        if waits {
            cx.waker().wake_by_ref();
        }
        waits
    }

    /// The parser's refusal, if these bytes are one: all answers of ours have an id.
    fn replace(&mut self, bytes: &[u8]) -> bool {
        let theirs = bytes.starts_with(b"HTTP/1.")
            && bytes.get(9) == Some(&b'4')
            && bytes.len() < 256
            && !bytes.windows(12).any(|window| window == b"x-request-id");
        if theirs && self.last_words.is_none() {
            let status = bytes.get(9..12).and_then(|text| StatusCode::from_bytes(text).ok());
            self.last_words = Some(self.words(status.unwrap_or(StatusCode::BAD_REQUEST)));
            self.place.connection.enter(Phase::Refused);
        }
        theirs
    }

    fn words(&self, status: StatusCode) -> Bytes {
        let failure = match self.refusal {
            Some(refusal) => refusal.failure(&self.limits),
            None if status == StatusCode::URI_TOO_LONG => Failure::uri_too_long(self.limits.uri_bytes),
            None if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Failure::headers_too_large(self.limits.header_bytes)
            }
            None => Failure::unreadable("malformed_request", "the request is not HTTP"),
        };
        self.place.connection.count_refused_head();
        reply::on_the_wire(failure, Dialect::Native)
    }

    /// Sends what is left of the last words.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(words) = &mut self.last_words {
            if words.is_empty() {
                break;
            }
            let sent = ready!(Pin::new(&mut self.transport).poll_write(cx, words))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            words.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.place.connection.blocked(true),
            Poll::Ready(Ok(bytes)) => {
                self.place.connection.blocked(false);
                self.place.connection.wrote(*bytes);
            }
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let now = this.ahead.split_to(this.ahead.len().min(buf.remaining()));
            buf.put_slice(&now);
            return Poll::Ready(Ok(()));
        }
        if this.place.connection.is_too_slow() && this.refusal.is_none() {
            this.refuse(Refusal::Slow);
        }
        if !this.spoilt.is_empty() {
            this.spoil(buf);
            return Poll::Ready(Ok(()));
        }
        if this.broken_off {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.transport).poll_read(cx, buf))?;
        let end = buf.filled().len();
        if end > before {
            let sound = this.inspect(&buf.filled()[before..]);
            buf.set_filled(before + sound);
            this.spoil(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.waits_for_others(cx) {
            return Poll::Pending;
        }
        if this.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.waits_for_others(cx) {
            return Poll::Pending;
        }
        if let [only] = pieces
            && this.replace(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let polled = Pin::new(&mut this.transport).poll_write_vectored(cx, pieces);
        this.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_last_words(cx))?;
        let polled = Pin::new(&mut this.transport).poll_flush(cx);
        this.place.connection.blocked(polled.is_pending());
        polled
    }

    /// After a refusal what the client still sends is read and thrown away, until it hears: a socket that is closed with
    /// bytes unread takes back what was sent. The watchman ends this.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            ready!(this.poll_last_words(cx))?;
            ready!(Pin::new(&mut this.transport).poll_shutdown(cx))?;
            this.closed = true;
        }
        if this.last_words.is_none() && this.refusal.is_none() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.transport).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Whoever took too long does not get to hold what is still in the system's buffers.
        if self.place.connection.is_cut() {
            self.transport.forget();
        }
    }
}
