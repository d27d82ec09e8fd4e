//! The door: who is let in, who is not, and what of that can be seen.

use std::fs;
use std::path::Path;

use serve_core::Digest;

use super::*;

fn sha256(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

fn config(yaml: &str) -> AuthConfig {
    serde_saphyr::from_str(yaml).expect("reads")
}

fn locks(yaml: &str) -> Locks {
    Locks::new(&config(yaml)).expect("is sound")
}

fn two_keys() -> String {
    format!(
        "mode: keys
public: [/metrics, /docs]
keys:
- {{ id: ci, sha256: \"{}\", permissions: [predict], models: [a], rate: 2/h }}
- {{ id: ops, sha256: [\"{}\", \"{}\"], permissions: [predict, read, admin] }}
- {{ id: old, sha256: \"{}\", permissions: [read], expires: 2020-01-01T00:00:00Z }}",
        sha256("ci-key"),
        sha256("ops-key"),
        sha256("ops-key-2"),
        sha256("old-key")
    )
}

fn ask<'a>(credentials: Credentials<'a>, page: &'a str, permission: Option<Permission>) -> Asked<'a> {
    let address = IpAddr::from([192, 0, 2, 1]);
    Asked {
        credentials,
        address,
        certificate: None,
        what: ("GET", page),
        act: None,
        page,
        permission,
        request: "r1",
    }
}

/// The caller's name, or the error's code.
fn entered(locks: &Locks, credentials: Credentials<'_>, permission: Permission) -> String {
    told(&locks.enter(&ask(credentials, "/x", Some(permission))))
}

fn told(entry: &Entry) -> String {
    match &entry.outcome {
        Ok(caller) => caller.name().to_owned(),
        Err(error) => error.code.as_str().to_owned(),
    }
}

#[test]
fn a_key_is_taken_from_either_header_and_says_what_its_holder_may() {
    let locks = locks(&two_keys());
    for shown in [Credentials::Key("ops-key"), Credentials::Bearer("ops-key"), Credentials::Key("ops-key-2")]
    {
        assert_eq!(entered(&locks, shown, Permission::Admin), "ops");
    }
    assert_eq!(entered(&locks, Credentials::Key("ci-key"), Permission::Predict), "ci");
    assert_eq!(entered(&locks, Credentials::Key("ci-key"), Permission::Read), "not_permitted");
}

#[test]
fn who_shows_no_key_is_told_why() {
    let locks = locks(&two_keys());
    for (shown, code) in [
        (Credentials::None, "unauthenticated"),
        (Credentials::Unusable("x"), "unauthenticated"),
        (Credentials::Several, "ambiguous_credentials"),
        (Credentials::Key("ops-kez"), "invalid_key"),
        (Credentials::Bearer("a.b.c"), "invalid_key"),
        (Credentials::Key("old-key"), "key_expired"),
    ] {
        assert_eq!(entered(&locks, shown, Permission::Read), code, "{shown:?}");
    }
}

#[test]
fn open_and_public_pages_need_no_key_and_nobody_sees_a_model_there() {
    let locks = locks(&two_keys());
    let at = |shown, page, permission| locks.enter(&ask(shown, page, permission)).outcome;
    let nobody = at(Credentials::None, "/health", None).expect("is open");
    assert!(Permission::ALL.into_iter().all(|permission| !nobody.may(permission)) && !nobody.may_use_all());
    // A probe with a key that was replaced must not fail.
    assert_eq!(at(Credentials::Key("gone"), "/health", None).expect("is open").name(), "anonymous");
    assert_eq!(at(Credentials::Key("ops-key"), "/health", None).expect("is open").name(), "ops");
    for page in ["/metrics", "/docs", "/docs/{*file}"] {
        assert!(at(Credentials::None, page, Some(Permission::Read)).is_ok(), "{page}");
    }
    for page in ["/metricsx", "/openapi.json", "/", "/models"] {
        assert!(at(Credentials::None, page, Some(Permission::Read)).is_err(), "{page}");
    }
}

#[test]
fn a_rate_holds_and_is_told() {
    let locks = locks(&two_keys());
    let take = || locks.enter(&ask(Credentials::Key("ci-key"), "/x", Some(Permission::Predict)));
    let first = take();
    let standing = *first.standings.iter().next().expect("has a limit");
    assert_eq!((standing.policy, standing.remaining, standing.rate.requests()), ("key", 1, 2));
    assert_eq!(told(&take()), "ci");
    let third = take();
    let error = third.outcome.expect_err("is refused");
    assert_eq!(error.code, Code::RateLimited);
    assert_eq!(error.message, "too many requests: the limit of this key is 2/h");
    assert!(error.retry_after.is_some_and(|after| after > Duration::from_mins(29)));
    assert_eq!(third.standings.iter().count(), 1);
    assert_eq!(entered(&locks, Credentials::Key("ops-key"), Permission::Predict), "ops");
}

#[test]
fn addresses_are_counted_also_where_nobody_is_asked() {
    let locks = locks("{ mode: none, rate_per_address: 2/h }");
    assert_eq!(entered(&locks, Credentials::None, Permission::Admin), "anyone");
    assert_eq!(entered(&locks, Credentials::None, Permission::Admin), "anyone");
    assert_eq!(entered(&locks, Credentials::None, Permission::Admin), "rate_limited");
    let health = locks.enter(&ask(Credentials::None, "/health", None));
    assert_eq!(told(&health), "anyone", "probes are not counted");
}

#[test]
fn guesses_are_limited_and_neighbours_with_a_key_are_not() {
    let locks = locks(&format!("{}\nfailures_per_address: 3/h", two_keys()));
    let guess = || entered(&locks, Credentials::Key("guess"), Permission::Read);
    assert_eq!(
        [guess(), guess(), guess(), guess()],
        ["invalid_key", "invalid_key", "invalid_key", "too_many_failures"]
    );
    assert_eq!(entered(&locks, Credentials::Key("ops-key"), Permission::Read), "ops");
    assert_eq!(entered(&locks, Credentials::None, Permission::Read), "unauthenticated");
}

#[test]
fn another_configuration_holds_from_the_next_request_and_a_wrong_one_changes_nothing() {
    let locks = locks(&two_keys());
    let wrong = config("{ mode: keys, keys_file: /no/such/file }");
    let mistakes = locks.reconfigure(&wrong).expect_err("is wrong");
    assert!(
        mistakes[0].to_string().starts_with("auth.keys_file /no/such/file: cannot be read"),
        "{mistakes:?}"
    );
    assert_eq!(entered(&locks, Credentials::Key("ops-key"), Permission::Read), "ops");
    let other = format!(
        "{{ mode: keys, keys: [{{ id: new, sha256: {}, permissions: [read] }}] }}",
        sha256("new-key")
    );
    locks.reconfigure(&config(&other)).expect("is sound");
    assert_eq!(entered(&locks, Credentials::Key("ops-key"), Permission::Read), "invalid_key");
    assert_eq!(entered(&locks, Credentials::Key("new-key"), Permission::Read), "new");
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

#[test]
fn files_are_read_again_once_they_have_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.yaml");
    let line = |id: &str| format!("- {{ id: {id}, sha256: {}, permissions: [read] }}\n", sha256(id));
    fs::write(&path, line("one")).expect("written");
    let locks = locks(&format!("{{ mode: keys, keys_file: {} }}", path.display()));
    let known = |key: &str| entered(&locks, Credentials::Key(key), Permission::Read) == key;
    assert!(known("one") && !known("two"));
    replace(&path, &format!("keys:\n{}{}", line("one"), line("two")));
    locks.look();
    assert!(!known("two"), "it may still be written");
    locks.look();
    assert!(known("one") && known("two"));
    for broken in ["- { id: one }", "[", "", "five", &line("one").repeat(2)] {
        replace(&path, broken);
        locks.look();
        locks.look();
        assert!(known("one") && known("two"), "{broken:?}");
        let trouble = locks.trouble().expect("is told");
        assert!(trouble.starts_with("auth.key"), "{trouble}");
        assert!(!trouble.contains(&sha256("one")), "{trouble}");
    }
    replace(&path, "[]");
    locks.look();
    locks.look();
    assert!(!known("one") && locks.trouble().is_none(), "a file without keys locks everyone out");
}

#[test]
fn a_server_does_not_start_with_a_file_without_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.yaml");
    fs::write(&path, "[]").expect("written");
    let mistakes = Locks::new(&config(&format!("{{ mode: keys, keys_file: {} }}", path.display())));
    assert_eq!(
        mistakes.expect_err("is wrong")[0].to_string(),
        "auth.keys: mode asks for keys, and there are none"
    );
}

#[test]
fn usage_is_counted_by_the_names_that_are_configured() {
    let locks = locks(&two_keys());
    entered(&locks, Credentials::Key("ops-key"), Permission::Read);
    entered(&locks, Credentials::Key("ci-key"), Permission::Admin);
    entered(&locks, Credentials::Key("chosen by a client"), Permission::Admin);
    let page = prometheus::TextEncoder::new().encode_to_string(&locks.families()).expect("is text");
    for line in [
        "auth_requests_total{caller=\"ops\",outcome=\"admitted\",permission=\"read\"} 1",
        "auth_requests_total{caller=\"ci\",outcome=\"not_permitted\",permission=\"admin\"} 1",
        "auth_refusals_total{reason=\"invalid_key\"} 1",
        "auth_refusals_total{reason=\"not_permitted\"} 1",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(!page.contains("chosen"), "{page}");
}
