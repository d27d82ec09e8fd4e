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

use crate::connection::{Order, Phase, Place};
use crate::failure::{Dialect, Failure};
use crate::reply;
use crate::transport::Transport;
use framing::Framing;
pub(crate) use head::{HeadLimits, MAX_HEADERS};
use known::Known;

/// What the parser sees of a request that is refused. It looks for an end before it looks at anything else.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// So many turns go by until an answer that is made at once is sent: until its request is read and handed on, the answer made,
/// and the others' answers as well.
const TURNS: u8 = 4;

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
    /// Seconds that browsers shall use TLS only; 0, where that is not said.
    hsts: u64,
    framing: Framing,
    known: Known,
    turn: Turn,
    end: End,
    /// Whether the parser has more than the request under way, so that it does not look whether the client is gone.
    behind: bool,
    refusal: Option<Refusal>,
    /// What the parser has still to see of [`SPOILT`].
    spoilt: &'static [u8],
    /// Whether the parser sees an end, for it reads a body that is refused.
    broken_off: bool,
    /// What is sent in the place of the parser's own refusal, as far as it is not sent yet.
    last_words: Option<Bytes>,
    sending: Sending,
    ahead: Ahead,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing was read since something was written.
    Theirs,
    /// Something was read for which nothing was written yet.
    Ours,
    /// An answer is made, and waits for the others of its turn.
    Others,
}

/// The side of the connection on which is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    /// Something was sent since the connection was told to finish.
    Last,
    Closed,
}

/// The end of what the client sends.
#[derive(Debug, Default)]
struct End {
    /// So many turns it may still be kept from the parser until the next answer.
    turns: u8,
    /// Whether it was.
    kept: bool,
}

/// What was read and looked at, and is to be read by the parser.
#[derive(Debug, Default)]
struct Ahead {
    bytes: Bytes,
    /// Whether it asks for another protocol, once all that was asked before has its answer.
    asks: bool,
}

impl Wire {
    pub(crate) fn new(transport: Transport, place: Place, limits: HeadLimits, hsts: u64) -> Self {
        Self {
            transport,
            place,
            limits,
            hsts,
            framing: Framing::default(),
            known: Known::default(),
            turn: Turn::Theirs,
            end: End::default(),
            behind: false,
            refusal: None,
            spoilt: &[],
            broken_off: false,
            last_words: None,
            sending: Sending::Open,
            ahead: Ahead::default(),
        }
    }

    /// Has bytes read once more that were read already, before all others.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        let ahead = &self.ahead.bytes;
        let bytes = if ahead.is_empty() { bytes } else { [&bytes[..], &ahead[..]].concat().into() };
        // Ends of lines between requests say nothing; and none at all can hold the memory in which others stood.
        let silent = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        self.ahead.bytes = if silent { Bytes::new() } else { bytes };
        // Whoever rests takes as little memory as they can.
        self.known.forget();
    }

    /// Waits until there is something to read, once everything was read that there was. Takes no memory.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.ahead.bytes.is_empty() { self.transport.readable().await } else { Ok(()) }
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

    /// Follows what was read, and says how much of it the parser may see now.
    fn inspect(&mut self, bytes: &[u8]) -> usize {
        let (was_between, was_in_head) = (self.framing.between(), self.framing.in_head());
        if matches!(self.framing, Framing::Tunnel) {
            return bytes.len();
        }
        (self.turn, self.end.turns) = (Turn::Ours, TURNS);
        let began = match self.framing.follow(bytes, &self.limits, &mut self.known) {
            Ok(began) => began,
            Err((at, refusal)) => {
                self.refuse(refusal);
                return at;
            }
        };
        // Of a request that began with these bytes, or goes on with them, no other is before it unless that is under way.
        let first = began.is_none_or(|at| at == 0);
        let next = began.is_some() || was_in_head;
        self.behind = !first || next && self.place.connection.works();
        match &self.framing {
            Framing::Frames(frames) => {
                let phase = if frames.waits() { Phase::Frame } else { Phase::Open };
                self.place.connection.pinged(frames.pings());
                if self.place.connection.phase() != phase || frames.waits() && frames.rested() {
                    self.place.connection.enter(phase);
                }
            }
            Framing::Tunnel if self.behind => {
                self.place.connection.enter(Phase::Idle);
                let began = began.unwrap_or(0);
                self.ahead = Ahead { bytes: Bytes::copy_from_slice(&bytes[began..]), asks: true };
                return began;
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
        let waits = self.turn == Turn::Ours && self.place.connection.sends_together();
        if waits {
            cx.waker().wake_by_ref();
        }
        self.turn = if waits { Turn::Others } else { Turn::Theirs };
        waits
    }

    /// Whether the parser is not to hear yet that nothing more comes: it ends the connection there, whatever was asked on it.
    /// The client may be gone, or have closed its sending side alone. So what is answered at once is answered, and whose answer
    /// is being sent gets all of it.
    fn keeps_end(&mut self, cx: &Context<'_>) -> bool {
        let connection = &self.place.connection;
        // Over HTTP/2 an answer that is not taken may be owed to a client that never opens its window.
        let sends = connection.waits_for_reader() && !matches!(self.framing, Framing::Frames(_));
        let (turn, works) = (self.turn, connection.works());
        self.end.kept = sends || self.takes_turn(cx, turn != Turn::Theirs || works);
        self.end.kept
    }

    /// Takes one of the turns that are left, where there is an answer to be made.
    fn takes_turn(&mut self, cx: &Context<'_>, asked: bool) -> bool {
        let takes = asked && self.end.turns > 0;
        if takes {
            self.end.turns -= 1;
            cx.waker().wake_by_ref();
        }
        takes
    }

    /// Whether the client may still send something. Who was let go while nothing was asked has no answer to lose.
    fn lingers(&self) -> bool {
        let connection = &self.place.connection;
        let let_go =
            connection.order() == Order::Finish && self.sending == Sending::Open && self.framing.between();
        connection.phase() != Phase::Upgraded && !let_go
    }

    /// Ends the connection of a client that is gone while a request of it is under way, where the parser does not notice.
    fn look_after(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ahead.asks && !self.place.connection.works() {
            // The parser takes it that nothing comes.
            cx.waker().wake_by_ref();
        }
        if !self.behind || !self.place.connection.works() {
            return Ok(());
        }
        // Wakes this task where something comes, which may be the end.
        let _comes = self.transport.poll_readable(cx);
        if self.transport.is_closed() && !self.takes_turn(cx, true) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
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
        reply::on_the_wire(failure, Dialect::Native, self.hsts)
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

    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.place.connection.blocked(true),
            Poll::Ready(Ok(bytes)) => {
                self.place.connection.blocked(false);
                self.place.connection.wrote(*bytes);
                if self.place.connection.order() == Order::Finish {
                    self.sending = Sending::Last;
                }
                self.end.turns = TURNS;
            }
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.bytes.is_empty() {
            if this.ahead.asks {
                // The parser looks again as soon as it has its answer.
                if this.place.connection.works() {
                    return Poll::Pending;
                }
                this.ahead.asks = false;
                this.place.connection.enter(Phase::Asking);
            }
            let ahead = &mut this.ahead.bytes;
            let now = ahead.split_to(ahead.len().min(buf.remaining()));
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
        // The parser has read what it had.
        this.behind = false;
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.transport).poll_read(cx, buf));
        let end = buf.filled().len();
        if end > before {
            let sound = this.inspect(&buf.filled()[before..]);
            buf.set_filled(before + sound);
            this.spoil(buf);
            if buf.filled().len() == before {
                // All of it waits.
                return Poll::Pending;
            }
        } else if this.keeps_end(cx) {
            return Poll::Pending;
        }
        Poll::Ready(read)
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
        ready!(polled)?;
        if std::mem::take(&mut this.end.kept) {
            // What was kept from the parser may be told it now.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(this.look_after(cx))
    }

    /// Sends no more. What the client still sends is read and thrown away until it ends too: a socket that is closed with bytes
    /// unread takes back what was sent, and so do bytes that come afterwards.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.sending != Sending::Closed {
            ready!(this.poll_last_words(cx))?;
            let polled = Pin::new(&mut this.transport).poll_shutdown(cx);
            this.place.connection.blocked(polled.is_pending());
            ready!(polled)?;
            if this.lingers() {
                this.place.connection.enter(Phase::Leaving);
            }
            this.sending = Sending::Closed;
        }
        let connection = &this.place.connection;
        while connection.phase() == Phase::Leaving && !connection.lingered() {
            if ready!(this.transport.poll_discard(cx))? == 0 {
                break;
            }
            connection.enter(Phase::Leaving);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Whoever took too long does not get to hold what is still in the system's buffers.
        if self.place.connection.is_cut() {
            self.transport.forget();
        } else {
            self.transport.discard();
        }
    }
}
