//! Whose request a proxy hands on, and how it was reached. `X-Forwarded-For` is what anybody writes there; it is believed of proxies that the
//! configuration names, and only as far back as the last address that such a proxy did not have itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::call::Peer;

/// The most addresses that are read from the header.
const MOST: usize = 32;

/// An address, or a network: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let differing = (a ^ b).checked_shr(bits - u32::from(self.prefix));
            differing.unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network: expected an address such as 10.0.0.1, or 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > bits { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// The address that a request comes from: the peer's, or, where that is a trusted proxy, the last one of the header that
/// is not. What cannot be read ends the search: who wrote it is not known.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(client) {
        return client;
    }
    let values: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("")).collect();
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')).take(MOST) {
        let Some(address) = address(text.trim()) else { return client };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// The scheme under which a client reaches this server: the connection's, or what a trusted proxy says of its own with
/// `X-Forwarded-Proto`; nothing, where such a proxy does not say.
pub(crate) fn scheme(peer: &Peer, headers: &HeaderMap, trusted: &[Network]) -> Option<&'static str> {
    let proxy = peer.address.ip().to_canonical();
    if !trusted.iter().any(|network| network.contains(proxy)) {
        return Some(if peer.secure { "https" } else { "http" });
    }
    let told = headers.get("x-forwarded-proto")?.to_str().ok()?;
    ["http", "https"].into_iter().find(|scheme| told.trim().eq_ignore_ascii_case(scheme))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("is a value"));
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().expect("is a network")).collect();
        client(peer.parse().expect("is an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let spoofed = ["203.0.113.9"];
        assert_eq!(seen("198.51.100.1", &spoofed, &[]), "198.51.100.1");
        assert_eq!(seen("198.51.100.1", &spoofed, &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(seen("10.1.2.3", &spoofed, &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(seen("::ffff:10.1.2.3", &spoofed, &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let chain = ["1.1.1.1, 203.0.113.9, 10.0.0.7"];
        assert_eq!(seen("10.0.0.1", &chain, &["10.0.0.0/8"]), "203.0.113.9");
        let lines = ["1.1.1.1", "203.0.113.9", "10.0.0.7"];
        assert_eq!(seen("10.0.0.1", &lines, &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.7"], &["10.0.0.0/8"]), "10.0.0.7");
        assert_eq!(seen("10.0.0.1", &[""], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:443"], &["10.0.0.1"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9:1234"], &["0.0.0.0/0"]), "203.0.113.9");
    }

    #[test]
    fn networks_are_read() {
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/x", "example.com"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
        let all: Network = "::/0".parse().expect("is a network");
        assert!(all.contains("2001:db8::1".parse().expect("is an address")));
        assert!(!all.contains("10.0.0.1".parse().expect("is an address")));
    }
}
