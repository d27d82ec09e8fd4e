//! Unpacking a request's body, bounded in every way: by the longest body, by the room among all bodies, and by how much packed
//! may come to nothing.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serve_core::ByteSize;

use super::{Encoding, LONGEST_HERE};
use crate::bodies::{Bodies, Room};
use crate::failure::Failure;

/// Packed bytes that a decoder may take without anything coming of them, and how many each byte that does buys it. Nothing
/// that a packer writes is longer than what it packs by more than a little; many empty members, or blocks that hold nothing,
/// are there to be worked on.
const MOST_AHEAD: usize = 64 << 10;
const MOST_PACKED_A_BYTE: usize = 16;

/// How much is unpacked at a time.
const PIECE: usize = 16 << 10;

/// The body as it was before the client packed it, with its room among all bodies.
///
/// # Errors
/// 413 once it is longer than `limit`; 503 where there is no room for it; 400 when it does not unpack.
pub(crate) async fn decoded(
    encoding: Encoding,
    body: Bytes,
    limit: ByteSize,
    room: Option<Room>,
    bodies: &Arc<Bodies>,
) -> Result<(Bytes, Option<Room>), Failure> {
    if body.is_empty() {
        return Ok((body, room));
    }
    let most = usize::try_from(limit.0).unwrap_or(usize::MAX);
    let mut unpacking = Unpacking::new(encoding, body, most, room, bodies);
    let done = match unpacking.go_on(LONGEST_HERE) {
        Ok(false) => {
            let rest = tokio::task::spawn_blocking(move || unpacking.go_on(usize::MAX).map(|_| unpacking));
            rest.await.map_err(|_| Failure::internal())?
        }
        Ok(true) => Ok(unpacking),
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => Ok(done.unpacked()),
        Err(Broken::Room(failure)) => Err(failure),
        Err(Broken::Encoding(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(Failure::too_large(limit))
        }
        Err(Broken::Encoding(error)) => {
            let message = format!("the body is not valid {}: {error}", encoding.as_str());
            Err(Failure::unreadable("malformed_encoding", message))
        }
    }
}

/// A body on its way out of its encoding.
struct Unpacking {
    decoder: Decoder,
    packed: usize,
    out: Vec<u8>,
    most: usize,
    room: Option<Room>,
    bodies: Arc<Bodies>,
}

/// Why a body does not unpack.
#[derive(Debug)]
enum Broken {
    /// It is not what it says, or more than the limit ([`io::ErrorKind::FileTooLarge`]).
    Encoding(io::Error),
    /// There is no room for it among all bodies.
    Room(Failure),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Encoding(error)
    }
}

enum Decoder {
    Gzip(MultiGzDecoder<Packed>),
    Zlib(ZlibDecoder<Packed>),
    Deflate(DeflateDecoder<Packed>),
}

impl Decoder {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(piece),
            Self::Zlib(decoder) => decoder.read(piece),
            Self::Deflate(decoder) => decoder.read(piece),
        }
    }

    fn packed(&mut self) -> &mut Packed {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        }
    }
}

/// Packed bytes, which the decoder is shown only so far ahead of what it makes of them.
struct Packed {
    rest: Bytes,
    ahead: usize,
}

impl Packed {
    fn made(&mut self, bytes: usize) {
        self.ahead = self.ahead.saturating_add(bytes.saturating_mul(MOST_PACKED_A_BYTE)).min(MOST_AHEAD);
    }
}

impl Read for Packed {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let shown = self.fill_buf()?;
        let read = shown.len().min(piece.len());
        piece[..read].copy_from_slice(&shown[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead == 0 && !self.rest.is_empty() {
            let message =
                format!("more than {MOST_AHEAD} bytes of it unpack to nothing, or to next to nothing");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(&self.rest[..self.rest.len().min(self.ahead)])
    }

    fn consume(&mut self, bytes: usize) {
        self.rest.advance(bytes);
        self.ahead -= bytes;
    }
}

impl Unpacking {
    fn new(encoding: Encoding, body: Bytes, most: usize, room: Option<Room>, bodies: &Arc<Bodies>) -> Self {
        let (zlib, packed) = (is_zlib(&body), body.len());
        let body = Packed { rest: body, ahead: MOST_AHEAD };
        let decoder = match encoding {
            Encoding::Gzip => Decoder::Gzip(MultiGzDecoder::new(body)),
            Encoding::Deflate if zlib => Decoder::Zlib(ZlibDecoder::new(body)),
            Encoding::Deflate => Decoder::Deflate(DeflateDecoder::new(body)),
        };
        Self { decoder, packed, out: Vec::new(), most, room, bodies: Arc::clone(bodies) }
    }

    /// Unpacks until `enough` bytes are there; whether that was all.
    fn go_on(&mut self, enough: usize) -> Result<bool, Broken> {
        let mut piece = [0; PIECE];
        while self.out.len() < enough {
            let read = self.decoder.read(&mut piece)?;
            if read == 0 {
                return Ok(true);
            }
            self.decoder.packed().made(read);
            let left = self.most - self.out.len();
            if read > left {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
            }
            if self.out.capacity() - self.out.len() < read {
                // Twice as much each time, and never more than the limit.
                let more = self.out.len().max(PIECE).min(left);
                let all = self.packed + self.out.len() + more;
                self.bodies.hold(&mut self.room, all).map_err(Broken::Room)?;
                self.out.reserve_exact(more);
            }
            self.out.extend_from_slice(&piece[..read]);
        }
        Ok(false)
    }

    /// What was unpacked, without what it was packed in.
    fn unpacked(mut self) -> (Bytes, Option<Room>) {
        self.room.iter_mut().for_each(|room| room.shrink(self.out.capacity()));
        (self.out.into(), self.room)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;

    use super::super::pack;
    use super::*;

    fn unpacked(encoding: Encoding, body: &[u8], most: usize) -> Result<Vec<u8>, io::ErrorKind> {
        let bodies = Bodies::new(ByteSize(64 << 20));
        let mut unpacking = Unpacking::new(encoding, Bytes::copy_from_slice(body), most, None, &bodies);
        let mut turns = 0;
        let kind = |broken| match broken {
            Broken::Encoding(error) => error.kind(),
            Broken::Room(_) => io::ErrorKind::QuotaExceeded,
        };
        while !unpacking.go_on(unpacking.out.len() + PIECE).map_err(kind)? {
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
    fn what_unpacks_to_nothing_is_not_unpacked_to_its_end() {
        let empty = pack(Encoding::Gzip, b"").expect("packs");
        let invalid = Err(io::ErrorKind::InvalidData);
        assert_eq!(unpacked(Encoding::Gzip, &empty.repeat(1_000), 1 << 20), Ok(Vec::new()));
        assert_eq!(unpacked(Encoding::Gzip, &empty.repeat(MOST_AHEAD), 1 << 20), invalid);
        // Blocks that are stored and empty, of which none is the last.
        assert_eq!(unpacked(Encoding::Deflate, &[0, 0, 0, 0xff, 0xff].repeat(MOST_AHEAD), 1 << 20), invalid);
        let long = pack(Encoding::Gzip, &vec![7; 1 << 20]).expect("packs");
        let padded = [long, empty.repeat(MOST_AHEAD)].concat();
        assert_eq!(unpacked(Encoding::Gzip, &padded, 2 << 20), invalid);
        // What is in small pieces, and what no packer makes shorter, unpacks all the same.
        let pieces: Vec<u8> =
            (0..40_000_u32).flat_map(|at| pack(Encoding::Gzip, &at.to_le_bytes())).flatten().collect();
        assert_eq!(unpacked(Encoding::Gzip, &pieces, 1 << 20).map(|out| out.len()), Ok(160_000));
    }

    #[test]
    fn what_unpacks_takes_its_room_among_all_bodies() {
        let packed = Bytes::from(pack(Encoding::Gzip, &vec![7; 1 << 20]).expect("packs"));
        let go_on = |most: u64| {
            let bodies = Bodies::new(ByteSize(most));
            Unpacking::new(Encoding::Gzip, packed.clone(), 1 << 20, None, &bodies).go_on(usize::MAX)
        };
        assert!(matches!(go_on(2 << 20), Ok(true)));
        assert!(matches!(go_on(1 << 20), Err(Broken::Room(_))));
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
