//! Compressed bodies, both ways.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value as Json, json};

use crate::oip::cells;
use crate::server::Server;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn bare(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn read(mut packed: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    packed.read_to_end(&mut bytes).expect("unpacks");
    bytes
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn packed_requests_are_answered_as_others() {
    let (_folder, server) = cells();
    let body = json!({"model": "cells", "data": vec![0.5; 30]}).to_string();
    let plain = server.connect().bytes("POST", "/predict", &[JSON], body.as_bytes()).ok();
    for (encoding, packed) in [
        ("gzip", gzip(body.as_bytes())),
        ("x-gzip", gzip(body.as_bytes())),
        ("deflate", deflate(body.as_bytes())),
        ("deflate", bare(body.as_bytes())),
        ("identity", body.clone().into_bytes()),
    ] {
        let answer =
            server.connect().bytes("POST", "/predict", &[JSON, ("content-encoding", encoding)], &packed).ok();
        assert_eq!(answer["prediction"], plain["prediction"], "{encoding}");
    }
}

#[test]
fn what_does_not_unpack_is_refused() {
    let (_folder, server) = cells();
    let post = |encoding: &str, body: &[u8]| {
        server.connect().bytes("POST", "/predict", &[JSON, ("content-encoding", encoding)], body)
    };
    for encoding in ["br", "zstd", "gzip, gzip", "gzip, br"] {
        let reply = post(encoding, b"{}");
        assert_eq!((reply.error().0, reply.error().1), (415, "unsupported_encoding"));
        assert_eq!(reply.header("accept-encoding"), Some("gzip, deflate"));
    }
    let packed = gzip(b"{\"model\": \"cells\"}");
    for broken in [&b"{}"[..], &packed[..packed.len() - 3], &packed[..5], &[packed.clone(), vec![7]].concat()]
    {
        let reply = post("gzip", broken);
        assert_eq!((reply.error().0, reply.error().1), (400, "malformed_encoding"), "{broken:?}");
    }
    let oip = server.connect().bytes("POST", "/v2/models/cells/infer", &[("content-encoding", "br")], b"{}");
    assert_eq!((oip.status, oip.header("accept-encoding")), (415, Some("gzip, deflate")));
    assert!(oip.body["error"].is_string());
}

#[test]
fn a_bomb_is_too_large_and_the_next_request_is_answered() {
    let (_folder, server) = cells();
    // 1 GiB of spaces in a megabyte.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    (0..1024).for_each(|_| encoder.write_all(&spaces).expect("writes"));
    let bomb = encoder.finish().expect("ends");
    for _ in 0..3 {
        let reply = server.connect().bytes("POST", "/predict", &[JSON, ("content-encoding", "gzip")], &bomb);
        assert_eq!((reply.error().0, reply.error().1), (413, "body_too_large"));
    }
    assert!(server.peak_memory_kib().is_none_or(|kib| kib < 400 << 10), "{:?} KiB", server.peak_memory_kib());
    server.post("/predict", &json!({"model": "cells", "data": vec![0.5; 30]})).ok();
}

fn listed(server: &Server, accept: &str) -> (Option<String>, Option<String>, Vec<u8>) {
    let mut client = server.connect();
    let reply = client.text("GET", "/", &[("accept-encoding", accept)], "");
    assert_eq!(reply.status, 200);
    (
        reply.header("content-encoding").map(str::to_owned),
        reply.header("vary").map(str::to_owned),
        reply.bytes,
    )
}

#[test]
fn answers_are_packed_where_that_is_asked_for() {
    let (_folder, server) = cells();
    let paths = |bytes: &[u8]| {
        let listed: Json = serde_json::from_slice(bytes).expect("JSON");
        listed.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>())
    };
    let (encoding, vary, plain) = listed(&server, "identity");
    assert_eq!((encoding, vary.as_deref()), (None, Some("accept-encoding")));
    let (encoding, vary, packed) = listed(&server, "deflate;q=0.5, gzip");
    assert_eq!((encoding.as_deref(), vary.as_deref()), (Some("gzip"), Some("accept-encoding")));
    assert!(packed.len() < plain.len());
    assert_eq!(paths(&read(GzDecoder::new(&packed[..]))), paths(&plain));
    let (encoding, _, packed) = listed(&server, "deflate");
    assert_eq!(encoding.as_deref(), Some("deflate"));
    assert_eq!(paths(&read(ZlibDecoder::new(&packed[..]))), paths(&plain));
    for refused in ["br", "gzip;q=0", "*;q=0"] {
        assert_eq!(listed(&server, refused).0, None, "{refused}");
    }
    // Too short to be worth it.
    let reply = server.connect().text("GET", "/health/live", &[("accept-encoding", "gzip")], "");
    assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
}

#[test]
fn binary_answers_keep_the_length_of_their_json() {
    let (_folder, server) = cells();
    let input = json!({"name": "x", "datatype": "FP64", "shape": [200, 30], "data": vec![0.5; 6000]});
    let body = json!({"inputs": [input], "parameters": {"binary_data_output": true}}).to_string();
    let path = "/v2/models/cells/infer";
    let plain = server.connect().bytes("POST", path, &[], body.as_bytes());
    let asked = [("accept-encoding", "gzip"), ("content-encoding", "gzip")];
    let packed = server.connect().bytes("POST", path, &asked, &gzip(body.as_bytes()));
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    let length = packed.header("inference-header-content-length");
    assert_eq!(length, plain.header("inference-header-content-length"));
    let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
    let (plain, bytes) = (&plain.bytes, read(GzDecoder::new(&packed.bytes[..])));
    assert_eq!(bytes.len(), plain.len());
    assert_eq!(bytes[length..], plain[length..]);
    // What tritonclient's asyncio client asks for and does not unpack.
    let mut client = server.connect();
    let metadata = client.text("GET", "/v2/models/cells", &[("accept-encoding", "gzip, deflate")], "");
    assert!(metadata.bytes.len() > 1024);
    assert_eq!((metadata.header("content-encoding"), &metadata.body["name"]), (None, &json!("cells")));
}
