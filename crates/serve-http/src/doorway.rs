//! What is the same for every request before anybody looks at what it asks, and for every answer: known hosts, pages of
//! other origins, limits on the head that a protocol's parser does not hold, and headers that keep browsers from guessing.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

use crate::call::Peer;
use crate::config::HttpConfig;
use crate::failure::Failure;
use crate::forwarded::{self, Network};
use crate::hosts::Hosts;
use crate::origins::Origins;
use crate::present::Present;
use crate::reply::Reply;
use crate::tls::TlsConfig;
use crate::wire::MAX_HEADERS;

/// For pages of ours: nothing from elsewhere, and in nobody's frame. A page that needs more says so itself.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// The locks that a request meets first.
#[derive(Debug)]
pub(crate) struct Doorway {
    hosts: Hosts,
    origins: Origins,
    proxies: Vec<Network>,
    max_header_bytes: usize,
    max_uri_bytes: usize,
    hsts: Option<HeaderValue>,
}

impl Doorway {
    /// What the configuration says. Mistakes in it are [`HttpConfig::check`]'s to tell, before anything listens; what is
    /// wrong here lets nobody in.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let seconds = TlsConfig::hsts_seconds(config.tls.as_ref());
        let hsts = (seconds > 0).then(|| HeaderValue::from_str(&format!("max-age={seconds}")).ok()).flatten();
        Self {
            hosts: Hosts::new(&config.trusted_hosts, config.host).unwrap_or(Hosts::Listed(Vec::new())),
            origins: Origins::new(&config.cors.allowed_origins).unwrap_or(Origins::Listed(Vec::new())),
            proxies: config.trusted_proxies.clone(),
            max_header_bytes: usize::try_from(config.max_header_bytes.0).unwrap_or(usize::MAX),
            max_uri_bytes: usize::try_from(config.max_uri_bytes.0).unwrap_or(usize::MAX),
            hsts,
        }
    }

    /// Lets a request in, refuses it, or answers a browser's question.
    ///
    /// # Errors
    /// 400, 403, 414, 421 or 431.
    pub(crate) fn admit(
        &self,
        peer: &Peer,
        parts: &Parts,
        present: Present,
    ) -> Result<Option<Reply>, Failure> {
        self.measure(parts)?;
        self.hosts.check(&parts.uri, &parts.headers, peer.local)?;
        if !present.any(Present::PAGE | Present::UPGRADE) {
            // No page asks, and no socket is to be opened.
            return Ok(None);
        }
        self.origins.check(parts, forwarded::scheme(peer, &parts.headers, &self.proxies))?;
        Ok(self.origins.preflight(parts))
    }

    /// Heads of HTTP/1 are measured as they come in; those of HTTP/2 here.
    fn measure(&self, parts: &Parts) -> Result<(), Failure> {
        if parts.version != Version::HTTP_2 {
            return Ok(());
        }
        let uri = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
        if uri > self.max_uri_bytes {
            return Err(Failure::uri_too_long(self.max_uri_bytes));
        }
        let headers: usize =
            parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if parts.headers.len() > MAX_HEADERS {
            return Err(Failure::too_many_headers(MAX_HEADERS));
        }
        if uri + headers > self.max_header_bytes {
            return Err(Failure::headers_too_large(self.max_header_bytes));
        }
        Ok(())
    }

    /// Gives an answer the headers that all answers have.
    pub(crate) fn finish(&self, peer: &Peer, origin: Option<&HeaderValue>, reply: &mut Reply) {
        let page = reply.status() != StatusCode::SWITCHING_PROTOCOLS
            && reply
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let headers = reply.headers_mut();
        self.origins.finish(origin, headers);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        unless_said(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if page {
            unless_said(headers, header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
            unless_said(headers, header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        if let (true, Some(hsts)) = (peer.secure, &self.hsts) {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}

fn unless_said(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
