//! Which headers a request has of those that any request may have. Each of them is looked for in every request and few
//! requests have one, and a look for what is not there costs as much as one for what is; so the names are gone through once.

use std::ops::BitOr;
use std::sync::LazyLock;

use http::HeaderMap;

/// Kinds of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present(u8);

/// What is looked into in the place of headers that have none of a kind.
static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

impl Present {
    /// `X-Request-Id`.
    pub(crate) const ID: Self = Self(1);
    /// `traceparent` and `tracestate`.
    pub(crate) const TRACE: Self = Self(1 << 1);
    /// What a browser says of a page: `Origin` and `Sec-Fetch-Site`.
    pub(crate) const PAGE: Self = Self(1 << 2);
    /// `Upgrade`.
    pub(crate) const UPGRADE: Self = Self(1 << 3);
    /// `Accept-Encoding`.
    pub(crate) const PACKING: Self = Self(1 << 4);
    /// `Content-Encoding`.
    pub(crate) const PACKED: Self = Self(1 << 5);
    /// `X-Request-Timeout` and `X-Request-Priority`.
    pub(crate) const PATIENCE: Self = Self(1 << 6);
    /// `Authorization` and `X-API-Key`.
    pub(crate) const CREDENTIALS: Self = Self(1 << 7);

    /// The kinds of which there are some.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self(0), |present, name| present | Self::kind(name.as_str()))
    }

    fn kind(name: &str) -> Self {
        match name {
            "x-request-id" => Self::ID,
            "traceparent" | "tracestate" => Self::TRACE,
            "origin" | "sec-fetch-site" => Self::PAGE,
            "upgrade" => Self::UPGRADE,
            "accept-encoding" => Self::PACKING,
            "content-encoding" => Self::PACKED,
            "x-request-timeout" | "x-request-priority" => Self::PATIENCE,
            "authorization" | "x-api-key" => Self::CREDENTIALS,
            _ => Self(0),
        }
    }

    /// Whether there are headers of one of these kinds.
    pub(crate) fn any(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }

    /// The headers to look for some of these kinds in: those that this was made of, or none.
    pub(crate) fn among(self, headers: &HeaderMap, kinds: Self) -> &HeaderMap {
        if self.any(kinds) { headers } else { &NONE }
    }
}

impl BitOr for Present {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, header};

    use super::*;
    use crate::{access, doors, exchange, origins, patience};

    #[test]
    fn headers_that_are_looked_for_are_of_a_kind() {
        let kinds: [(Present, &[HeaderName]); 8] = [
            (Present::ID, &[exchange::REQUEST_ID]),
            (Present::TRACE, &[access::TRACEPARENT, access::TRACESTATE]),
            (Present::PAGE, &[header::ORIGIN, HeaderName::from_static(origins::SEC_FETCH_SITE)]),
            (Present::UPGRADE, &[header::UPGRADE]),
            (Present::PACKING, &[header::ACCEPT_ENCODING]),
            (Present::PACKED, &[header::CONTENT_ENCODING]),
            (Present::PATIENCE, &[patience::TIMEOUT, patience::PRIORITY]),
            (Present::CREDENTIALS, &[header::AUTHORIZATION, doors::API_KEY]),
        ];
        let all = kinds.iter().fold(Present(0), |all, (kind, _)| all | *kind);
        for (kind, names) in kinds {
            for name in names {
                let mut headers = HeaderMap::new();
                headers.insert(header::HOST, HeaderValue::from_static("a"));
                assert!(!Present::of(&headers).any(all));
                headers.insert(name, HeaderValue::from_static("b"));
                let present = Present::of(&headers);
                assert_eq!(present, kind, "{name}");
                assert_eq!(present.among(&headers, kind).len(), 2);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(Present::of(&headers).among(&headers, Present::ID).is_empty());
    }
}
