//! What one configuration of authentication comes to: keys, tokens and limits, put together once and then only read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serve_core::Digest;

use super::config::{AuthConfig, AuthMode};
use super::credentials::Credentials;
use super::keys::{self, KeyRing};
use super::tokens::{Tokens, looks_like_one};
use super::usage::{TOKENS, Usage, Usages};
use crate::caller::Caller;
use crate::config::Mistake;
use crate::error::{Code, ServiceError};
use crate::rate::{Meter, Meters, Rate, Taken};

/// The most addresses that are remembered as blocked.
const MOST_BLOCKED: usize = 10_000;

/// Everything that tells who asks.
#[derive(Debug)]
pub(super) struct State {
    mode: AuthMode,
    public: Vec<&'static str>,
    ring: KeyRing,
    tokens: Option<Tokens>,
    subjects: Option<Arc<Meters<Arc<str>>>>,
    token_usage: Arc<Usage>,
    addresses: Option<Arc<Meters<u128>>>,
    failures: Option<Arc<Failures>>,
}

/// Somebody who showed who they are.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) caller: Arc<Caller>,
    pub(super) usage: &'a Usage,
    meter: Option<&'a Meter>,
    by_token: bool,
}

/// Somebody who is not let in.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) error: ServiceError,
    /// Who that is, where it is known all the same.
    pub(super) caller: Option<Arc<Caller>>,
}

impl From<ServiceError> for Stranger {
    fn from(error: ServiceError) -> Self {
        Self { error, caller: None }
    }
}

impl State {
    /// What a configuration comes to. What was counted before goes on where its rate stays.
    pub(super) fn open(
        config: &AuthConfig,
        before: Option<&Self>,
        usages: &Usages,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = config.own_mistakes();
        let mode = config.mode();
        let ring = if mode.keys() { ring(config, before, usages, &mut mistakes) } else { KeyRing::default() };
        let tokens = mode.jwt().then(|| Tokens::new(&config.jwt, &mut mistakes));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let subjects = config.jwt.rate.filter(|_| mode.jwt());
        Ok(Self {
            mode,
            public: config.public.iter().map(|page| page.path()).collect(),
            ring,
            tokens,
            subjects: kept(
                subjects,
                before.and_then(|before| before.subjects.as_ref()),
                Meters::rate,
                Meters::new,
            ),
            token_usage: usages.of(&TOKENS.into()),
            addresses: kept(
                config.rate_per_address,
                before.and_then(|before| before.addresses.as_ref()),
                Meters::rate,
                Meters::new,
            ),
            failures: kept(
                config.failures_per_address.filter(|_| mode != AuthMode::None),
                before.and_then(|before| before.failures.as_ref()),
                |failures| failures.meters.rate(),
                Failures::new,
            ),
        })
    }

    pub(super) fn mode(&self) -> AuthMode {
        self.mode
    }

    /// Whether a path of the table is open to everyone, with what lies below it.
    pub(super) fn is_public(&self, path: &str) -> bool {
        let below =
            |page: &str| path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.public.iter().any(|page| below(page))
    }

    /// Counts a request of an address.
    pub(super) fn count_address(&self, address: IpAddr) -> Option<Taken> {
        self.addresses.as_ref().map(|meters| meters.take("address", network(address)))
    }

    /// Counts a request of somebody who has a limit.
    pub(super) fn count(&self, known: &Known<'_>) -> Option<Taken> {
        match (known.meter, &self.subjects) {
            (Some(meter), _) => Some(meter.take("key")),
            (None, Some(subjects)) if known.by_token => {
                Some(subjects.take("token", known.caller.shared_name()))
            }
            _ => None,
        }
    }

    /// Who shows these credentials. A key is found without effort and always looked for; a token that was not seen before
    /// costs effort, which an address that failed too often is not given.
    pub(super) fn identify(
        &self,
        credentials: Credentials<'_>,
        address: IpAddr,
    ) -> Result<Known<'_>, Stranger> {
        let (secret, bearer) = credentials.secret()?;
        let digest = Digest::of(secret.as_bytes());
        if let Some(client) = self.ring.find(&digest) {
            if client.expires.is_some_and(|until| Timestamp::now() >= until) {
                let error = ServiceError::new(Code::KeyExpired, "the key has expired");
                return Err(Stranger { error, caller: Some(client.caller()) });
            }
            let (caller, meter) = (client.caller(), client.meter.as_deref());
            return Ok(Known { caller, usage: &client.usage, meter, by_token: false });
        }
        let now = Timestamp::now();
        let Some(tokens) = self.tokens.as_ref().filter(|_| bearer) else {
            return Err(self.failed(address, ServiceError::new(Code::InvalidKey, self.unknown_key())).into());
        };
        if let Some(verified) = tokens.remembered(&digest, now.as_second()) {
            return Ok(self.holder(verified.caller));
        }
        if self.mode.keys() && !looks_like_one(secret) {
            return Err(self.failed(address, ServiceError::new(Code::InvalidKey, self.unknown_key())).into());
        }
        if let Some(wait) = self.failures.as_ref().and_then(|failures| failures.blocked(address)) {
            return Err(too_many_failures(wait).into());
        }
        match tokens.verify(secret, digest, now.as_second()) {
            Ok(verified) => Ok(self.holder(verified.caller)),
            Err(error) => Err(self.failed(address, error.into()).into()),
        }
    }

    fn holder(&self, caller: Arc<Caller>) -> Known<'_> {
        Known { caller, usage: &self.token_usage, meter: None, by_token: true }
    }

    fn unknown_key(&self) -> &'static str {
        if self.mode.keys() {
            "the key is not known here"
        } else {
            "keys are not taken here; send a token as `Authorization: Bearer …`"
        }
    }

    /// Counts a failure. Too many of one address are told so in its place.
    fn failed(&self, address: IpAddr, error: ServiceError) -> ServiceError {
        match self.failures.as_ref().and_then(|failures| failures.count(address)) {
            Some(wait) => too_many_failures(wait),
            None => error,
        }
    }
}

/// The keys of a configuration and of its file.
fn ring(
    config: &AuthConfig,
    before: Option<&State>,
    usages: &Usages,
    mistakes: &mut Vec<Mistake>,
) -> KeyRing {
    let mut listed = config.keys.clone();
    if let Some(path) = &config.keys_file {
        listed.extend(keys::read_file(path, mistakes));
    }
    // Later on a file without a key is somebody's way to lock everyone out.
    if listed.is_empty() && before.is_none() && mistakes.is_empty() {
        let problem = "mode asks for keys, and there are none".to_owned();
        mistakes.push(Mistake::new("auth.keys".to_owned(), problem));
    }
    KeyRing::new(&listed, before.map(|before| &before.ring), usages, mistakes)
}

fn too_many_failures(wait: Duration) -> ServiceError {
    let message = "too many wrong keys or tokens came from this address";
    let error = ServiceError::new(Code::TooManyFailures, message);
    ServiceError { retry_after: Some(wait), ..error }
}

/// The meters from before where their rate is still the one that is wanted, else new ones.
fn kept<T>(
    wanted: Option<Rate>,
    before: Option<&Arc<T>>,
    rate: impl Fn(&T) -> Rate,
    make: impl Fn(Rate) -> T,
) -> Option<Arc<T>> {
    let wanted = wanted?;
    let kept = before.filter(|before| rate(before) == wanted);
    Some(kept.map_or_else(|| Arc::new(make(wanted)), Arc::clone))
}

/// What of an address is counted together: all of an IPv4 address, and the 64 bits of an IPv6 address that a subscriber
/// does not choose.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// How often addresses failed to say who they are.
#[derive(Debug)]
struct Failures {
    meters: Meters<u128>,
    /// Until when an address is given no effort. Touched only while there are any, and when one fails too often.
    blocked: Mutex<HashMap<u128, Instant>>,
    count: AtomicUsize,
}

impl Failures {
    fn new(rate: Rate) -> Self {
        Self { meters: Meters::new(rate), blocked: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// Counts a failure; how long to wait, where there were too many.
    fn count(&self, address: IpAddr) -> Option<Duration> {
        let address = network(address);
        let wait = self.meters.take("address", address).wait?;
        let now = Instant::now();
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if blocked.len() >= MOST_BLOCKED {
            blocked.retain(|_, until| *until > now);
        }
        if blocked.len() < MOST_BLOCKED {
            blocked.insert(address, now + wait);
        }
        self.count.store(blocked.len(), Ordering::Relaxed);
        Some(wait)
    }

    /// How long an address is still given no effort.
    fn blocked(&self, address: IpAddr) -> Option<Duration> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        let left = blocked.get(&address)?.checked_duration_since(Instant::now());
        if left.is_none() {
            blocked.remove(&address);
            self.count.store(blocked.len(), Ordering::Relaxed);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_subscriber_chooses_is_counted_together() {
        let of = |text: &str| network(text.parse().expect("is an address"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn an_address_is_blocked_once_it_failed_too_often() {
        let failures = Failures::new("2/h".parse().expect("is a rate"));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!(failures.count(one).is_none() && failures.count(one).is_none());
        assert!(failures.blocked(one).is_none());
        assert!(failures.count(one).is_some() && failures.blocked(one).is_some());
        assert!(failures.blocked(other).is_none() && failures.count(other).is_none());
    }
}
