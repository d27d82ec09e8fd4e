//! HTTP/2, frame by frame (RFC 9113): a client that speaks it well, with prior knowledge or under TLS, and many that do not.
//! Whatever they send, the next connection is answered.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::server::Server;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame (section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal header that is not indexed (RFC 7541, section 6.2.2), short.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = Vec::new();
        match u8::try_from(text.len()) {
            Ok(length) if length < 127 => bytes.push(length),
            _ => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).expect("is small") | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).expect("is small"));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

fn head(method: &str, path: &str) -> Vec<u8> {
    [
        literal(":method", method),
        literal(":scheme", "http"),
        literal(":path", path),
        literal(":authority", "localhost"),
    ]
    .concat()
}

fn opening() -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

fn read_frame(stream: &mut impl Read) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).expect("fits")];
    stream.read_exact(&mut payload)?;
    let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    Ok((head[3], head[4], number, payload))
}

/// The status of a block of headers that begins with it, as every answer's does: indexed, or a literal with three digits.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x08 | 0x48 | 0x18, rest @ ..] => huffman_or_plain(rest),
        _ => 0,
    }
}

/// Three digits, plain or in Huffman's code, where 0, 1, 2 have five bits and 3 to 9 six.
fn huffman_or_plain(text: &[u8]) -> u16 {
    let coded = text[0] & 0x80 != 0;
    let bytes = &text[1..=usize::from(text[0] & 0x7f)];
    if !coded {
        return String::from_utf8_lossy(bytes).parse().unwrap_or(0);
    }
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |from: usize, count: usize| {
        bits[from..from + count].iter().fold(0u16, |n, bit| n << 1 | u16::from(*bit))
    };
    let (mut at, mut digits) = (0, 0);
    for _ in 0..3 {
        let five = number(at, 5);
        let (digit, taken) = if five < 3 { (five, 5) } else { (number(at, 6) - 0b01_1001 + 3, 6) };
        digits = digits * 10 + digit;
        at += taken;
    }
    digits
}

/// One request over a fresh connection: status and body.
pub(crate) fn get(stream: &mut (impl Read + Write), path: &str) -> (u16, String) {
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", path));
    stream.write_all(&[opening(), request].concat()).expect("is open");
    stream.flush().expect("is open");
    answer(stream, 1)
}

fn answer(stream: &mut (impl Read + Write), wanted: u32) -> (u16, String) {
    let (mut code, mut body) = (0, Vec::new());
    loop {
        let (kind, flags, number, payload) = read_frame(stream).expect("a frame");
        match kind {
            SETTINGS if flags == 0 => {
                stream.write_all(&frame(SETTINGS, 1, 0, &[])).expect("is open");
                stream.flush().expect("is open");
            }
            HEADERS if number == wanted => code = status(&payload),
            DATA if number == wanted => body.extend_from_slice(&payload),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && number == wanted && flags & END_STREAM != 0 {
            return (code, String::from_utf8_lossy(&body).into_owned());
        }
        assert!(kind != RST_STREAM || number != wanted, "reset: {payload:?}");
        assert!(kind != GOAWAY, "sent away: {payload:?}");
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
    stream
}

#[test]
fn requests_are_answered_with_prior_knowledge() {
    let server = Server::demo();
    let live = (200, r#"{"live":true,"status":"live"}"#.to_owned());
    let mut stream = connect(&server);
    assert_eq!(get(&mut stream, "/health/live"), live);
    for number in [3, 5, 7] {
        let request = frame(HEADERS, END_STREAM | END_HEADERS, number, &head("GET", "/health/live"));
        stream.write_all(&request).expect("is open");
        assert_eq!(answer(&mut stream, number), live);
    }
    let json = [head("POST", "/predict"), literal("content-type", "application/json")].concat();
    let body = br#"{"model":"vader-random-forest"}"#;
    stream
        .write_all(&[frame(HEADERS, END_HEADERS, 9, &json), frame(DATA, END_STREAM, 9, body)].concat())
        .expect("open");
    let (code, body) = answer(&mut stream, 9);
    assert!(code == 200 && body.contains("\"success\":true"), "{code} {body}");
}

#[test]
fn heads_are_held_against_the_same_rules() {
    let server = Server::demo();
    let cases = [
        ([head("GET", &format!("/{}", "x".repeat(9000)))].concat(), 414, "uri_too_long"),
        ([head("GET", "/models"), literal("x", &"y".repeat(40_000))].concat(), 431, "headers_too_large"),
        ([head("GET", "/models"), literal("host", "evil.example")].concat(), 400, "malformed_request"),
        ([head("GET", "/models"), literal("host", "LOCALHOST:80")].concat(), 200, "models"),
        ([head("GET", "/models"), literal("x-a", "b").repeat(101)].concat(), 431, "headers_too_large"),
        ([head("GET", "/models"), literal("x-a", "b").repeat(100)].concat(), 200, "models"),
        (
            [
                literal(":method", "GET"),
                literal(":scheme", "http"),
                literal(":path", "/models"),
                literal(":authority", "evil.example"),
            ]
            .concat(),
            421,
            "untrusted_host",
        ),
        (
            [head("POST", "/models/reload"), literal("origin", "https://evil.example")].concat(),
            403,
            "cross_site",
        ),
    ];
    for (block, status, text) in cases {
        let mut stream = connect(&server);
        stream.write_all(&opening()).expect("is open");
        let mut pieces = block.chunks(16_000);
        let first = pieces.next().expect("is not empty");
        let rest: Vec<&[u8]> = pieces.collect();
        let flags = END_STREAM | if rest.is_empty() { END_HEADERS } else { 0 };
        stream.write_all(&frame(HEADERS, flags, 1, first)).expect("is open");
        for (at, piece) in rest.iter().enumerate() {
            let flags = if at + 1 == rest.len() { END_HEADERS } else { 0 };
            stream.write_all(&frame(CONTINUATION, flags, 1, piece)).expect("is open");
        }
        let (got, body) = answer(&mut stream, 1);
        assert!(got == status && body.contains(text), "{text}: {got} {body}");
    }
}

/// Sends, reads whatever comes, and holds that the server ends it, or at least is not held up by it.
fn abuse(server: &Server, name: &str, bytes: &[u8]) {
    let mut stream = connect(server);
    let mut sending = stream.try_clone().expect("a second handle");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("an option");
    std::thread::scope(|scope| {
        scope.spawn(move || drop(sending.write_all(bytes)));
        let until = Instant::now() + Duration::from_secs(20);
        let mut buffer = vec![0; 65_536];
        while Instant::now() < until && !matches!(stream.read(&mut buffer), Ok(0) | Err(_)) {}
        drop(stream.shutdown(std::net::Shutdown::Both));
    });
    let live = get(&mut connect(server), "/health/live");
    assert_eq!(live.0, 200, "{name}");
}

#[test]
fn a_client_that_does_nothing_but_ping_is_cut_off() {
    let server = Server::demo();
    let mut stream = connect(&server);
    stream.write_all(&opening()).expect("is read");
    let (pings, mut answers) = (frame(PING, 0, 0, &[0; 8]).repeat(100), vec![0; 65_536]);
    let began = Instant::now();
    // The answers are read, so that it is not for these that it is cut off.
    while stream.write_all(&pings).is_ok() && matches!(stream.read(&mut answers), Ok(1..)) {
        assert!(began.elapsed() < Duration::from_mins(1), "it goes on");
    }
    let page = String::from_utf8(server.get("/metrics").bytes).expect("text");
    assert_eq!(crate::seen::sum(&page, "http_connections_cut_off_total", &[]), 1.0);
}

#[test]
fn frames_that_should_exhaust_the_server_do_not() {
    let server = Server::demo();
    let open = |number: u32| frame(HEADERS, END_STREAM | END_HEADERS, number, &head("GET", "/health/live"));
    let rapid =
        (0..5000u32).flat_map(|n| [open(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat());
    let many = (0..5000u32).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &head("POST", "/predict")));
    let begun = frame(HEADERS, END_STREAM, 1, &head("GET", "/"));
    let block = [head("GET", "/"), literal("x", &"y".repeat(8000))].concat();
    let continued = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &block), 2000).flatten();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("rapid reset", rapid.collect()),
        ("streams without end", many.collect()),
        ("a head that goes on", begun.iter().copied().chain(continued).collect()),
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(50_000)),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(50_000)),
        (
            "empty data",
            [
                frame(HEADERS, END_HEADERS, 1, &head("POST", "/predict")),
                frame(DATA, 0, 1, &[]).repeat(50_000),
            ]
            .concat(),
        ),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()).repeat(2)),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a frame that is too long", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        ("a frame of 16 MiB that does not come", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]),
        ("data for stream 0", frame(DATA, 0, 0, b"x")),
        ("data for a stream that is not open", frame(DATA, 0, 5, b"x")),
        ("a stream of the server's", frame(HEADERS, END_STREAM | END_HEADERS, 2, &head("GET", "/"))),
        ("a head that is no HPACK", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 100])),
        ("a ping that is too short", frame(PING, 0, 0, &[0; 3])),
        ("settings that do not fit", frame(SETTINGS, 0, 0, &[0; 7])),
        ("a table of 4 GiB", frame(SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff])),
        ("a frame of an unknown kind", frame(0xfe, 0xff, 1, &[1; 100]).repeat(1000)),
        ("HTTP/1 in the middle", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (
            "headers of HTTP/1",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[head("GET", "/"), literal("connection", "close"), literal("transfer-encoding", "chunked")]
                    .concat(),
            ),
        ),
        (
            "a name in capitals",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[head("GET", "/"), literal("X-A", "b")].concat()),
        ),
        (
            "two paths",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[head("GET", "/"), literal(":path", "/b")].concat()),
        ),
        (
            "a length that is not that of the data",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[head("POST", "/predict"), literal("content-length", "100")].concat(),
                ),
                frame(DATA, END_STREAM, 1, b"x"),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in cases {
        abuse(&server, name, &[opening(), bytes].concat());
    }
    abuse(&server, "half a preface", &PREFACE[..20]);
    abuse(&server, "a preface and noise", &[PREFACE, &vec![0xaa; 100_000]].concat());
}

#[test]
fn a_client_that_does_not_end_a_frame_is_cut_off() {
    let server = Server::start(["--demo"], &[("SERVE__HTTP__HEADER_TIMEOUT", "500ms")]);
    let block = head("GET", "/health/live");
    let begun = frame(HEADERS, END_STREAM, 1, &block);
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    for (name, bytes) in [
        ("half a preface", PREFACE[..18].to_vec()),
        ("a head without its end", [opening(), begun.clone()].concat()),
        ("a head in pieces", [opening(), begun, frame(CONTINUATION, 0, 1, &literal("a", "b"))].concat()),
        ("half a frame", [opening(), whole[..12].to_vec()].concat()),
    ] {
        let mut stream = connect(&server);
        stream.write_all(&bytes).expect("is open");
        let ended = stream.read_to_end(&mut Vec::new());
        // Whoever still waits has a time-out of the test's.
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "{name}"
        );
    }
    // Who asks nothing for longer than that, or takes its time with a body, is no such client.
    let mut stream = connect(&server);
    let post = [head("POST", "/predict"), literal("content-type", "application/json")].concat();
    let body = br#"{"model":"vader-random-forest"}"#;
    let first =
        [opening(), frame(HEADERS, END_HEADERS, 1, &post), frame(DATA, END_STREAM, 1, body)[..20].to_vec()];
    stream.write_all(&first.concat()).expect("is open");
    std::thread::sleep(Duration::from_millis(1_500));
    stream.write_all(&frame(DATA, END_STREAM, 1, body)[20..]).expect("is open");
    assert_eq!(answer(&mut stream, 1).0, 200);
}

#[test]
fn a_client_that_opens_no_window_is_cut_off() {
    let settings = [
        ("SERVE__HTTP__CONNECTIONS__PATIENCE", "500ms"),
        ("SERVE__HTTP__CONNECTIONS__MIN_BYTES_PER_SECOND", "100000"),
    ];
    let server = Server::start(["--demo"], &settings);
    let mut stream = connect(&server);
    // SETTINGS_INITIAL_WINDOW_SIZE of 0: nothing of an answer's body may be sent.
    let closed = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let requests =
        (0..50u32).flat_map(|n| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head("GET", "/models")));
    stream.write_all(&[PREFACE.to_vec(), closed, requests.collect()].concat()).expect("is open");
    let ended = loop {
        match read_frame(&mut stream) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(ended.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{ended}");
    assert_eq!(get(&mut connect(&server), "/health/live").0, 200);
}
