//! Signed tokens (JSON Web Tokens, RFC 7519), checked as RFC 8725 asks: a key decides the algorithm, issuer and audience
//! are ours, a token ends, and what is not understood is refused.
//!
//! Checking a signature costs as much as many predictions, so that tokens that were checked are remembered by their digest
//! until they end. The memory is bounded, and goes with the keys that it was made with.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr as _;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation};
use serde_json::Value as Json;
use serve_core::{Digest, ModelName};
use thiserror::Error;

use super::config::JwtConfig;
use super::keys::is_name;
use super::token_keys::{self, TokenKey};
use crate::caller::{Caller, Permission, Proof};
use crate::config::Mistake;
use crate::error::{Code, ServiceError};

/// The most tokens that are remembered.
const MOST_REMEMBERED: usize = 8_192;

/// The most keys that are tried for a token that does not say which.
const MOST_TRIED: usize = 4;

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum TokenError {
    #[error("it is no signed token of an algorithm that is taken here")]
    Malformed,
    #[error("its header asks for something that is not done here (crit, b64, enc or zip)")]
    NotUnderstood,
    #[error("it is signed with a key that is not known here")]
    UnknownKey,
    #[error("its algorithm is not that of the key that it names")]
    Algorithm,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has ended")]
    Expired,
    #[error("it does not hold yet")]
    NotYet,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("its claim {0} is missing or not as it should be")]
    Claim(String),
}

impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        let code = if error == TokenError::Expired { Code::TokenExpired } else { Code::InvalidToken };
        Self::new(code, format!("the token is not taken: {error}"))
    }
}

/// Whom a token stands for, and until when in seconds of Unix' time.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) caller: Arc<Caller>,
    until: i64,
}

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Vec<TokenKey>,
    validation: Validation,
    config: JwtConfig,
    /// Read by every request with a token, written at each new token. Holds only what was checked with `keys`.
    remembered: RwLock<HashMap<Digest, Verified>>,
}

impl Tokens {
    /// The keys and rules as configured.
    pub(super) fn new(config: &JwtConfig, mistakes: &mut Vec<Mistake>) -> Self {
        let mut keys = Vec::new();
        if let Some(path) = &config.jwks_file {
            keys.extend(token_keys::set(path, mistakes));
        }
        if let Some(path) = &config.hmac_file {
            keys.extend(token_keys::secret(path, mistakes));
        }
        let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.leeway = config.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(config.issuer.as_slice());
        validation.set_audience(config.audience.as_slice());
        Self { keys, validation, config: config.clone(), remembered: RwLock::default() }
    }

    /// Whom a token stands for that was checked before and has not ended.
    pub(super) fn remembered(&self, digest: &Digest, now: i64) -> Option<Verified> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        remembered.get(digest).filter(|verified| now < verified.until).cloned()
    }

    /// Checks a token and remembers it.
    pub(super) fn verify(&self, token: &str, digest: Digest, now: i64) -> Result<Verified, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let asks = header.crit.is_some() || header.enc.is_some() || header.zip.is_some();
        if asks || header.extras.inner().contains_key("b64") {
            return Err(TokenError::NotUnderstood);
        }
        let claims = self.claims(token, &header)?;
        let verified = self.caller(&claims)?;
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, verified| now < verified.until);
        }
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest, verified.clone());
        Ok(verified)
    }

    /// The claims of a token that one of the keys signed and that holds now.
    fn claims(&self, token: &str, header: &Header) -> Result<Json, TokenError> {
        let mut refused = TokenError::UnknownKey;
        let mut tried = 0;
        for key in self.candidates(header.kid.as_deref()) {
            if key.algorithm != header.alg {
                refused = TokenError::Algorithm;
                continue;
            }
            tried += 1;
            if tried > MOST_TRIED {
                break;
            }
            let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
            match jsonwebtoken::decode::<Json>(token, &key.key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => match refusal(error.kind()) {
                    TokenError::Signature => refused = TokenError::Signature,
                    other => return Err(other),
                },
            }
        }
        Err(refused)
    }

    /// The keys that a token may be signed with: those that it names, else those without a name; all, where it names none.
    fn candidates<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a TokenKey> {
        let named = id.is_some_and(|id| self.keys.iter().any(|key| key.id.as_deref() == Some(id)));
        let fits = move |key: &&TokenKey| match (id, named) {
            (Some(id), true) => key.id.as_deref() == Some(id),
            (Some(_), false) => key.id.is_none(),
            (None, _) => true,
        };
        self.keys.iter().filter(fits)
    }

    fn caller(&self, claims: &Json) -> Result<Verified, TokenError> {
        let wrong = |name: &str| TokenError::Claim(name.to_owned());
        // The library also takes a list, of which one is the issuer; RFC 7519, section 4.1.1, has one text.
        if !claims.get("iss").is_some_and(Json::is_string) {
            return Err(wrong("iss"));
        }
        let until = claims.get("exp").and_then(Json::as_f64).ok_or_else(|| wrong("exp"))?;
        // The cast saturates.
        let leeway = i64::try_from(self.config.leeway.as_secs()).unwrap_or(i64::MAX);
        let until = (until.round() as i64).saturating_add(leeway);
        let name = claim(claims, &self.config.name_claim).and_then(Json::as_str);
        let name = name.filter(|name| is_name(name)).ok_or_else(|| wrong(&self.config.name_claim))?;
        let mut permissions = BTreeSet::new();
        for wanted in &self.config.permissions_claims {
            let Some(value) = claim(claims, wanted) else { continue };
            let words = words(value).ok_or_else(|| wrong(wanted))?;
            permissions.extend(Permission::ALL.into_iter().filter(|one| words.contains(&one.as_str())));
        }
        let caller = Caller::new(name, permissions).known_by(Proof::Token);
        let caller = match claim(claims, &self.config.models_claim) {
            None => caller,
            Some(models) => {
                let models = words(models).ok_or_else(|| wrong(&self.config.models_claim))?;
                // What is no name is no model's.
                caller.only(models.into_iter().filter_map(|name| ModelName::from_str(name).ok()))
            }
        };
        Ok(Verified { caller: Arc::new(caller), until })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.remembered.read().map_or(0, |remembered| remembered.len())
    }
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            TokenError::Claim(claim.clone())
        }
        ErrorKind::InvalidSignature | ErrorKind::Provider(_) => TokenError::Signature,
        _ => TokenError::Malformed,
    }
}

/// A claim by its name, or by a JSON pointer.
fn claim<'a>(claims: &'a Json, name: &str) -> Option<&'a Json> {
    if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) }
}

/// The words of a list, or of a text with spaces between them; nothing, where it is neither.
fn words(value: &Json) -> Option<Vec<&str>> {
    match value {
        Json::String(text) => Some(text.split_ascii_whitespace().collect()),
        Json::Array(items) => items.iter().map(Json::as_str).collect(),
        _ => None,
    }
}

/// Whether a text may be a token: three parts.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

#[cfg(test)]
mod tests;
