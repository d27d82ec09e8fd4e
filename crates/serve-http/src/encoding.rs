//! Compressed bodies, both ways: gzip (RFC 1952) and deflate (zlib's format of RFC 1950, as HTTP means it; a bare RFC 1951
//! stream, which some clients send, is told apart by its first bytes).
//!
//! A request's body is held against `http.max_body_bytes` while it unpacks, so what is never allocated is what it claims to
//! unpack to. What is short is done where it is; longer work leaves the threads that serve connections.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body as _;
use serve_core::ByteSize;

use crate::failure::{Dialect, Failure};
use crate::reply::Reply;

/// The encodings that are known, as a refusal tells them.
pub(crate) const KNOWN: &str = "gzip, deflate";

/// Shorter answers are sent as they are: they fit one packet.
const SHORTEST: usize = 1024;

/// Bytes that are packed or unpacked on a thread that serves connections.
const LONGEST_HERE: usize = 64 << 10;

/// How much is unpacked at a time.
const PIECE: usize = 16 << 10;

/// A way to write a body shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Some(Self::Gzip)
        } else if name.eq_ignore_ascii_case("deflate") {
            Some(Self::Deflate)
        } else {
            None
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// The body as it was before the client packed it.
///
/// # Errors
/// 413 once it is longer than `limit`; 400 when it does not unpack.
pub(crate) async fn decoded(encoding: Encoding, body: Bytes, limit: ByteSize) -> Result<Bytes, Failure> {
    if body.is_empty() {
        return Ok(body);
    }
    let most = usize::try_from(limit.0).unwrap_or(usize::MAX);
    let mut unpacking = Unpacking::new(encoding, body, most);
    let done = match unpacking.go_on(LONGEST_HERE) {
        Ok(false) => {
            let rest = tokio::task::spawn_blocking(move || unpacking.go_on(usize::MAX).map(|_| unpacking));
            rest.await.map_err(|_| Failure::internal())?.map(|done| done.out)
        }
        Ok(true) => Ok(unpacking.out),
        Err(error) => Err(error),
    };
    match done {
        Ok(out) => Ok(out.into()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(Failure::too_large(limit)),
        Err(error) => {
            let message = format!("the body is not valid {}: {error}", encoding.as_str());
            Err(Failure::unreadable("malformed_encoding", message))
        }
    }
}

/// How the client says that it packed the body.
///
/// # Errors
/// 415 for an encoding that is not known, or several.
pub(crate) fn content_encoding(headers: &HeaderMap) -> Result<Option<Encoding>, Failure> {
    let mut named = None;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = value.to_str().unwrap_or("not text");
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("identity") {
                continue;
            }
            match Encoding::named(name) {
                Some(encoding) if named.is_none() => named = Some(encoding),
                _ => return Err(Failure::content_encoding(text)),
            }
        }
    }
    Ok(named)
}

/// A body on its way out of its encoding.
struct Unpacking {
    decoder: Decoder,
    out: Vec<u8>,
    most: usize,
}

enum Decoder {
    Gzip(MultiGzDecoder<bytes::buf::Reader<Bytes>>),
    Zlib(ZlibDecoder<bytes::buf::Reader<Bytes>>),
    Deflate(DeflateDecoder<bytes::buf::Reader<Bytes>>),
}

impl Unpacking {
    fn new(encoding: Encoding, body: Bytes, most: usize) -> Self {
        let zlib = is_zlib(&body);
        let decoder = match encoding {
            Encoding::Gzip => Decoder::Gzip(MultiGzDecoder::new(body.reader())),
            Encoding::Deflate if zlib => Decoder::Zlib(ZlibDecoder::new(body.reader())),
            Encoding::Deflate => Decoder::Deflate(DeflateDecoder::new(body.reader())),
        };
        Self { decoder, out: Vec::new(), most }
    }

    /// Unpacks until `enough` bytes are there; whether that was all. More than the limit is [`io::ErrorKind::FileTooLarge`].
    fn go_on(&mut self, enough: usize) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        while self.out.len() < enough {
            let read = match &mut self.decoder {
                Decoder::Gzip(decoder) => decoder.read(&mut piece)?,
                Decoder::Zlib(decoder) => decoder.read(&mut piece)?,
                Decoder::Deflate(decoder) => decoder.read(&mut piece)?,
            };
            if read == 0 {
                return Ok(true);
            }
            let room = self.most - self.out.len();
            if read > room {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if self.out.capacity() - self.out.len() < read {
                // Twice as much each time, and never more than the limit.
                self.out.reserve_exact(self.out.len().max(PIECE).min(room));
            }
            self.out.extend_from_slice(&piece[..read]);
        }
        Ok(false)
    }
}

/// Whether bytes begin as RFC 1950 says: method 8, and a check of the two bytes that 31 divides.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        _ => true,
    }
}

/// What a client takes, in a request's head: the encoding that it likes best, if that is none but ours.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<Encoding> {
    let (mut gzip, mut deflate, mut identity, mut others) = (None, None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().unwrap_or_default();
            let quality =
                pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
            let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok()).unwrap_or(0.0);
            let place = match (name, Encoding::named(name)) {
                (_, Some(Encoding::Gzip)) => &mut gzip,
                (_, Some(Encoding::Deflate)) => &mut deflate,
                ("*", None) => &mut others,
                (name, None) if name.eq_ignore_ascii_case("identity") => &mut identity,
                _ => continue,
            };
            *place = Some(quality);
        }
    }
    let likes = |named: Option<f32>| named.or(others).unwrap_or(0.0);
    let (gzip, deflate) = (likes(gzip), likes(deflate));
    let (best, quality) = if deflate > gzip { (Encoding::Deflate, deflate) } else { (Encoding::Gzip, gzip) };
    // Unpacked is always possible; it is preferred only where that is said.
    (quality > 0.0 && quality >= identity.unwrap_or(0.0)).then_some(best)
}

/// Whether who asks for packed answers in these words unpacks them. tritonclient's asyncio client always asks, since aiohttp
/// does, and unpacks only what `infer` answers.
pub(crate) fn unpacks(dialect: Dialect, path: &str) -> bool {
    dialect != Dialect::Oip || path.ends_with("/infer")
}

/// Whether an answer is long enough to be packed.
pub(crate) fn is_long(reply: &Reply) -> bool {
    reply.body().size_hint().lower() >= SHORTEST as u64
}

/// Packs a long answer, where the client takes that and it is worth it.
pub(crate) async fn encoded(reply: Reply, dialect: Dialect, accepted: Option<Encoding>) -> Reply {
    let (mut parts, body) = reply.into_parts();
    let Some(bytes) = body.into_inner() else { return Reply::from_parts(parts, Full::default()) };
    let error = dialect == Dialect::Oip && parts.status != StatusCode::OK;
    if error || parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Reply::from_parts(parts, Full::new(bytes));
    }
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(encoding) = accepted else { return Reply::from_parts(parts, Full::new(bytes)) };
    let packed = if bytes.len() <= LONGEST_HERE {
        pack(encoding, &bytes)
    } else {
        let whole = bytes.clone();
        let packing = tokio::task::spawn_blocking(move || pack(encoding, &whole)).await;
        packing.unwrap_or_else(|error| Err(io::Error::other(error)))
    };
    match packed {
        Ok(packed) if packed.len() < bytes.len() => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
            Reply::from_parts(parts, Full::new(packed.into()))
        }
        // It does not get shorter. Packing in memory does not fail.
        _ => Reply::from_parts(parts, Full::new(bytes)),
    }
}

/// The fastest level: the third or so that better ones save is not worth several times the work.
fn pack(encoding: Encoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(bytes.len() / 2);
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn the_encoding_that_a_client_likes_best_is_chosen() {
        let of = |values: &[&str]| accepted(&headers(header::ACCEPT_ENCODING, values));
        for none in [
            "",
            "br",
            "identity",
            "gzip;q=0",
            "*;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=x",
            "identity;q=1, *;q=0.1",
        ] {
            assert_eq!(of(&[none]), None, "{none:?}");
        }
        assert_eq!(of(&[]), None);
        for gzip in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip",
            "gzip;q=0.5, deflate;q=0.2",
            "*",
            "br, gzip ; q=0.1",
            "deflate;q=0, *",
        ] {
            assert_eq!(of(&[gzip]), Some(Encoding::Gzip), "{gzip:?}");
        }
        for deflate in ["deflate", "gzip;q=0.2, deflate;q=0.5", "gzip;q=0, *;q=0.1", "identity;q=0, deflate"]
        {
            assert_eq!(of(&[deflate]), Some(Encoding::Deflate), "{deflate:?}");
        }
        assert_eq!(of(&["deflate;q=0.5", "gzip"]), Some(Encoding::Gzip));
    }

    #[test]
    fn one_known_encoding_is_taken() {
        let of =
            |values: &[&str]| content_encoding(&headers(header::CONTENT_ENCODING, values)).map_err(|_| ());
        assert_eq!((of(&[]), of(&[""]), of(&["identity"])), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(
            (of(&["GZip"]), of(&["deflate"])),
            (Ok(Some(Encoding::Gzip)), Ok(Some(Encoding::Deflate)))
        );
        for refused in [&["br"][..], &["gzip, gzip"], &["gzip", "deflate"], &["gzip, br"], &["zstd"]] {
            assert_eq!(of(refused), Err(()), "{refused:?}");
        }
    }

    fn unpacked(encoding: Encoding, body: &[u8], most: usize) -> Result<Vec<u8>, io::ErrorKind> {
        let mut unpacking = Unpacking::new(encoding, Bytes::copy_from_slice(body), most);
        let mut turns = 0;
        while !unpacking.go_on(unpacking.out.len() + PIECE).map_err(|error| error.kind())? {
            turns += 1;
            assert!(turns < 1_000, "it goes on");
        }
        assert!(unpacking.out.capacity() <= most.max(PIECE), "{} were allocated", unpacking.out.capacity());
        Ok(unpacking.out)
    }

    #[test]
    fn what_is_packed_unpacks_up_to_the_limit() {
        let body: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let packed = pack(encoding, &body).expect("packs");
            assert!(packed.len() < body.len() / 10);
            assert_eq!(unpacked(encoding, &packed, body.len()).as_ref(), Ok(&body));
            assert_eq!(unpacked(encoding, &packed, body.len() - 1), Err(io::ErrorKind::FileTooLarge));
            assert_eq!(
                unpacked(encoding, &packed[..packed.len() - 9], 1 << 20),
                Err(io::ErrorKind::UnexpectedEof)
            );
        }
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(&body).expect("packs");
        let bare = bare.finish().expect("packs");
        assert_eq!(unpacked(Encoding::Deflate, &bare, body.len()).as_ref(), Ok(&body));
        let twice = [pack(Encoding::Gzip, b"ab").expect("packs"), pack(Encoding::Gzip, b"c").expect("packs")]
            .concat();
        assert_eq!(unpacked(Encoding::Gzip, &twice, 3), Ok(b"abc".to_vec()));
        assert!(unpacked(Encoding::Gzip, b"{\"inputs\": []}", 1 << 20).is_err());
        assert!(unpacked(Encoding::Gzip, b"", 1 << 20).is_err());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        let bomb = pack(Encoding::Gzip, &zeros).expect("packs");
        drop(zeros);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unpacked(Encoding::Gzip, &bomb, 1 << 20), Err(io::ErrorKind::FileTooLarge));
    }
}
