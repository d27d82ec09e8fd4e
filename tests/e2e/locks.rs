//! Who may ask: keys and tokens against a real server, what each may see, rates and rotation.

use std::fs;
use std::path::Path;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};

use crate::server::{Reply, Server, command, ctl, told, until};

const ED25519: &str = include_str!("../../crates/serve-app/src/auth/test_keys/ed25519.pem");
const RSA: &str = include_str!("../../crates/serve-app/src/auth/test_keys/rsa.pem");

/// A new key, and its line for the configuration.
pub(crate) fn key(id: &str, permissions: &str, more: &[&str]) -> (String, String) {
    let output = ctl(["key", "new", "--id", id, "--permissions", permissions].iter().chain(more));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("is text");
    let (key, line) = text.trim_end().split_once('\n').expect("a key and its line");
    assert!(key.starts_with("serve_") && !line.contains(key), "{text}");
    (key.to_owned(), line.to_owned())
}

/// The demonstration with an `auth` section.
pub(crate) fn locked(folder: &Path, auth: &str) -> Server {
    Server::start(["--demo", "--config", &written(folder, auth)], &[])
}

pub(crate) fn written(folder: &Path, auth: &str) -> String {
    let path = folder.join("serve.yaml");
    let section = auth.lines().flat_map(|line| ["  ", line, "\n"]).collect::<String>();
    fs::write(&path, format!("auth:\n{section}")).expect("written");
    path.to_str().expect("is text").to_owned()
}

pub(crate) fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    server.connect().text(method, path, &all, body)
}

fn get(server: &Server, path: &str, key: &str) -> Reply {
    ask(server, "GET", path, &[("x-api-key", key)], "")
}

pub(crate) const PREDICT: &str = r#"{"model": "vader-random-forest"}"#;

#[test]
fn without_a_key_nothing_is_told_and_with_one_what_it_is_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ci, ci_line) = key("ci", "predict", &[]);
    let (ops, ops_line) = key("ops", "predict,read,admin", &[]);
    let server = locked(folder.path(), &format!("mode: keys\nkeys:\n{ci_line}\n{ops_line}"));
    let bearer = format!("Bearer {ci}");

    let refused = ask(&server, "POST", "/predict", &[], PREDICT);
    assert_eq!((refused.error().0, refused.error().1), (401, "unauthenticated"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"serve\""));
    for headers in [("authorization", bearer.as_str()), ("x-api-key", &ci)] {
        assert_eq!(ask(&server, "POST", "/predict", &[headers], PREDICT).status, 200);
    }
    let both = ask(&server, "POST", "/predict", &[("authorization", &bearer), ("x-api-key", &ci)], PREDICT);
    assert_eq!((both.error().0, both.error().1), (401, "ambiguous_credentials"));
    let wrong = get(&server, "/models", "serve_wrong");
    assert_eq!((wrong.error().0, wrong.error().1), (401, "invalid_key"));
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer realm=\"serve\", error=\"invalid_token\""));
    let basic = ask(&server, "GET", "/models", &[("authorization", "Basic YTpi")], "");
    assert_eq!((basic.error().0, basic.error().1), (401, "unauthenticated"));
    for query in ["key", "api_key", "access_token", "token"] {
        let path = format!("/api/v1/models?{query}={ops}");
        assert_eq!(ask(&server, "GET", &path, &[], "").status, 401, "a key in a URL is never taken");
    }

    let read = get(&server, "/models", &ci);
    assert_eq!(
        read.error(),
        (403, "not_permitted", "\"ci\" may not GET /models: it needs the permission read")
    );
    assert_eq!(ask(&server, "POST", "/models/reload", &[("x-api-key", &ci)], "").status, 403);
    assert_eq!(get(&server, "/metrics", &ci).status, 403);
    assert_eq!(ask(&server, "POST", "/models/reload", &[("x-api-key", &ops)], "").status, 200);
    assert_eq!(get(&server, "/metrics", &ops).status, 200);
}

#[test]
fn health_needs_no_key_and_tells_strangers_no_more_than_how_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ops, line) = key("ops", "read", &[]);
    let server = locked(folder.path(), &format!("mode: keys\npublic: [/metrics]\nkeys:\n{line}"));
    for path in ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/v2", "/metrics"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let stranger = server.get("/health").ok();
    assert_eq!(stranger["components"]["registry"], json!({ "status": "healthy" }));
    assert_eq!(stranger["components"]["auth"], json!({ "status": "healthy" }));
    let known = get(&server, "/health", &ops).ok();
    assert_eq!(known["components"]["registry"]["models"], 6);
    assert_eq!(known["components"]["auth"], json!({ "status": "healthy", "mode": "keys" }));
    // A probe that still has yesterday's key sees what a stranger sees.
    assert_eq!(get(&server, "/health", "gone").ok()["components"], stranger["components"]);
}

#[test]
fn a_key_for_some_models_sees_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = ["--models", "vader-random-forest"];
    let (one, line) = key("one", "predict,read,admin", &more);
    let server = locked(folder.path(), &format!("mode: keys\nkeys:\n{line}"));
    let mine = json!(["vader-random-forest"]);
    let names = |models: &Json| {
        models.as_array().map(|all| all.iter().map(|one| one["name"].clone()).collect::<Json>())
    };
    assert_eq!(names(&get(&server, "/models", &one).ok()["models"]), Some(mine.clone()));
    assert_eq!(get(&server, "/v2/models", &one).ok()["models"], mine);
    assert_eq!(get(&server, "/", &one).ok()["models"], mine);
    assert_eq!(get(&server, "/models/types", &one).ok()["feature_sets"], json!(["vader"]));
    assert_eq!(names(&get(&server, "/models/cache/stats", &one).ok()["models"]), Some(mine.clone()));
    let sets = get(&server, "/features", &one).ok();
    assert_eq!(names(&sets["feature_sets"]), Some(json!(["vader"])));

    let post = |path: &str, body: &str| ask(&server, "POST", path, &[("x-api-key", &one)], body);
    assert_eq!(post("/predict", PREDICT).status, 200);
    let other = post("/predict", r#"{"model": "vader-logistic-regression"}"#);
    assert_eq!(other.error().0, 403);
    // What is there and what is not look the same from outside.
    let nothing = post("/predict", r#"{"model": "no-such-model"}"#);
    assert_eq!(nothing.error().0, 403);
    for path in ["/models/finbert-random-forest", "/features/finbert", "/features/finbert/BTC%2FUSD"] {
        assert_eq!(get(&server, path, &one).status, 403, "{path}");
    }
    let oip = get(&server, "/v2/models/finbert-random-forest", &one);
    assert_eq!((oip.status, oip.body["error"].is_string(), oip.body.get("success")), (403, true, None));
    let batch = post(
        "/predict/batch",
        r#"{"requests": [{"model": "vader-random-forest"}, {"model": "finbert-random-forest"}]}"#,
    )
    .ok();
    assert_eq!(
        (&batch["predictions"][0]["success"], &batch["predictions"][1]["code"]),
        (&json!(true), &json!("not_permitted"))
    );
    assert_eq!(post("/models/finbert-random-forest/rollback", "").status, 403);
    let reloaded = post("/models/reload", "").ok();
    assert!(!reloaded.to_string().contains("finbert"), "{reloaded}");
    assert_eq!(
        post(
            "/raw/price_data",
            r#"{"rows": [{"entity": "X", "timestamp": "2020-01-01T00:00:00Z", "values": {"close": 1}}]}"#
        )
        .status,
        403
    );
}

#[test]
fn a_rate_is_told_and_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ci, line) = key("ci", "read", &["--rate", "3/h"]);
    let server = locked(folder.path(), &format!("mode: keys\nrate_per_address: 1000/h\nkeys:\n{line}"));
    let first = get(&server, "/models/types", &ci);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"address\";q=1000;w=3600, \"key\";q=3;w=3600"));
    let left = first.header("ratelimit").expect("is told");
    assert!(left.starts_with("\"address\";r=999;t=4, \"key\";r=2;t=1200"), "{left}");
    // A request that is refused for another reason counts as well, and is told as well.
    let forbidden = ask(&server, "POST", "/models/reload", &[("x-api-key", &ci)], "");
    assert_eq!(forbidden.status, 403);
    assert!(forbidden.header("ratelimit").is_some_and(|left| left.contains("\"key\";r=1;")));
    assert_eq!(get(&server, "/models/types", &ci).status, 200);
    for path in ["/models/types", "/v2/models"] {
        let refused = get(&server, path, &ci);
        assert_eq!(refused.status, 429, "{path}");
        let after: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("is told");
        assert!((1..=1_200).contains(&after), "{after}");
        assert!(refused.header("ratelimit").is_some_and(|left| left.contains("\"key\";r=0;")));
    }
    assert_eq!(get(&server, "/models/types", &ci).error().1, "rate_limited");
    assert_eq!(get(&server, "/health", &ci).status, 200, "health is not counted");
}

#[test]
fn addresses_behind_a_trusted_proxy_are_told_apart() {
    let settings =
        |trusted| [("SERVE__AUTH__RATE_PER_ADDRESS", "1/h"), ("SERVE__HTTP__TRUSTED_PROXIES", trusted)];
    let from = |server: &Server, client: &str| {
        ask(server, "GET", "/models/types", &[("x-forwarded-for", client)], "").status
    };
    let behind = Server::start(["--demo"], &settings("[127.0.0.1]"));
    assert_eq!(
        [from(&behind, "192.0.2.1"), from(&behind, "192.0.2.1"), from(&behind, "192.0.2.2")],
        [200, 429, 200]
    );
    assert_eq!(from(&behind, "192.0.2.3, 192.0.2.1"), 429, "what the client wrote itself does not count");
    let open = Server::start(["--demo"], &settings("[]"));
    assert_eq!([from(&open, "192.0.2.1"), from(&open, "192.0.2.2")], [200, 429]);
}

#[test]
fn keys_change_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.yaml");
    let (old, old_line) = key("ci", "read", &[]);
    let (new, new_line) = key("ci", "read", &[]);
    fs::write(&path, &old_line).expect("written");
    let server = locked(folder.path(), &format!("mode: keys\nkeys_file: {}", path.display()));
    let status = |key: &str| get(&server, "/models/types", key).status;
    let replace = |text: &str| {
        let beside = folder.path().join("keys.new");
        fs::write(&beside, text).expect("written");
        fs::rename(&beside, &path).expect("renamed");
    };
    assert_eq!((status(&old), status(&new)), (200, 401));
    replace(&format!("{old_line}\n{new_line}"));
    until("both keys hold", || status(&new) == 200);
    assert_eq!(status(&old), 200);
    replace("- { id: broken }");
    until("a broken file is told", || {
        server.get("/health").ok()["components"]["auth"]["status"] == "degraded"
    });
    assert_eq!((status(&old), status(&new)), (200, 200));
    let told = get(&server, "/health", &new).ok()["components"]["auth"]["error"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains("keys.yaml, key 0: `")), "{told}");
    replace(&new_line);
    until("the old key no longer holds", || status(&old) == 401);
    assert_eq!(status(&new), 200);
}

pub(crate) fn token(key: &EncodingKey, header: &Header, claims: &Json) -> String {
    encode(header, claims, key).expect("signs")
}

#[test]
fn tokens_are_taken_from_the_issuer_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let ed25519 = EncodingKey::from_ed_pem(ED25519.as_bytes()).expect("is a key");
    let rsa = EncodingKey::from_rsa_pem(RSA.as_bytes()).expect("is a key");
    let public = |key: &EncodingKey, algorithm, id: &str| {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).expect("has a public half");
        jwk.common.key_id = Some(id.to_owned());
        json!(jwk)
    };
    let set =
        json!({ "keys": [public(&ed25519, Algorithm::EdDSA, "a"), public(&rsa, Algorithm::RS256, "b")] });
    fs::write(folder.path().join("jwks.json"), set.to_string()).expect("written");
    let (ops, line) = key("ops", "admin", &[]);
    let jwks = folder.path().join("jwks.json");
    let server = locked(
        folder.path(),
        &format!(
            "mode: both\nkeys:\n{line}\njwt: {{ issuer: https://issuer.example, audience: serve, jwks_file: {}, rate: 100/s }}",
            jwks.display()
        ),
    );
    let named = |algorithm, id: &str| Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
    let claims = json!({ "iss": "https://issuer.example", "aud": "serve", "sub": "alice", "exp": 4_000_000_000_u64,
        "scope": "read admin", "models": ["vader-random-forest"] });
    let get =
        |token: &str| ask(&server, "GET", "/v2/models", &[("authorization", &format!("Bearer {token}"))], "");
    for good in [
        token(&ed25519, &named(Algorithm::EdDSA, "a"), &claims),
        token(&rsa, &named(Algorithm::RS256, "b"), &claims),
    ] {
        for _ in 0..2 {
            let reply = get(&good);
            assert_eq!(reply.header("ratelimit-policy"), Some("\"token\";q=100;w=1"));
            assert_eq!(reply.ok()["models"], json!(["vader-random-forest"]));
        }
        let as_key = ask(&server, "GET", "/models", &[("x-api-key", &good)], "");
        assert_eq!((as_key.error().0, as_key.error().1), (401, "invalid_key"));
    }
    let mut ended = claims.clone();
    ended["exp"] = json!(1_000_000_000);
    let body = ask(
        &server,
        "GET",
        "/models",
        &[("authorization", &format!("Bearer {}", token(&rsa, &named(Algorithm::RS256, "b"), &ended)))],
        "",
    );
    assert_eq!(body.error(), (401, "token_expired", "the token is not taken: it has ended"));
    let good = token(&rsa, &named(Algorithm::RS256, "b"), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let swapped = EncodingKey::from_secret(set.to_string().as_bytes());
    for bad in [
        format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        token(&swapped, &named(Algorithm::HS256, "b"), &claims),
        token(&rsa, &named(Algorithm::RS256, "../../jwks.json"), &claims),
        token(&rsa, &named(Algorithm::RS256, "a"), &claims),
        format!("{}.{}.{}", parts[0], "A".repeat(7_000), parts[2]),
    ] {
        assert_eq!(get(&bad).status, 401, "{bad}");
    }
    let huge = "A".repeat(9_000);
    assert!(matches!(get(&huge).status, 401 | 431));
    let promoted = ask(
        &server,
        "PUT",
        "/models/vader-random-forest/aliases/champion",
        &[("authorization", &format!("Bearer {good}"))],
        r#"{"version": "20250331_000000", "why": "tested"}"#,
    );
    assert_eq!(promoted.status, 200, "{}", promoted.body);
    let shown = ask(
        &server,
        "GET",
        "/models/vader-random-forest",
        &[("authorization", &format!("Bearer {good}"))],
        "",
    )
    .ok();
    assert!(shown["history"].to_string().contains("\"by\":\"token:alice\""), "{}", shown["history"]);
    assert_eq!(ask(&server, "POST", "/models/reload", &[("x-api-key", &ops)], "").status, 200);
}

#[test]
fn mistakes_are_told_at_once_before_anything_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = written(
        folder.path(),
        "mode: both\nkeys:\n- { id: \"\", sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, permissions: [] }",
    );
    let output =
        command("serve-server").args(["--check-config", "--config", &config]).output().expect("starts");
    let (code, error) = told(&output);
    assert_eq!(code, Some(78), "{error}");
    for part in [
        "auth.jwt.issuer: ",
        "auth.jwt.audience: ",
        "auth.jwt: mode asks for tokens",
        "auth.keys[0]: the id is no name",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let check = |auth: &str, host: &str| {
        let config = written(folder.path(), auth);
        let mut server = command("serve-server");
        server.args(["--check-config", "--host", host, "--config", &config, "--registry"]);
        let output = server.arg(folder.path()).output();
        told(&output.expect("starts"))
    };
    let (_, line) = key("ci", "read", &[]);
    let keys = format!("mode: keys\nkeys:\n{line}");
    assert_eq!(check(&keys, "0.0.0.0").0, Some(0));
    assert_eq!(check("mode: none", "0.0.0.0").0, Some(0));
    assert_eq!(check("rate_per_address: 1/s", "0.0.0.0").0, Some(78));
    let unasked = check(&format!("keys:\n{line}"), "127.0.0.1");
    assert!(unasked.0 == Some(78) && unasked.1.contains("auth.mode: there are keys"), "{}", unasked.1);
}
