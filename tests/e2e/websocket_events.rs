//! What happens around a socket: a promotion, clients that do not read, and what operators see of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::registry::import;
use crate::seen::sum;
use crate::server::{Server, eventually};
use crate::websocket::{Socket, block_on};

/// A server of `cells` in versions `v1`, the champion, and `v2`, with features of `E`.
fn cells(folder: &std::path::Path) -> Server {
    for version in ["v1", "v2"] {
        import(folder, "cells", version, &["--feature-set", "cells"]);
    }
    let (registry, config) = (folder.join("registry"), folder.join("serve.yaml"));
    let text = format!(
        "registry: {{ url: '{}', poll: 0s, watch: false }}\nfeatures: {{ url: 'memory://', max_age: none }}\n",
        registry.display()
    );
    fs::write(&config, text).expect("writes");
    let server = Server::start(["--config", &config.display().to_string()], &[]);
    let row = json!({"entity": "E", "timestamp": "2020-01-01T00:00:00Z", "features": {"mean_radius": 1.0}});
    server.post("/features/cells", &json!({ "rows": [row] })).ok();
    server
}

fn version(message: &Json) -> &Json {
    &message["answer"]["model_info"]["model_version"]
}

#[test]
fn a_promotion_is_pushed_to_who_follows_the_alias() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = cells(folder.path());
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let subscribe = json!({"type": "subscribe", "id": "alias", "model": "cells", "entity": "E"});
        assert_eq!(socket.ask(subscribe).await["type"], "subscribed");
        let first = socket.receive().await;
        assert_eq!((version(&first), &first["sequence"]), (&json!("v1"), &json!(1)), "{first}");
        let pinned = json!({"type": "subscribe", "id": "number", "model": "cells@v1", "entity": "E"});
        assert_eq!(socket.ask(pinned).await["type"], "subscribed");
        assert_eq!(version(&socket.receive().await), "v1");

        server.put("/models/cells/aliases/champion", &json!({"version": "v2"})).ok();
        let second = socket.receive().await;
        assert_eq!((&second["id"], version(&second)), (&json!("alias"), &json!("v2")), "{second}");
        assert_eq!(second["sequence"], 2);
        server.post("/models/cells/rollback", &json!({})).ok();
        let third = socket.receive().await;
        assert_eq!((&third["id"], version(&third)), (&json!("alias"), &json!("v1")), "{third}");
        // Nothing was pushed to who asked for a version by its number.
        assert_eq!(socket.ask(json!({"type": "ping"})).await["type"], "pong");
    });
}

/// The page of metrics as text.
fn page(server: &Server) -> String {
    server.get("/metrics").ok().as_str().expect("is text").to_owned()
}

#[test]
fn questions_and_pushes_are_counted_as_requests() {
    let server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let ask = json!({"type": "predict", "model": "vader-random-forest"});
        assert_eq!(socket.ask(ask).await["type"], "prediction");
        let bad = json!({"type": "predict", "model": "vader-random-forest", "features": {"return_1": "x"}});
        assert_eq!(socket.ask(bad).await["code"], "invalid_features");
        let subscribe = json!({"type": "subscribe", "model": "vader-random-forest", "entity": "BTC/USD"});
        assert_eq!(socket.ask(subscribe).await["type"], "subscribed");
        assert_eq!(socket.receive().await["type"], "prediction");
        let page = page(&server);
        let told = |family: &str, labels: &[&str]| sum(&page, family, labels);
        let model = r#"model="vader-random-forest""#;
        assert_eq!(told("prediction_requests_total", &[model, r#"outcome="success""#]), 2.0, "{page}");
        assert_eq!(told("prediction_requests_total", &[model, r#"outcome="refused""#]), 1.0, "{page}");
        assert_eq!(told("prediction_requests_total", &[]), 3.0, "the handshake is no prediction: {page}");
        assert_eq!(told("websocket_answers_total", &[r#"to="question""#]), 2.0);
        assert_eq!(told("websocket_answers_total", &[r#"to="subscription""#]), 1.0);
        assert_eq!((told("websocket_open", &[]), told("websocket_opened_total", &[])), (1.0, 1.0));
    });
    eventually("the socket's end", || {
        (sum(&page(&server), "websocket_closed_total", &[r#"reason="client""#]) > 0.0).then_some(())
    });
}

/// A masked frame of text, as a client sends one; the mask is 0.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("is short");
    assert!(length < 126, "its length stands in the first two bytes");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn a_client_that_asks_and_does_not_read_is_cut_off() {
    let limits = [
        ("SERVE__HTTP__WEBSOCKET__SOCKETS", "1"),
        ("SERVE__HTTP__WEBSOCKET__SEND_TIMEOUT", "500ms"),
        ("SERVE__HTTP__WEBSOCKET__MESSAGES_PER_SECOND", "1000000"),
    ];
    let server = Server::start(["--demo"], &limits);
    server.post("/predict", &json!({"model": "vader-random-forest"})).ok();
    let before = server.peak_memory_kib();
    let mut hasty = TcpStream::connect(server.address).expect("the server listens");
    hasty
        .write_all(
            b"GET /ws/predict HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .expect("is sent");
    let mut head = [0; 12];
    hasty.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    hasty.set_write_timeout(Some(Duration::from_secs(5))).expect("an option");
    let question = frame(r#"{"type":"predict","model":"vader-random-forest","explain":true}"#);
    let many = question.repeat(1_000);
    let mut sent = 0;
    // The server stops reading, and the client's own buffers fill up; or it is cut off while it sends.
    while hasty.write_all(&many).is_ok() {
        sent += many.len();
        assert!(sent < 256 << 20, "the server reads on, {sent} bytes by now");
    }
    let closed = || sum(&page(&server), "websocket_closed_total", &[r#"reason="slow""#]);
    eventually("the end of the socket", || (closed() > 0.0).then_some(()));
    if let (Some(before), Some(after)) = (before, server.peak_memory_kib()) {
        assert!(after < before + (64 << 10), "{before} KiB before, {after} KiB after");
    }
    // Its place is free.
    block_on(async {
        let mut next = Socket::open(server.address).await;
        assert_eq!(next.ask(json!({"type": "ping"})).await["type"], "pong");
    });
}
