//! Versions change and the server stops under load, and no request is lost.

use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value as Json, json};

use crate::registry::train;
use crate::server::{Server, until};

const THREADS: usize = 4;

/// Ends the clients' loops also where the test fails, as a scope waits for its threads.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask() -> Json {
    json!({"model": "m", "features": {"a": 3.5, "b": 4.25}})
}

/// Which version answered, and what.
fn pair(answer: &Json) -> (Json, Json) {
    (answer["model_info"]["model_version"].clone(), answer["prediction"]["probability"].clone())
}

#[test]
fn fifty_promotions_lose_nothing_and_mix_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 1);
    train(folder.path(), "m", "v2", 2);
    let server = Server::of(&folder.path().join("registry"));
    let promote = |version: &str| {
        server.put("/models/m/aliases/champion", &json!({"version": version})).ok();
        pair(&server.post("/predict", &ask()).ok())
    };
    let pairs = [promote("v1"), promote("v2")];
    assert_eq!((&pairs[0].0, &pairs[1].0), (&json!("v1"), &json!("v2")));
    assert_ne!(pairs[0].1, pairs[1].1, "the versions must differ for this test to mean anything");

    let (begun, done) = (Barrier::new(THREADS + 1), AtomicBool::new(false));
    let seen = [const { AtomicUsize::new(0) }; 2];
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = server.connect();
                begun.wait();
                while !done.load(Ordering::Relaxed) {
                    let got = pair(&client.request("POST", "/predict", Some(&ask())).ok());
                    let at = pairs.iter().position(|pair| *pair == got);
                    seen[at.unwrap_or_else(|| panic!("{got:?} is of no version"))]
                        .fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let finish = Finish(&done);
        begun.wait();
        for round in 0..50 {
            assert_eq!(promote(if round % 2 == 0 { "v1" } else { "v2" }), pairs[round % 2]);
        }
        drop(finish);
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{seen:?}");
}

#[test]
fn a_stop_answers_what_was_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 1);
    let mut server = Server::of(&folder.path().join("registry"));
    let expected = pair(&server.post("/predict", &ask()).ok());
    let body = ask().to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    // A request whose head has been taken, and whose body is still on its way, is under way.
    let mut slow = server.connect();
    let length = body.len();
    slow.send(&format!(
        "POST /predict HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n{first}"
    ))
    .expect("sends");
    assert_eq!(slow.receive().expect("the server waits for the body").status, 100);

    let (stopping, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let finish = Finish(&stopping);
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = server.connect();
                loop {
                    match client.try_text("POST", "/predict", &[], &body) {
                        Ok(reply) => {
                            let closes = reply.header("connection") == Some("close");
                            assert_eq!(pair(&reply.ok()), expected);
                            answered.fetch_add(1, Ordering::Relaxed);
                            if closes {
                                break;
                            }
                        }
                        // The server may close a connection between two requests, but not before the stop.
                        Err(error) => {
                            assert!(stopping.load(Ordering::Relaxed), "{error}");
                            break;
                        }
                    }
                }
            });
        }
        until("requests are answered", || answered.load(Ordering::Relaxed) >= 20);
        drop(finish);
        server.terminate();
        until("no more connections are taken", || TcpStream::connect(server.address).is_err());
        slow.send(rest).expect("the connection is still open");
        let reply = slow.receive().expect("a request under way is answered");
        assert_eq!(pair(&reply.ok()), expected);
    });
    assert_eq!(server.wait().code(), Some(0));
}
