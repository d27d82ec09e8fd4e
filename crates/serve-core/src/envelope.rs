//! The envelope of `model.bin`, and the only place that knows the codec inside.
//!
//! ```text
//! offset  bytes  content
//!      0      8  magic  "SRVMODEL"
//!      8      2  format, little-endian: 2; 1 is read too
//!     10      2  codec, little-endian: 1 = bincode 2, fixed-width little-endian integers
//!     12      8  length of the payload, little-endian
//!     20     32  SHA-256 of the payload
//!     52      n  payload
//! ```
//!
//! Reading treats the bytes as hostile: the length is held against the file's size and the digest against the payload
//! before anything is decoded, and decoding may claim no more memory than a small multiple of the payload.

mod format_one;

use bincode::config::{Configuration, Fixint, LittleEndian, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::digest::Digest;
use crate::ensemble::Model;
use crate::link::Link;
use format_one::SealedOne;

const MAGIC: &[u8; 8] = b"SRVMODEL";
const FORMAT: u16 = 2;
const FORMAT_ONE: u16 = 1;
const BINCODE_2: u16 = 1;
const HEADER: usize = 52;

/// Why bytes are no model, or a model makes no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Shorter than the header.
    #[error("truncated: expected at least {HEADER} bytes, got {got}")]
    Header {
        /// The length.
        got: usize,
    },
    /// The first bytes are something else's.
    #[error("not a model file: it does not begin with SRVMODEL")]
    Magic,
    /// Written by a newer release, or by none.
    #[error("format {got} is none that this release reads ({FORMAT_ONE} to {FORMAT}); a newer serve may")]
    Format {
        /// The format.
        got: u16,
    },
    /// Encoded by something that this release does not know.
    #[error("codec {got} is unknown to this release")]
    Codec {
        /// The codec.
        got: u16,
    },
    /// The payload is not as long as the header says.
    #[error("truncated or padded: the header claims a payload of {claimed} bytes, there are {got}")]
    Length {
        /// What the header says.
        claimed: u64,
        /// What there is.
        got: u64,
    },
    /// The payload is not what was written.
    #[error("damaged: the payload's SHA-256 is {got}, the header says {expected}")]
    Digest {
        /// What the header says.
        expected: Digest,
        /// What there is.
        got: Digest,
    },
    /// The payload does not decode.
    #[error("the payload does not decode: {reason}")]
    Decode {
        /// The codec's reason.
        reason: String,
    },
    /// The value does not encode.
    #[error("the model does not encode: {reason}")]
    Encode {
        /// The codec's reason.
        reason: String,
    },
}

fn config() -> Configuration<LittleEndian, Fixint> {
    standard().with_fixed_int_encoding()
}

/// `value` in an envelope.
///
/// # Errors
/// When the codec cannot encode it.
pub fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, EnvelopeError> {
    let payload = bincode::serde::encode_to_vec(value, config())
        .map_err(|error| EnvelopeError::Encode { reason: error.to_string() })?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&BINCODE_2.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(Digest::of(&payload).as_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// The value in an envelope of the present format.
///
/// # Errors
/// When the bytes are not an envelope, not whole, or do not decode.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EnvelopeError> {
    match payload(bytes)? {
        (FORMAT, payload) => decode_whole(payload),
        (got, _) => Err(EnvelopeError::Format { got }),
    }
}

/// The model and its link function in an envelope of any format that there has been.
///
/// # Errors
/// As [`open`].
pub fn open_model(bytes: &[u8]) -> Result<(Model, Link), EnvelopeError> {
    match payload(bytes)? {
        (FORMAT_ONE, payload) => {
            let sealed: SealedOne = decode_whole(payload)?;
            sealed.upgrade().map_err(|reason| EnvelopeError::Decode { reason })
        }
        _ => open(bytes),
    }
}

fn decode_whole<T: DeserializeOwned>(payload: &[u8]) -> Result<T, EnvelopeError> {
    let decoded = decode(payload).map_err(|reason| EnvelopeError::Decode { reason })?;
    match decoded {
        (value, read) if read == payload.len() => Ok(value),
        (_, read) => {
            let reason = format!("{} bytes are left over", payload.len() - read);
            Err(EnvelopeError::Decode { reason })
        }
    }
}

/// The format and the payload, whole.
fn payload(bytes: &[u8]) -> Result<(u16, &[u8]), EnvelopeError> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(EnvelopeError::Magic);
    }
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(EnvelopeError::Header { got: bytes.len() });
    };
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let format = number(8);
    if !(FORMAT_ONE..=FORMAT).contains(&format) {
        return Err(EnvelopeError::Format { got: format });
    }
    if number(10) != BINCODE_2 {
        return Err(EnvelopeError::Codec { got: number(10) });
    }
    let mut length = [0; 8];
    length.copy_from_slice(&header[12..20]);
    let (claimed, got) = (u64::from_le_bytes(length), payload.len() as u64);
    if claimed != got {
        return Err(EnvelopeError::Length { claimed, got });
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(&header[20..]);
    let (expected, got) = (Digest::from_bytes(digest), Digest::of(payload));
    if expected != got {
        return Err(EnvelopeError::Digest { expected, got });
    }
    Ok((format, payload))
}

/// Decodes under a limit on claimed memory, which the codec wants as a constant: the first of these steps that is at
/// least four times the payload. A length prefix beyond it is an error before anything is allocated.
fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<(T, usize), String> {
    const MIB: usize = 1 << 20;
    fn limited<T: DeserializeOwned, const LIMIT: usize>(payload: &[u8]) -> Result<(T, usize), String> {
        bincode::serde::decode_from_slice(payload, config().with_limit::<LIMIT>()).map_err(|e| e.to_string())
    }
    let claimed = payload.len().saturating_mul(4);
    if claimed <= MIB {
        limited::<T, MIB>(payload)
    } else if claimed <= 16 * MIB {
        limited::<T, { 16 * MIB }>(payload)
    } else if claimed <= 256 * MIB {
        limited::<T, { 256 * MIB }>(payload)
    } else if claimed <= 4096 * MIB {
        limited::<T, { 4096 * MIB }>(payload)
    } else {
        Err("the payload is over 1 GiB".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resealed(payload: &[u8]) -> Vec<u8> {
        let mut bytes = seal(&()).expect("encodes");
        bytes.truncate(12);
        bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend_from_slice(Digest::of(payload).as_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn what_was_sealed_opens() {
        let value = (vec![1.5_f64, -0.0], "text".to_owned());
        assert_eq!(open::<(Vec<f64>, String)>(&seal(&value).expect("encodes")), Ok(value));
    }

    #[test]
    fn every_damage_has_its_own_error() {
        let whole = seal(&vec![1_u32, 2, 3]).expect("encodes");
        let read = |bytes: &[u8]| open::<Vec<u32>>(bytes).expect_err("must be refused");
        assert_eq!(read(&whole[..20]), EnvelopeError::Header { got: 20 });
        assert_eq!(read(b"PK\x03\x04 something else"), EnvelopeError::Magic);
        assert_eq!(read(&whole[..whole.len() - 1]), EnvelopeError::Length { claimed: 20, got: 19 });
        let mut flipped = whole.clone();
        flipped[60] ^= 1;
        assert!(matches!(read(&flipped), EnvelopeError::Digest { .. }));
        let mut newer = whole.clone();
        newer[8] = 9;
        assert_eq!(read(&newer), EnvelopeError::Format { got: 9 });
        let mut other = whole;
        other[10] = 7;
        assert_eq!(read(&other), EnvelopeError::Codec { got: 7 });
    }

    #[test]
    fn hostile_lengths_are_errors() {
        for length in [u64::MAX, 1 << 40, 1 << 30, 1000] {
            let bytes = resealed(&length.to_le_bytes());
            assert!(matches!(open::<Vec<u32>>(&bytes), Err(EnvelopeError::Decode { .. })), "{length}");
            assert!(matches!(open::<String>(&bytes), Err(EnvelopeError::Decode { .. })), "{length}");
        }
        let padded = resealed(&[&1_u64.to_le_bytes()[..], &[0; 9]].concat());
        let error = open::<Vec<u32>>(&padded).expect_err("refused");
        assert_eq!(error.to_string(), "the payload does not decode: 5 bytes are left over");
    }
}
