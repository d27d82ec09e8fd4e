//! Bodies that are long, and many of them at once: what they may take together, and that how a long one is read changes nothing.

use serde_json::{Value as Json, json};

use crate::registry::import;
use crate::seen::sum;
use crate::server::{Reply, Server, until};

const MIB: usize = 1 << 20;

#[test]
fn what_bodies_take_together_is_bounded() {
    let limits = [("SERVE__HTTP__MAX_BODIES_BYTES", "10MiB"), ("SERVE__HTTP__MAX_BODY_BYTES", "10MiB")];
    let server = Server::start(["--demo"], &limits);
    let metric = |name: &str| {
        let page = String::from_utf8(server.get("/metrics").bytes).expect("text");
        sum(&page, name, &[])
    };
    assert_eq!(metric("http_bodies_max_bytes"), 10.0 * MIB as f64);
    // One body that does not come to its end.
    let mut holding = server.connect();
    let head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    holding
        .send(&format!("{head}content-length: {}\r\n\r\n{}", 10 * MIB, " ".repeat(8 * MIB)))
        .expect("is read");
    until("it is held", || metric("http_bodies_bytes") >= 8.0 * MIB as f64);
    let refused = |reply: Reply| {
        let (status, code, error) = reply.error();
        assert_eq!((status, code), (503, "overloaded"), "{error}");
        assert!(error.contains("http.max_bodies_bytes"), "{error}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    };
    // Refused by what it says of itself, before it is sent.
    let mut announced = server.connect();
    announced.send(&format!("{head}content-length: {}\r\n\r\n", 4 * MIB)).expect("is read");
    refused(announced.receive().expect("an answer"));
    // Refused while it comes, for it does not say how long it is.
    let mut chunked = server.connect();
    let chunk = " ".repeat(MIB);
    let chunks = format!("{:x}\r\n{chunk}\r\n", chunk.len()).repeat(4);
    // The server answers before it has read all.
    let _sent = chunked.send(&format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"));
    refused(chunked.receive().expect("an answer"));
    let entity = json!({ "entity": "BTC/USD" });
    server.post("/predict", &entity).ok();
    assert_eq!(metric("http_bodies_refused_total"), 2.0);
    drop(holding);
    until("its room is free", || metric("http_bodies_bytes") == 0.0);
    let padded = format!("{entity}{}", " ".repeat(4 * MIB));
    assert_eq!(server.connect().text("POST", "/predict", &[], &padded).status, 200);
    until("so is the next one's", || metric("http_bodies_bytes") == 0.0);
}

/// What an answer says, without ids, moments and times.
fn lasting(mut answer: Json) -> Json {
    let mut open = vec![&mut answer];
    while let Some(value) = open.pop() {
        match value {
            Json::Object(object) => {
                for key in ["request_id", "prediction_id", "timestamp", "performance", "id", "age_seconds"] {
                    object.remove(key);
                }
                open.extend(object.values_mut());
            }
            Json::Array(list) => open.extend(list),
            _ => {}
        }
    }
    answer
}

#[test]
fn a_long_body_is_answered_as_a_short_one() {
    let server = Server::demo();
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &[]);
    let cells = Server::of(&folder.path().join("registry"));
    let (row, entity) = (vec![0.5; 30], json!({ "entity": "BTC/USD" }));
    let tensor = json!({ "name": "x", "datatype": "FP64", "shape": [1, 30], "data": row });
    let candle = json!({ "entity": "A", "timestamp": "2024-01-01T00:00:00Z", "values": { "close": 1.5 } });
    let (names, online) = (["vader:return_1"], json!({ "symbol": ["BTC/USD"] }));
    for (server, path, body) in [
        (&server, "/predict", entity.clone()),
        (&server, "/predict/both", entity.clone()),
        (
            &server,
            "/predict/batch",
            json!({ "requests": [entity, { "features": { "return_1": "x" } }, { "timestamp": 1 }] }),
        ),
        (&server, "/predict/batch", json!({ "symbols": ["BTC/USD"] })),
        (&server, "/raw/price_data", candle),
        (&server, "/get-online-features", json!({ "features": names, "entities": online })),
        (&cells, "/predict", json!({ "model": "cells", "data": row })),
        (&cells, "/predict", json!({ "model": "none-such", "data": row })),
        (&cells, "/v2/models/cells/infer", json!({ "inputs": [tensor] })),
        (&cells, "/v2/models/cells/infer", json!({ "inputs": [] })),
        (&cells, "/invocations", json!({ "instances": [row, row] })),
        (&cells, "/invocations", json!({ "instances": [[1]] })),
        (&cells, "/v1/models/cells:predict", json!({ "instances": [row] })),
        (&cells, "/v1/models/cells:explain", json!({ "instances": [row] })),
    ] {
        let send = |more: usize| {
            let body = format!("{body}{}", " ".repeat(more));
            let reply = server.connect().text("POST", path, &[("content-type", "application/json")], &body);
            (reply.status, lasting(reply.body))
        };
        assert_eq!(send(MIB), send(0), "{path} {body}");
    }
}
