//! MLflow's scoring server on a LightGBM model: all forms of a body are one answer, the training library's; what is wrong is
//! told in the words that MLflow's clients look for.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::registry::{golden, import, train};
use crate::server::{Reply, Server, repository};

fn cells() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &[]);
    let server = Server::of(&folder.path().join("registry"));
    (folder, server)
}

/// A row whose missing values are `None`.
type MissingOrNot = Vec<Option<f64>>;

/// LightGBM's own answers: names of the features, rows (a missing value is `null`), and probabilities.
fn answers() -> (Vec<String>, Vec<MissingOrNot>, Vec<Vec<f64>>) {
    let text = fs::read_to_string(golden("golden.csv")).expect("golden answers");
    let mut lines = text.lines();
    let names = lines.next().expect("a header").split(',').take(30).map(str::to_owned).collect();
    let cell = |cell: &str| cell.parse::<f64>().ok().filter(|x| x.is_finite());
    let rows: Vec<MissingOrNot> = lines.map(|line| line.split(',').map(cell).collect()).collect();
    // Infinities are another test's; rows of finite and missing values stand in any form.
    let text: Vec<&str> = text.lines().skip(1).collect();
    let finite = |line: &str| !line.contains("inf");
    let kept = rows.into_iter().zip(text).filter(|(_, line)| finite(line)).map(|(row, _)| row);
    let split = kept.map(|row| {
        let scores = row[31..].iter().map(|x| x.expect("a score")).collect();
        (row[..30].to_vec(), scores)
    });
    let (rows, scores) = split.unzip();
    (names, rows, scores)
}

fn send(server: &Server, path: &str, kind: &str, body: &str) -> Reply {
    server.connect().text("POST", path, &[("content-type", kind)], body)
}

/// The answer's probabilities must be these.
fn assert_close(answer: &Json, expected: &[Vec<f64>]) {
    let got = answer["predictions"].as_array().expect("a list");
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        let got: Vec<f64> = got.as_array().expect("a list").iter().filter_map(Json::as_f64).collect();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-12, "{got} and {expected}");
        }
    }
}

#[test]
fn every_form_is_answered_as_lightgbm_answers() {
    let (_folder, server) = cells();
    let (names, rows, scores) = answers();
    assert!(rows.len() > 5);
    let mut turned = names.clone();
    turned.reverse();
    let backwards: Vec<Vec<Option<f64>>> =
        rows.iter().map(|row| row.iter().rev().copied().collect()).collect();
    let record = |row: &Vec<Option<f64>>| -> Json {
        names.iter().cloned().zip(row.iter().map(|x| json!(x))).collect()
    };
    let records: Vec<Json> = rows.iter().map(record).collect();
    let column = |at: usize| json!(rows.iter().map(|row| row[at]).collect::<Vec<_>>());
    let columns: Json = names.iter().enumerate().map(|(at, name)| (name.clone(), column(at))).collect();
    for body in [
        json!({"dataframe_split": {"columns": names, "data": rows}}),
        json!({"dataframe_split": {"data": backwards, "index": [1, 2], "columns": turned}, "params": {"x": 1}}),
        json!({"dataframe_split": {"columns": (0..30).collect::<Vec<_>>(), "data": rows}}),
        json!({"dataframe_records": records}),
        json!({"instances": rows}),
        json!({"instances": records}),
        json!({"inputs": columns}),
        json!({"inputs": rows}),
    ] {
        assert_close(&server.post("/invocations", &body).ok(), &scores);
    }
    let mut csv = format!(",{}\n", names.join(","));
    for (at, row) in rows.iter().enumerate() {
        write!(csv, "{at}").expect("text grows");
        row.iter()
            .for_each(|x| write!(csv, ",{}", x.map_or_else(String::new, |x| x.to_string())).expect("grows"));
        csv.push('\n');
    }
    for path in
        ["/invocations", "/invocations?model=cells@v1", "/models/cells/invocations", "/api/v1/invocations"]
    {
        assert_close(&send(&server, path, "text/csv; charset=UTF-8", &csv).ok(), &scores);
    }
}

#[test]
fn python_writes_missing_values_and_infinities_bare() {
    let (_folder, server) = cells();
    let mut rows = [vec!["1.5"; 30], vec!["2"; 30]];
    (rows[0][3], rows[1][4], rows[1][5]) = ("NaN", "Infinity", "-Infinity");
    let listed = rows.iter().map(|row| format!("[{}]", row.join(","))).collect::<Vec<_>>().join(",");
    let python =
        send(&server, "/invocations", "application/json", &format!("{{\"inputs\": [{listed}]}}")).ok();
    let cell = |cell: &&str| match *cell {
        "NaN" => String::new(),
        "Infinity" => "inf".to_owned(),
        "-Infinity" => "-inf".to_owned(),
        cell => cell.to_owned(),
    };
    let (names, _, _) = answers();
    let mut csv = names.join(",");
    for row in &rows {
        csv.push('\n');
        csv.push_str(&row.iter().map(cell).collect::<Vec<_>>().join(","));
    }
    assert_eq!(send(&server, "/invocations", "text/csv", &csv).ok(), python);
}

#[test]
fn mistakes_are_told_in_mlflows_words() {
    let (_folder, server) = cells();
    let one = "exactly one of the input fields";
    let json = "application/json";
    for (kind, body, status, words) in [
        (json, "{}", 400, one),
        (json, "[1]", 400, one),
        (json, r#"{"inputs": [], "instances": []}"#, 400, one),
        (json, r#"{"dataframe_split": [1]}"#, 400, "Dataframe split format must be a dictionary"),
        (json, r#"{"dataframe_split": "x"}"#, 400, "Dataframe split format must be a dictionary"),
        (json, r#"{"dataframe_split": {"columns": []}}"#, 400, "must have 'data' field"),
        (json, r#"{"dataframe_split": {"data": [], "x": 1}}"#, 400, "'columns' and 'index' fields"),
        (
            json,
            r#"{"dataframe_records": {"a": 1}}"#,
            400,
            "Dataframe records format must be a list of records",
        ),
        (json, r#"{"instances": [[1]], "signature_name": "x"}"#, 400, "currently not supported"),
        (json, r#"{"inputs": [[1, 2], [1]]}"#, 400, "row 1 has 1 values, row 0 has 2"),
        (json, r#"{"inputs": [[1, 2]]}"#, 400, "each row has 2 values, the model takes 30"),
        (json, r#"{"dataframe_records": [{"radius": 1}]}"#, 400, r#"extra inputs ["radius"]"#),
        (
            json,
            r#"{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}"#,
            400,
            "1 columns, and rows of 2",
        ),
        (json, r#"{"inputs": [["#, 400, "not valid JSON"),
        (json, "", 400, "not valid JSON"),
        ("application/json; charset=latin-1", "{}", 415, "only supports UTF-8"),
        ("application/json; format=pandas-split", "{}", 415, "Unrecognized content type parameters"),
        ("text/plain", "{}", 415, "only supports the following content types"),
        ("text/csv", "a,b\n1,\"2\n", 400, "a quote is left open"),
        ("text/csv", "radius\n1\n", 400, r#"extra inputs ["radius"]"#),
        ("application/vnd.apache.parquet", "PAR1", 400, "not valid Parquet"),
    ] {
        let reply = send(&server, "/invocations", kind, body);
        let word = reply.body["error_code"].as_str().unwrap_or_default();
        let message = reply.body["message"].as_str().unwrap_or_default();
        assert_eq!((reply.status, word), (status, "BAD_REQUEST"), "{body}: {message}");
        assert!(message.contains(words), "{body}: {message}");
    }
    let ragged = answers().0.join(",") + "\n1\n";
    let reply = send(&server, "/invocations", "text/csv", &ragged);
    assert!(
        reply.body["message"].as_str().is_some_and(|told| told.contains("not valid CSV")),
        "{}",
        reply.body
    );
    let deep = format!("{{\"inputs\": {}", "[".repeat(8 << 20));
    assert_eq!(send(&server, "/invocations", "application/json", &deep).status, 400);
    let many = format!("{{\"inputs\": [{}0]}}", "0,".repeat(10_000));
    let reply = send(&server, "/invocations", "application/json", &many);
    assert!(
        reply.body["message"].as_str().is_some_and(|told| told.contains("limits.batch_rows")),
        "{}",
        reply.body
    );
    let reply = send(&server, "/invocations?model=nope", "application/json", "{}");
    assert_eq!((reply.status, &reply.body["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")));
    assert_eq!(server.get("/invocations").status, 405);
}

#[test]
fn a_table_without_rows_has_no_predictions() {
    let (_folder, server) = cells();
    for body in
        [json!({"inputs": []}), json!({"dataframe_records": []}), json!({"dataframe_split": {"data": []}})]
    {
        assert_eq!(server.post("/invocations", &body).ok(), json!({"predictions": []}), "{body}");
    }
}

#[test]
fn many_models_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &[]);
    train(folder.path(), "trained", "v1", 1);
    let server = Server::of(&folder.path().join("registry"));
    let body = json!({"dataframe_records": [{"b": 1, "a": 2}, {"a": 40, "b": 1}]});
    let refused = server.post("/invocations", &body);
    assert_eq!(
        (refused.status, &refused.body["error_code"]),
        (400, &json!("BAD_REQUEST")),
        "{}",
        refused.body
    );
    let by_query = server.post("/invocations?model=trained", &body).ok();
    assert_eq!(by_query["predictions"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.post("/models/trained/invocations", &body).ok(), by_query);
    assert_eq!(server.post("/models/trained/invocations?model=cells", &body).status, 400);
    assert_eq!(server.get("/ping").status, 200);
    assert_eq!(server.get("/models/trained/ping").status, 200);
    let reply = server.get("/models/nope/ping");
    assert_eq!((reply.status, &reply.body["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")));
    assert_eq!(server.get("/version").status, 200);
    // A trained model takes no missing values.
    let missing =
        server.post("/models/trained/invocations", &json!({"dataframe_records": [{"a": null, "b": 1}]}));
    let message = missing.body["message"].as_str().unwrap_or_default();
    assert!(missing.status == 400 && message.starts_with("row 0: ") && message.contains('a'), "{message}");
}

#[test]
fn parquet_is_read_and_a_broken_one_is_refused() {
    let (_folder, server) = cells();
    let (_, _, scores) = answers();
    let kind = [("content-type", "application/vnd.apache.parquet")];
    for file in ["snappy.parquet", "zstd.parquet", "plain.parquet"] {
        let whole = fs::read(repository().join("tests/golden/mlflow/requests").join(file)).expect("reads");
        let answer = server.connect().bytes("POST", "/invocations", &kind, &whole);
        assert_close(&answer.ok(), &scores[..12]);
        let every = whole.len() / 40;
        for cut in (0..whole.len()).step_by(every.max(1)) {
            let reply = server.connect().bytes("POST", "/invocations", &kind, &whole[..cut]);
            assert_eq!(
                (reply.status, &reply.body["error_code"]),
                (400, &json!("BAD_REQUEST")),
                "{file} {cut}"
            );
        }
        let mut client = server.connect();
        for at in (0..whole.len()).step_by(every.max(1)) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            let reply = client.bytes("POST", "/invocations", &kind, &flipped);
            assert!(matches!(reply.status, 200 | 400), "{file} {at}: {}", reply.body);
        }
    }
    // One long text in a dictionary, in every row.
    let bomb = fs::read(repository().join("tests/golden/mlflow/requests/bomb.parquet")).expect("reads");
    let reply = server.connect().bytes("POST", "/invocations", &kind, &bomb);
    assert!(
        reply.body["message"].as_str().is_some_and(|told| told.contains("missing inputs")),
        "{}",
        reply.body
    );
    let gzip = fs::read(repository().join("tests/golden/mlflow/requests/gzip.parquet")).expect("reads");
    let reply = server.connect().bytes("POST", "/invocations", &kind, &gzip);
    assert!(
        reply.body["message"].as_str().is_some_and(|told| told.contains("not bounded")),
        "{}",
        reply.body
    );
}
