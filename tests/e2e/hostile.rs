//! What hostile clients send, byte by byte: each case gets the answer of ours that stands beside it, nothing more is
//! answered on that connection, and the next good request is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value as Json;

use crate::server::Server;

/// A request that must never be answered: it stands where only a reader that was fooled would look.
const SMUGGLED: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { name, bytes: bytes.into(), status, code }
}

/// All answers until the server closes the connection.
fn answers(server: &Server, bytes: &[u8]) -> Vec<(u16, Json)> {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
    let mut sending = stream.try_clone().expect("a second handle");
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        // The server may answer and close before it has read all.
        scope.spawn(move || drop(sending.write_all(bytes)));
        drop(stream.read_to_end(&mut received));
        drop(stream.shutdown(std::net::Shutdown::Both));
    });
    parsed(&received)
}

fn parsed(mut received: &[u8]) -> Vec<(u16, Json)> {
    let mut answers = Vec::new();
    while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let status = head.get(9..12).and_then(|text| text.parse().ok()).unwrap_or_default();
        received = &received[end + 4..];
        if status == 100 {
            continue;
        }
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
        };
        let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
        let body: Json = serde_json::from_slice(&received[..length.min(received.len())]).unwrap_or_default();
        assert_eq!(
            header("x-request-id").as_deref(),
            body["request_id"].as_str().or(header("x-request-id").as_deref())
        );
        assert!(header("x-request-id").is_some(), "{head}");
        answers.push((status, body));
        received = &received[length.min(received.len())..];
    }
    assert!(received.is_empty(), "{}", String::from_utf8_lossy(received));
    answers
}

fn check(server: &Server, cases: Vec<Case>) {
    for Case { name, bytes, status, code } in cases {
        let answers = answers(server, &bytes);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        let (got, body) = &answers[0];
        assert_eq!((*got, body["code"].as_str().unwrap_or_default()), (status, code), "{name}: {body}");
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {body}");
        assert_eq!(body["success"], false, "{name}");
        server.get("/health/live").ok();
    }
}

/// A `POST /predict` with these headers and this body, and a smuggled request after it.
fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n{body}{SMUGGLED}"
    )
}

#[test]
fn requests_that_two_readers_would_read_in_two_ways_are_refused() {
    let server = Server::demo();
    let smuggled = SMUGGLED.len() + 5;
    let malformed = |name, bytes: String| case(name, bytes, 400, "malformed_request");
    check(
        &server,
        vec![
            malformed(
                "length, then chunked",
                post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            ),
            malformed(
                "chunked, then length",
                post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {smuggled}\r\n"), "0\r\n\r\n"),
            ),
            malformed("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}")),
            malformed("the same length twice", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}")),
            malformed("a list of lengths", post("Content-Length: 2, 2\r\n", "{}")),
            malformed("a length with a sign", post("Content-Length: +2\r\n", "{}")),
            malformed("a length beyond 64 bits", post("Content-Length: 99999999999999999999\r\n", "{}")),
            malformed("a space before the colon", post("Content-Length : 2\r\n", "{}")),
            malformed("a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", "{}")),
            malformed("a header over two lines", post("X-A: b\r\n Content-Length: 2\r\n", "{}")),
            malformed("lines that end in LF", post("Content-Length: 2\r\n", "{}").replace("\r\n", "\n")),
            malformed("one line that ends in LF", post("X-A: b\nContent-Length: 2\r\n", "{}")),
            malformed("CR alone", post("X-A: b\rContent-Length: 2\r\n", "{}")),
            malformed("two hosts", post("Host: localhost\r\n", "")),
            malformed("NUL in a header", post("X-A: b\0c\r\n", "")),
            malformed("a header without a colon", post("X-A\r\n", "")),
            malformed("a header without a name", post(": b\r\n", "")),
            malformed(
                "chunked in HTTP/1.0",
                post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replace("/1.1", "/1.0"),
            ),
            case(
                "another coding",
                post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
                501,
                "unsupported_transfer_encoding",
            ),
            case(
                "chunked in disguise",
                post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
                501,
                "unsupported_transfer_encoding",
            ),
            case(
                "a chunk's size that is no number",
                post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
                400,
                "body_broken_off",
            ),
            case(
                "a chunk that is longer than it says",
                post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
                400,
                "body_broken_off",
            ),
            case(
                "a chunk's size with a sign",
                post("Transfer-Encoding: chunked\r\n", "+2\r\n{}\r\n0\r\n\r\n"),
                400,
                "body_broken_off",
            ),
            case(
                "a chunk's size beyond 64 bits",
                post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}"),
                400,
                "body_broken_off",
            ),
            case(
                "chunks whose lines end in LF",
                post("Transfer-Encoding: chunked\r\n", "2\n{}\n0\n\n"),
                400,
                "body_broken_off",
            ),
            case(
                "an extension of a chunk with a line that ends in LF",
                post("Transfer-Encoding: chunked\r\n", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
                400,
                "body_broken_off",
            ),
            case(
                "an endless extension of a chunk",
                post("Transfer-Encoding: chunked\r\n", &format!("2;{}", "x".repeat(100_000))),
                400,
                "body_broken_off",
            ),
        ],
    );
}

#[test]
fn heads_that_are_none_or_too_large_are_told_so() {
    let server = Server::demo();
    let malformed = |name, bytes: &[u8]| case(name, bytes, 400, "malformed_request");
    let flood = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let endless = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "y".repeat(4 << 20));
    check(
        &server,
        vec![
            malformed("noise", b"\x00\x01\x02\x03\r\n\r\n"),
            malformed("no version", b"GET /\r\n\r\n"),
            malformed("a version that does not exist", b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n"),
            malformed("a method with a bracket", b"G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            malformed("NUL in the path", b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            malformed("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
            case("no host", "GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
            case("too many headers", flood, 431, "headers_too_large"),
            case("a header of 4 MiB", endless, 431, "headers_too_large"),
            case("a path of 4 MiB", format!("GET /{}", "x".repeat(4 << 20)), 414, "uri_too_long"),
            case(
                "a path of 9 KiB",
                format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(9 << 10)),
                414,
                "uri_too_long",
            ),
            case("a method of 4 MiB", "x".repeat(4 << 20), 414, "uri_too_long"),
        ],
    );
    let metrics = answers(&server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(metrics[0].0, 200);
}

#[test]
fn pages_of_elsewhere_reach_nothing_on_loopback() {
    let server = Server::demo();
    let page = |headers: &str| {
        let body = r#"{"model":"vader-random-forest"}"#;
        let length = body.len();
        format!(
            "POST /models/reload HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let socket = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\n\
                  Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let named = |host: &str| format!("GET /models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    check(
        &server,
        vec![
            case(
                "a form of another site",
                page("Host: localhost\r\nOrigin: https://evil.example\r\nContent-Type: text/plain\r\n"),
                403,
                "cross_site",
            ),
            case(
                "a page of another port",
                page("Host: localhost\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n"),
                403,
                "cross_site",
            ),
            case(
                "a page of this host under TLS, which there is none of",
                page("Host: localhost\r\nOrigin: https://localhost\r\n"),
                403,
                "cross_site",
            ),
            case(
                "two origins",
                page("Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n"),
                400,
                "malformed_request",
            ),
            case("a page of nowhere", page("Host: localhost\r\nOrigin: null\r\n"), 403, "cross_site"),
            case(
                "a browser that hides where from",
                page("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"),
                403,
                "cross_site",
            ),
            case("a socket of another site", socket, 403, "cross_site"),
            case("a name that was rebound", named("evil.example"), 421, "untrusted_host"),
            case("a name with a port", named("evil.example:8000"), 421, "untrusted_host"),
            case("a name that begins well", named("127.0.0.1.evil.example"), 421, "untrusted_host"),
            case(
                "a whole address in the request line",
                "GET http://evil.example/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
                421,
                "untrusted_host",
            ),
            case(
                "a whole address and another host",
                "GET http://evil.example/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                400,
                "malformed_request",
            ),
            case("no name at all", named(""), 400, "missing_host"),
        ],
    );
}

#[test]
fn bodies_that_should_exhaust_the_parser_do_not() {
    let server = Server::demo();
    let body = |body: &[u8]| {
        let length = body.len();
        let head = format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let chunked = |size: usize| {
        let mut bytes = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..size / 65536 {
            bytes.extend_from_slice(b"10000\r\n");
            bytes.resize(bytes.len() + 65536, b' ');
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    };
    let malformed = |name, text: &[u8]| case(name, body(text), 400, "malformed_json");
    check(
        &server,
        vec![
            case("10 MB of [", body(&vec![b'['; 10_000_000]), 422, "invalid_request"),
            malformed(
                "10 MB of [ in an object",
                &[&b"{\"features\":"[..], vec![b'['; 10_000_000].as_slice()].concat(),
            ),
            malformed("objects in objects", "{\"features\":".repeat(100_000).as_bytes()),
            case(
                "lists in a list that is closed",
                body(format!("{}{}", "[".repeat(1000), "]".repeat(1000)).as_bytes()),
                422,
                "invalid_request",
            ),
            case(
                "lists in an object that is closed",
                body(format!("{{\"features\":{}{}}}", "[".repeat(1000), "]".repeat(1000)).as_bytes()),
                422,
                "invalid_features",
            ),
            malformed("UTF-8 that is none", b"{\"model\":\"\xff\xfe\"}"),
            malformed("UTF-8 that is too long", b"{\"model\":\"\xc0\x80\"}"),
            malformed("half a surrogate", b"{\"model\":\"\\ud800\"}"),
            malformed("NUL in a text", b"{\"model\":\"a\0b\"}"),
            malformed("NUL behind the end", b"{}\0"),
            malformed("two values", b"{}{}"),
            malformed("a number beyond all", b"{\"features\":{\"a\":1e400}}"),
            malformed(
                "a number of a million digits",
                format!("{{\"features\":{{\"a\":{}}}}}", "9".repeat(1_000_000)).as_bytes(),
            ),
            case(
                "a body that announces too much",
                "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9223372036854775807\r\n\r\n",
                413,
                "body_too_large",
            ),
            case("20 MB", body(&vec![b' '; 20_000_000]), 413, "body_too_large"),
            case("20 MB in chunks", chunked(20_000_000), 413, "body_too_large"),
        ],
    );
}

#[test]
fn keys_that_stand_twice_are_refused() {
    let server = Server::demo();
    let json = [("content-type", "application/json")];
    let reply = server.connect().text(
        "POST",
        "/predict",
        &json,
        r#"{"features":{"a":1,"a":2},"model":"vader-random-forest"}"#,
    );
    assert!((400..=422).contains(&reply.error().0), "{}", reply.body);
    let reply =
        server.connect().text("POST", "/predict", &json, r#"{"model":"a","model":"vader-random-forest"}"#);
    assert!((400..=422).contains(&reply.error().0), "{}", reply.body);
}

#[test]
fn paths_lead_nowhere_else() {
    let server = Server::demo();
    for path in [
        "/../../etc/passwd",
        "/models/../../../etc/passwd",
        "/models/..",
        "/models/%2e%2e",
        "/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/models/..%2f..%2fetc%2fpasswd",
        "/models/%00",
        "/models/..;/admin",
        "/models/%5c..%5c",
        "//etc/passwd",
        "/v2/models/..%2f/infer",
        "/models//versions",
        "/%2e%2e/",
    ] {
        let reply = server.get(path);
        assert!(matches!(reply.status, 400 | 404 | 405 | 422), "{path}: {} {}", reply.status, reply.body);
        assert!(!reply.body.to_string().contains("root:"), "{path}");
    }
    server.get("/health/live").ok();
}

#[test]
fn old_clients_are_answered() {
    let server = Server::demo();
    let got = answers(&server, b"GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!((got.len(), got[0].0), (1, 200));
    // Who names no host cannot be told from a page whose name was rebound, but no browser speaks so.
    let got = answers(&server, b"GET /health/live HTTP/1.0\r\n\r\n");
    assert_eq!((got[0].0, got[0].1["code"].as_str()), (400, Some("missing_host")));
}
