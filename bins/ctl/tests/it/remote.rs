//! `smoke` and `load` against a server of a few lines that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

/// Answers by path, on any number of connections, until the test ends.
fn server(answers: &'static (dyn Fn(&str, &str) -> (u16, Json) + Sync)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || converse(&stream, answers));
        }
    });
    address
}

fn converse(stream: &TcpStream, answers: &dyn Fn(&str, &str) -> (u16, Json)) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut key) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim();
            let Some((name, value)) = header.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => value.trim().clone_into(&mut key),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = format!("{method} {path} {}", String::from_utf8_lossy(&body));
        let (status, answer) = answers(&asked, &key);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        (&mut &*stream).write_all(head.as_bytes()).ok()?;
    }
}

fn ctl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve-ctl"));
    command.args(args).env_remove("SERVE_KEY").output().expect("serve-ctl starts")
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A server with one model, whose predictions fail.
fn broken(asked: &str, _key: &str) -> (u16, Json) {
    let signature = json!({ "inputs": [{ "name": "a", "datatype": "FP64" }] });
    let model = json!({ "name": "m", "version": "1", "status": "live", "signature": signature });
    match asked.split(' ').nth(1).unwrap_or_default() {
        "/" => (200, json!({ "endpoints": ["GET /health", "POST /predict", "POST /models/unload"] })),
        "/models" => (200, json!({ "models": [model] })),
        "/models/m" => (200, model),
        "/features" => (200, json!({})),
        "/health" => (200, json!({ "status": "healthy" })),
        "/models/unload" => (403, json!({ "code": "not_permitted" })),
        _ => (500, json!({ "success": false, "code": "internal" })),
    }
}

#[test]
fn smoke_says_which_endpoint_fails() {
    let address = server(&broken);
    let (code, out, err) = told(&ctl(&["smoke", &format!("http://{address}")]));
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("1 failed: POST /predict"), "{err}");
    assert!(out.contains("expected 200 with a prediction, got 500"), "{out}");
    assert!(out.contains("1 ok, 1 failed, 1 skipped"), "{out}");
    let (code, out, _) = told(&ctl(&["smoke", &format!("http://{address}"), "--json"]));
    let outcomes: Json = serde_json::from_str(&out).expect("is JSON");
    assert_eq!((code, outcomes[1]["result"].as_str()), (Some(69), Some("failed")));
}

#[test]
fn load_counts_what_came_back() {
    let address = server(&|asked, key| match (key, asked.contains("/predict")) {
        ("Bearer secret", true) => (200, json!({ "success": true })),
        _ => (401, json!({ "code": "unauthenticated" })),
    });
    let url = format!("http://{address}");
    let args = ["load", &url, "--key", "secret", "--connections", "3", "--requests", "50", "--warm-up", "0s"];
    let (code, out, err) = told(&ctl(&[&args[..], &["--json"]].concat()));
    assert_eq!(code, Some(0), "{err}");
    let report: Json = serde_json::from_str(&out).expect("is JSON");
    assert_eq!((report["answered"].as_u64(), report["errors"].as_u64()), (Some(50), Some(0)));
    assert_eq!(report["statuses"], json!({ "200": 50 }));
    let (code, _, err) = told(&ctl(&["load", &url]));
    assert_eq!(code, Some(69));
    assert!(err.contains("POST /predict is answered 401"), "{err}");
    let (code, out, _) = told(&ctl(&args));
    assert_eq!(code, Some(0));
    for part in ["requests/s", "median", "p99", "standard deviation", "errors      0"] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    drop(listener);
    let (code, _, err) = told(&ctl(&["smoke", &format!("http://{address}")]));
    assert_eq!(code, Some(69));
    assert!(err.contains(&format!("cannot connect to {}:{}", address.ip(), address.port())), "{err}");
    let (code, _, err) = told(&ctl(&["load", "ftp://example.com/"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("expected a URL such as"), "{err}");
}
