//! A request's head, line by line, read stricter than the parser behind: what two programs could read in two ways (RFC 9112,
//! section 11.2) is refused, and so is what is too large.

use crate::wire::Refusal;

/// The most headers that a request may have; the parser's own limit.
pub(crate) const MAX_HEADERS: usize = 100;

/// What of a line is kept where it comes in pieces: enough for every header that is looked at.
const KEPT: usize = 96;

/// How long heads may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) header_bytes: usize,
    pub(crate) uri_bytes: usize,
}

/// How long the body after a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Bytes(u64),
    Chunked,
    /// HTTP/2.
    Frames,
    /// No more requests: another protocol.
    Tunnel,
}

/// A head, as far as it is read.
#[allow(clippy::struct_excessive_bools, reason = "each is found at another line and stands by itself")]
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The start of the line under way, where it began in an earlier piece.
    line: Vec<u8>,
    /// Length of the line under way.
    line_bytes: usize,
    bytes: usize,
    /// Empty lines before it.
    blanks: usize,
    lines: usize,
    /// HTTP/1.0, and HTTP/1.1; neither where the request line is none, or came in pieces and is too long to be kept.
    old: bool,
    usual: bool,
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
    /// Whether it may ask for the one protocol that is taken; others, such as `h2c`, are passed over (RFC 9110, section 7.8).
    upgrade: bool,
}

impl Head {
    /// Whether nothing of it was read yet. An empty line after a request is nothing; a client that goes on sending them has
    /// begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0 || self.blanks == 1 && self.bytes == 2
    }

    /// Whether not a byte was read.
    pub(crate) fn is_untouched(&self) -> bool {
        self.bytes == 0
    }

    /// Reads one piece: a whole line's end, which `piece` includes, or all that there is of it for now. At the end of the
    /// head tells what follows.
    pub(crate) fn piece(&mut self, piece: &[u8], limits: &HeadLimits) -> Result<Option<Length>, Refusal> {
        self.bytes += piece.len();
        self.line_bytes += piece.len();
        if self.lines == 0 && self.line_bytes > limits.uri_bytes + 64 {
            return Err(Refusal::UriTooLong);
        }
        if self.bytes > limits.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        if piece.last() != Some(&b'\n') {
            let room = KEPT.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend_from_slice(&piece[..room]);
            // A line that is cut off here is looked at by its start and its end alone.
            if room < piece.len() {
                self.line.truncate(KEPT - 1);
                self.line.push(piece[piece.len() - 1]);
            }
            return Ok(None);
        }
        if self.line.is_empty() {
            return self.line(piece, self.line_bytes, limits);
        }
        let mut line = std::mem::take(&mut self.line);
        let room = KEPT.saturating_sub(line.len() + 2).min(piece.len());
        let whole = room == piece.len();
        line.extend_from_slice(&piece[..room]);
        if !whole {
            line.extend_from_slice(&piece[piece.len().saturating_sub(2).max(room)..]);
        }
        self.line(&line, self.line_bytes, limits)
    }

    /// A line with its end; of a long one perhaps only the start and the end.
    fn line(&mut self, line: &[u8], bytes: usize, limits: &HeadLimits) -> Result<Option<Length>, Refusal> {
        self.line_bytes = 0;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Refusal::Malformed("a line of the head ends in LF without CR"));
        };
        if self.lines == 0 {
            return self.request_line(line, bytes, limits);
        }
        if line.is_empty() {
            return self.end().map(Some);
        }
        self.lines += 1;
        if self.lines > MAX_HEADERS + 1 {
            return Err(Refusal::TooManyHeaders);
        }
        self.header(line)?;
        Ok(None)
    }

    fn request_line(
        &mut self,
        line: &[u8],
        bytes: usize,
        limits: &HeadLimits,
    ) -> Result<Option<Length>, Refusal> {
        if line.is_empty() {
            // Some clients send an empty line after a body.
            *self = Self { blanks: self.blanks + 1, bytes: self.bytes, ..Self::default() };
            return Ok(None);
        }
        if line == b"PRI * HTTP/2.0" {
            return Ok(Some(Length::Frames));
        }
        self.lines = 1;
        self.old = line.ends_with(b" HTTP/1.0");
        self.usual = line.ends_with(b" HTTP/1.1");
        let method = line.iter().position(|b| *b == b' ').unwrap_or(0);
        let uri = bytes.saturating_sub(method + 1 + " HTTP/1.1\r\n".len());
        if uri > limits.uri_bytes {
            return Err(Refusal::UriTooLong);
        }
        Ok(None)
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::Malformed(
                "a header goes on in a second line, which has been given up (obs-fold)",
            ));
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err(Refusal::Malformed(
                "a line of the head is no header: it has no colon, or a very long name",
            ));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.last().is_none_or(u8::is_ascii_whitespace) {
            return Err(Refusal::Malformed("a header's name is empty, or a space stands before its colon"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts = self.hosts.saturating_add(1),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade |= may_be_taken(line, value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                return self.content_length(value.trim_ascii());
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return self.transfer_encoding(value.trim_ascii());
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::Malformed("several Content-Length headers"));
        }
        let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        let length = digits.then(|| value.iter().fold(0, |n: u64, digit| n * 10 + u64::from(digit - b'0')));
        self.length = Some(length.ok_or(Refusal::Malformed("Content-Length is not a number of bytes"))?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(Refusal::Malformed("several Transfer-Encoding headers"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    /// What follows the head, which is over.
    fn end(&mut self) -> Result<Length, Refusal> {
        let head = std::mem::take(self);
        match (head.length, head.chunked) {
            (Some(_), true) => Err(Refusal::Malformed("both Content-Length and Transfer-Encoding")),
            (None, true) if head.old => Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0")),
            _ if head.hosts > 1 => Err(Refusal::Malformed("several Host headers")),
            _ if head.hosts == 0 && head.usual => Err(Refusal::MissingHost),
            (None | Some(0), false) if head.upgrade && !head.old => Ok(Length::Tunnel),
            (length, false) => Ok(Length::Bytes(length.unwrap_or(0))),
            (None, true) => Ok(Length::Chunked),
        }
    }
}

/// Whether `value` may name the protocol that is taken, of which of a long line not all may be there.
fn may_be_taken(line: &[u8], value: &[u8]) -> bool {
    const TAKEN: &[u8] = b"websocket";
    line.len() + 2 >= KEPT || value.windows(TAKEN.len()).any(|window| window.eq_ignore_ascii_case(TAKEN))
}
