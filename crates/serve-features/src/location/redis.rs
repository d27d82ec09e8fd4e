//! `redis://` URLs. What Redis itself needs is left as it stands; our own settings follow as a query. Whatever may be a
//! secret is shown as `***`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{UrlError, is_scheme};

/// Keys begin with this where a URL says nothing else.
const PREFIX: &str = "serve";
/// Rows kept of an entity where a URL says nothing else.
const HISTORY: u32 = 100;
/// The longest prefix of keys.
const PREFIX_BYTES: usize = 64;

/// `redis://[user[:password]@]host[:port][/database][?prefix=serve&history=100]`, or `rediss://…` for TLS, which may name its
/// authority with `ca=/etc/ssl/ours.pem`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisUrl {
    tls: bool,
    /// As Redis' own URLs have it, percent-encoded.
    credentials: Option<String>,
    address: String,
    ca: Option<PathBuf>,
    prefix: String,
    history: u32,
}

impl RedisUrl {
    /// What every key begins with, so that several services share a database.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many rows of an entity are kept, the newest.
    #[must_use]
    pub fn history(&self) -> u32 {
        self.history
    }

    /// The file of the authority that vouches for the server, instead of those that the system knows.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    fn scheme(&self) -> &'static str {
        scheme(self.tls)
    }

    /// Without our settings, and with the password: for the client only.
    #[cfg(feature = "redis")]
    pub(crate) fn address(&self) -> String {
        let credentials = self.credentials.as_deref().map(|c| format!("{c}@")).unwrap_or_default();
        format!("{}://{credentials}{}", self.scheme(), self.address)
    }

    /// What follows `redis://` or `rediss://`.
    fn parse(tls: bool, rest: &str) -> Result<Self, UrlError> {
        let scheme = scheme(tls);
        let wrong = |expected| UrlError::Rest { scheme, expected };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials.to_owned()), host),
            None => (None, authority),
        };
        if [database, query].iter().any(|part| part.contains('@')) || rest.contains('#') {
            return Err(wrong("`/`, `?` and `#` in a password as `%2F`, `%3F` and `%23`"));
        }
        if !is_host(host) {
            return Err(wrong("a host and perhaps a port, such as `redis://localhost:6379`"));
        }
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err(wrong("a database's number after the host, such as `redis://localhost/0`"));
        }
        let address = if database.is_empty() { host.to_owned() } else { format!("{host}/{database}") };
        let (prefix, history) = (PREFIX.to_owned(), HISTORY);
        let mut url = Self { tls, credentials, address, ca: None, prefix, history };
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            url.set(setting)?;
        }
        Ok(url)
    }

    fn set(&mut self, setting: &str) -> Result<(), UrlError> {
        let wrong = |expected| Err(UrlError::Rest { scheme: self.scheme(), expected });
        match setting.split_once('=') {
            Some(("prefix", prefix)) if is_prefix(prefix) => prefix.clone_into(&mut self.prefix),
            Some(("prefix", _)) => return wrong("a prefix of 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`"),
            Some(("history", rows)) => match u32::from_str(rows) {
                Ok(rows @ 1..) => self.history = rows,
                _ => return wrong("`history` as a number of rows, 1 or more"),
            },
            Some(("ca", file)) if self.tls && !file.is_empty() => self.ca = Some(file.into()),
            Some(("ca", _)) => return wrong("`ca` with `rediss://`, naming a file of certificates"),
            _ => return wrong("no settings but `prefix`, `history` and `ca`"),
        }
        Ok(())
    }
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.trim().split_once("://") {
            Some(("redis", rest)) => Self::parse(false, rest),
            Some(("rediss", rest)) => Self::parse(true, rest),
            other => {
                let scheme = other.map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
                Err(UrlError::NoRedis { scheme: scheme.map(str::to_owned) })
            }
        }
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.to_string()
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "rediss" } else { "redis" }
}

/// A name or address, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').or(rest.is_empty().then_some("6379"))),
        None => text.split_once(':').map_or((text, Some("6379")), |(host, port)| (host, Some(port))),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    !host.is_empty() && host.chars().all(named) && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Free of `:`, which ends it in a key.
fn is_prefix(text: &str) -> bool {
    (1..=PREFIX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// With `***` for user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls: _, credentials, address, ca, prefix, history } = self;
        let credentials = if credentials.is_some() { "***@" } else { "" };
        write!(f, "{}://{credentials}{address}", self.scheme())?;
        let settings = [
            (prefix != PREFIX).then(|| format!("prefix={prefix}")),
            (*history != HISTORY).then(|| format!("history={history}")),
            ca.as_ref().map(|file| format!("ca={}", file.display())),
        ];
        let settings: Vec<String> = settings.into_iter().flatten().collect();
        if settings.is_empty() { Ok(()) } else { write!(f, "?{}", settings.join("&")) }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreUrl;
    use super::RedisUrl;

    #[test]
    fn urls_read_and_write_back() {
        for text in [
            "redis://localhost",
            "redis://127.0.0.1:6380/3",
            "rediss://[::1]:6380",
            "redis://db?prefix=team-a",
            "redis://db?history=7",
            "redis://db/1?prefix=a&history=1",
            "rediss://db?history=1&ca=/etc/ca.pem",
        ] {
            assert_eq!(text.parse::<StoreUrl>().map(|url| url.to_string()), Ok(text.to_owned()));
        }
        let url: StoreUrl = "redis://db?&prefix=serve&history=100&".parse().expect("is a URL");
        assert_eq!(url.to_string(), "redis://db");
    }

    #[test]
    fn a_cache_is_a_redis() {
        let refused = |text: &str| text.parse::<RedisUrl>().expect_err("is refused").to_string();
        let expected = "expected a Redis, `redis://HOST:PORT/DATABASE` or `rediss://…`, got ";
        for (text, got) in [
            ("sqlite:///x.db", "`sqlite://…`"),
            ("http://ann:hunter2@x", "`http://…`"),
            ("hunter2", "no URL"),
            ("hunter 2://x", "no URL"),
        ] {
            assert_eq!(refused(text), format!("{expected}{got}"));
        }
        assert!(refused("redis://").starts_with("the URL `redis://…`: expected a host"));
        assert_eq!(
            "rediss://db".parse::<RedisUrl>().map(|url| url.to_string()),
            Ok("rediss://db".to_owned())
        );
    }

    #[test]
    fn nothing_shows_the_password() {
        for text in ["redis://ann:hunter2@db:1/2?history=3", "rediss://:hunter2@db", "redis://hunter2@db"] {
            let url: StoreUrl = text.parse().expect("is a URL");
            let json = serde_json::to_string(&url).expect("serialises");
            assert!(!format!("{url} {url:?} {json}").contains("hunter2"), "{url}");
            assert!(url.to_string().contains("://***@db"), "{url}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_expected_and_not_the_url() {
        let long = format!("redis://db?prefix={}", "x".repeat(65));
        for (text, expected) in [
            ("redis://", "a host and perhaps a port"),
            ("redis://ann:hunter2@", "a host and perhaps a port"),
            ("redis://hunter2:x", "a host and perhaps a port"),
            ("redis://hunter2:70000", "a host and perhaps a port"),
            ("redis://[::1", "a host and perhaps a port"),
            ("redis:// hunter2", "a host and perhaps a port"),
            ("redis://db/hunter2", "a database's number"),
            ("redis://ann:hun/ter2@db", "in a password as"),
            ("redis://ann:hun?ter2@db", "in a password as"),
            ("redis://db#hunter2", "in a password as"),
            ("redis://db?prefix=", "a prefix of 1 to 64"),
            ("redis://db?prefix=hunter2:a", "a prefix of 1 to 64"),
            (&long, "a prefix of 1 to 64"),
            ("redis://db?history=0", "1 or more"),
            ("redis://db?history=hunter2", "1 or more"),
            ("redis://db?ca=hunter2", "`ca` with `rediss://`"),
            ("rediss://db?ca=", "`ca` with `rediss://`"),
            ("redis://db?hunter2=1", "no settings but"),
            ("redis://db?hunter2", "no settings but"),
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("ter2"), "{text}: {error}");
        }
    }
}
