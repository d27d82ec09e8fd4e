//! Binary tensors of the Open Inference Protocol, both ways, and what hostile requests get.

use serde_json::{Value as Json, json};

use crate::oip::{answers, cells};
use crate::server::{Reply, Server};

const INFER: &str = "/v2/models/cells/infer";

/// JSON and what follows it, with the header that tells them apart.
fn infer(server: &Server, path: &str, request: &Json, binary: &[u8]) -> Reply {
    let text = request.to_string();
    let length = text.len().to_string();
    let body = [text.as_bytes(), binary].concat();
    server.connect().bytes("POST", path, &[("inference-header-content-length", &length)], &body)
}

fn bytes(rows: &[Vec<f64>]) -> Vec<u8> {
    rows.concat().iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn matrix(rows: &[Vec<f64>]) -> Json {
    let parameters = json!({"binary_data_size": rows.len() * 240});
    json!({"name": "input", "shape": [rows.len(), 30], "datatype": "FP64", "parameters": parameters})
}

/// An answer's JSON, and the bytes after it.
fn split(reply: &Reply) -> (Json, &[u8]) {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.bytes));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    let length = reply.header("inference-header-content-length").and_then(|text| text.parse().ok());
    let (json, binary) = reply.bytes.split_at(length.expect("a length"));
    (serde_json::from_slice(json).expect("JSON"), binary)
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().expect("8 bytes"))).collect()
}

fn error(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["error"].as_str().unwrap_or_default())
}

#[test]
fn binary_rows_get_the_bits_that_rows_in_json_get() {
    let (_folder, server) = cells();
    let (names, rows, _) = answers();
    let count = rows.len();
    let in_json = json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [count, 30], "data": rows}]});
    let in_json = server.post(INFER, &in_json).ok();
    let scores: Vec<f64> =
        in_json["outputs"][1]["data"].as_array().expect("a list").iter().filter_map(Json::as_f64).collect();
    let labels: Vec<u8> = in_json["outputs"][0]["data"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|label| label.as_i64().expect("a number").to_le_bytes())
        .collect();

    let all = json!({"inputs": [matrix(&rows)], "parameters": {"binary_data_output": true}});
    let reply = infer(&server, INFER, &all, &bytes(&rows));
    let (told, binary) = split(&reply);
    let output = |at: usize| &told["outputs"][at];
    assert_eq!(output(0)["parameters"], json!({"binary_data_size": 8 * count}));
    assert_eq!(output(1)["parameters"], json!({"binary_data_size": 16 * count}));
    assert!(output(0).get("data").is_none() && told["id"].is_string());
    assert_eq!((&binary[..8 * count], floats(&binary[8 * count..])), (&labels[..], scores.clone()));

    // Columns, of which every other one is JSON; one output says for itself that it is no binary one.
    let column = |(at, name): (usize, &String)| {
        let column: Vec<f64> = rows.iter().map(|row| row[at]).collect();
        let tensor = json!({"name": name, "datatype": "FP64", "shape": [count, 1]});
        with(
            tensor,
            if at % 2 == 0 {
                json!({"parameters": {"binary_data_size": 8 * count}})
            } else {
                json!({"data": column})
            },
        )
    };
    let inputs: Vec<Json> = names.iter().enumerate().map(column).collect();
    let outputs =
        json!([{"name": "predict_proba"}, {"name": "predict", "parameters": {"binary_data": false}}]);
    let mixed = json!({"inputs": inputs, "outputs": outputs, "parameters": {"binary_data_output": true}});
    let even: Vec<Vec<f64>> = (0..30).step_by(2).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
    let reply = infer(&server, INFER, &mixed, &bytes(&even));
    let (told, binary) = split(&reply);
    assert_eq!(floats(binary), scores);
    assert_eq!(told["outputs"][1]["data"], in_json["outputs"][0]["data"]);

    // Raw: one row, nothing but its bytes.
    let reply = server.connect().bytes(
        "POST",
        INFER,
        &[("inference-header-content-length", "0")],
        &bytes(&rows[..1]),
    );
    let (told, binary) = split(&reply);
    assert_eq!(told["outputs"][1]["shape"], json!([1, 2]));
    assert_eq!(floats(&binary[8..]), scores[..2]);
}

/// An object with what another one has.
fn with(mut object: Json, more: Json) -> Json {
    if let (Some(object), Json::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// The server remembers JSON that it has made sense of: what comes with it afterwards is looked at all the same.
#[test]
fn json_that_was_read_before_is_answered_as_at_first() {
    let (_folder, server) = cells();
    let (_, rows, _) = answers();
    let request =
        json!({"inputs": [matrix(&rows[..1])], "parameters": {"binary_data_output": true}}).to_string();
    let length = request.len().to_string();
    // One connection, which is one thread's.
    let mut client = server.connect();
    let mut ask = |path: &str, id: &str, binary: &[u8]| {
        let headers = [("inference-header-content-length", &*length), ("x-request-id", id)];
        client.bytes("POST", path, &headers, &[request.as_bytes(), binary].concat())
    };
    let row = |at: usize| bytes(&rows[at..=at]);
    for round in 0..3 {
        for at in 0..rows.len() {
            let id = ["short", "a-longer-one", "with\"quotes\\"][(round + at) % 3];
            let reply = ask(INFER, id, &row(at));
            let (told, binary) = split(&reply);
            let tensor = json!({"name": "x", "datatype": "FP64", "shape": [1, 30], "data": rows[at]});
            let expected = server.post(INFER, &json!({"inputs": [tensor]})).ok();
            let scores = expected["outputs"][1]["data"].as_array().expect("a list");
            assert_eq!(floats(&binary[8..]), scores.iter().filter_map(Json::as_f64).collect::<Vec<_>>());
            assert_eq!((&told["id"], &told["model_version"]), (&json!(id), &expected["model_version"]));
            assert_eq!(told["outputs"][1]["shape"], json!([1, 2]), "{told}");
        }
    }
    let short = ask(INFER, "short", &row(0)[..239]);
    assert_eq!(error(&short).0, 400);
    assert!(error(&short).1.contains("binary_data_size is 240, of the binary data 239 bytes are left"));
    let long = ask(INFER, "long", &[&row(0)[..], &[0]].concat());
    assert!(
        error(&long).1.contains("1 of 241 bytes after the JSON belong to no input"),
        "{:?}",
        error(&long)
    );
    let elsewhere = ask("/v2/models/other/infer", "elsewhere", &row(0));
    assert_eq!(elsewhere.status, 404);
    // The version that it was read for is given up, and comes back as another one.
    let before = ask(INFER, "again", &row(0)).bytes;
    server.post("/v2/repository/models/cells/unload", &json!({})).ok();
    for _ in 0..2 {
        assert_eq!(ask(INFER, "again", &row(0)).bytes, before);
    }
}

#[test]
fn every_datatype_of_numbers_is_read() {
    let (_folder, server) = cells();
    let row: Vec<u8> = (0..30).map(|at| at % 2).collect();
    let expected = server
        .post(INFER, &json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 30], "data": row}]}))
        .ok();
    let of = |size: usize, one: &[u8]| -> Vec<u8> {
        row.iter().flat_map(|x| if *x == 0 { vec![0; size] } else { one.to_vec() }).collect()
    };
    let cases: [(&str, Vec<u8>); 12] = [
        ("BOOL", of(1, &[1])),
        ("UINT8", of(1, &[1])),
        ("INT8", of(1, &[1])),
        ("UINT16", of(2, &[1, 0])),
        ("INT16", of(2, &[1, 0])),
        ("FP16", of(2, &[0, 0x3c])),
        ("UINT32", of(4, &1_u32.to_le_bytes())),
        ("INT32", of(4, &1_i32.to_le_bytes())),
        ("FP32", of(4, &1_f32.to_le_bytes())),
        ("UINT64", of(8, &1_u64.to_le_bytes())),
        ("INT64", of(8, &1_i64.to_le_bytes())),
        ("FP64", of(8, &1_f64.to_le_bytes())),
    ];
    for (datatype, binary) in cases {
        let size = binary.len();
        let tensor = json!({"name": "x", "datatype": datatype, "shape": [1, 30], "parameters": {"binary_data_size": size}});
        let reply = infer(&server, INFER, &json!({"inputs": [tensor]}), &binary);
        assert_eq!(reply.ok()["outputs"], expected["outputs"], "{datatype}");
    }
}

#[test]
fn a_binary_nan_is_a_missing_value() {
    let (_folder, server) = cells();
    let mut row = vec![1.0; 30];
    row[29] = f64::NAN;
    let binary = infer(&server, INFER, &json!({"inputs": [matrix(&[row.clone()])]}), &bytes(&[row])).ok();
    let mut row = vec![json!(1.0); 30];
    row[29] = Json::Null;
    let data = json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 30], "data": row}]});
    assert_eq!(binary["outputs"], server.post(INFER, &data).ok()["outputs"]);
}

#[test]
fn binary_data_that_does_not_fit_is_refused() {
    let (_folder, server) = cells();
    let row = bytes(&[vec![0.5; 30]]);
    let tensor = |more: Json| json!({"inputs": [with(json!({"name": "x", "datatype": "FP64", "shape": [1, 30]}), more)]});
    let size = |size: i64| tensor(json!({"parameters": {"binary_data_size": size}}));
    let both = tensor(json!({"parameters": {"binary_data_size": 240}, "data": vec![0.5; 30]}));
    let shared = tensor(json!({"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 240}}));
    let shape = |shape: Json| with(size(240)["inputs"][0].clone(), json!({"shape": shape}));
    for (request, expected) in [
        (size(232), "8 of 240 bytes after the JSON belong to no input"),
        (size(248), "binary_data_size is 248, of the binary data 240 bytes are left"),
        (size(i64::MAX), "of the binary data 240 bytes are left"),
        (size(-1), "expected a whole number of 0 or more, got -1"),
        (tensor(json!({})), "belong to no input"),
        (both, "it has both data and binary_data_size"),
        (shared, "shared memory is not supported"),
        (json!({"inputs": [shape(json!([2, 30]))]}), "FP64 of shape [2, 30] takes 480 bytes, got 240"),
        (json!({"inputs": [shape(json!([-1, 30]))]}), "not negative, got [-1, 30]"),
        (json!({"inputs": [shape(json!([i64::MAX, 30]))]}), "limits.batch_rows"),
        (json!({"inputs": [shape(json!([1, 1, 30]))]}), "one or two dimensions"),
        (json!({"inputs": [with(shape(json!([1, 30])), json!({"datatype": "FP8"}))]}), "unknown value `FP8`"),
    ] {
        let reply = infer(&server, INFER, &request, &row);
        let (status, told) = error(&reply);
        assert!(status == 400 && told.contains(expected), "{request}: {status} {told}");
    }
    let body = json!({"inputs": [matrix(&[vec![0.5; 30]])]}).to_string();
    for length in ["99999999999", "99999999999999999999999", "-5", "+5", "x", "", "1e2"] {
        let reply = server.connect().bytes(
            "POST",
            INFER,
            &[("inference-header-content-length", length)],
            body.as_bytes(),
        );
        let (status, told) = error(&reply);
        assert!(
            status == 400 && told.starts_with("Inference-Header-Content-Length: expected"),
            "{length}: {told}"
        );
    }
    let reply =
        server.connect().bytes("POST", INFER, &[("inference-header-content-length", "0")], &row[..239]);
    assert_eq!(error(&reply), (400, "input \"input\": FP64 of shape [1, 30] takes 240 bytes, got 239"));
    assert_eq!(server.get("/v2/models/cells/ready").status, 200);
}

#[test]
fn hostile_json_is_refused() {
    let (_folder, server) = cells();
    let data = |data: &str| {
        format!(
            "{{\"inputs\": [{{\"name\": \"x\", \"datatype\": \"FP64\", \"shape\": [1, 30], \"data\": {data}}}]}}"
        )
    };
    let ones = "1,".repeat(29);
    let outputs =
        "{\"inputs\": [], \"outputs\": [{\"name\": \"predict\"}, {\"name\": \"predict\"}]}".to_owned();
    for (body, expected) in [
        (data(&("[".repeat(1 << 20))), "recursion limit"),
        (data(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))), "recursion limit"),
        ("[".repeat(9 << 20), ""),
        (data(&format!("[{ones}NaN]")), "not valid JSON"),
        (data(&format!("[{ones}Infinity]")), "not valid JSON"),
        (data(&format!("[{ones}1e999]")), "number out of range"),
        (data(&format!("[{ones}\"1\"]")), "element 29: expected FP64, got text"),
        (data("[1]"), "does not hold the 1 elements given"),
        (data("{}"), "or a list of these"),
        (outputs, "output \"predict\" is asked for twice"),
        ("{\"inputs\": [], \"inputs\": []}".to_owned(), "`inputs` stands twice"),
        ("{\"inputs\": []}".to_owned(), "there are no inputs"),
        (String::new(), "EOF"),
    ] {
        let reply = server.connect().bytes("POST", INFER, &[], body.as_bytes());
        let (status, told) = error(&reply);
        assert!(
            status == 400 && told.contains(expected),
            "{}: {status} {told}",
            &body[..body.len().min(120)]
        );
    }
    assert_eq!(server.get("/v2/models/cells/ready").status, 200);
}

#[test]
fn classification_ranks_probabilities() {
    let (_folder, server) = cells();
    let (_, rows, scores) = answers();
    let ask = |output: &str, best: Json, binary: bool| {
        let parameters = json!({"classification": best, "binary_data": binary});
        let outputs = json!([{"name": output, "parameters": parameters}]);
        infer(&server, INFER, &json!({"inputs": [matrix(&rows)], "outputs": outputs}), &bytes(&rows))
    };
    let answer = ask("predict_proba", json!(9), false).ok();
    let output = &answer["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([rows.len(), 2])));
    for (words, scores) in output["data"].as_array().expect("a list").chunks(2).zip(&scores) {
        let best = usize::from(scores[1] > scores[0]);
        for (word, at) in words.iter().zip([best, 1 - best]) {
            let (value, place) = word.as_str().and_then(|word| word.split_once(':')).expect("a value");
            assert!((value.parse::<f64>().expect("a number") - scores[at]).abs() <= 1e-12);
            assert_eq!(place, format!("{at}:{at}"));
        }
    }
    let reply = ask("predict_proba", json!(1), true);
    let (told, binary) = split(&reply);
    assert_eq!(told["outputs"][0]["shape"], json!([rows.len(), 1]));
    let first = output["data"][0].as_str().expect("text");
    assert_eq!(binary[..4], u32::try_from(first.len()).expect("is short").to_le_bytes());
    assert_eq!(&binary[4..4 + first.len()], first.as_bytes());
    for (output, best, expected) in [
        ("predict_proba", json!(0), "expected 1 or more"),
        ("predict_proba", json!(-1), "expected a whole number of 0 or more, got -1"),
        ("predict_proba", json!("2"), "expected a whole number of 0 or more, got text"),
        ("predict", json!(1), "ask it of \"predict_proba\""),
    ] {
        let reply = ask(output, best, false);
        let (status, told) = error(&reply);
        assert!(status == 400 && told.contains(expected), "{status} {told}");
    }
}
