//! TLS as clients see it: both versions of HTTP, certificates that are renewed while the server runs, clients that show one,
//! and files that do not fit.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::server::{Server, command, told, until};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A folder with certificates.
struct Papers {
    folder: tempfile::TempDir,
    authority: Authority,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs")
}

impl Papers {
    fn new() -> Self {
        let papers = Self { folder: tempfile::tempdir().expect("a folder"), authority: authority() };
        fs::write(papers.path("ca.pem"), papers.authority.pem()).expect("writes");
        papers.issue("server", |params| params.subject_alt_names.push(localhost()));
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate and its key, as two files.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &*self.authority).expect("signs");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("writes");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("writes");
    }

    fn settings(&self, more: &str) -> String {
        let (cert, key) = (self.path("server.pem"), self.path("server.key"));
        format!("{{ cert: {}, key: {}, poll: 50ms{more} }}", cert.display(), key.display())
    }

    fn server(&self, more: &str) -> Server {
        Server::start(["--demo"], &[("SERVE__HTTP__TLS", &self.settings(more))])
    }

    fn client(&self, identity: Option<&str>, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let pem =
                    CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
                builder.with_client_auth_cert(vec![pem], key).expect("fits")
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

fn localhost() -> SanType {
    SanType::DnsName("localhost".try_into().expect("a name"))
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: &Server, config: Arc<ClientConfig>) -> Stream {
    let socket = TcpStream::connect(server.address).expect("the server listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
    let name = ServerName::try_from("localhost").expect("a name");
    StreamOwned::new(ClientConnection::new(config, name).expect("a client"), socket)
}

fn get(stream: &mut Stream, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().and_then(<[_]>::first).map(|der| der.to_vec()).unwrap_or_default()
}

#[test]
fn both_versions_of_http_are_spoken_by_agreement() {
    let papers = Papers::new();
    let server = papers.server("");
    let mut stream = connect(&server, papers.client(None, &["http/1.1"]));
    let answer = get(&mut stream, "/health").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    assert!(
        answer.contains(r#""tls":{"not_after":"#) && answer.contains(r#""subject":"CN=server""#),
        "{answer}"
    );
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut stream = connect(&server, papers.client(None, &["http/1.1"]));
    let mut refused = Vec::new();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("open");
    stream.read_to_end(&mut refused).expect("an answer");
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("missing_host"), "{refused}");
    assert!(refused.contains("strict-transport-security: max-age=31536000\r\n"), "{refused}");
    let mut stream = connect(&server, papers.client(None, &["h2", "http/1.1"]));
    let answer = crate::http2::get(&mut stream, "/health/live");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(answer, (200, r#"{"live":true,"status":"live"}"#.to_owned()));
}

#[test]
fn silent_connections_rest_and_are_answered_again() {
    let papers = Papers::new();
    let server = papers.server("");
    let config = papers.client(None, &["http/1.1"]);
    let mut silent = connect(&server, Arc::clone(&config));
    silent.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("is open");
    let mut first = [0; 15];
    silent.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    until("it rests", || {
        let page = get(&mut connect(&server, Arc::clone(&config)), "/metrics").expect("an answer");
        crate::seen::sum(&page, "http_connections_at_rest", &[]) == 1.0
    });
    let answer = get(&mut silent, "/health/live").expect("an answer");
    assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn a_new_certificate_serves_the_next_connection_and_a_broken_pair_none() {
    let papers = Papers::new();
    let server = papers.server("");
    let health = |wanted: &str| {
        let mut stream = connect(&server, papers.client(None, &["http/1.1"]));
        get(&mut stream, "/health").is_ok_and(|answer| answer.contains(wanted))
    };
    let mut open = connect(&server, papers.client(None, &["http/1.1"]));
    open.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("agrees");
    open.flush().expect("sends");
    let mut first = [0; 1];
    open.read_exact(&mut first).expect("an answer");
    // The key alone is no pair: the old certificate goes on, and /health says why.
    let key = KeyPair::generate().expect("a key");
    fs::write(papers.path("server.key"), key.serialize_pem()).expect("writes");
    until("a broken pair is told", || health("the key is not that of the certificate"));
    assert!(health(r#""status":"degraded""#));
    papers.issue("server", |params| params.subject_alt_names.push(localhost()));
    let renewed = CertificateDer::from_pem_file(papers.path("server.pem")).expect("a certificate").to_vec();
    until("the new certificate is shown", || {
        let mut stream = connect(&server, papers.client(None, &["http/1.1"]));
        get(&mut stream, "/health/live").is_ok() && shown(&stream) == renewed
    });
    assert!(health(r#""status":"healthy","subject":"CN=server""#));
    // Who was connected before is still answered.
    let answer = get(&mut open, "/health/live").expect("an answer");
    assert_eq!(answer.matches("\"status\":\"live\"}").count(), 2, "{answer}");
    assert_ne!(shown(&open), renewed);
}

#[test]
fn clients_show_a_certificate_where_they_must() {
    let papers = Papers::new();
    papers.issue("ci", |_| ());
    let stranger = Papers::new();
    stranger.issue("ci", |_| ());
    let ask = |server: &Server, config: Arc<ClientConfig>| get(&mut connect(server, config), "/health/live");
    let foreign = {
        let pem = CertificateDer::from_pem_file(stranger.path("ci.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(stranger.path("ci.key")).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(papers.authority.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        Arc::new(builder.with_client_auth_cert(vec![pem], key).expect("fits"))
    };
    let ca = papers.path("ca.pem");
    for (auth, without) in [("required", false), ("optional", true)] {
        let server = papers.server(&format!(", client_ca: {}, client_auth: {auth}", ca.display()));
        assert!(ask(&server, papers.client(Some("ci"), &[])).is_ok_and(|answer| answer.contains("200 OK")));
        assert_eq!(ask(&server, papers.client(None, &[])).is_ok(), without, "{auth}");
        assert!(ask(&server, Arc::clone(&foreign)).is_err(), "{auth}");
        assert!(ask(&server, papers.client(Some("ci"), &[])).is_ok());
    }
}

#[test]
fn who_showed_a_certificate_stands_in_the_log() {
    let papers = Papers::new();
    papers.issue("ci", |params| params.distinguished_name.push(DnType::OrganizationName, "Example"));
    let ca = papers.path("ca.pem");
    let settings = papers.settings(&format!(", client_ca: {}, client_auth: optional", ca.display()));
    let log = papers.path("log");
    let key = format!("{{ id: ci, permissions: [read], sha256: \"{}\" }}", "5".repeat(64));
    let auth = format!("{{ mode: keys, keys: [{key}] }}");
    let environment = [
        ("SERVE__HTTP__TLS", settings.as_str()),
        ("SERVE__LOG__FORMAT", "json"),
        ("SERVE__LOG__LEVEL", "access=info,error"),
        ("SERVE__AUTH", auth.as_str()),
    ];
    let server = Server::logging_to(&log, ["--demo"], &environment);
    for identity in [Some("ci"), None] {
        let answer = get(&mut connect(&server, papers.client(identity, &[])), "/models").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let lines = |target: &str| {
        let text = fs::read_to_string(&log).expect("a log");
        let lines = text.lines().filter(|line| line.contains(&format!(r#""target":"{target}""#)));
        lines.map(|line| line.contains("\"certificate\":\"O=Example,CN=ci\"")).collect::<Vec<_>>()
    };
    for target in ["access", "audit"] {
        until("the log is written", || lines(target).len() == 2);
        assert_eq!(lines(target), [true, false], "{target}: {}", fs::read_to_string(&log).expect("a log"));
    }
}

#[test]
fn a_certificate_is_taken_anew_at_sighup() {
    let papers = Papers::new();
    let settings = papers.settings("").replace("poll: 50ms", "poll: 0s");
    let log = papers.path("log");
    let environment = [("SERVE__HTTP__TLS", settings.as_str()), ("SERVE__LOG__LEVEL", "warn")];
    let server = Server::logging_to(&log, ["--demo"], &environment);
    let ask = || {
        let mut stream = connect(&server, papers.client(None, &["http/1.1"]));
        (get(&mut stream, "/health").unwrap_or_default(), shown(&stream))
    };
    let first = ask().1;
    papers.issue("server", |params| params.subject_alt_names.push(localhost()));
    let renewed = CertificateDer::from_pem_file(papers.path("server.pem")).expect("a certificate").to_vec();
    assert_eq!(ask().1, first);
    server.signal("-HUP");
    until("the new certificate is shown", || ask().1 == renewed);
    let key = KeyPair::generate().expect("a key");
    for (file, bad, problem) in [
        ("server.key", key.serialize_pem(), "the key is not that of the certificate in"),
        ("server.pem", "nothing".to_owned(), "server.pem"),
    ] {
        fs::write(papers.path(file), bad).expect("writes");
        server.signal("-HUP");
        until("an unfit pair is told", || {
            let (health, certificate) = ask();
            assert_eq!(certificate, renewed, "the old one is served on");
            health.contains(r#""status":"degraded""#) && health.contains(problem)
        });
        until("the log says why", || {
            let text = fs::read_to_string(&log).expect("a log");
            let told =
                |line: &str| line.contains("the old certificate is served on") && line.contains(problem);
            text.lines().any(told)
        });
    }
    papers.issue("server", |params| params.subject_alt_names.push(localhost()));
    server.signal("-HUP");
    until("the next pair is shown", || ask().1 != renewed);
    assert!(ask().0.contains(r#""status":"healthy","subject":"CN=server""#));
}

#[test]
fn plain_http_on_a_port_of_tls_is_told_and_half_a_handshake_ends() {
    let papers = Papers::new();
    let server = papers.server(", handshake_timeout: 500ms, min_version: 1.3");
    let mut plain = TcpStream::connect(server.address).expect("listens");
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("open");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("ends in order");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"tls_required\""), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    for bytes in
        [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02", b"\0\0\0\0\0\0\0\0"]
    {
        let mut half = TcpStream::connect(server.address).expect("listens");
        half.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        half.write_all(bytes).expect("open");
        drop(half.read_to_end(&mut Vec::new()));
    }
    let mut stream = connect(&server, papers.client(None, &[]));
    assert!(get(&mut stream, "/health/live").is_ok_and(|answer| answer.contains("200 OK")));
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn files_that_do_not_fit_are_told_before_anything_listens() {
    let papers = Papers::new();
    papers.issue("other", |_| ());
    papers.issue("old", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    fs::write(papers.path("empty.pem"), "").expect("writes");
    let check = |cert: &str, key: &str, more: &str| {
        let (cert, key) = (papers.path(cert), papers.path(key));
        let tls = format!("{{ cert: {}, key: {}{more} }}", cert.display(), key.display());
        told(
            &command("serve-server")
                .arg("--check-config")
                .arg("--registry")
                .arg(papers.path(""))
                .env("SERVE__HTTP__TLS", tls)
                .output()
                .expect("starts"),
        )
    };
    let at = |name: &str| papers.path(name).display().to_string();
    assert_eq!(check("server.pem", "server.key", "").0, Some(0));
    let expired = check("old.pem", "old.key", "");
    assert_eq!(expired.0, Some(0));
    assert!(
        expired.1.contains("the certificate of \"CN=old\" has expired at 2020-01-01T00:00:00Z"),
        "{}",
        expired.1
    );
    let ca = format!(", client_ca: {}", at("ca.pem"));
    for (cert, key, more, wanted) in [
        ("no.pem", "server.key", "", format!("http.tls.cert: {} cannot be read: No such file", at("no.pem"))),
        (
            "empty.pem",
            "server.key",
            "",
            format!("http.tls.cert: {}: there is no certificate; expected PEM", at("empty.pem")),
        ),
        (
            "server.key",
            "server.key",
            "",
            format!("http.tls.cert: {}: there is no certificate", at("server.key")),
        ),
        (
            "server.pem",
            "server.pem",
            "",
            format!("http.tls.key: {}: there is no private key", at("server.pem")),
        ),
        (
            "server.pem",
            "other.key",
            "",
            format!(
                "http.tls.key: {}: the key is not that of the certificate in {}",
                at("other.key"),
                at("server.pem")
            ),
        ),
        (
            "server.pem",
            "server.key",
            ", client_auth: required",
            "client_auth asks for certificates; expected client_ca".to_owned(),
        ),
        ("server.pem", "server.key", ca.as_str(), "expected optional or required".to_owned()),
        ("server.pem", "server.key", ", min_version: 1.1", "expected 1.2 or 1.3".to_owned()),
    ] {
        let (code, text) = check(cert, key, more);
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains(&wanted), "{wanted:?} in {text:?}");
    }
}
