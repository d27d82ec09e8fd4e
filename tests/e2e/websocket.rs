//! Predictions on a socket: asked for, pushed when features change or on an interval, with limits and a clean end.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server::Server;

const PATIENCE: Duration = Duration::from_mins(1);

/// A client's end of a socket.
pub(crate) struct Socket(pub(crate) WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[]).await.expect("opens")
    }

    /// Opens a socket with these headers beside its own; the status, where it does not open.
    pub(crate) async fn open_with(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let mut request = format!("ws://{address}/ws/predict").into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(reply)) => Err(reply.status().as_u16()),
            Err(error) => unreachable!("{error}"),
        }
    }

    pub(crate) async fn send(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.expect("is sent");
    }

    async fn frame(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a message in time");
        next.and_then(Result::ok)
    }

    /// The next message that is no ping.
    pub(crate) async fn receive(&mut self) -> Json {
        let next = async {
            loop {
                match self.frame().await.expect("the socket is open") {
                    Message::Text(text) => return serde_json::from_str(&text).expect("is JSON"),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => unreachable!("{other:?}"),
                }
            }
        };
        // Pings go on while nothing else comes.
        tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
    }

    pub(crate) async fn ask(&mut self, message: Json) -> Json {
        self.send(message).await;
        self.receive().await
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A row of the demonstration's set, sent to it.
fn send_row(server: &Server, timestamp: &str, return_1: f64) {
    let known = server.get("/features/vader/BTC%2FUSD").ok();
    let values = known["features"].as_object().expect("by name").iter();
    let mut values: serde_json::Map<String, Json> =
        values.map(|(name, feature)| (name.clone(), feature["value"].clone())).collect();
    values.insert("return_1".to_owned(), json!(return_1));
    let row = json!({"entity": "BTC/USD", "timestamp": timestamp, "features": values});
    server.post("/features/vader", &row).ok();
}

#[test]
fn a_question_is_answered_as_over_http() {
    let server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let body = json!({"feature_set": "vader", "model_type": "random_forest"});
        let mut message = body.clone();
        message["type"] = json!("predict");
        message["id"] = json!(7);
        let told = socket.ask(message).await;
        let over_http = server.post("/predict", &body).ok();
        assert_eq!((&told["type"], &told["id"]), (&json!("prediction"), &json!(7)));
        for part in ["prediction", "model_info", "success"] {
            assert_eq!(told["answer"][part], over_http[part], "{part}");
        }
        let keys =
            |answer: &Json| answer.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&told["answer"]), keys(&over_http));

        assert_eq!(socket.ask(json!({"type": "ping", "id": "p"})).await, json!({"type": "pong", "id": "p"}));
        let refused = socket.ask(json!({"type": "predict", "id": "x", "model": "none-such"})).await;
        assert_eq!(
            (&refused["type"], &refused["id"], &refused["code"]),
            (&json!("error"), &json!("x"), &json!("unknown_model"))
        );
        assert!(refused["request_id"].is_string() && refused["success"] == false, "{refused}");
        let refused = socket.ask(json!([])).await;
        assert_eq!(refused["code"], "invalid_request", "{refused}");
    });
}

#[test]
fn new_features_are_pushed() {
    let server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let subscribe =
            json!({"type": "subscribe", "id": "btc", "model": "vader-random-forest", "entity": "BTC/USD"});
        assert_eq!(
            socket.ask(subscribe.clone()).await,
            json!({"type": "subscribed", "id": "btc", "entities": 1})
        );
        let first = socket.receive().await;
        assert_eq!((&first["sequence"], &first["entity"]), (&json!(1), &json!("BTC/USD")));
        assert_eq!(first["answer"]["features"]["source"], "cached");

        send_row(&server, "2025-03-31T00:00:00Z", 0.5);
        let second = socket.receive().await;
        assert_eq!((&second["id"], &second["sequence"]), (&json!("btc"), &json!(2)));
        assert_eq!(second["answer"]["features"]["timestamp"], "2025-03-31T00:00:00.000Z");

        // The same row again, and an older one, are nothing new.
        send_row(&server, "2025-03-31T00:00:00Z", 0.5);
        send_row(&server, "2025-03-29T00:00:00Z", 0.1);
        send_row(&server, "2025-04-01T00:00:00Z", -0.5);
        let third = socket.receive().await;
        assert_eq!(third["sequence"], 3);
        assert_eq!(third["answer"]["features"]["timestamp"], "2025-04-01T00:00:00.000Z");

        let twice = socket.ask(subscribe).await;
        assert_eq!(twice["code"], "invalid_request", "{twice}");
        let gone = socket.ask(json!({"type": "unsubscribe", "id": "btc"})).await;
        assert_eq!(gone, json!({"type": "unsubscribed", "id": "btc"}));
        send_row(&server, "2025-04-02T00:00:00Z", 0.25);
        assert_eq!(socket.ask(json!({"type": "ping"})).await["type"], "pong");
    });
}

#[test]
fn an_interval_pushes_again_and_again() {
    let server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let subscribe = json!({"type": "subscribe", "interval": "100ms", "entities": ["BTC/USD", "nobody"], "feature_set": "vader",
                   "model_type": "random_forest"});
        let told = socket.ask(subscribe).await;
        assert_eq!((&told["id"], &told["interval"]), (&json!("subscription-1"), &json!("100ms")));
        let mut told = Vec::new();
        for sequence in 1..=5 {
            let message = socket.receive().await;
            assert_eq!(message["sequence"], sequence, "{message}");
            told.push((message["entity"].clone(), message["code"].clone()));
        }
        // Why there is no answer is told once, and the answers go on.
        let (answer, error) =
            ((json!("BTC/USD"), Json::Null), (json!("nobody"), json!("features_unavailable")));
        assert_eq!(told, [answer.clone(), error, answer.clone(), answer.clone(), answer]);
    });
}

#[test]
fn a_clients_farewell_is_answered() {
    let server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
        socket.0.send(Message::Close(Some(frame.clone()))).await.expect("is sent");
        assert_eq!(socket.frame().await, Some(Message::Close(Some(frame))));
    });
}

#[test]
fn limits_hold_and_the_next_good_message_is_answered() {
    let limits = [
        ("SERVE__HTTP__WEBSOCKET__SUBSCRIPTIONS", "2"),
        ("SERVE__HTTP__WEBSOCKET__SOCKETS_PER_KEY", "2"),
        ("SERVE__HTTP__WEBSOCKET__MAX_MESSAGE_BYTES", "4KiB"),
        ("SERVE__HTTP__WEBSOCKET__MESSAGES_PER_SECOND", "10"),
    ];
    let server = Server::start(["--demo"], &limits);
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let too_many = socket.ask(json!({"type": "subscribe", "entities": ["a", "b", "c"]})).await;
        assert_eq!(too_many["code"], "too_many_subscriptions", "{too_many}");
        let mut hasty = Socket::open(server.address).await;
        for _ in 0..40 {
            hasty.send(json!({"type": "ping"})).await;
        }
        let mut codes = Vec::new();
        for _ in 0..40 {
            codes.push(hasty.receive().await["code"].as_str().map(str::to_owned));
        }
        assert!(codes.contains(&Some("rate_limited".to_owned())) && codes.contains(&None), "{codes:?}");

        let third = Socket::open_with(server.address, &[]).await;
        assert_eq!(third.err(), Some(429));
        let end = async |socket: &mut Socket| loop {
            match socket.frame().await {
                Some(Message::Close(Some(frame))) => break u16::from(frame.code),
                Some(_) => {}
                None => unreachable!("closed without a reason"),
            }
        };

        hasty.send(json!({"type": "predict", "id": "x".repeat(5_000)})).await;
        assert_eq!(end(&mut hasty).await, 1009);
        assert_eq!(socket.ask(json!({"type": "ping"})).await["type"], "pong");
        // Pings of the protocol count as messages, and are answered with nothing that could be refused.
        for _ in 0..100 {
            if socket.0.send(Message::Ping(Vec::new().into())).await.is_err() {
                break;
            }
        }
        assert_eq!(end(&mut socket).await, 1008);
    });
}

#[test]
fn what_is_no_handshake_is_told_what_is_missing() {
    let server = Server::demo();
    let plain = server.get("/ws/predict");
    assert_eq!((plain.error().0, plain.error().1), (426, "upgrade_required"));
    assert_eq!(
        (plain.header("upgrade"), plain.header("sec-websocket-version")),
        (Some("websocket"), Some("13"))
    );
    block_on(async {
        let stream = TcpStream::connect(server.address).await.expect("the server listens");
        let mut request =
            format!("ws://{}/ws/predict", server.address).into_client_request().expect("a request");
        let protocols = HeaderValue::from_static("serve.v1, serve.key.whatever");
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        let (_, reply) = client_async(request, stream).await.expect("opens");
        assert_eq!(reply.headers()["sec-websocket-protocol"], "serve.v1");
    });
}

/// Reads answers to the end of their heads and bodies, until one changes the protocol; the statuses.
async fn statuses(stream: &mut TcpStream) -> Vec<u16> {
    let mut statuses = Vec::new();
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time") {
                Ok(byte) => head.push(byte),
                Err(_) => return statuses,
            }
        }
        let head = String::from_utf8(head).expect("is text").to_ascii_lowercase();
        let status = head[9..12].parse().expect("a status");
        statuses.push(status);
        if status == 101 {
            return statuses;
        }
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        stream.read_exact(&mut body).await.expect("a whole body");
    }
}

#[test]
fn a_socket_may_be_asked_for_behind_other_requests() {
    let server = Server::demo();
    let opening =
        b"GET /ws/predict HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let ping = br#"{"type":"ping","id":1}"#;
    let frame = [&[0x81, 0x80 | 0x16, 0, 0, 0, 0][..], ping].concat();
    let get = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = |body: &Json| {
        let body = body.to_string();
        let head = "POST /predict/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let batch =
        |rows: usize| post(&json!({"model": "vader-random-forest", "requests": vec![json!({}); rows]}));
    let slow = batch(10_000);
    block_on(async {
        for (before, answers) in [(&get[..], 1), (&[&get[..], &batch(3), get].concat(), 3), (&slow, 1)] {
            // At once, in two pieces, and while the one before is answered.
            for (cut, wait) in [(0, 0), (7, 0), (7, 20), (0, 20)] {
                let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
                stream.write_all(&[before, &opening[..cut]].concat()).await.expect("is sent");
                if (cut, wait) != (0, 0) {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                stream.write_all(&[&opening[cut..], &frame].concat()).await.expect("is sent");
                let told = statuses(&mut stream).await;
                assert_eq!(told, [vec![200; answers], vec![101]].concat(), "{cut} {wait}");
                let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
                assert_eq!(Socket(socket).receive().await, json!({"type": "pong", "id": 1}));
            }
        }
        // A protocol that is not spoken is no reason not to answer, nor one to end.
        let asking = |headers: &str| {
            String::from_utf8_lossy(get).replace("\r\n\r\n", &format!("\r\n{headers}\r\n\r\n"))
        };
        let (other, last) = (asking("connection: upgrade\r\nupgrade: h2c"), asking("connection: close"));
        let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
        stream
            .write_all(&[get, other.as_bytes(), other.as_bytes(), last.as_bytes()].concat())
            .await
            .expect("is sent");
        assert_eq!(statuses(&mut stream).await, [200; 4]);
    });
}

#[test]
fn a_stopping_server_says_goodbye() {
    let mut server = Server::demo();
    block_on(async {
        let mut socket = Socket::open(server.address).await;
        let mut silent = TcpStream::connect(server.address).await.expect("the server listens");
        // One that never reads, nor closes.
        tokio::io::AsyncWriteExt::write_all(
            &mut silent,
            b"GET /ws/predict HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .expect("is sent");
        assert_eq!(socket.ask(json!({"type": "ping"})).await["type"], "pong");
        server.terminate();
        let last = socket.receive().await;
        assert_eq!(last, json!({"type": "closing", "reason": "the server is stopping"}));
        let Some(Message::Close(Some(frame))) = socket.frame().await else { unreachable!("it closes") };
        assert_eq!(u16::from(frame.code), 1001);
    });
    assert_eq!(server.wait().code(), Some(0));
}
