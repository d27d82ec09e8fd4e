//! `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`, as libpq writes it, with `sslmode`, `sslrootcert` and our own `schema`.
//! What is shown of it has `***` in the password's place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::location::UrlError;

/// A PostgreSQL database, and how to reach it.
///
/// - `sslmode`: `disable`, `prefer` (the default), `require`, `verify-ca` or `verify-full`, with libpq's meaning. Only the
///   last two prove that the server is the right one.
/// - `sslrootcert`: a PEM file with the authorities for `verify-ca` and `verify-full`; those of the system without it.
/// - `schema`: where the tables are; else what the database's `search_path` says.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) schema: Option<String>,
    pub(super) trust: Trust,
    pub(super) authorities: Option<PathBuf>,
    shown: String,
}

/// What of the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Anyone,
    Authority,
    AuthorityAndName,
}

/// What the URL should have been.
const FORM: &str = "`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with what is special in a name or password percent-encoded, and libpq's parameters after `?`";

impl PostgresUrl {
    /// Reads what follows `postgres://`.
    pub(crate) fn parse(rest: &str) -> Result<Self, UrlError> {
        let wrong = |expected| UrlError::Rest { scheme: "postgres", expected };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The client would end the password at the first `@`, and the rest of it would be shown as the host's.
        if place.matches('@').count() > 1 {
            return Err(wrong(FORM));
        }
        let (mut ssl_mode, mut trust) = (SslMode::Prefer, Trust::Anyone);
        let (mut schema, mut authorities, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            // What is no parameter may be the rest of a password that has a `?`, and would be shown.
            match pair.split_once('=').ok_or(wrong(FORM))? {
                ("sslmode", mode) => (ssl_mode, trust) = ssl(mode).map_err(wrong)?,
                ("sslrootcert", path) => {
                    authorities = Some(PathBuf::from(decoded(path).ok_or(wrong(FORM))?));
                }
                ("schema", name) if is_schema(name) => schema = Some(name.to_owned()),
                ("schema", _) => {
                    return Err(wrong("a `schema` of 1 to 63 of `a-z`, `0-9`, `_`, beginning with a letter"));
                }
                _ => others.push(pair),
            }
        }
        let known = format!("postgres://{place}?{}", others.join("&"));
        let mut config: Config = known.parse().map_err(|_| wrong(FORM))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("a host, such as `postgres://USER:PASSWORD@HOST/DATABASE`"));
        }
        config.ssl_mode(ssl_mode);
        Ok(Self { config, schema, trust, authorities, shown: shown(place, query) })
    }
}

fn ssl(mode: &str) -> Result<(SslMode, Trust), &'static str> {
    Ok(match mode {
        "disable" => (SslMode::Disable, Trust::Anyone),
        "prefer" => (SslMode::Prefer, Trust::Anyone),
        "require" => (SslMode::Require, Trust::Anyone),
        "verify-ca" => (SslMode::Require, Trust::Authority),
        "verify-full" => (SslMode::Require, Trust::AuthorityAndName),
        _ => return Err("`sslmode` to be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`"),
    })
}

/// A plain word: it goes into SQL and into the session's settings unquoted.
fn is_schema(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Without percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The URL without its password.
fn shown(place: &str, query: &str) -> String {
    let place = match place.split_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    let masked = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let query: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(masked).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("postgres://{place}{mark}{}", query.join("&"))
}

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        match scheme {
            "postgres" | "postgresql" => Self::parse(rest),
            _ => Err(UrlError::Rest { scheme: "postgres", expected: FORM }),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PostgresUrl {
        text.parse().expect("is a URL")
    }

    #[test]
    fn everything_but_the_password_is_shown() {
        let secret = "postgresql://ann:hunt%40er2@db.example:6432/features?sslmode=verify-full&schema=live&connect_timeout=3";
        let shown =
            "postgres://ann:***@db.example:6432/features?sslmode=verify-full&schema=live&connect_timeout=3";
        assert_eq!(url(secret).to_string(), shown);
        assert_eq!(url(secret).config.get_password(), Some(&b"hunt@er2"[..]));
        assert_eq!(
            url("postgres://db/x?user=ann&password=hunter2").to_string(),
            "postgres://db/x?user=ann&password=***"
        );
        assert_eq!(url("postgres://ann@db").to_string(), "postgres://ann@db");
        assert!(!format!("{:?}", url(secret)).contains("hunt"));
    }

    #[test]
    fn the_modes_are_libpqs() {
        let read = |mode: &str| {
            let url = url(&format!("postgres://db/x?sslmode={mode}&sslrootcert=/etc/my%20ca.pem"));
            assert_eq!(url.authorities, Some("/etc/my ca.pem".into()));
            (url.config.get_ssl_mode(), url.trust)
        };
        assert_eq!(read("disable"), (SslMode::Disable, Trust::Anyone));
        assert_eq!(read("require"), (SslMode::Require, Trust::Anyone));
        assert_eq!(read("verify-ca"), (SslMode::Require, Trust::Authority));
        assert_eq!(read("verify-full"), (SslMode::Require, Trust::AuthorityAndName));
        assert_eq!(url("postgres://db/x").config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn what_is_refused_is_not_repeated() {
        for text in [
            "postgres://ann:hunt@er2@db/x",
            "postgres://ann:hunter2@db:port/x",
            "postgres://ann:hunter2@db/x?sslmode=maybe",
            "postgres://ann:hunter2@db/x?schema=a;drop",
            "postgres://ann:hunter2@db/x?what=that",
            "postgres://ann:hunt?er2@db/x",
            "postgres:///x",
        ] {
            let error = text.parse::<PostgresUrl>().expect_err(text);
            assert!(matches!(error, UrlError::Rest { scheme: "postgres", .. }), "{text}");
            assert!(!format!("{error} {error:?}").contains("er2"), "{text}");
        }
    }
}
