//! Compressed bodies, both ways: gzip (RFC 1952) and deflate (zlib's format of RFC 1950, as HTTP means it; a bare RFC 1951
//! stream, which some clients send, is told apart by its first bytes).
//!
//! A request's body is held against its limits while it unpacks (`unpacking`), so what is never allocated is what it claims to
//! unpack to. What is short is done where it is; longer work leaves the threads that serve connections.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body as _;

use crate::failure::{Dialect, Failure};
use crate::reply::Reply;

pub(crate) use unpacking::decoded;

mod unpacking;

/// The encodings that are known, as a refusal tells them.
pub(crate) const KNOWN: &str = "gzip, deflate";

/// Shorter answers are sent as they are: they fit one packet.
const SHORTEST: usize = 1024;

/// Bytes that are packed or unpacked on a thread that serves connections.
const LONGEST_HERE: usize = 64 << 10;

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
}
