//! Under which names clients may ask.
//!
//! A page whose name its owner lets point to 127.0.0.1 (DNS rebinding) reaches a server on loopback from a browser, and the
//! browser takes the two for one origin. What gives it away is the name that it asks for, so on loopback only loopback's
//! names are answered, and elsewhere those of `http.trusted_hosts`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, StatusCode, Uri, header};

use crate::failure::Failure;

/// The names that are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// All of them.
    Any,
    /// Loopback's.
    Loopback,
    /// These, and the addresses under which a connection came.
    Listed(Vec<Pattern>),
}

/// One name, or all below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    /// With its leading dot.
    Below(String),
}

impl Hosts {
    /// What `http.trusted_hosts` says of a server that listens on `address`.
    pub(crate) fn new(trusted: &[String], address: IpAddr) -> Result<Self, String> {
        if trusted.iter().any(|name| name == "*") {
            return Ok(Self::Any);
        }
        if trusted.is_empty() {
            return Ok(if address.is_loopback() { Self::Loopback } else { Self::Any });
        }
        Ok(Self::Listed(trusted.iter().map(|name| pattern(name)).collect::<Result<_, _>>()?))
    }

    fn know(&self, host: &str, local: SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => is_loopback(host),
            Self::Listed(patterns) => {
                patterns.iter().any(|pattern| pattern.takes(host))
                    || host
                        .parse()
                        .is_ok_and(|address: IpAddr| address.to_canonical() == local.ip().to_canonical())
            }
        }
    }

    /// Refuses who asks for somebody else.
    ///
    /// # Errors
    /// 400 where no host is named, or two are, or what is none; 421 where another is.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap, local: SocketAddr) -> Result<(), Failure> {
        if let Some(authority) = uri.authority()
            && let Some(host) = headers.get(header::HOST)
            && !same(authority.as_str(), host.to_str().unwrap_or_default(), uri.scheme_str())
        {
            let message = "the request names two hosts: its Host is not that of its address";
            return Err(Failure::unreadable("malformed_request", message));
        }
        let asked = asked(uri, headers);
        let named = asked.map(|asked| (asked, host(asked)));
        if let Some((asked, None)) = named {
            let told: String = asked.chars().take(200).collect();
            let message = format!(
                "{told:?} is no host: expected a name or an address, and a port behind a colon if any"
            );
            return Err(Failure::unreadable("malformed_request", message));
        }
        if *self == Self::Any {
            return Ok(());
        }
        let Some((asked, Some(host))) = named else {
            let message = "the request names no host, and this server answers under known names only";
            return Err(Failure::unreadable("missing_host", message));
        };
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        if self.know(host.trim_end_matches('.'), local) {
            return Ok(());
        }
        let told: String = asked.chars().take(200).collect();
        let message = format!("{told:?} is not a name of this server; http.trusted_hosts lists them");
        Err(Failure::of(StatusCode::MISDIRECTED_REQUEST, "untrusted_host", message))
    }
}

impl Pattern {
    fn takes(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(dotted) => host.len() > dotted.len() && host.ends_with(dotted),
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let plain = name.strip_prefix("*.").unwrap_or(&name);
    let plain = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(plain);
    let is_name = !plain.is_empty()
        && plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !is_name && plain.parse::<IpAddr>().is_err() {
        let expected = "expected a name such as models.example.com, *.example.com, an address, or *, without port or scheme";
        return Err(format!("http.trusted_hosts: {text:?}: {expected}"));
    }
    Ok(if name.starts_with("*.") {
        Pattern::Below(name[1..].to_owned())
    } else {
        Pattern::Exact(plain.to_owned())
    })
}

/// The host that a request names, with its port.
pub(crate) fn asked<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let named = uri.authority().map(http::uri::Authority::as_str);
    named.or_else(|| headers.get(header::HOST)?.to_str().ok()).filter(|host| !host.is_empty())
}

/// Whether two texts name one host and port, for requests of a scheme.
pub(crate) fn same(one: &str, other: &str, scheme: Option<&str>) -> bool {
    let usual = if scheme == Some("https") { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(usual).unwrap_or(text).to_ascii_lowercase();
    bare(one) == bare(other)
}

/// The name or the address, without its brackets, that stands with or without a port in a text; nothing, where that is no host
/// (RFC 9110, section 7.2).
fn host(text: &str) -> Option<&str> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, rest) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, rest)
        }
        // What is no ASCII is in no name, so this is between characters.
        None => {
            text.split_at(text.bytes().position(|byte| !OF_A_NAME[usize::from(byte)]).unwrap_or(text.len()))
        }
    };
    let fits = match rest.strip_prefix(':') {
        Some(port) => port.is_empty() || !port.starts_with('+') && port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    Some(host).filter(|host| fits && !host.is_empty())
}

/// The characters that a name may have.
static OF_A_NAME: [bool; 256] = {
    let mut of_a_name = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        of_a_name[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        of_a_name[others[at] as usize] = true;
        at += 1;
    }
    of_a_name
};

fn is_loopback(host: &str) -> bool {
    // Those that nearly everyone asks for need no reading.
    matches!(host, "localhost" | "127.0.0.1")
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn answered(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).expect("is a value"));
        hosts.check(&Uri::from_static("/"), &headers, "10.0.0.7:8000".parse().expect("an address")).is_ok()
    }

    #[test]
    fn loopback_answers_to_its_own_names() {
        let hosts = Hosts::new(&[], "127.0.0.1".parse().expect("an address")).expect("no mistakes");
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:80",
            "[::1]:8000",
            "127.1.2.3",
            "app.localhost",
            "localhost.",
        ] {
            assert!(answered(&hosts, host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.7",
            "xlocalhost",
            "0.0.0.0",
        ] {
            assert!(!answered(&hosts, host), "{host}");
        }
    }

    #[test]
    fn listed_names_are_answered_with_those_below_a_star() {
        let listed = ["models.example.com".to_owned(), "*.Internal".to_owned(), "[::5]".to_owned()];
        let hosts = Hosts::new(&listed, "0.0.0.0".parse().expect("an address")).expect("no mistakes");
        for host in ["models.example.com:443", "a.internal", "a.b.INTERNAL", "10.0.0.7:8000", "[::5]:1"] {
            assert!(answered(&hosts, host), "{host}");
        }
        for host in ["internal", ".internal", "example.com", "xmodels.example.com", "10.0.0.8", "localhost"] {
            assert!(!answered(&hosts, host), "{host}");
        }
        assert!(answered(
            &Hosts::new(&["*".to_owned()], "127.0.0.1".parse().expect("one")).expect("any"),
            "x"
        ));
        assert!(Hosts::new(&["a:80".to_owned()], "127.0.0.1".parse().expect("one")).is_err());
    }

    #[test]
    fn a_request_names_one_host() {
        let asked = |uri: &str, host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            let uri = uri.parse().expect("is an address");
            Hosts::Any.check(&uri, &headers, "127.0.0.1:1".parse().expect("one")).is_ok()
        };
        assert!(asked("http://a.example/", "A.example:80") && asked("https://a.example:443/", "a.example"));
        assert!(!asked("http://a.example/", "b.example") && !asked("http://a.example/", "a.example:81"));
        assert!(asked("/", "b.example"));
    }

    #[test]
    fn what_is_no_host_is_told_from_a_host() {
        for host in ["a", "A.b-c_d.", "10.0.0.1:80", "localhost:", "[::1]", "[::1]:8000", "a:65535"] {
            assert!(super::host(host).is_some(), "{host}");
        }
        for none in [
            "localhost:abc",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "::1",
            "a:1:2",
            ":80",
            "a b",
            "a@b",
            "a/b",
            "a:65536",
            "a:-1",
            "a:+1",
            "[1.2.3.4]",
            "\u{e4}",
        ] {
            assert_eq!(super::host(none), None, "{none}");
        }
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:abc"))]);
        let local = "127.0.0.1:1".parse().expect("one");
        for hosts in [Hosts::Any, Hosts::Loopback] {
            let refused = hosts.check(&Uri::from_static("/"), &headers, local).expect_err("is none");
            assert_eq!(refused.entry()["code"], "malformed_request");
        }
    }

    #[test]
    fn a_request_names_some_host() {
        let none = Hosts::Loopback.check(
            &Uri::from_static("/"),
            &HeaderMap::new(),
            "127.0.0.1:1".parse().expect("one"),
        );
        assert_eq!(none.expect_err("no host").entry()["code"], "missing_host");
    }
}
