//! Clients that take their time: each keeps its own connection waiting, none keeps the server.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use crate::seen::sum;
use crate::server::{Client, Server, eventually, until};

const PATIENCE: Duration = Duration::from_secs(30);

fn server(more: &[(&str, &str)]) -> Server {
    let mut settings = vec![
        ("SERVE__HTTP__HEADER_TIMEOUT", "500ms"),
        ("SERVE__HTTP__CONNECTIONS__PATIENCE", "500ms"),
        ("SERVE__HTTP__CONNECTIONS__MIN_BYTES_PER_SECOND", "100000"),
    ];
    settings.extend_from_slice(more);
    Server::start(["--demo"], &settings)
}

/// Sends `piece` again and again until the server ends it, and reads what it says.
fn drip(stream: &mut TcpStream, piece: &[u8]) -> String {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("an option");
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    until("the server ends it", || {
        drop(stream.write_all(piece));
        match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(bytes) => {
                received.extend_from_slice(&buffer[..bytes]);
                false
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    });
    String::from_utf8_lossy(&received).into_owned()
}

fn open(server: &Server, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(bytes.as_bytes()).expect("the connection is open");
    stream
}

#[test]
fn a_head_that_drips_is_given_up_with_an_answer() {
    let server = server(&[]);
    for start in ["G", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let answer = drip(&mut open(&server, start), b"y");
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"timeout\""),
            "{start:?}: {answer}"
        );
    }
    let answer = drip(&mut open(&server, "\r\n"), b"\r\n");
    assert!(answer.starts_with("HTTP/1.1 408 "), "empty lines: {answer}");
    // The second request on a connection as well.
    let mut client: Client = server.connect();
    client.request("GET", "/health/live", None).ok();
    client.send("GET /health/live HT").expect("open");
    let reply = client.receive().expect("an answer");
    assert_eq!((reply.error().0, reply.error().1), (408, "timeout"));
    server.get("/health/live").ok();
}

#[test]
fn a_body_that_drips_is_given_up_with_an_answer() {
    let server = server(&[]);
    let head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
    let answer = drip(&mut open(&server, head), b" ");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"body_too_slow\""), "{answer}");
    server.get("/health/live").ok();
}

#[test]
fn idle_connections_end_and_those_that_ask_stay() {
    let server = server(&[("SERVE__HTTP__CONNECTIONS__IDLE_TIMEOUT", "1s")]);
    let mut idle = open(&server, "");
    idle.set_read_timeout(Some(PATIENCE)).expect("an option");
    let mut busy: Client = server.connect();
    for _ in 0..6 {
        busy.request("GET", "/health/live", None).ok();
        sleep(Duration::from_millis(300));
    }
    assert_eq!(idle.read(&mut [0; 1]).expect("ends in order"), 0);
    busy.request("GET", "/health/live", None).ok();
}

/// How many connections hold no parser.
fn resting(server: &Server) -> f64 {
    let page = server.get("/metrics").bytes;
    sum(&String::from_utf8_lossy(&page), "http_connections_at_rest", &[])
}

#[test]
fn silent_connections_rest_and_are_answered_again() {
    let server = server(&[]);
    let mut silent: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut silent {
        client.request("GET", "/health/live", None).ok();
    }
    until("all four rest", || resting(&server) == 4.0);
    let get = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // One asks twice at once.
    silent[0].send(&get.repeat(2)).expect("is open");
    // One in pieces, none of which says what it will be.
    for piece in
        ["P", "OST /predict HTTP/1.1\r\nHost: loc", "alhost\r\nContent-Type: application/json\r\nContent-Len"]
    {
        silent[1].send(piece).expect("is open");
        sleep(Duration::from_millis(50));
    }
    silent[1].send("gth: 31\r\n\r\n{\"model\":").expect("is open");
    silent[1].send("\"vader-random-forest\"}").expect("is open");
    // One asks for another protocol where none is spoken, and one leaves.
    silent[2]
        .send(&get.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
        .expect("is open");
    drop(silent.pop());
    for (asked, times) in [(0, 2), (1, 1), (2, 1)] {
        for _ in 0..times {
            let reply = silent[asked].receive().expect("an answer");
            assert_eq!(reply.status, 200, "{asked}: {reply:?}");
        }
    }
    until("two rest again, and two have ended", || resting(&server) == 2.0);
    silent[1].request("GET", "/health/live", None).ok();
}

#[test]
fn a_connection_that_rests_takes_part_in_a_stop() {
    let mut server = server(&[]);
    let mut silent: Client = server.connect();
    silent.request("GET", "/health/live", None).ok();
    until("it rests", || resting(&server) == 1.0);
    server.terminate();
    assert!(silent.receive().is_err(), "it ends without a word");
    assert!(server.wait().success());
}

#[test]
fn as_many_threads_hold_connections_as_are_asked_for() {
    let server = server(&[("SERVE__HTTP__THREADS", "3")]);
    let mut all: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut all {
        client.request("GET", "/health/live", None).ok();
    }
    let threads = server.threads();
    let of_http = threads.iter().filter(|name| name.starts_with("http-")).count();
    assert_eq!(of_http, 3, "{threads:?}");
}

#[test]
fn who_does_not_take_an_answer_is_cut_off() {
    let server = server(&[]);
    // One request after the other, and not one answer read: the system's buffers fill, then the server has to wait.
    let mut stream = open(&server, "");
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("an option");
    let request = "GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let ended = eventually("the server ends it", || {
        let sent = stream.write_all(request.as_bytes());
        sent.err().filter(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    });
    assert!(matches!(ended.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{ended}");
    server.get("/health/live").ok();
}

#[test]
fn connections_are_counted_and_one_too_many_is_refused() {
    let server = server(&[("SERVE__HTTP__CONNECTIONS__MAX", "3")]);
    let mut held: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    held[2].request("GET", "/health/live", None).ok();
    let mut refused: Client = server.connect();
    let reply = refused.receive().expect("is told why");
    assert_eq!((reply.error().0, reply.error().1), (503, "too_many_connections"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    held.pop();
    until("the place is free again", || {
        let reply = server.connect().try_text("GET", "/health/live", &[], "");
        reply.is_ok_and(|reply| reply.status == 200)
    });
}

#[test]
fn one_address_has_so_many_connections_and_gets_them_back() {
    let server = server(&[("SERVE__HTTP__CONNECTIONS__MAX_PER_ADDRESS", "2")]);
    let mut held: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut held {
        client.request("GET", "/health/live", None).ok();
    }
    for _ in 0..3 {
        let reply = server.connect().receive().expect("is told why");
        assert_eq!((reply.error().0, reply.error().1), (503, "too_many_connections"));
    }
    held.pop();
    until("the place is free again", || {
        let reply = server.connect().try_text("GET", "/health/live", &[], "");
        reply.is_ok_and(|reply| reply.status == 200)
    });
    let text = held[0].request("GET", "/metrics", None);
    let text = text.body.as_str().unwrap_or_default();
    let refused = text.lines().find_map(|line| line.strip_prefix("http_connections_refused_total "));
    assert!(refused.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count >= 3), "{text}");
}

#[test]
fn a_reader_that_closes_its_window_is_cut_off() {
    let server = server(&[]);
    // Answers larger than all buffers between, and not one byte of them taken.
    let body = format!(r#"{{"model":"vader-random-forest","requests":[{}{{}}]}}"#, "{},".repeat(9_999));
    let length = body.len();
    let head = "POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    let mut stream = open(&server, &request.repeat(8));
    let gone = |server: &Server| {
        let text = server.get("/metrics").body;
        let text = text.as_str().unwrap_or_default().to_owned();
        text.lines().any(|line| line == "http_connections_cut_off_total 1")
    };
    until("the server ends it", || gone(&server));
    assert!(stream.read_to_end(&mut Vec::new()).is_err(), "the rest is thrown away");
}
