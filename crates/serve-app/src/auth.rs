//! Who may ask: keys and signed tokens, permissions, rates, and the trail of what was refused. It holds for every
//! protocol; an adapter shows what a request brought and asks [`Locks::enter`].
//!
//! | module | concept |
//! |---|---|
//! | `config` | the `auth` section |
//! | `credentials` | what a request shows |
//! | `keys` | keys by their digests |
//! | `tokens`, `token_keys` | signed tokens, and the keys that they are checked with |
//! | `state` | one configuration, put together |
//! | `audit` | what was refused, and what was administered |
//! | `usage` | counts for a monitoring system |
//!
//! Invariants: a secret is compared in constant time and never written; what a client sends makes no label, no file name
//! and no memory without a bound; a configuration or file that is wrong changes nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricFamily;
use serve_core::ModelName;
use serve_registry::Slot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::caller::{Caller, Permission};
use crate::config::Mistake;
use crate::error::{Code, ServiceError};
use crate::rate::{Standing, Taken};
use crate::striped::Striped;

mod audit;
mod config;
mod credentials;
mod files;
mod keys;
mod state;
mod token_keys;
mod tokens;
mod usage;

pub use audit::{Act, Attempt, Begun};
pub use config::{AuthConfig, AuthMode, JwtConfig, KeyConfig, KeyDigest, PublicPage};
pub use credentials::Credentials;
pub use keys::new_key;

use audit::{Refusal, Refusals};
use files::Stamp;
use state::State;
use usage::{Outcome, Usages};

/// How often it is looked whether a file has changed. It is read once it has stayed the same for as long.
const LOOK: Duration = Duration::from_secs(1);

/// One request at the door.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What it shows.
    pub credentials: Credentials<'a>,
    /// Where it comes from.
    pub address: IpAddr,
    /// The subject of the certificate that its connection showed, for the audit trail.
    pub certificate: Option<&'a str>,
    /// What is asked for, as the audit trail has it: a method, and on what.
    pub what: (&'a str, &'a str),
    /// The administrative act that it is, where it is one, as the audit trail names it.
    pub act: Option<&'a str>,
    /// The line of the adapter's table: one that stands in `auth.public` needs no key.
    pub page: &'a str,
    /// What it takes; nothing, where everyone may ask.
    pub permission: Option<Permission>,
    /// The request's id.
    pub request: &'a str,
}

/// What came of a request at the door.
#[derive(Debug)]
pub struct Entry {
    /// Where the caller and their address stand against their limits.
    pub standings: Standings,
    /// Who asks, or why they are turned away.
    pub outcome: Result<Arc<Caller>, ServiceError>,
    /// Who is turned away, where that is known.
    pub turned_away: Option<Arc<Caller>>,
}

/// Where somebody stands against the limits that hold for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standings([Option<Standing>; 2]);

impl Standings {
    /// Each limit.
    pub fn iter(&self) -> impl Iterator<Item = &Standing> {
        self.0.iter().flatten()
    }

    fn note(&mut self, at: usize, taken: Taken) -> Result<(), ServiceError> {
        self.0[at] = Some(taken.standing);
        let Some(wait) = taken.wait else { return Ok(()) };
        let Standing { policy, rate, .. } = taken.standing;
        let message = format!("too many requests: the limit of this {policy} is {rate}");
        Err(ServiceError { retry_after: Some(wait), ..ServiceError::new(Code::RateLimited, message) })
    }
}

/// Tells who asks, and whether they may.
#[derive(Debug)]
pub struct Locks {
    /// Read by every request; replaced when keys change.
    state: Slot<State>,
    /// Held while keys change, so that they change one after the other.
    followed: Mutex<Followed>,
    trouble: Mutex<Option<Arc<str>>>,
    usages: Usages,
    refusals: Refusals,
    /// For each thread its own: they count the owners of the same one all the time.
    anyone: Striped<Arc<Caller>>,
    nobody: Striped<Arc<Caller>>,
}

/// What the state was made from.
#[derive(Debug)]
struct Followed {
    config: AuthConfig,
    loaded: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl Followed {
    fn of(config: &AuthConfig) -> Self {
        let stamps = stamps(config);
        Self { config: config.clone(), loaded: stamps.clone(), seen: stamps }
    }
}

fn files_of(config: &AuthConfig) -> impl Iterator<Item = &PathBuf> {
    [&config.keys_file, &config.jwt.jwks_file, &config.jwt.hmac_file].into_iter().flatten()
}

fn stamps(config: &AuthConfig) -> Vec<Stamp> {
    files_of(config).map(|path| Stamp::of(path)).collect()
}

impl Locks {
    /// What a configuration asks for.
    ///
    /// # Errors
    /// Every mistake in it and in the files that it names.
    pub fn new(config: &AuthConfig) -> Result<Self, Vec<Mistake>> {
        let usages = Usages::default();
        // Looked at first: what changes while it is read is read again.
        let followed = Followed::of(config);
        let state = State::open(config, None, &usages)?;
        Ok(Self {
            state: Slot::new(state),
            followed: Mutex::new(followed),
            trouble: Mutex::default(),
            usages,
            refusals: Refusals::default(),
            anyone: Striped::new(|| Arc::new(Caller::anyone())),
            nobody: Striped::new(|| Arc::new(Caller::new("anonymous", []).only([]))),
        })
    }

    fn publish(&self, state: State) {
        drop(self.state.store(state));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How callers are told apart now.
    #[must_use]
    pub fn mode(&self) -> AuthMode {
        self.state.with(State::mode)
    }

    /// Whether a line of an adapter's table stands in `auth.public`.
    #[must_use]
    pub fn is_public(&self, page: &str) -> bool {
        self.state.with(|state| state.is_public(page))
    }

    /// Takes another configuration from the next request on. What was counted goes on where rates stay.
    ///
    /// # Errors
    /// Every mistake in it; then everything stays as it was.
    pub fn reconfigure(&self, config: &AuthConfig) -> Result<(), Vec<Mistake>> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Followed::of(config);
        let state = State::open(config, Some(&*self.state.load()), &self.usages)?;
        self.publish(state);
        *followed = next;
        Ok(())
    }

    /// Why files that changed could not be taken over, as long as that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again if they have changed, and stayed so since the last look. A file that is wrong changes nothing
    /// and is told of, once.
    pub fn look(&self) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&followed.config);
        let (changed, settled) = (now != followed.loaded, now == followed.seen);
        followed.seen.clone_from(&now);
        if !changed || !settled {
            return;
        }
        followed.loaded = now;
        match State::open(&followed.config, Some(&*self.state.load()), &self.usages) {
            Ok(state) => {
                self.publish(state);
                info!("the keys were read again");
            }
            Err(mistakes) => {
                let told = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                warn!(mistakes = told, "keys that changed cannot be taken over; those from before hold");
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(told.into());
            }
        }
    }

    /// Looks after the files, and after refusals that are still to be told, until the handle is aborted.
    pub fn follow(self: &Arc<Self>) -> JoinHandle<()> {
        let locks = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                locks.refusals.settle();
                let looking = Arc::clone(&locks);
                if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
                    return;
                }
            }
        })
    }

    /// Tells who asks and whether they may, counts it, and writes down who is turned away.
    #[must_use]
    pub fn enter(&self, asked: &Asked<'_>) -> Entry {
        let mut standings = Standings::default();
        let mut turned_away = None;
        let outcome = self.state.with(|state| self.decide(state, asked, &mut standings, &mut turned_away));
        if let Err(error) = &outcome {
            self.turned_away(asked, turned_away.as_deref(), error);
        }
        Entry { standings, outcome, turned_away }
    }

    fn decide(
        &self,
        state: &State,
        asked: &Asked<'_>,
        standings: &mut Standings,
        turned_away: &mut Option<Arc<Caller>>,
    ) -> Result<Arc<Caller>, ServiceError> {
        let Some(permission) = asked.permission.filter(|_| !state.is_public(asked.page)) else {
            return Ok(self.passer_by(state, asked));
        };
        if let Some(taken) = state.count_address(asked.address) {
            standings.note(0, taken)?;
        }
        if state.mode() == AuthMode::None {
            return Ok(Arc::clone(&self.anyone.mine()));
        }
        let known = state.identify(asked.credentials, asked.address).map_err(|stranger| {
            *turned_away = stranger.caller;
            about_page(asked, stranger.error)
        })?;
        let counted = state.count(&known).map_or(Ok(()), |taken| standings.note(1, taken));
        let (outcome, decided) = match counted {
            Err(error) => (Outcome::RateLimited, Err(error)),
            Ok(()) if known.caller.may(permission) => (Outcome::Admitted, Ok(())),
            Ok(()) => (Outcome::NotPermitted, Err(not_permitted(&known.caller, asked, permission))),
        };
        known.usage.count(permission, outcome);
        match decided {
            Ok(()) => Ok(known.caller),
            Err(error) => {
                *turned_away = Some(known.caller);
                Err(error)
            }
        }
    }

    /// Who asks for what is open to everyone: whoever they show to be, and nobody where that cannot be told.
    fn passer_by(&self, state: &State, asked: &Asked<'_>) -> Arc<Caller> {
        match (state.mode(), asked.credentials) {
            (AuthMode::None, _) => Arc::clone(&self.anyone.mine()),
            (_, Credentials::None) => Arc::clone(&self.nobody.mine()),
            (_, shown) => match state.identify(shown, asked.address) {
                Ok(known) => known.caller,
                Err(_) => Arc::clone(&self.nobody.mine()),
            },
        }
    }

    fn turned_away(&self, asked: &Asked<'_>, who: Option<&Caller>, error: &ServiceError) {
        self.usages.refused(error.code);
        self.refusals.write(Refusal {
            who,
            from: Some(asked.address),
            certificate: asked.certificate,
            request: asked.request,
            what: asked.what,
            act: asked.act,
            model: None,
            error,
        });
    }

    /// Writes down that a known caller may not use a model, or what belongs to several: once a request, whose rows may ask for
    /// many.
    pub(crate) fn kept_from(
        &self,
        context: &crate::Context,
        model: Option<&ModelName>,
        error: &ServiceError,
    ) {
        if context.keep_from() {
            return;
        }
        self.usages.refused(error.code);
        let origin = context.origin();
        self.refusals.write(Refusal {
            who: Some(context.caller()),
            from: origin.address,
            certificate: origin.certificate.as_deref(),
            request: &origin.request,
            what: origin.asked.unwrap_or(("use", "what is not among its models")),
            act: None,
            model,
            error,
        });
    }

    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        if self.mode() == AuthMode::None { Vec::new() } else { self.usages.families() }
    }
}

fn not_permitted(caller: &Caller, asked: &Asked<'_>, permission: Permission) -> ServiceError {
    let (name, method, page) = (caller.name(), asked.what.0, asked.page);
    let message = format!("{name:?} may not {method} {page}: it needs the permission {permission}");
    ServiceError::new(Code::NotPermitted, message)
}

/// A browser cannot show a key when it opens a page; the refusal of one tells what can be done.
fn about_page(asked: &Asked<'_>, error: ServiceError) -> ServiceError {
    let page = matches!(asked.page, "/docs" | "/docs/" | "/docs/{file}" | "/redoc" | "/openapi.json");
    if !page || error.code != Code::Unauthenticated {
        return error;
    }
    let message = format!(
        "{}; a browser sends none with a page's address: auth.public: [/docs, /redoc, /openapi.json] opens these pages, \
         and their \"Authorize\" takes the key for what they send",
        error.message
    );
    ServiceError { message, ..error }
}

impl Default for Locks {
    /// Everyone may ask.
    fn default() -> Self {
        Self::new(&AuthConfig::default()).expect("the defaults ask for no key and name no file")
    }
}

#[cfg(test)]
mod tests;
