//! The audit trail of a real server: every administrative act and every refusal, by whom, and nothing that is secret.

use std::fs;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};

use crate::locks::{PREDICT, ask, key, token, written};
use crate::server::{Reply, Server, eventually};

/// The line of a request, once it is written: the log is written behind the answers.
fn line(log: &Path, target: &str, id: &str) -> Json {
    eventually(id, || {
        let text = fs::read_to_string(log).expect("is there");
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.find(|line| line["target"] == target && line["request_id"] == id)
    })
}

#[test]
fn acts_and_refusals_are_written_down_and_secrets_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ops, line) = key("ops", "read,admin", &[]);
    let config = written(folder.path(), &format!("mode: keys\nkeys:\n{line}"));
    let log = folder.path().join("log");
    let server = Server::logging_to(&log, ["--demo", "--config", &config], &[("SERVE__LOG__FORMAT", "json")]);
    let act = ask(
        &server,
        "POST",
        "/models/reload?model=vader-random-forest",
        &[("x-api-key", &ops), ("x-request-id", "act-1")],
        "",
    );
    assert_eq!(act.status, 200);
    let refused = ask(&server, "POST", "/models/reload", &[("x-request-id", "act-2")], "");
    assert_eq!(refused.status, 401);
    let wrong = "serve_0123456789abcdef";
    assert_eq!(
        ask(&server, "GET", "/models?secret=x", &[("x-api-key", wrong), ("x-request-id", "wrong-1")], "")
            .status,
        401
    );
    assert_eq!(
        ask(&server, "POST", "/predict", &[("x-api-key", &ops), ("x-request-id", "forbidden-1")], PREDICT)
            .status,
        403
    );
    // The log is written behind the answers.
    let text = eventually("the refusal is written down", || {
        let text = fs::read_to_string(&log).expect("is there");
        text.contains("forbidden-1").then_some(text)
    });
    let lines: Vec<Json> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let audit: Vec<&Json> = lines.iter().filter(|line| line["target"] == "audit").collect();
    let of = |id: &str| {
        audit.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| unreachable!("{id}: {text}"))
    };
    let act = of("act-1");
    assert_eq!(
        (&act["who"], &act["what"], &act["model"]),
        (&json!("key:ops"), &json!("reload"), &json!("vader-random-forest"))
    );
    assert_eq!((&act["outcome"], &act["from"]), (&json!("done"), &json!("127.0.0.1")));
    let refused = of("wrong-1");
    assert_eq!(
        (&refused["code"], &refused["what"], refused.get("who")),
        (&json!("invalid_key"), &json!("GET /models"), None)
    );
    let forbidden = of("forbidden-1");
    assert_eq!((&forbidden["code"], &forbidden["who"]), (&json!("not_permitted"), &json!("key:ops")));
    assert_eq!((&forbidden["what"], forbidden.get("asked")), (&json!("POST /predict"), None));
    let act = of("act-2");
    assert_eq!((&act["message"], &act["what"]), (&json!("refused"), &json!("reload")), "as where it is done");
    assert_eq!(act["asked"], "POST /models/reload");
    assert!(!text.contains(wrong) && !text.contains(&ops) && !text.contains("secret=x"), "{text}");
}

#[test]
fn who_is_turned_away_stands_in_the_access_line_and_models_in_the_trail() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, line_one) = key("one", "predict,read", &["--models", "vader-random-forest"]);
    let (slow, line_slow) = key("slow", "read", &["--rate", "1/h"]);
    let config = written(folder.path(), &format!("mode: keys\nkeys:\n{line_one}\n{line_slow}"));
    let log = folder.path().join("log");
    let settings = [("SERVE__LOG__FORMAT", "json"), ("SERVE__LOG__LEVEL", "info")];
    let server = Server::logging_to(&log, ["--demo", "--config", &config], &settings);
    let get = |id: &str, key: &str| {
        ask(&server, "GET", "/models/types", &[("x-api-key", key), ("x-request-id", id)], "").status
    };
    assert_eq!((get("let-in", &slow), get("too-many", &slow)), (200, 429));
    let told = line(&log, "access", "too-many");
    assert_eq!((&told["caller"], &told["route"]), (&json!("key:slow"), &json!("/models/types")), "{told}");
    assert_eq!((&told["status"], &told["code"]), (&json!(429), &json!("rate_limited")), "{told}");
    let post = |id: &str, path: &str, body: &str| {
        ask(&server, "POST", path, &[("x-api-key", &one), ("x-request-id", id)], body).status
    };
    assert_eq!(post("not-permitted", "/models/reload", ""), 403);
    assert_eq!(line(&log, "access", "not-permitted")["caller"], "key:one");
    let infer = "/v2/models/finbert-random-forest/infer";
    assert_eq!(post("other", infer, r#"{"inputs": []}"#), 403);
    let told = line(&log, "audit", "other");
    assert_eq!(
        (&told["what"], &told["model"], &told["who"], &told["from"]),
        (
            &json!("POST /v2/models/{name}/infer"),
            &json!("finbert-random-forest"),
            &json!("key:one"),
            &json!("127.0.0.1")
        ),
        "{told}"
    );
    assert_eq!(line(&log, "access", "other")["path"], infer);
    // However many rows of a batch ask for it, that is one refusal.
    let rows = json!({ "model": "finbert-random-forest", "requests": vec![json!({}); 100] }).to_string();
    assert_eq!((post("many", "/predict/batch", &rows), post("last", infer, r#"{"inputs": []}"#)), (200, 403));
    line(&log, "audit", "last");
    let text = fs::read_to_string(&log).expect("is there");
    let of_many = text.lines().filter(|line| line.contains("\"audit\"") && line.contains("\"many\""));
    assert_eq!(of_many.count(), 1);
}

/// A server that takes the key `admin` and tokens, of which one has the same name; both, and its log.
fn both(folder: &Path, more: &str) -> (Server, String, String, std::path::PathBuf) {
    const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";
    fs::write(folder.join("hmac"), SECRET).expect("written");
    let (admin, line) = key("admin", "admin", &[]);
    let hmac = folder.join("hmac");
    let jwt = format!("jwt: {{ issuer: here, audience: serve, hmac_file: {} }}", hmac.display());
    let config = written(folder, &format!("mode: both\nkeys:\n{line}\n{jwt}"));
    let claims =
        json!({ "iss": "here", "aud": "serve", "sub": "admin", "exp": 4_000_000_000_u64, "scope": "admin" });
    let token = token(&EncodingKey::from_secret(SECRET), &Header::new(Algorithm::HS256), &claims);
    let log = folder.join("log");
    let settings = [
        ("SERVE__LOG__FORMAT", "json"),
        ("SERVE__LOG__LEVEL", "info"),
        ("SERVE__HTTP__TRUSTED_PROXIES", more),
    ];
    (Server::logging_to(&log, ["--demo", "--config", &config], &settings), admin, token, log)
}

#[test]
fn a_token_does_not_pass_for_the_key_of_the_same_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin, token, log) = both(folder.path(), "[]");
    let bearer = format!("Bearer {token}");
    let version = r#"{"version": "20250331_000000"}"#;
    for (id, credentials, who) in [
        ("by-key", ("x-api-key", &*admin), "key:admin"),
        ("by-token", ("authorization", &*bearer), "token:admin"),
    ] {
        let path = "/models/vader-random-forest/aliases/tried";
        let put = ask(&server, "PUT", path, &[credentials, ("x-request-id", id)], version);
        assert_eq!(put.status, 200, "{}", put.body);
        assert_eq!(line(&log, "audit", id)["who"], who);
        assert_eq!(line(&log, "access", id)["caller"], who);
        let reply =
            ask(&server, "GET", "/models", &[credentials, ("x-request-id", &format!("{id}-refused"))], "");
        assert_eq!(reply.status, 403);
        assert_eq!(line(&log, "audit", &format!("{id}-refused"))["who"], who);
    }
}

#[test]
fn acts_that_come_to_nothing_are_written_down_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin, _, log) = both(folder.path(), "[]");
    let post = |id: &str, method: &str, path: &str, more: &[(&str, &str)], body: &str| -> Reply {
        let headers = [&[("x-api-key", &*admin), ("x-request-id", id)], more].concat();
        ask(&server, method, path, &headers, body)
    };
    let alias = "/models/vader-random-forest/aliases/champion";
    for (id, what, method, path, more, body, status, outcome) in [
        (
            "a",
            "load",
            "POST",
            "/models/load",
            &[][..],
            r#"{"file_path": "/etc/passwd"}"#,
            422,
            "not_supported",
        ),
        ("b", "reload", "POST", "/models/reload?bad=1", &[], "", 422, "unknown_parameter"),
        ("c", "promote", "PUT", alias, &[], "{", 400, "malformed_json"),
        ("d", "ingest_raw", "POST", "/raw/price_data", &[], "[", 400, "malformed_json"),
        (
            "e",
            "reload",
            "POST",
            "/models/reload",
            &[("content-encoding", "br")],
            "{}",
            415,
            "unsupported_encoding",
        ),
        (
            "f",
            "reload",
            "POST",
            "/models/reload",
            &[("x-request-priority", "high")],
            "",
            400,
            "malformed_header",
        ),
    ] {
        assert_eq!(post(id, method, path, more, body).status, status, "{path}");
        let written = line(&log, "audit", id);
        assert_eq!(
            (&written["who"], &written["outcome"], &written["message"]),
            (&json!("key:admin"), &json!(outcome), &json!("administered")),
            "{written}"
        );
        let asked = format!("{method} {}", path.split('?').next().unwrap_or_default());
        assert_eq!((&written["what"], &written["asked"]), (&json!(what), &json!(asked)));
        assert!(written["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{written}");
    }
    // Nobody waits for the end of a request whose deadline has passed.
    let mut client = server.connect();
    let head =
        "POST /models/reload HTTP/1.1\r\nhost: localhost\r\nx-request-timeout: 50\r\ncontent-length: 2\r\n";
    client.send(&format!("{head}x-request-id: g\r\nx-api-key: {admin}\r\n\r\n")).expect("is open");
    assert_eq!(client.receive().expect("an answer").status, 408);
    assert_eq!(line(&log, "audit", "g")["outcome"], "abandoned");
    assert_eq!(post("h", "POST", "/models/reload", &[], "").status, 200);
    line(&log, "access", "h");
    let text = fs::read_to_string(&log).expect("is there");
    let of_h = |line: &&str| line.contains("\"target\":\"audit\"") && line.contains("\"request_id\":\"h\"");
    assert_eq!(text.lines().filter(of_h).count(), 1, "an act has one line");
}

#[test]
fn a_client_behind_a_proxy_that_is_believed_stands_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin, _, log) = both(folder.path(), "[127.0.0.1]");
    let headers = |id| [("x-api-key", &*admin), ("x-request-id", id), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(ask(&server, "POST", "/models/reload", &headers("proxied"), "").status, 200);
    let access = line(&log, "access", "proxied");
    assert_eq!(access["client"], "192.0.2.7");
    assert!(access["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{access}");
    assert_eq!(line(&log, "audit", "proxied")["from"], "192.0.2.7");
    assert_eq!(ask(&server, "POST", "/models/reload", &headers("direct")[..2], "").status, 200);
    assert_eq!(line(&log, "access", "direct").get("client"), None);
}
