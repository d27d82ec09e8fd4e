//! Tokens that are as they should be, and each attack on those who check them.

use std::fs;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const RSA: &str = include_str!("../test_keys/rsa.pem");
const SHORT_RSA: &str = include_str!("../test_keys/rsa-short.pem");
const P256: &str = include_str!("../test_keys/p256.pem");
const ED25519: &str = include_str!("../test_keys/ed25519.pem");
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

const NOW: i64 = 1_900_000_000;

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.as_bytes()).expect("is a key")
}

fn p256() -> EncodingKey {
    EncodingKey::from_ec_pem(P256.as_bytes()).expect("is a key")
}

fn ed25519() -> EncodingKey {
    EncodingKey::from_ed_pem(ED25519.as_bytes()).expect("is a key")
}

fn public(key: &EncodingKey, algorithm: Algorithm, id: Option<&str>) -> Json {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).expect("has a public half");
    jwk.common.key_id = id.map(str::to_owned);
    let mut jwk = json!(jwk);
    // As many issuers do.
    jwk.as_object_mut().expect("is an object").remove("alg");
    jwk
}

fn keys() -> Vec<Json> {
    vec![
        public(&rsa(), Algorithm::RS256, Some("rsa")),
        public(&p256(), Algorithm::ES256, Some("p256")),
        public(&ed25519(), Algorithm::EdDSA, Some("ed25519")),
    ]
}

fn configured(folder: &TempDir, keys: &[Json]) -> JwtConfig {
    let (set, secret) = (folder.path().join("jwks.json"), folder.path().join("secret"));
    fs::write(&set, json!({ "keys": keys }).to_string()).expect("written");
    fs::write(&secret, [SECRET, b"\n"].concat()).expect("written");
    JwtConfig {
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("serve".to_owned()),
        jwks_file: Some(set),
        hmac_file: Some(secret),
        ..JwtConfig::default()
    }
}

/// The keys of a set, or what is wrong with it.
fn opened(keys: &[Json]) -> Result<Tokens, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mistakes = Vec::new();
    let tokens = Tokens::new(&configured(&folder, keys), &mut mistakes);
    match mistakes.first() {
        None => Ok(tokens),
        Some(mistake) => Err(mistake.problem.clone()),
    }
}

fn tokens() -> Tokens {
    opened(&keys()).expect("is sound")
}

/// Claims as they should be, with some of them otherwise; null takes one out.
fn claims(others: Json) -> Json {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "serve", "sub": "alice", "exp": 4_000_000_000_u64,
        "scope": "openid predict read",
    });
    for (key, value) in others.as_object().expect("is an object") {
        claims[key] = value.clone();
    }
    claims.as_object_mut().expect("is an object").retain(|_, value| !value.is_null());
    claims
}

fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    Header { kid: id.map(str::to_owned), ..Header::new(algorithm) }
}

fn signed(header: &Header, others: Json, key: &EncodingKey) -> String {
    encode(header, &claims(others), key).expect("signs")
}

fn by_secret(others: Json) -> String {
    signed(&header(Algorithm::HS256, None), others, &EncodingKey::from_secret(SECRET))
}

fn check(tokens: &Tokens, token: &str) -> Result<Verified, TokenError> {
    tokens.verify(token, Digest::of(token.as_bytes()), NOW)
}

fn refused(token: &str) -> TokenError {
    check(&tokens(), token).expect_err("is refused")
}

#[test]
fn each_algorithm_is_taken_with_the_key_that_it_names() {
    let tokens = tokens();
    for (algorithm, id, key) in [
        (Algorithm::RS256, Some("rsa"), rsa()),
        (Algorithm::ES256, Some("p256"), p256()),
        (Algorithm::EdDSA, Some("ed25519"), ed25519()),
        (Algorithm::RS256, None, rsa()),
        (Algorithm::HS256, None, EncodingKey::from_secret(SECRET)),
        (Algorithm::HS256, Some("a name that no key has"), EncodingKey::from_secret(SECRET)),
    ] {
        let token = signed(&header(algorithm, id), json!({}), &key);
        let verified =
            check(&tokens, &token).unwrap_or_else(|error| unreachable!("{algorithm:?} {id:?}: {error}"));
        assert_eq!(verified.caller.name(), "alice");
        assert!(verified.caller.may(Permission::Predict) && !verified.caller.may(Permission::Admin));
    }
}

#[test]
fn a_token_without_a_signature_is_not_taken() {
    let token = by_secret(json!({}));
    let (head, rest) = token.split_once('.').expect("has parts");
    let (payload, _) = rest.split_once('.').expect("has parts");
    // {"alg":"none","typ":"JWT"}, and the same as "None".
    for none in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0"] {
        assert_eq!(refused(&format!("{none}.{payload}.")), TokenError::Malformed);
        assert_eq!(refused(&format!("{none}.{payload}.AAAA")), TokenError::Malformed);
    }
    assert_eq!(refused(&format!("{head}.{payload}.")), TokenError::Signature);
    assert_eq!(refused(&format!("{head}.{payload}")), TokenError::Malformed);
    assert_eq!(refused(&format!("{token}.more")), TokenError::Malformed);
    for nothing in ["", ".", "..", "...", "a.b.c"] {
        assert_eq!(refused(nothing), TokenError::Malformed, "{nothing:?}");
    }
    let rsa = signed(&header(Algorithm::RS256, Some("rsa")), json!({}), &rsa());
    let (unsigned, _) = rsa.rsplit_once('.').expect("has parts");
    assert_eq!(refused(&format!("{unsigned}.")), TokenError::Signature);
}

#[test]
fn a_public_key_is_no_secret() {
    // Signed with HS256 and what everybody knows of the RSA key: its file, and its modulus.
    let modulus = public(&rsa(), Algorithm::RS256, None)["n"].as_str().expect("is text").to_owned();
    let set = json!({ "keys": keys() }).to_string();
    for known in [RSA.as_bytes(), modulus.as_bytes(), set.as_bytes()] {
        let key = EncodingKey::from_secret(known);
        let swapped = signed(&header(Algorithm::HS256, Some("rsa")), json!({}), &key);
        assert_eq!(refused(&swapped), TokenError::Algorithm);
        let unnamed = signed(&header(Algorithm::HS256, None), json!({}), &key);
        assert_eq!(refused(&unnamed), TokenError::Signature);
    }
}

#[test]
fn a_key_has_one_algorithm() {
    for other in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        assert_eq!(refused(&signed(&header(other, Some("rsa")), json!({}), &rsa())), TokenError::Algorithm);
    }
    let key = EncodingKey::from_secret(SECRET);
    assert_eq!(refused(&signed(&header(Algorithm::HS512, None), json!({}), &key)), TokenError::Algorithm);
}

#[test]
fn a_kid_names_a_key_and_nothing_else() {
    for id in ["../../../../etc/passwd", "/dev/null", "' or 1=1 --", "", "rsa\0"] {
        let token = signed(&header(Algorithm::RS256, Some(id)), json!({}), &rsa());
        assert_eq!(
            refused(&token),
            TokenError::Algorithm,
            "{id:?}: only the secret has no name, and it is for HS256"
        );
        let empty = signed(&header(Algorithm::HS256, Some(id)), json!({}), &EncodingKey::from_secret(b""));
        assert_eq!(refused(&empty), TokenError::Signature, "{id:?}");
    }
    let of_other = signed(&header(Algorithm::RS256, Some("p256")), json!({}), &rsa());
    assert_eq!(refused(&of_other), TokenError::Algorithm);
}

#[test]
fn a_key_that_a_token_brings_along_is_not_used() {
    let foreign = EncodingKey::from_rsa_pem(SHORT_RSA.as_bytes()).expect("is a key");
    let mut own = header(Algorithm::RS256, Some("rsa"));
    own.jwk = Jwk::from_encoding_key(&foreign, Algorithm::RS256).ok();
    own.jku = Some("https://attacker.example/jwks.json".to_owned());
    own.x5u = own.jku.clone();
    assert_eq!(refused(&signed(&own, json!({}), &foreign)), TokenError::Signature);
}

#[test]
fn what_a_header_asks_for_and_is_not_done_refuses_the_token() {
    let key = EncodingKey::from_secret(SECRET);
    let plain = header(Algorithm::HS256, None);
    let critical = Header { crit: Some(vec!["https://example.com/ext".to_owned()]), ..plain.clone() };
    let empty = Header { crit: Some(Vec::new()), ..plain.clone() };
    let mut unencoded = plain;
    unencoded.extras.insert("b64", false);
    let zipped = serde_json::from_value(json!({ "alg": "HS256", "zip": "DEF" })).expect("is a header");
    for asking in [critical, empty, unencoded, zipped] {
        assert_eq!(refused(&signed(&asking, json!({}), &key)), TokenError::NotUnderstood, "{asking:?}");
    }
}

#[test]
fn a_token_holds_for_its_time_issuer_and_audience() {
    let claim = |name: &str| TokenError::Claim(name.to_owned());
    for (others, expected) in [
        (json!({ "exp": 1_000_000_000 }), TokenError::Expired),
        (json!({ "exp": null }), claim("exp")),
        (json!({ "exp": "4000000000" }), claim("exp")),
        (json!({ "exp": -1 }), claim("exp")),
        (json!({ "nbf": 3_999_999_999_u64 }), TokenError::NotYet),
        (json!({ "nbf": "soon" }), claim("nbf")),
        (json!({ "iss": "https://other.example" }), TokenError::Issuer),
        (json!({ "iss": ["https://issuer.example"] }), claim("iss")),
        (json!({ "iss": null }), claim("iss")),
        (json!({ "aud": "other" }), TokenError::Audience),
        (json!({ "aud": ["a", "b"] }), TokenError::Audience),
        (json!({ "aud": null }), claim("aud")),
        (json!({ "aud": [] }), TokenError::Audience),
        (json!({ "sub": null }), claim("sub")),
        (json!({ "sub": 5 }), claim("sub")),
        (json!({ "sub": "line\nbreak" }), claim("sub")),
        (json!({ "sub": "x".repeat(129) }), claim("sub")),
        (json!({ "scope": 5 }), claim("scope")),
        (json!({ "permissions": { "predict": true } }), claim("permissions")),
        (json!({ "models": "m", "permissions": [1] }), claim("permissions")),
        (json!({ "models": { "m": true } }), claim("models")),
    ] {
        assert_eq!(refused(&by_secret(others.clone())), expected, "{others}");
    }
    assert!(check(&tokens(), &by_secret(json!({ "aud": ["other", "serve"] }))).is_ok());
    assert!(check(&tokens(), &by_secret(json!({ "exp": 4e9 }))).is_ok());
}

#[test]
fn claims_say_what_a_caller_may() {
    let caller = |others: Json| check(&tokens(), &by_secret(others)).expect("is taken").caller;
    let listed = caller(json!({ "scope": null, "permissions": ["admin", "predict", "write:all"] }));
    assert!(
        listed.may(Permission::Admin) && listed.may(Permission::Predict) && !listed.may(Permission::Read)
    );
    let none = caller(json!({ "scope": "administrator predictor" }));
    assert!(Permission::ALL.into_iter().all(|permission| !none.may(permission)));
    let model = |name: &str| name.parse::<ModelName>().expect("is a name");
    let some = caller(json!({ "models": ["a", "../b"] }));
    assert!(some.may_use(&model("a")) && !some.may_use(&model("b")) && !some.may_use_all());
    let nothing = caller(json!({ "models": [] }));
    assert!(!nothing.may_use(&model("a")));
    assert!(caller(json!({})).may_use_all());
}

#[test]
fn claims_may_lie_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = JwtConfig {
        name_claim: "https://example.com/user".to_owned(),
        permissions_claims: vec!["/realm_access/roles".to_owned()],
        ..configured(&folder, &keys())
    };
    let tokens = Tokens::new(&config, &mut Vec::new());
    let token =
        by_secret(json!({ "realm_access": { "roles": ["read"] }, "https://example.com/user": "bob" }));
    let caller = check(&tokens, &token).expect("is taken").caller;
    assert!(caller.may(Permission::Read) && !caller.may(Permission::Predict));
    assert_eq!(caller.name(), "bob");
}

#[test]
fn tokens_are_remembered_until_they_end_and_not_without_a_bound() {
    let tokens = tokens();
    let token = by_secret(json!({}));
    let digest = Digest::of(token.as_bytes());
    assert!(tokens.remembered(&digest, NOW).is_none());
    check(&tokens, &token).expect("is taken");
    assert!(tokens.remembered(&digest, NOW).is_some());
    assert!(tokens.remembered(&digest, 4_000_000_029).is_some(), "within the leeway");
    assert!(tokens.remembered(&digest, 4_000_000_030).is_none());
    assert!(check(&tokens, "a.b.c").is_err());
    assert_eq!(tokens.count(), 1, "what is refused is not remembered");
    for at in 0..MOST_REMEMBERED + 10 {
        check(&tokens, &by_secret(json!({ "jti": at }))).expect("is taken");
    }
    assert!(tokens.count() <= MOST_REMEMBERED);
}

#[test]
fn keys_that_cannot_be_used_are_left_out_or_told() {
    let short = EncodingKey::from_rsa_pem(SHORT_RSA.as_bytes()).expect("is a key");
    let short = public(&short, Algorithm::RS256, None);
    let with = |mut jwk: Json, key: &str, value: Json| {
        jwk[key] = value;
        jwk
    };
    let [rsa, p256, ed25519] = <[Json; 3]>::try_from(keys()).expect("are three");
    for (jwk, why) in [
        (short.clone(), "key 0: is an RSA key of 1024 bits; expected 2048 to 4096"),
        (
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            "key 0: is a shared secret, which belongs into auth.jwt.hmac_file",
        ),
        (with(rsa.clone(), "use", json!("enc")), "key 0: is not for signatures"),
        (with(rsa.clone(), "key_ops", json!(["encrypt"])), "key 0: is not for signatures"),
        (with(rsa.clone(), "alg", json!("HS256")), "key 0: says HS256, which is not for its kind of key"),
        (with(rsa.clone(), "alg", json!("none")), "key 0: has an algorithm that is not known"),
        (with(rsa.clone(), "e", json!("Ag")), "key 0: has an RSA exponent that is none"),
        (with(ed25519, "x", json!("AAAA")), "key 0: is an Ed25519 key of 3 bytes; expected 32"),
        (with(p256.clone(), "x", json!("AAAA")), "key 0: "),
        (json!({ "kty": "unheard of" }), "key 0: "),
        (json!(5), "key 0: "),
    ] {
        let error = opened(std::slice::from_ref(&jwk)).expect_err("is refused");
        assert!(error.starts_with(&format!("has no key that can be used: {why}")), "{error}");
        // Beside one that can be used it is left out.
        assert!(opened(&[jwk, p256.clone()]).is_ok());
    }
    assert_eq!(opened(&[]).expect_err("is refused"), "has no key");
}

#[test]
fn an_algorithm_that_a_key_says_is_the_one() {
    let mut jwk = public(&rsa(), Algorithm::RS256, Some("rsa"));
    jwk["alg"] = json!("PS256");
    let tokens = opened(&[jwk]).expect("is sound");
    let plain = signed(&header(Algorithm::RS256, Some("rsa")), json!({}), &rsa());
    assert_eq!(check(&tokens, &plain).expect_err("is refused"), TokenError::Algorithm);
    let probabilistic = signed(&header(Algorithm::PS256, Some("rsa")), json!({}), &rsa());
    assert!(check(&tokens, &probabilistic).is_ok());
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = configured(&folder, &keys());
    let path = config.hmac_file.clone().expect("is configured");
    let told = || {
        let mut mistakes = Vec::new();
        drop(Tokens::new(&config, &mut mistakes));
        mistakes.first().map(|mistake| mistake.problem.clone())
    };
    fs::write(&path, "secret\n").expect("written");
    assert_eq!(told().as_deref(), Some("holds 6 bytes; expected 32 or more, at random"));
    fs::write(&path, P256.split_once('\n').expect("has lines").1).expect("written");
    assert_eq!(told().as_deref(), Some("holds a PEM file; a key that others know is no secret"));
    fs::remove_file(&path).expect("removed");
    assert!(told().expect("is refused").starts_with("cannot be read"));
}
