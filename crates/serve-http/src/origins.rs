//! Pages of other origins in a browser: what they may read (CORS), and that they change nothing unless they are let.
//!
//! A browser sends a page's `POST` to any server without asking first, as long as it looks like a form's; that the page
//! cannot read the answer is too late. Every such request says where it comes from (`Sec-Fetch-Site`, `Origin`), programs
//! say neither, so the ones from elsewhere can be told and refused. No credentials are shared with other origins.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::failure::Failure;
use crate::hosts;
use crate::reply::{self, Reply};

pub(crate) const SEC_FETCH_SITE: &str = "sec-fetch-site";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, content-encoding, inference-header-content-length, traceparent, tracestate, x-api-key, x-request-id, x-request-priority, x-request-timeout",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "inference-header-content-length, ratelimit, ratelimit-policy, retry-after, server-timing, traceparent, tracestate, x-request-id",
);
/// How long a browser may remember what it was allowed, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may ask and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    Any,
    Listed(Vec<HeaderValue>),
}

impl Origins {
    /// What `http.cors.allowed_origins` says.
    pub(crate) fn new(allowed: &[String]) -> Result<Self, String> {
        if allowed.iter().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        let parse = |origin: &String| {
            let (_, authority) = origin.split_once("://").unwrap_or_default();
            match HeaderValue::from_str(origin) {
                Ok(value) if !authority.is_empty() && !authority.contains(['/', '*']) => Ok(value),
                _ => {
                    let expected = "expected an origin such as https://app.example.com, without a path";
                    Err(format!("http.cors.allowed_origins: {origin:?}: {expected}"))
                }
            }
        };
        allowed.iter().map(parse).collect::<Result<_, _>>().map(Self::Listed)
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(allowed) => allowed.contains(origin),
        }
    }

    /// Refuses a page of another origin that would change something, or open a socket, and is not let. `scheme` is that of
    /// this server's own origin, where it is known.
    ///
    /// # Errors
    /// 403; 400 where a request comes from two origins.
    pub(crate) fn check(&self, parts: &Parts, scheme: Option<&str>) -> Result<(), Failure> {
        if parts.headers.get_all(header::ORIGIN).iter().nth(1).is_some() {
            return Err(Failure::unreadable("malformed_request", "several Origin headers"));
        }
        let opens = parts.headers.contains_key(header::UPGRADE);
        if !opens && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let origin = parts.headers.get(header::ORIGIN);
        let foreign = match parts.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => false,
            Some(_) => true,
            None => origin.is_some_and(|origin| !is_own(origin, scheme, &parts.uri, &parts.headers)),
        };
        if !foreign || origin.is_some_and(|origin| self.allow(origin)) {
            return Ok(());
        }
        let told = origin.and_then(|origin| origin.to_str().ok()).unwrap_or("another origin");
        let message = format!(
            "a page of {told:?} may not do this from a browser; http.cors.allowed_origins lists the origins that may"
        );
        Err(Failure::of(StatusCode::FORBIDDEN, "cross_site", message))
    }

    /// The answer to a browser that asks what a page may send, where this is such a question.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Reply> {
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = parts.headers.get(header::ORIGIN).filter(|_| asks)?;
        let mut reply = reply::raw(StatusCode::NO_CONTENT, bytes::Bytes::new());
        let headers = reply.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if self.allow(origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        }
        Some(reply)
    }

    /// Tells the browser whether the page may read the answer.
    pub(crate) fn finish(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match (self, origin) {
            (Self::Any, Some(_)) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            (Self::Listed(allowed), origin) if !allowed.is_empty() => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                let Some(origin) = origin.filter(|origin| allowed.contains(origin)) else { return };
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            _ => return,
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

/// Whether a page came from this server itself: its origin has the scheme under which the server is reached, and the host and
/// port that the request names.
fn is_own(origin: &HeaderValue, own: Option<&str>, uri: &Uri, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let (Some((scheme, authority)), Some(host)) = (origin, hosts::asked(uri, headers)) else { return false };
    own.is_none_or(|own| own == scheme) && hosts::same(authority, host, Some(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/predict").header("host", "localhost:8000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("is a request").into_parts().0
    }

    fn passes(origins: &Origins, method: &str, headers: &[(&str, &str)]) -> bool {
        origins.check(&parts(method, headers), Some("http")).is_ok()
    }

    #[test]
    fn pages_of_elsewhere_change_nothing() {
        let own = Origins::new(&[]).expect("no mistakes");
        let app = Origins::new(&["https://app.example.com".to_owned()]).expect("no mistakes");
        let any = Origins::new(&["*".to_owned()]).expect("no mistakes");
        for origins in [&own, &app, &any] {
            assert!(passes(origins, "POST", &[]), "a program");
            assert!(passes(origins, "POST", &[("origin", "http://localhost:8000")]));
            assert!(passes(
                origins,
                "POST",
                &[("origin", "http://localhost:8000"), ("sec-fetch-site", "same-origin")]
            ));
            assert!(passes(
                origins,
                "GET",
                &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
            ));
        }
        let evil = [("origin", "https://evil.example")];
        let socket = [("origin", "https://evil.example"), ("upgrade", "websocket")];
        let port = [("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")];
        let nobody = [("origin", "null")];
        let silent = [("sec-fetch-site", "cross-site")];
        for headers in [&evil[..], &socket, &port, &nobody, &silent] {
            let method = if headers.contains(&("upgrade", "websocket")) { "GET" } else { "POST" };
            assert!(!passes(&own, method, headers), "{headers:?}");
            assert!(!passes(&app, method, headers), "{headers:?}");
        }
        let friend = [("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")];
        assert!(
            passes(&app, "PUT", &friend) && passes(&any, "POST", &evil) && !passes(&own, "POST", &friend)
        );
    }

    #[test]
    fn an_origin_has_the_scheme_under_which_the_server_is_reached() {
        let own = Origins::new(&[]).expect("no mistakes");
        let from = |origin: &str, scheme| own.check(&parts("POST", &[("origin", origin)]), scheme).is_ok();
        assert!(from("http://localhost:8000", Some("http")) && !from("https://localhost:8000", Some("http")));
        assert!(
            from("https://localhost:8000", Some("https")) && !from("http://localhost:8000", Some("https"))
        );
        assert!(from("https://localhost:8000", None), "behind a proxy that does not say");
        let twice = [("origin", "http://localhost:8000"), ("origin", "http://localhost:8000")];
        let refused = own.check(&parts("GET", &twice), Some("http")).expect_err("two origins");
        assert_eq!(refused.entry()["code"], "malformed_request");
    }

    #[test]
    fn an_origin_is_one() {
        for wrong in ["app.example.com", "https://", "https://a/b", "https://*.example.com", "https://a\nb"] {
            assert!(Origins::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
