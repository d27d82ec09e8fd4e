//! Where the features are: the `features.url` of the configuration and the programs' `--features`. Parsed once, so a store
//! that is not supported is refused with the configuration and not at the first request. What is refused is never repeated
//! in full, because a URL may hold a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::memory::MemoryStore;
use crate::options::StoreOptions;
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresStore, PostgresUrl};
#[cfg(feature = "redis")]
use crate::redis::RedisStore;
use crate::sqlite::{SqliteDatabase, SqliteOptions, SqliteStore};
use crate::store::{FeatureStore, OpenError};

pub use redis::RedisUrl;

mod redis;

/// Where features are kept: `postgres://…`, `redis://HOST`, `sqlite://PATH` or `memory://`. Shown without passwords, also when
/// serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory://`: empty at every start, filled by this process.
    Memory,
    /// `sqlite://features.db` (relative) or `sqlite:///var/lib/features.db` (absolute).
    Sqlite {
        /// The database's file.
        path: PathBuf,
    },
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
    /// `redis://localhost:6379/0`, or `rediss://` for TLS.
    Redis(RedisUrl),
}

/// Why a store's URL was refused. The URL itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// A store that this program was built without.
    #[error("this program was built without `{scheme}://` feature stores")]
    NotBuilt {
        /// The part before `://`.
        scheme: String,
    },
    /// Another scheme.
    #[error(
        "no feature store for `{scheme}://`: expected `postgres://…`, `redis://HOST`, `sqlite://PATH` or `memory://`"
    )]
    Unknown {
        /// The part before `://`.
        scheme: String,
    },
    /// No scheme at all.
    #[error(
        "the feature store's URL has no scheme: expected `postgres://…`, `redis://HOST`, `sqlite://PATH` or `memory://`"
    )]
    NoScheme,
    /// A cache's URL with another scheme, or none.
    #[error("expected a Redis, `redis://HOST:PORT/DATABASE` or `rediss://…`, got {}", scheme.as_ref().map_or("no URL".to_owned(), |scheme| format!("`{scheme}://…`")))]
    NoRedis {
        /// The part before `://`, where there is one.
        scheme: Option<String>,
    },
    /// A good scheme, and a bad rest.
    #[error("the URL `{scheme}://…`: expected {expected}")]
    Rest {
        /// The part before `://`.
        scheme: &'static str,
        /// What should have followed.
        expected: &'static str,
    },
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::NoScheme)?;
        let wrong = |scheme, expected| Err(UrlError::Rest { scheme, expected });
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => wrong("memory", "nothing after `memory://`"),
            "sqlite" if rest.is_empty() => wrong("sqlite", "a file, such as `sqlite://features.db`"),
            "sqlite" if rest.starts_with(":memory:") => wrong("sqlite", "a file; in memory is `memory://`"),
            "sqlite" if rest.contains('?') => wrong("sqlite", "a file without `?` options"),
            "sqlite" => Ok(Self::Sqlite { path: rest.into() }),
            "redis" | "rediss" => Ok(Self::Redis(text.parse()?)),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(PostgresUrl::parse(rest)?))),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(UrlError::NotBuilt { scheme: scheme.to_owned() }),
            other if is_scheme(other) => Err(UrlError::Unknown { scheme: other.to_owned() }),
            _ => Err(UrlError::NoScheme),
        }
    }
}

/// RFC 3986's scheme, and short enough to be shown.
fn is_scheme(text: &str) -> bool {
    text.len() <= 20
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

impl TryFrom<String> for StoreUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory://"),
            Self::Sqlite { path } => write!(f, "sqlite://{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.fmt(f),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

impl StoreUrl {
    /// A SQLite file's URL.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self::Sqlite { path: path.as_ref().to_owned() }
    }
}

/// Opens the store for serving, with the default [`StoreOptions`].
///
/// # Errors
/// As [`open_store_with`].
///
/// ```
/// use serve_features::{StoreUrl, open_store};
/// let folder = tempfile::tempdir()?;
/// let store = open_store(&StoreUrl::sqlite(folder.path().join("features.db")))?;
/// assert_eq!(store.kind(), "sqlite");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_store(url: &StoreUrl) -> Result<Arc<dyn FeatureStore>, OpenError> {
    open_store_with(url, StoreOptions::default())
}

/// Opens the store for serving. A SQLite file that is new gets its tables; a store of an older schema is refused until
/// [`migrate_store`] (`serve-ctl features migrate`) has seen it. A store over the network connects when it is first asked,
/// and refuses an older schema then: a server starts while its database is down.
///
/// # Errors
/// [`OpenError`]; `memory://` always opens.
pub fn open_store_with(url: &StoreUrl, options: StoreOptions) -> Result<Arc<dyn FeatureStore>, OpenError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new())),
        StoreUrl::Sqlite { path } => Ok(Arc::new(SqliteStore::open(path, SqliteOptions::default())?)),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Arc::new(PostgresStore::open(url, options)?)),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => Ok(Arc::new(RedisStore::open(url, options)?)),
        #[cfg(not(feature = "redis"))]
        StoreUrl::Redis(_) => Err(OpenError::NotBuilt { scheme: "redis" }),
    }
}

/// The tables that [`migrate_store`] makes in a store; none where there is nothing to migrate.
#[must_use]
pub fn tables_of(url: &StoreUrl) -> &'static [&'static str] {
    match url {
        StoreUrl::Memory | StoreUrl::Redis(_) => &[],
        StoreUrl::Sqlite { .. } => TABLES,
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(_) => TABLES,
    }
}

const TABLES: &[&str] = &["feature_data", "feature_state", "price_data", "raw_data", "sentiment_data"];

/// Brings a store's schema to this program's version, making its tables where there are none. Blocks; may be done by several
/// programs at once, and again. A store in memory and Redis have nothing to migrate.
///
/// # Errors
/// [`OpenError`]: also for a store of a newer schema.
pub fn migrate_store(url: &StoreUrl, options: StoreOptions) -> Result<(), OpenError> {
    match url {
        StoreUrl::Memory | StoreUrl::Redis(_) => Ok(()),
        StoreUrl::Sqlite { path } => SqliteDatabase::migrate(path, SqliteOptions::default()).map(drop),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => PostgresStore::migrate(url, options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_urls_read_and_write_back() {
        for (text, url) in [
            ("memory://", StoreUrl::Memory),
            ("sqlite://features.db", StoreUrl::sqlite("features.db")),
            ("sqlite:///var/lib/features.db", StoreUrl::sqlite("/var/lib/features.db")),
        ] {
            assert_eq!(text.parse(), Ok(url.clone()));
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    #[cfg(feature = "postgres")]
    fn a_password_is_shown_by_nothing() {
        let url: StoreUrl = "postgres://ann:hunter2@db/x".parse().expect("is a URL");
        assert_eq!(url.to_string(), "postgres://ann:***@db/x");
        let serialised = serde_json::to_string(&url).expect("serialises");
        assert!(!format!("{url:?} {serialised}").contains("hunter2"));
    }

    #[test]
    fn a_refusal_says_what_is_supported() {
        let message = |text: &str| text.parse::<StoreUrl>().expect_err("is refused").to_string();
        assert!(message("mysql://db/x").starts_with("no feature store for `mysql://`"));
        assert!(message("features.db").contains("has no scheme"));
        assert!(message("sqlite://").ends_with("expected a file, such as `sqlite://features.db`"));
        assert!(message("memory://x").ends_with("expected nothing after `memory://`"));
    }

    #[test]
    fn a_refusal_never_shows_the_password() {
        for text in
            ["postgres://ann:hunter2@db:x/x", "mysql://ann:hunter2@db", "ann:hunter2@db", "ann:hunter2://db"]
        {
            let error = text.parse::<StoreUrl>().expect_err("is refused");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
    }
}
