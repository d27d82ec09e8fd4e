//! What a socket's opening showed is asked about again with each question: keys, tokens and rates hold for it as for others.

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};

use crate::locks::{key, locked, token, written};
use crate::server::{Server, eventually};
use crate::websocket::{Socket, block_on};

fn question() -> Json {
    json!({"type": "predict", "model": "vader-random-forest"})
}

/// The code of an answer, where it is an error.
fn code(answer: &Json) -> Option<&str> {
    answer["code"].as_str()
}

#[test]
fn a_socket_is_opened_with_one_credential() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, line) = key("ci", "predict", &[]);
    let server = locked(folder.path(), &format!("mode: keys\nkeys:\n{line}"));
    let bearer = format!("Bearer {key}");
    let lifted = format!("serve.v1, serve.key.{key}");
    let twice = format!("{lifted}, serve.key.{key}");
    let protocol = "sec-websocket-protocol";
    block_on(async {
        for one in [("authorization", &bearer), ("x-api-key", &key), (protocol, &lifted)] {
            let mut socket = Socket::open_with(server.address, &[(one.0, one.1)]).await.expect("opens");
            assert_eq!(code(&socket.ask(question()).await), None, "{}", one.0);
        }
        for two in [
            &[("authorization", &bearer), (protocol, &lifted)][..],
            &[("x-api-key", &key), (protocol, &lifted)],
            &[("authorization", &bearer), ("x-api-key", &key)],
            &[(protocol, &twice)],
            &[(protocol, &lifted), (protocol, &lifted)],
        ] {
            let headers: Vec<(&str, &str)> =
                two.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(Socket::open_with(server.address, &headers).await.err(), Some(400), "{two:?}");
        }
        assert_eq!(Socket::open_with(server.address, &[]).await.err(), Some(401));
    });
}

#[test]
fn a_key_that_is_taken_away_answers_no_more_questions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.yaml");
    let ((gone, gone_line), (_, line)) = (key("gone", "predict", &[]), key("stays", "predict", &[]));
    fs::write(&path, format!("{gone_line}\n{line}")).expect("written");
    let server = locked(folder.path(), &format!("mode: keys\nkeys_file: {}", path.display()));
    block_on(async {
        let open = [("x-api-key", gone.as_str())];
        let mut asking = Socket::open_with(server.address, &open).await.expect("opens");
        let mut watching = Socket::open_with(server.address, &open).await.expect("opens");
        assert_eq!(code(&asking.ask(question()).await), None);
        let subscribe = json!({"type": "subscribe", "model": "vader-random-forest", "interval": "500ms"});
        assert_eq!(watching.ask(subscribe).await["type"], "subscribed");
        fs::write(folder.path().join("new"), line).expect("written");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        let refused = loop {
            let told = asking.ask(question()).await;
            if code(&told).is_some() {
                break told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        assert_eq!(code(&refused), Some("invalid_key"), "{refused}");
        // Who is only pushed to is sent away.
        loop {
            match watching.receive().await {
                told if told["type"] == "prediction" => {}
                told => {
                    assert_eq!(told["type"], "closing", "{told}");
                    break;
                }
            }
        }
        assert!(Socket::open_with(server.address, &open).await.is_err());
    });
}

#[test]
fn a_token_that_has_ended_answers_no_more_questions() {
    const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("hmac");
    fs::write(&secret, SECRET).expect("written");
    // The token has ended a minute ago, which at first is let pass: so nothing has to be waited for.
    let auth = |leeway: &str| {
        let secret = secret.display();
        format!("mode: jwt\njwt: {{ issuer: here, audience: serve, hmac_file: {secret}, leeway: {leeway} }}")
    };
    let config = written(folder.path(), &auth("5m"));
    let server = Server::start(["--demo", "--config", &config], &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let ended = now.as_secs() - 60;
    let claims = json!({ "iss": "here", "aud": "serve", "sub": "alice", "exp": ended, "scope": "predict" });
    let token = token(&EncodingKey::from_secret(SECRET), &Header::new(Algorithm::HS256), &claims);
    let bearer = format!("Bearer {token}");
    block_on(async {
        let open = [("authorization", bearer.as_str())];
        let mut socket = Socket::open_with(server.address, &open).await.expect("opens");
        assert_eq!(code(&socket.ask(question()).await), None);
        written(folder.path(), &auth("0s"));
        server.signal("-HUP");
        eventually("the configuration is read again", || {
            let told = server.get("/health").ok()["components"]["auth"]["status"].clone();
            let reloaded = server.connect().text("GET", "/models", &[("authorization", &bearer)], "");
            (told == "healthy" && reloaded.error().1 == "token_expired").then_some(())
        });
        assert_eq!(code(&socket.ask(question()).await), Some("token_expired"));
    });
}

#[test]
fn a_rate_counts_each_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, line) = key("ci", "predict", &["--rate", "4/h"]);
    let server = locked(folder.path(), &format!("mode: keys\nkeys:\n{line}"));
    block_on(async {
        // Opening it is the first of the four.
        let mut socket =
            Socket::open_with(server.address, &[("x-api-key", key.as_str())]).await.expect("opens");
        let mut codes = Vec::new();
        for _ in 0..5 {
            codes.push(code(&socket.ask(question()).await).map(str::to_owned));
        }
        let limited = Some("rate_limited".to_owned());
        assert_eq!(codes, [None, None, None, limited.clone(), limited]);
        assert_eq!(socket.ask(json!({"type": "ping"})).await["type"], "pong", "which asks for nothing");
    });
}
