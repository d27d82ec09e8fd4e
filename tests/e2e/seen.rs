//! The server as operators see it: metrics, log, traces, samples, and a configuration that changes under it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::server::{Client, Reply, command, eventually};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The demonstration with a configuration and a log of its own.
pub(crate) struct Observed {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Observed {
    pub(crate) fn start(config: &str) -> Self {
        Self::with(config, true)
    }

    /// Where nobody reads the log, it is a pipe that fills up.
    fn with(config: &str, read: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("serve.yaml");
        fs::write(&path, config.replace("FOLDER", &folder.path().display().to_string()))
            .expect("can be written");
        let log = File::create(folder.path().join("log")).expect("can be made");
        let mut child = command("serve-server")
            .args(["--demo", "--port", "0", "--config"])
            .arg(&path)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if read { Stdio::from(log) } else { Stdio::piped() })
            .spawn()
            .expect("serve-server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let address = line.trim().rsplit_once("listens on http://").and_then(|(_, at)| at.parse().ok());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Self { child, address: address.unwrap_or(nowhere), folder };
        assert!(address.is_some(), "serve-server does not listen: {line:?} {}", server.text("log"));
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let json = [("content-type", "application/json")];
        Client::connect(self.address).text(method, path, &[&json, headers].concat(), body)
    }

    pub(crate) fn health(&self) -> Json {
        self.ask("GET", "/health", &[], "").ok()
    }

    /// The metrics' page.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("can be sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        page
    }

    fn hang_up(&self) {
        let sent = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill starts").success());
    }

    /// Replaces the configuration, as editors and orchestrators do.
    fn configure(&self, config: &str) {
        fs::write(self.path("new.yaml"), config).expect("can be written");
        fs::rename(self.path("new.yaml"), self.path("serve.yaml")).expect("can be renamed");
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The sum of a family's series that have all of `labels`.
pub(crate) fn sum(page: &str, family: &str, labels: &[&str]) -> f64 {
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        (name == family && labels.iter().all(|label| rest.contains(label)))
            .then(|| value.parse::<f64>().ok())?
    };
    page.lines().filter_map(of).sum()
}

const PREDICT: &str = "/predict?feature_set=vader&model_type=random_forest";

#[test]
fn metrics_tell_the_traffic_that_there_was() {
    let server = Observed::start("log: { level: error }");
    for _ in 0..3 {
        server.ask("POST", PREDICT, &[], "").ok();
    }
    assert_eq!(server.ask("POST", "/predict", &[], r#"{"model":"made-up-name"}"#).status, 404);
    assert_eq!(server.ask("POST", PREDICT, &[], r#"{"features":{"rsi":"x"}}"#).status, 422);
    let batch = json!({ "requests": [{}, {}], "feature_set": "finbert", "model_type": "random_forest" });
    server.ask("POST", "/predict/batch", &[], &batch.to_string()).ok();
    assert_eq!(server.ask("GET", "/nothing", &[], "").status, 404);
    let page = server.metrics();
    let (vader, finbert) = (r#"model="vader-random-forest""#, r#"model="finbert-random-forest""#);
    let told = |family: &str, labels: &[&str]| sum(&page, family, labels);
    assert_eq!(told("prediction_requests_total", &[vader, r#"outcome="success""#]), 3.0, "{page}");
    assert_eq!(told("prediction_requests_total", &[vader, r#"outcome="refused""#]), 1.0, "{page}");
    assert_eq!(told("prediction_requests_total", &[finbert, r#"outcome="success""#]), 1.0);
    assert_eq!(told("prediction_rows_total", &[finbert]), 2.0);
    assert_eq!(
        told("prediction_errors_total", &[r#"code="unknown_model""#, r#"model="unknown""#]),
        1.0,
        "{page}"
    );
    assert_eq!(told("prediction_latency_seconds_count", &[vader]), 4.0);
    assert_eq!(told("http_requests_total", &[r#"protocol="native""#, r#"status="200""#]), 4.0);
    assert_eq!(told("http_requests_total", &[r#"status="404""#]), 2.0);
    assert_eq!(told("http_requests_in_flight", &[]), 1.0);
    assert_eq!(told("model_info", &[]), 6.0);
    assert!(told("model_cache_hits_total", &[]) >= 4.0);
    assert!(told("process_resident_memory_bytes", &[]) > 0.0);
    assert!(!page.contains("made-up-name"), "what clients send makes no series");
}

#[test]
fn every_request_is_a_line_of_json() {
    let server = Observed::start("log: { format: json }");
    server.ask("GET", "/health/live", &[], "").ok();
    let id = [("x-request-id", "mine-1"), ("traceparent", TRACEPARENT), ("x-api-key", "s3cr3t")];
    server.ask("POST", PREDICT, &id, "").ok();
    server.ask("POST", "/predict?model=none", &[("x-request-id", "mine-2")], "");
    let log = eventually("the log's line", || Some(server.text("log")).filter(|log| log.contains("mine-2")));
    let lines: Vec<Json> =
        log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let find = |id: &str| lines.iter().find(|line| line["request_id"] == id).expect("has a line");
    let line = find("mine-1");
    for (key, value) in [
        ("target", json!("access")),
        ("level", json!("INFO")),
        ("method", json!("POST")),
        ("path", json!("/predict")),
        ("route", json!("/predict")),
        ("status", json!(200)),
        ("caller", json!("anyone")),
        ("model", json!("vader-random-forest")),
        ("rows", json!(1)),
        ("trace_id", json!(&TRACEPARENT[3..35])),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    assert!(
        line["ms"].as_f64() >= line["infer_ms"].as_f64() && line["infer_ms"].as_f64() > Some(0.0),
        "{line}"
    );
    assert!(line["bytes_out"].as_u64() > Some(100) && line["peer"].is_string(), "{line}");
    let failed = find("mine-2");
    assert_eq!((&failed["status"], &failed["code"]), (&json!(404), &json!("unknown_model")), "{failed}");
    assert!(!lines.iter().any(|line| line["path"] == "/health/live"), "health is told at debug only");
    assert!(!log.contains("s3cr3t"), "headers are not told");
}

#[test]
fn a_request_without_an_answer_has_its_line_too() {
    let server = Observed::start("log: { format: json }");
    let send = |id: &str, body: &str| {
        let mut stream = TcpStream::connect(server.address).expect("the server listens");
        let head = format!(
            "POST /predict/batch HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("can be sent");
        stream
    };
    let rows = |count: usize| json!({ "model": "vader-random-forest", "requests": vec![json!({}); count] });
    let long = rows(10_000).to_string();
    let find = |id: &str| {
        eventually(id, || {
            let log = server.text("log");
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
            lines.find(|line| line["request_id"] == id && line["target"] == "access")
        })
    };
    // One that hangs up, one that sends no more, and one that has sent a part.
    drop(send("gone", &long));
    let half = send("half", &long);
    half.shutdown(Shutdown::Write).expect("is open");
    let mut part = TcpStream::connect(server.address).expect("the server listens");
    part.write_all(
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\nx-request-id: part\r\ncontent-length: 9\r\n\r\n{",
    )
    .expect("can be sent");
    drop(part);
    for (id, route, code) in [
        ("gone", "/predict/batch", "abandoned"),
        ("half", "/predict/batch", "abandoned"),
        ("part", "/predict", "body_broken_off"),
    ] {
        let line = find(id);
        assert_eq!((&line["route"], &line["caller"]), (&json!(route), &json!("anyone")), "{line}");
        assert_eq!(
            (&line["code"], line.get("status").is_none()),
            (&json!(code), code == "abandoned"),
            "{line}"
        );
    }
    assert_eq!(sum(&server.metrics(), "http_requests_abandoned_total", &[]), 2.0);
    // What has its answer at once is answered, though nothing more will come: a row that no store is asked for.
    let here = json!({ "model": "vader-random-forest", "requests": [{ "data": [1] }] }).to_string();
    for turn in 0..20 {
        let id = format!("short-{turn}");
        let mut short = send(&id, &here);
        short.shutdown(Shutdown::Write).expect("is open");
        let mut answer = String::new();
        short.read_to_string(&mut answer).expect("ends in order");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{turn}: {answer}");
        assert_eq!(find(&id)["status"], 200);
    }
    assert_eq!(sum(&server.metrics(), "http_requests_abandoned_total", &[]), 2.0);
}

#[test]
fn a_trace_goes_on_through_the_server() {
    let server = Observed::start("log: { level: error }");
    let reply = server.ask("GET", "/models", &[("traceparent", TRACEPARENT), ("tracestate", "a=1,b=2")], "");
    let told = reply.header("traceparent").expect("is told").to_owned();
    assert!(told.starts_with(&TRACEPARENT[..36]) && told.ends_with("-01") && told != TRACEPARENT, "{told}");
    assert_eq!(reply.header("tracestate"), Some("a=1,b=2"));
    let timing = reply.header("server-timing").expect("is told");
    assert!(timing.contains("total;dur="), "{timing}");
    let bad = server.ask("GET", "/models", &[("traceparent", "00-0-0-0"), ("tracestate", "a=1")], "");
    let begun = bad.header("traceparent").expect("a trace begins");
    assert!(begun.len() == 55 && !begun.contains("4bf92f35"), "{begun}");
    assert_eq!(bad.header("tracestate"), None, "a state without its parent says nothing");
    assert_eq!(server.ask("GET", "/models", &[], "").header("traceparent"), None);
}

#[test]
fn a_configuration_that_changes_is_used_as_far_as_it_can_be() {
    let server = Observed::start("log: { format: json, level: info }");
    let about = |server: &Observed| server.health()["components"]["configuration"].clone();
    assert_eq!(about(&server)["status"], "healthy");

    server.configure("log: { format: json, level: debug }\nhttp: { max_body_bytes: 1MiB }\n");
    server.hang_up();
    let told = eventually("the reload", || Some(about(&server)).filter(|told| told["reloaded"].is_string()));
    assert_eq!(told["waiting_for_restart"], json!(["http.max_body_bytes"]));
    let quiet = || server.text("log").contains("\"route\":\"/health\"").then_some(());
    eventually("a line of level debug", || {
        server.health();
        quiet()
    });

    server.configure("log: { level: loud!!! }\nhttp: { prot: 1 }\n");
    let told = eventually("the refusal", || Some(about(&server)).filter(|told| told["status"] == "stale"));
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains("serve.yaml:2: http.prot: unknown key `prot`; did you mean `port`?"), "{error}");
    assert_eq!(server.health()["status"], "degraded");
    server.ask("POST", PREDICT, &[], "").ok();

    // By the file alone.
    server.configure("log: { format: json, level: error }\n");
    let told =
        eventually("the next reload", || Some(about(&server)).filter(|told| told["status"] == "healthy"));
    assert_eq!(told["waiting_for_restart"], json!([]));
    assert_eq!(sum(&server.metrics(), "configuration_reloads_total", &[r#"outcome="taken""#]), 2.0);
    // What changes is told also where little else is.
    server.configure("log: { format: json, level: error }\nlimits: { batch_rows: 5 }\n");
    for change in [["log.level", "\"debug\"", "\"error\""], ["limits.batch_rows", "10000", "5"]] {
        eventually("the change is told", || {
            let text = server.text("log");
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
            lines.find(|line| ["setting", "from", "to"].map(|key| line[key].as_str()) == change.map(Some))
        });
    }
}

#[test]
fn bodies_of_picked_requests_are_kept_without_what_is_secret() {
    let payloads = "{ sample: 1.0, file: FOLDER/payloads, redact: [entity] }";
    let server = Observed::start(&format!("log: {{ level: error, payloads: {payloads} }}"));
    let body = r#"{"feature_set":"vader","model_type":"random_forest","entity":"BTC/USD"}"#;
    server.ask("POST", "/predict", &[("x-request-id", "kept"), ("x-api-key", "s3cr3t")], body).ok();
    server.ask("GET", "/models", &[], "").ok();
    let kept = eventually("the sample", || Some(server.text("payloads")).filter(|kept| kept.ends_with('\n')));
    let line: Json = serde_json::from_str(kept.trim()).expect("one line of JSON");
    assert_eq!((&line["request_id"], &line["status"]), (&json!("kept"), &json!(200)));
    assert_eq!(line["request"]["entity"], "***");
    assert_eq!(line["response"]["success"], true, "{line}");
    assert!(!kept.contains("s3cr3t") && !kept.contains("BTC/USD"), "{kept}");
}

/// Takes one request, answers it, and returns its body.
fn collect(listener: &std::net::TcpListener) -> Json {
    let (mut stream, _) = listener.accept().expect("somebody connects");
    let mut reader = BufReader::new(stream.try_clone().expect("can be cloned"));
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("text");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").expect("can be sent");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn spans_go_to_a_collector() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    let telemetry = format!("{{ otlp: 'http://{at}/v1/traces', sample: 0, interval: 50ms }}");
    let server = Observed::start(&format!("log: {{ level: error }}\ntelemetry: {telemetry}"));
    server.ask("POST", PREDICT, &[], "").ok();
    server.ask("POST", PREDICT, &[("traceparent", &TRACEPARENT.replace("-01", "-00"))], "").ok();
    let reply = server.ask("POST", PREDICT, &[("traceparent", TRACEPARENT)], "");
    let sent = collect(&listener);
    let spans = sent["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone();
    assert_eq!(spans.len(), 1, "only what its caller samples: {sent}");
    let span = &spans[0];
    let parent = (&span["traceId"], &span["parentSpanId"]);
    assert_eq!(parent, (&json!(&TRACEPARENT[3..35]), &json!(&TRACEPARENT[36..52])));
    assert_eq!(span["spanId"].as_str(), reply.header("traceparent").map(|told| &told[36..52]));
    assert_eq!(span["name"], "POST /predict");
    let attribute = |key: &str| {
        let all = span["attributes"].as_array().expect("attributes");
        all.iter().find(|one| one["key"] == key).map(|one| one["value"].clone())
    };
    assert_eq!(attribute("http.response.status_code"), Some(json!({ "intValue": "200" })));
    assert_eq!(attribute("serve.model"), Some(json!({ "stringValue": "vader-random-forest" })));
    assert!(
        span["events"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "infer")),
        "{span}"
    );
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let server = Observed::with("log: { level: info, buffer: 64KiB }", false);
    let mut client = Client::connect(server.address);
    for _ in 0..2_000 {
        assert_eq!(client.text("GET", "/models/types", &[], "").status, 200);
    }
    assert!(sum(&server.metrics(), "log_lines_dropped_total", &[]) > 0.0);
}

#[test]
fn mistakes_have_a_line_each_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("serve.yaml");
    let config = "http:\n  request_timeout: 30\n  prot: 1\n  connections: { max: 0 }\nfeatures:\n  cache: { url: 'http://ann:hunter2@x' }\ncache:\n  \
                  redis: sqlite://x.db\nlog: { level: x=loud }\n";
    fs::write(&path, config).expect("can be written");
    let check = command("serve-server")
        .args(["--check-config", "--config"])
        .arg(&path)
        .arg("--registry")
        .arg(folder.path())
        .env("SERVE__LIMITS__QUEUE", "many")
        .output()
        .expect("starts");
    assert_eq!(check.status.code(), Some(78));
    let told = String::from_utf8_lossy(&check.stderr).replace(&path.display().to_string(), "serve.yaml");
    let redis = "expected a Redis, `redis://HOST:PORT/DATABASE` or `rediss://…`, got";
    let expected = [
        "serve-server: the configuration has 6 mistakes:".to_owned(),
        "  serve.yaml:2: http.request_timeout: duration \"30\" has no unit: expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`, such as `15m`".to_owned(),
        "  serve.yaml:3: http.prot: unknown key `prot`; did you mean `port`?".to_owned(),
        format!("  serve.yaml:6: features.cache.url: {redis} `http://…`"),
        format!("  serve.yaml:8: cache.redis: {redis} `sqlite://…`"),
        "  serve.yaml:9: log.level: ".to_owned(),
        "  SERVE__LIMITS__QUEUE: limits.queue: ".to_owned(),
    ];
    assert_eq!(told.lines().count(), expected.len(), "{told}");
    for (line, expected) in told.lines().zip(expected) {
        assert!(line.starts_with(&expected), "{line} is not {expected}");
    }
}

#[test]
fn the_example_is_a_configuration() {
    let example = crate::server::repository().join("examples/serve.example.yaml");
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = command("serve-server");
    server.arg("--check-config").arg("--config").arg(&example).arg("--registry").arg(folder.path());
    let checked = server.output();
    let checked = checked.expect("serve-server starts");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let shown: Json = serde_json::from_slice(&checked.stdout).expect("the configuration");
    assert_eq!(shown["http"]["port"], 8000);
    assert!(Path::new(&example).is_file());
}
