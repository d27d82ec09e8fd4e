//! More is asked than can be done. What blocks here is a model of so many trees that explaining a batch takes minutes; a test
//! sets it going, looks at `/health` until what it waits for is so, and hangs up.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::server::{Client, Server, ctl_ok, eventually};

const TREES: usize = 20_000;

/// LightGBM's text of so many trees of one split each.
fn stumps() -> String {
    let head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
                objective=regression\nfeature_names=a b\nfeature_infos=[0:1] [0:1]\n";
    let mut trees = String::new();
    let mut sizes = String::from("tree_sizes=");
    for number in 0..TREES {
        let (feature, threshold) = (number % 2, (number % 97) as f64 / 97.0);
        let tree = format!(
            "Tree={number}\nnum_leaves=2\nnum_cat=0\nsplit_feature={feature}\nsplit_gain=1\nthreshold={threshold}\n\
             decision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=0.001 -0.001\nleaf_weight=1 1\n\
             leaf_count=5 5\ninternal_value=0\ninternal_weight=2\ninternal_count=10\nis_linear=0\nshrinkage=1\n\n\n"
        );
        write!(sizes, "{} ", tree.len()).expect("text grows");
        trees += &tree;
    }
    format!("{head}{}\n\n{trees}end of trees\n", sizes.trim_end())
}

/// A server of these limits with the models `one` and `other`, both slow to explain.
fn serve(limits: &str) -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("model.txt"), stumps()).expect("writes");
    for name in ["one", "other"] {
        ctl_ok(["import", "--registry", &path("registry"), "--name", name, &path("model.txt")]);
    }
    let config = format!("registry: {{ url: '{}' }}\nlimits: {limits}\n", path("registry"));
    fs::write(path("serve.yaml"), config).expect("writes");
    let server = Server::start(["--config", &path("serve.yaml")], &[]);
    (folder, server)
}

/// Rows that take a long time.
fn batch(model: &str, rows: usize, priority: u8) -> Json {
    let requests = vec![json!({"data": [0.25, 0.75]}); rows];
    json!({"model": model, "requests": requests, "explain": true, "priority": priority})
}

/// Asks, and does not wait for the answer. Hanging up is dropping it.
fn ask(server: &Server, body: &Json) -> Client {
    let (mut client, body) = (server.connect(), body.to_string());
    let length = body.len();
    let head = "POST /predict/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(&format!("{head}content-length: {length}\r\n\r\n{body}")).expect("sends");
    client
}

fn load(server: &Server) -> Json {
    server.get("/health").ok()["components"]["admission"].clone()
}

/// Waits until so many are under way and so many wait.
#[track_caller]
fn until(server: &Server, in_flight: u64, queued: u64) -> Json {
    let there = |load: &Json| (&load["in_flight"], &load["queued"]) == (&json!(in_flight), &json!(queued));
    eventually(&format!("{in_flight} under way and {queued} waiting"), || Some(load(server)).filter(there))
}

fn single(server: &Server, model: &str) -> u16 {
    server.post("/predict", &json!({"model": model, "data": [0.25, 0.75]})).status
}

#[test]
fn beyond_the_queue_is_refused_and_hanging_up_makes_room() {
    let (_folder, server) = serve("{ max_in_flight: 1, queue: 1, threads: 1 }");
    let running = ask(&server, &batch("one", 10_000, 0));
    until(&server, 1, 0);
    let waiting = ask(&server, &batch("one", 10_000, 0));
    assert_eq!(until(&server, 1, 1)["status"], "overloaded");
    let refused = server.post("/predict", &json!({"model": "other", "data": [0.25, 0.75]}));
    let message =
        "the server is overloaded: 1 requests are under way and 1 wait (limits.max_in_flight, limits.queue)";
    assert_eq!(refused.error(), (503, "overloaded", message));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refused = server.connect().request(
        "POST",
        "/v2/models/one/infer",
        Some(&json!({
            "inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [0.25, 0.75]}]
        })),
    );
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(waiting);
    let load = until(&server, 1, 0);
    assert_eq!((&load["left_queue_total"], &load["refused_total"]), (&json!(1), &json!(2)));
    drop(running);
    until(&server, 0, 0);
    assert_eq!(single(&server, "one"), 200);
}

#[test]
fn the_more_urgent_goes_first() {
    let (_folder, server) = serve("{ max_in_flight: 1, queue: 5, threads: 1 }");
    let running = ask(&server, &batch("one", 10_000, 0));
    until(&server, 1, 0);
    let usual = ask(&server, &batch("one", 10_000, 0));
    until(&server, 1, 1);
    let urgent = ask(&server, &batch("other", 10_000, 1));
    until(&server, 1, 2);
    drop(running);
    let load = until(&server, 1, 1);
    let under_way: Vec<_> =
        load["models"].as_array().expect("models").iter().map(|m| (&m["name"], &m["in_flight"])).collect();
    assert_eq!(under_way, [(&json!("one"), &json!(0)), (&json!("other"), &json!(1))]);
    drop(urgent);
    until(&server, 1, 0);
    drop(usual);
    until(&server, 0, 0);
}

#[test]
fn a_deadline_holds_in_the_queue_and_at_work() {
    let (_folder, server) = serve("{ max_in_flight: 1, queue: 5, threads: 1 }");
    let body = batch("one", 10_000, 0).to_string();
    let soon = [("content-type", "application/json"), ("x-request-timeout", "100ms")];
    let late = server.connect().text("POST", "/predict/batch", &soon, &body);
    assert_eq!(late.error(), (408, "deadline_exceeded", "the request's deadline of 100ms has passed"));
    until(&server, 0, 0);
    let running = ask(&server, &batch("one", 10_000, 0));
    let before = until(&server, 1, 0)["expired_total"].as_u64().expect("a number");
    let soon = [("content-type", "application/json"), ("x-request-timeout", "100")];
    let late = server.connect().text(
        "POST",
        "/predict",
        &soon,
        &json!({"model": "other", "data": [1, 2]}).to_string(),
    );
    assert_eq!(late.error(), (408, "deadline_exceeded", "the request's deadline of 100ms has passed"));
    let load = until(&server, 1, 0);
    assert_eq!((&load["left_queue_total"], &load["expired_total"]), (&json!(1), &json!(before + 1)));
    drop(running);
    until(&server, 0, 0);
    let wrong = [("content-type", "application/json"), ("x-request-timeout", "soon")];
    let refused = server.connect().text("POST", "/predict", &wrong, "{}");
    assert_eq!((refused.error().0, refused.error().1), (400, "malformed_header"));
}

#[test]
fn nothing_is_computed_for_those_who_hung_up() {
    let (_folder, server) = serve("{ max_in_flight: 2, queue: 200, threads: 1, per_model: { queue: 200 } }");
    let (clients, rows) = (100, 2_000);
    let body = batch("one", rows, 0);
    let clients: Vec<Client> = (0..clients).map(|_| ask(&server, &body)).collect();
    until(&server, 2, 98);
    drop(clients);
    let load = until(&server, 0, 0);
    // Those whose turn came before the server saw that they had gone were let in, and computed next to nothing.
    let computed = load["rows_total"].as_u64().expect("a number");
    assert!(computed < 2 * rows as u64, "of 100 not as much as the two that were under way: {load}");
    assert_eq!(single(&server, "one"), 200);
    assert_eq!(load["refused_total"], 0);
}

#[test]
fn a_slow_model_leaves_room_for_others() {
    let (_folder, server) = serve("{ max_in_flight: 4, queue: 4, threads: 1 }");
    let mut slow: Vec<Client> = Vec::new();
    for (in_flight, queued) in [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3)] {
        slow.push(ask(&server, &batch("one", 10_000, 0)));
        until(&server, in_flight, queued);
    }
    let refused = server.post("/predict", &json!({"model": "one", "data": [0.25, 0.75]}));
    let message = "model \"one\" is overloaded: 3 requests for it are under way and 3 wait (limits.per_model, limits.models)";
    assert_eq!(refused.error(), (503, "overloaded", message));
    assert_eq!(single(&server, "other"), 200);
    // A single row takes its turn beside the batches, on the one thread that they all have.
    let explained = json!({"model": "other", "data": [0.25, 0.75], "explain": true});
    assert_eq!(server.post("/predict", &explained).status, 200);
    let mixed = json!({"requests": [{"model": "other", "data": [1, 2]}, {"model": "one", "data": [1, 2]}]});
    assert_eq!(server.post("/predict/batch", &mixed).error().1, "overloaded");
    let load = until(&server, 3, 3);
    assert_eq!(load["models"][0]["refused_total"], 2, "{load}");
    drop(slow);
    until(&server, 0, 0);
}

#[test]
fn limits_that_leave_no_room_are_mistakes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("serve.yaml");
    fs::write(&path, "limits: { max_in_flight: 0, models: { '../x': { queue: 1 } } }\n").expect("writes");
    let path = path.display().to_string();
    let output = crate::server::command("serve-server").args(["--check-config", "--config", &path]).output();
    let (code, told) = crate::server::told(&output.expect("starts"));
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("limits.max_in_flight") && told.contains("limits.models"), "{told}");
}
