//! The keys that tokens are checked with: the public keys of a JSON Web Key Set (RFC 7517), or one shared secret. A key
//! knows its one algorithm, from its `alg` or, where it has none, from its kind; what a token says of that is only compared.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serve_core::words;
use tracing::warn;

use super::files;
use crate::config::Mistake;

/// The most keys of a set.
const MOST_KEYS: usize = 256;

/// The shortest secret for HS256: as long as its digest (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;

/// The sizes of RSA keys in bytes: 2048 bits at least (RFC 7518, section 3.3), and no more than is checked in a short time.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// One key.
#[derive(Debug)]
pub(super) struct TokenKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// The shared secret of a file, without the line's end that editors add.
pub(super) fn secret(path: &Path, mistakes: &mut Vec<Mistake>) -> Option<TokenKey> {
    let mut wrong = |problem: String| {
        mistakes.push(Mistake::new(format!("auth.jwt.hmac_file {}", path.display()), problem));
        None
    };
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(problem) => return wrong(problem),
    };
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.len() < SHORTEST_SECRET {
        return wrong(format!("holds {} bytes; expected {SHORTEST_SECRET} or more, at random", secret.len()));
    }
    if secret.starts_with(b"-----BEGIN") {
        return wrong("holds a PEM file; a key that others know is no secret".to_owned());
    }
    Some(TokenKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
}

/// The keys of a set that can be used. Others, of kinds or for uses that are not ours, are no mistake as long as one can.
pub(super) fn set(path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<TokenKey> {
    let read = files::read(path).and_then(|bytes| {
        let set = serde_json::from_slice::<KeySet>(&bytes);
        set.map_err(|error| format!("is no JSON Web Key Set: {}", words::plain(&error.to_string())))
    });
    let listed = read.and_then(|set| match set.keys.len() {
        0 => Err("has no key".to_owned()),
        count if count > MOST_KEYS => Err(format!("has {count} keys; expected {MOST_KEYS} at most")),
        _ => Ok(set.keys),
    });
    let mut wrong = |problem: String| {
        mistakes.push(Mistake::new(format!("auth.jwt.jwks_file {}", path.display()), problem));
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(problem) => {
            wrong(problem);
            return Vec::new();
        }
    };
    let (mut keys, mut left_out) = (Vec::new(), Vec::new());
    for (at, value) in listed.into_iter().enumerate() {
        match one(value) {
            Ok(key) => keys.push(key),
            Err(why) => left_out.push(format!("key {at}: {why}")),
        }
    }
    if keys.is_empty() {
        wrong(format!("has no key that can be used: {}", left_out.join("; ")));
    } else if !left_out.is_empty() {
        warn!(file = %path.display(), left_out = left_out.join("; "), "some keys for tokens cannot be used");
    }
    keys
}

fn one(value: serde_json::Value) -> Result<TokenKey, String> {
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| words::plain(&error.to_string()))?;
    let used = !matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
    let verifies =
        jwk.common.key_operations.as_ref().is_none_or(|does| does.contains(&KeyOperations::Verify));
    if !used || !verifies {
        return Err("is not for signatures".to_owned());
    }
    let algorithm = algorithm(&jwk)?;
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?;
    check(&jwk, algorithm, &key)?;
    Ok(TokenKey { id: jwk.common.key_id, algorithm, key })
}

/// The one algorithm of a key.
fn algorithm(jwk: &Jwk) -> Result<Algorithm, String> {
    let said = match jwk.common.key_algorithm {
        Some(said @ KeyAlgorithm::UNKNOWN_ALGORITHM) => {
            return Err(format!("has an algorithm that is not known: {said}"));
        }
        said => said.map(Algorithm::try_from).transpose().map_err(|error| error.to_string())?,
    };
    let of_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => match said {
            Some(
                said @ (Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512),
            ) => said,
            _ => Algorithm::RS256,
        },
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Algorithm::ES384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) => {
            return Err("is a shared secret, which belongs into auth.jwt.hmac_file".to_owned());
        }
        _ => return Err("is of a kind or on a curve that is not known".to_owned()),
    };
    match said {
        Some(said) if said != of_kind => Err(format!("says {said:?}, which is not for its kind of key")),
        _ => Ok(of_kind),
    }
}

/// Whether numbers are what their kind needs: the library trusts the lengths of some of them.
fn check(jwk: &Jwk, algorithm: Algorithm, key: &DecodingKey) -> Result<(), String> {
    match (&jwk.algorithm, key.kind()) {
        (AlgorithmParameters::RSA(_), DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let length = n.iter().skip_while(|byte| **byte == 0).count();
            if !RSA_BYTES.contains(&length) {
                return Err(format!("is an RSA key of {} bits; expected 2048 to 4096", length * 8));
            }
            let exponent =
                e.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()));
            match exponent {
                Some(exponent) if exponent >= 3 && exponent % 2 == 1 && exponent < 1 << 33 => Ok(()),
                _ => Err("has an RSA exponent that is none".to_owned()),
            }
        }
        (AlgorithmParameters::OctetKeyPair(_), DecodingKeyKind::SecretOrDer(x)) if x.len() != 32 => {
            Err(format!("is an Ed25519 key of {} bytes; expected 32", x.len()))
        }
        _ => {
            // A signature of nothing verifies under no key; an error is one of the key.
            let empty = if algorithm == Algorithm::ES384 { "A".repeat(128) } else { "A".repeat(86) };
            match jsonwebtoken::crypto::verify(&empty, b"", key, algorithm) {
                Ok(false) => Ok(()),
                Ok(true) => Err("accepts anything".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}
