//! What pages of other origins may read and send, as a browser asks it (CORS), and what answers tell a browser to leave.

use crate::server::{Client, Reply, Server};

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

fn server(allowed: &str, more: &[(&str, &str)]) -> Server {
    let mut settings = vec![("SERVE__HTTP__CORS__ALLOWED_ORIGINS", allowed)];
    settings.extend_from_slice(more);
    Server::start(["--demo"], &settings)
}

/// The question before a page's request, with everything that a client of ours may send.
fn preflight(client: &mut Client, origin: &str, path: &str) -> Reply {
    let sent = "authorization,content-type,x-api-key,x-request-priority,x-request-timeout";
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", sent),
    ];
    client.text("OPTIONS", path, &headers, "")
}

/// What stands in a list.
fn listed(reply: &Reply, name: &str) -> Vec<String> {
    let list = reply.header(name).unwrap_or_default();
    list.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn has(reply: &Reply, name: &str, wanted: &[&str]) {
    let list = listed(reply, name);
    for one in wanted {
        assert!(list.iter().any(|name| name == one), "{name} lacks {one}: {list:?}");
    }
}

#[test]
fn answers_tell_browsers_not_to_guess() {
    let server = server(&format!("[{APP}]"), &[]);
    let plain = server.get("/health/live");
    assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(plain.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    assert_eq!(plain.header("access-control-allow-origin"), None);
    assert_eq!(plain.header("strict-transport-security"), None);
    // What depends on who asks is not kept for others.
    has(&plain, "vary", &["origin"]);
}

#[test]
fn behind_a_proxy_its_own_origin_is_the_one_that_the_proxy_has() {
    let server = server("[]", &[("SERVE__HTTP__TRUSTED_PROXIES", "[127.0.0.1]")]);
    let from = |origin: &str, told: &[(&str, &str)]| {
        let headers = [&[("origin", origin)], told].concat();
        server.connect().text("POST", "/models/reload", &headers, "").status
    };
    let (plain, secure) = ("http://localhost", "https://localhost");
    let (http, https) = ([("x-forwarded-proto", "http")], [("x-forwarded-proto", "https")]);
    assert_eq!([from(secure, &https), from(plain, &https)], [200, 403]);
    assert_eq!([from(plain, &http), from(secure, &http)], [200, 403]);
    assert_eq!([from(plain, &[]), from(secure, &[]), from(EVIL, &[])], [200, 200, 403]);
    let direct = Server::demo();
    let told = [("origin", secure), https[0]];
    assert_eq!(
        direct.connect().text("POST", "/models/reload", &told, "").status,
        403,
        "nobody believes that"
    );
}

#[test]
fn a_page_that_is_let_may_ask_and_read() {
    let server = server(&format!("[{APP}]"), &[]);
    let mut client = server.connect();
    for path in ["/predict", "/v2/models/vader-random-forest/infer", "/invocations", "/nothing/here"] {
        let asked = preflight(&mut client, APP, path);
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some(APP)), "{path}");
        assert!(asked.bytes.is_empty(), "{path}");
        has(&asked, "access-control-allow-methods", &["get", "post", "put", "delete"]);
        let names = ["authorization", "content-type", "x-api-key", "x-request-id", "x-request-timeout"];
        has(&asked, "access-control-allow-headers", &names);
        let names =
            ["x-request-priority", "content-encoding", "inference-header-content-length", "traceparent"];
        has(&asked, "access-control-allow-headers", &names);
        assert!(asked.header("access-control-max-age").is_some());
        assert_eq!(asked.header("access-control-allow-credentials"), None);
        has(&asked, "vary", &["origin"]);
    }
    let sent = [("origin", APP), ("sec-fetch-site", "cross-site"), ("content-type", "application/json")];
    let read = client.text("POST", "/predict", &sent, r#"{"model":"vader-random-forest"}"#);
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(APP)));
    let names = ["x-request-id", "retry-after", "ratelimit", "ratelimit-policy", "server-timing"];
    has(&read, "access-control-expose-headers", &names);
}

#[test]
fn a_page_of_elsewhere_reads_nothing() {
    let server = server(&format!("[{APP}]"), &[]);
    let mut client = server.connect();
    let near =
        ["http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.example"];
    for origin in [EVIL, "null", ""].into_iter().chain(near) {
        let asked = preflight(&mut client, origin, "/predict");
        assert_eq!(asked.status, 204, "{origin}");
        for name in ["allow-origin", "allow-methods", "allow-headers", "allow-credentials", "max-age"] {
            assert_eq!(asked.header(&format!("access-control-{name}")), None, "{origin}");
        }
        let read = client.text("GET", "/models", &[("origin", origin)], "");
        assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None), "{origin}");
        has(&read, "vary", &["origin"]);
    }
    // Without any that is let, an OPTIONS is answered as any other.
    let closed = Server::demo();
    let asked = preflight(&mut closed.connect(), APP, "/predict");
    assert_eq!(asked.header("access-control-allow-origin"), None);
}

#[test]
fn every_page_is_let_where_that_is_said() {
    let server = server("[\"*\"]", &[]);
    let mut client = server.connect();
    let asked = preflight(&mut client, EVIL, "/predict");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(asked.header("access-control-allow-credentials"), None);
    has(&asked, "access-control-allow-headers", &["authorization"]);
}

#[test]
fn a_page_can_read_why_it_was_refused() {
    let key = format!("{{ id: ci, permissions: [read], sha256: \"{}\" }}", "5".repeat(64));
    let auth = format!("{{ mode: keys, rate_per_address: 3/h, keys: [{key}] }}");
    let server = server(&format!("[{APP}]"), &[("SERVE__AUTH", &auth)]);
    let mut client = server.connect();
    // The question before a request has no key, and takes nothing of the rate.
    for _ in 0..5 {
        assert_eq!(preflight(&mut client, APP, "/predict").status, 204);
    }
    let mut ask = || client.text("GET", "/models", &[("origin", APP)], "");
    for _ in 0..3 {
        let refused = ask();
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(APP)));
    }
    let refused = ask();
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (429, Some(APP)));
    assert!(refused.header("retry-after").is_some() && refused.header("ratelimit").is_some());
    has(&refused, "access-control-expose-headers", &["retry-after", "ratelimit", "ratelimit-policy"]);
}
