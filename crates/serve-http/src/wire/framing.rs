//! Where requests begin and end in the bytes of an HTTP/1 connection (RFC 9112, sections 6 and 7).
//!
//! This reads beside the parser, not before it: bytes go on as they came. It only has to know where heads are, so that they
//! can be held against [`Head`](super::head::Head), and it never lets pass what the parser would frame in another way.

use super::frames::Frames;
use super::head::{Head, HeadLimits, Length};
use super::known::Known;
use crate::wire::Refusal;

/// The longest line of a chunk's size, with extensions, which nobody uses.
const CHUNK_LINE: usize = 256;

/// Where in the stream of requests the next byte stands.
#[derive(Debug)]
pub(crate) enum Framing {
    Head(Head),
    Body {
        left: u64,
    },
    Chunk(Chunk),
    /// HTTP/2.
    Frames(Frames),
    /// What comes is no request any more.
    Tunnel,
}

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chunk {
    /// In the line of a chunk's size.
    Size {
        size: u64,
        line: usize,
        extension: bool,
        cr: bool,
    },
    Data {
        left: u64,
    },
    /// Before the CR, or the LF, after a chunk's data.
    DataEnd {
        cr: bool,
    },
    /// In the trailers: length so far, and of the line under way.
    Trailers {
        bytes: usize,
        line: usize,
        cr: bool,
    },
}

const SIZE: Chunk = Chunk::Size { size: 0, line: 0, extension: false, cr: false };

impl Default for Framing {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// What is wrong, and at which byte.
pub(crate) type Offence = (usize, Refusal);

impl Framing {
    /// Whether no part of a request is under way.
    pub(crate) fn between(&self) -> bool {
        matches!(self, Self::Head(head) if head.is_empty())
    }

    /// Whether a head is under way.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self, Self::Head(head) if !head.is_empty())
    }

    /// Follows `bytes`, and says where in them the last head began, if one did.
    pub(crate) fn follow(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        known: &mut Known,
    ) -> Result<Option<usize>, Offence> {
        let (mut at, mut begin) = (0, None);
        while at < bytes.len() {
            if matches!(self, Self::Head(head) if head.is_untouched()) {
                begin = Some(at);
                if known.leads(&bytes[at..]) {
                    *self = Self::Body { left: known.body };
                    at += known.head.len();
                    continue;
                }
            }
            at += match self {
                Self::Tunnel => break,
                Self::Frames(frames) => {
                    frames.follow(&bytes[at..]);
                    break;
                }
                Self::Body { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    *left -= taken as u64;
                    if *left == 0 {
                        *self = Self::default();
                    }
                    taken
                }
                Self::Head(_) => {
                    let taken = self
                        .head(&bytes[at..], limits)
                        .map_err(|(offset, refusal)| (at + offset, refusal))?;
                    if let (Self::Body { left }, Some(begin)) = (&*self, begin) {
                        known.learn(&bytes[begin..at + taken], *left);
                    }
                    taken
                }
                Self::Chunk(chunk) => {
                    let (taken, ended) = chunk
                        .follow(&bytes[at..], limits.header_bytes)
                        .map_err(|(offset, problem)| (at + offset, Refusal::Malformed(problem)))?;
                    if ended {
                        *self = Self::default();
                    }
                    taken
                }
            };
        }
        Ok(begin)
    }

    /// Takes a line, or what there is of it.
    fn head(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<usize, Offence> {
        let Self::Head(head) = self else { return Ok(0) };
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        match head.piece(&bytes[..taken], limits).map_err(|refusal| (taken - 1, refusal))? {
            None | Some(Length::Bytes(0)) => {}
            Some(Length::Bytes(left)) => *self = Self::Body { left },
            Some(Length::Chunked) => *self = Self::Chunk(SIZE),
            Some(Length::Frames) => *self = Self::Frames(Frames::new()),
            Some(Length::Tunnel) => *self = Self::Tunnel,
        }
        Ok(taken)
    }
}

impl Chunk {
    /// How many bytes were taken, and whether the body has ended.
    fn follow(&mut self, bytes: &[u8], most: usize) -> Result<(usize, bool), (usize, &'static str)> {
        if let Self::Data { left } = self {
            let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= taken as u64;
            if *left == 0 {
                *self = Self::DataEnd { cr: false };
            }
            return Ok((taken, false));
        }
        for (at, byte) in bytes.iter().enumerate() {
            let ended = match self {
                Self::Data { .. } => return Ok((at, false)),
                Self::Size { .. } => self.size(*byte),
                Self::DataEnd { .. } => self.data_end(*byte),
                Self::Trailers { .. } => self.trailer(*byte, most),
            };
            if ended.map_err(|problem| (at, problem))? {
                return Ok((at + 1, true));
            }
        }
        Ok((bytes.len(), false))
    }

    fn size(&mut self, byte: u8) -> Result<bool, &'static str> {
        let Self::Size { size, line, extension, cr } = self else { return Ok(false) };
        if *cr {
            if byte != b'\n' {
                return Err("a chunk's size ends in CR without LF");
            }
            *self = match *size {
                0 => Self::Trailers { bytes: 0, line: 0, cr: false },
                left => Self::Data { left },
            };
            return Ok(false);
        }
        match byte {
            b'\r' if *line > 0 => *cr = true,
            b'\n' => return Err("a chunk's size ends in LF without CR"),
            b';' if *line > 0 => *extension = true,
            _ if *extension => {}
            _ => {
                let digit =
                    char::from(byte).to_digit(16).ok_or("a chunk's size is not a hexadecimal number")?;
                // 15 digits are more than any body has, and no overflow.
                if *line >= 15 {
                    return Err("a chunk's size has too many digits");
                }
                *size = *size << 4 | u64::from(digit);
            }
        }
        *line += 1;
        if *line > CHUNK_LINE { Err("the line of a chunk's size is too long") } else { Ok(false) }
    }

    fn data_end(&mut self, byte: u8) -> Result<bool, &'static str> {
        let Self::DataEnd { cr } = self else { return Ok(false) };
        match (byte, *cr) {
            (b'\r', false) => *cr = true,
            (b'\n', true) => *self = SIZE,
            _ => return Err("a chunk is longer than its size says"),
        }
        Ok(false)
    }

    /// `true` after the last line.
    fn trailer(&mut self, byte: u8, most: usize) -> Result<bool, &'static str> {
        let Self::Trailers { bytes, line, cr } = self else { return Ok(false) };
        *bytes += 1;
        if *bytes > most {
            return Err("the trailers are too large");
        }
        match (byte, *cr) {
            (b'\n', false) => return Err("a trailer ends in LF without CR"),
            (b'\n', true) if *line == 0 => return Ok(true),
            (b'\n', true) => (*line, *cr) = (0, false),
            (_, true) => return Err("a trailer ends in CR without LF"),
            (b'\r', false) => *cr = true,
            _ => *line += 1,
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { header_bytes: 4096, uri_bytes: 256 };

    /// The same verdict whole, byte by byte and in pieces.
    fn verdict(bytes: &[u8]) -> Result<bool, Refusal> {
        let run = |size: usize| {
            let (mut framing, mut known) = (Framing::default(), Known::default());
            for piece in bytes.chunks(size) {
                framing.follow(piece, &LIMITS, &mut known).map_err(|(_, refusal)| refusal)?;
            }
            Ok(framing.between())
        };
        let whole = run(bytes.len());
        for size in [1, 2, 3, 7, 64, 95, 97] {
            assert_eq!(run(size), whole, "in pieces of {size}: {}", String::from_utf8_lossy(bytes));
        }
        whole
    }

    #[test]
    fn sound_requests_pass_one_after_the_other() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost:a\r\nContent-Length:  3 \r\n\r\n\0\n\rGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
        ] {
            assert_eq!(verdict(bytes), Ok(true), "{}", String::from_utf8_lossy(bytes));
        }
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(3000));
        assert_eq!(verdict(long.as_bytes()), Ok(true));
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab",
            b"\r\n\r\n",
        ] {
            assert_eq!(verdict(bytes), Ok(false));
        }
    }

    #[test]
    fn a_head_that_is_known_is_followed_as_one_that_is_not() {
        let post = |length: &str, body: &str| {
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
        };
        let (get, long) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", format!("X: {}\r\n", "x".repeat(2_000)));
        for (requests, sound) in [
            ([post("3", "abc"), post("3", "xyz"), post("3", "\r\n\r"), get.to_owned()], true),
            (
                [post("3", "abc"), format!("\r\n{}", post("3", "xyz")), post("4", "abcd"), post("3", "a")],
                false,
            ),
            ([post("3", "abc"), post("30", &"x".repeat(30)), post("0", ""), post("3", "abc")], true),
            ([post("3", "abc"), post("3", "abc"), get.to_owned(), post("3", "abc")], true),
            (
                [post("3", &format!("abc{}", post("3", "abc"))), post("3", "abc"), get.into(), get.into()],
                true,
            ),
            (
                [
                    post("3", "abc").replace("Host", &format!("{long}Host")),
                    post("3", "abc"),
                    get.into(),
                    get.into(),
                ],
                true,
            ),
        ] {
            let all = requests.concat();
            assert_eq!(verdict(all.as_bytes()), Ok(sound), "{all:?}");
            let (mut framing, mut known) = (Framing::default(), Known::default());
            for request in &requests {
                framing.follow(request.as_bytes(), &LIMITS, &mut known).expect("is sound");
            }
            assert_eq!(framing.between(), sound, "{all:?}");
            // What is wrong after it is wrong still.
            let wrong = [all.as_str(), "GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(verdict(wrong.as_bytes()), Err(Refusal::MissingHost), "{wrong:?}");
        }
        let mut known = Known::default();
        Framing::default().follow(post("3", "abc").as_bytes(), &LIMITS, &mut known).expect("is sound");
        assert!(known.leads(post("3", "xyz").as_bytes()) && !known.leads(post("4", "abcd").as_bytes()));
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{long}Content-Length: 3\r\n\r\nabc");
        Framing::default().follow(head.as_bytes(), &LIMITS, &mut known).expect("is sound");
        assert!(!known.leads(head.as_bytes()) && known.head.is_empty(), "is too long to be kept");
    }

    #[test]
    fn what_two_programs_could_read_in_two_ways_is_refused() {
        let post = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        for bytes in [
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
            post("Content-Length: 3, 3\r\n", "abc"),
            post("Content-Length: +3\r\n", "abc"),
            post("Content-Length: -3\r\n", "abc"),
            post("Content-Length: 0x3\r\n", "abc"),
            post("Content-Length: 99999999999999999999\r\n", "abc"),
            post("Content-Length: \r\n", "abc"),
            post("Content-Length : 3\r\n", "abc"),
            post("X: a\r\n b\r\n", ""),
            post(" X: a\r\n", ""),
            post("X\r\n", ""),
            post("Host: b\r\n", ""),
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n"),
            post("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", " 3\r\nabc\r\n0\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc"),
            post("Transfer-Encoding: chunked\r\n", &format!("3;{}", "x".repeat(300))),
            post("Transfer-Encoding: chunked\r\n", "0\r\nx: y\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "3;x\ny\r\nabc\r\n0\r\n\r\n"),
            "GET / HTTP/1.1\nHost: a\n\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned(),
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ] {
            assert!(matches!(verdict(bytes.as_bytes()), Err(Refusal::Malformed(_))), "{bytes:?}");
        }
        for encoding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "\"chunked\"", "xchunked"] {
            let bytes = post(&format!("Transfer-Encoding: {encoding}\r\n"), "");
            assert_eq!(verdict(bytes.as_bytes()), Err(Refusal::TransferEncoding), "{encoding}");
        }
        assert_eq!(verdict(b"GET / HTTP/1.1\r\n\r\n"), Err(Refusal::MissingHost));
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_ends() {
        let uri = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(256));
        assert_eq!(verdict(uri.as_bytes()), Err(Refusal::UriTooLong));
        let fits = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(255));
        assert_eq!(verdict(fits.as_bytes()), Ok(true));
        assert_eq!(verdict(&[b'x'; 400]), Err(Refusal::UriTooLong));
        let flood = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(101));
        assert_eq!(verdict(flood.as_bytes()), Err(Refusal::TooManyHeaders));
        let large = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(4096));
        assert_eq!(verdict(large.as_bytes()), Err(Refusal::HeadersTooLarge));
        assert_eq!(verdict("\r\n".repeat(2_100).as_bytes()), Err(Refusal::HeadersTooLarge));
    }

    #[test]
    fn another_protocol_is_left_alone() {
        for bytes in [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\n\n\n"[..],
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\n\n",
        ] {
            assert_eq!(verdict(bytes), Ok(false));
        }
    }

    #[test]
    fn a_protocol_that_is_not_taken_is_passed_over() {
        let asks = |values: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{values}\r\n");
            let (mut framing, mut known) = (Framing::default(), Known::default());
            framing.follow(head.as_bytes(), &LIMITS, &mut known).expect("is sound");
            matches!(framing, Framing::Tunnel)
        };
        let long = format!("Upgrade: {}\r\n", "a/1, ".repeat(30));
        for (values, expected) in [
            ("Upgrade: h2c\r\n", false),
            ("Upgrade: foo, TLS/1.2\r\n", false),
            ("Upgrade: h2c, WebSocket\r\n", true),
            ("Upgrade: websocket\r\nUpgrade: h2c\r\n", true),
            // What of it was not kept may be anything.
            (&long, true),
        ] {
            assert_eq!(asks(values), expected, "{values:?}");
        }
    }

    #[test]
    fn it_is_told_where_a_request_for_another_protocol_begins() {
        let socket = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x01\x02";
        let (get, post) = (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        );
        for before in [String::new(), get.into(), post.into(), [post, post, get, post].concat()] {
            let all = [before.as_str(), socket].concat();
            let (mut framing, mut known) = (Framing::default(), Known::default());
            let began = framing.follow(all.as_bytes(), &LIMITS, &mut known);
            assert_eq!(began, Ok(Some(before.len())), "{all:?}");
            assert!(matches!(framing, Framing::Tunnel));
            // In two pieces: it began in the one before.
            let (mut framing, mut known) = (Framing::default(), Known::default());
            let (first, second) = all.as_bytes().split_at(before.len() + 7);
            framing.follow(first, &LIMITS, &mut known).expect("is sound");
            assert_eq!(framing.follow(second, &LIMITS, &mut known), Ok(None));
        }
    }
}
