//! Exported pipelines that were damaged: each refused with the path of what is wrong.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use serve_formats::{Format, import};

use crate::cases::chain;

fn exported(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/sklearn-export").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Why a file is refused once `damage` was done to it.
fn refused(name: &str, damage: impl FnOnce(&mut Value)) -> String {
    let mut file = exported(name);
    damage(&mut file);
    let text = file.to_string();
    // The keys are sorted now, so what the file is stands elsewhere than at its beginning.
    chain(&import(text.as_bytes(), Format::Auto).expect_err("refused"))
}

fn tree(file: &mut Value) -> &mut Value {
    &mut file["nodes"][1]["op"]["trees"]["trees"][0]
}

#[track_caller]
fn begins(error: &str, expected: &str) {
    assert!(error.starts_with(expected), "expected {expected:?}, got {error:?}");
}

#[test]
fn the_head_is_checked_first() {
    let version = refused("exact-tree-binary.json", |file| {
        file["version"] = json!(2);
        file["nodes"] = json!("of another form");
    });
    begins(&version, "version: version 2 of the form is not supported; supported: version 1");
    let keys = refused("exact-tree-binary.json", |file| drop(file.as_object_mut().unwrap().remove("golden")));
    assert!(keys.contains("missing field `golden`"), "{keys}");
    let key = refused("exact-tree-binary.json", |file| file["surprise"] = json!(1));
    assert!(key.contains("unknown field `surprise`"), "{key}");
}

#[test]
fn what_does_not_fit_together_is_told_with_its_path() {
    let task = |damage: fn(&mut Value)| refused("logistic-binary.json", damage);
    begins(&task(|f| f["classes"] = Value::Null), "classes: classes is missing");
    begins(&task(|f| f["classes"] = json!(["a", "a"])), "classes: expected distinct labels");
    begins(&task(|f| f["classes"] = json!(["a", "b", "c"])), "golden.scores[0]: expected 3 numbers, got 2");
    begins(&task(|f| f["features"] = json!([])), "features: expected at least one feature");
    begins(&task(|f| f["features"][1]["name"] = json!("x0")), "features: expected distinct names");
    begins(&task(|f| f["features"][1]["unknown"] = json!(1)), "features[1].unknown: expected none");
    begins(&task(|f| f["golden"]["rows"] = json!([])), "golden: expected as many rows as scores");
    begins(&task(|f| f["golden"]["rows"][3] = json!([1])), "golden.rows[3]: expected 4 numbers, got 1");
    begins(&task(|f| f["output"] = json!(99)), "output: expected one of 3 nodes, got 99");
    begins(&task(|f| f["refuse"] = json!([7])), "refuse: expected one of 3 nodes, got 7");
    begins(&task(|f| f["golden"]["rows"][0][0] = json!("nan")), "golden.rows[0][0]: the JSON does not read");
    begins(
        &refused("linear-regression.json", |f| f["outputs"] = json!(1_000_000_000)),
        "outputs: expected 1 to 4096 outputs",
    );
}

#[test]
fn nodes_that_do_not_fit_are_told_with_their_place_in_the_pipeline() {
    let node = |damage: fn(&mut Value)| refused("prepare-standard.json", |file| damage(&mut file["nodes"]));
    begins(
        &node(|n| n[2]["op"]["linear"]["of"] = json!(2)),
        "nodes[2].op.linear.of: expected one of the 2 nodes before it",
    );
    begins(
        &node(|n| n[2]["op"]["linear"]["of"] = json!(-1)),
        "nodes[2].op.linear.of: the JSON does not read",
    );
    begins(
        &node(|n| n[0]["op"]["columns"]["columns"] = json!([4])),
        "nodes[0].op.columns: columns: column 4 is out of range",
    );
    begins(
        &node(|n| n[1]["op"]["scale"]["scale"] = json!([1.0])),
        "nodes[1].op.scale: expected parameters for 4 columns",
    );
    begins(
        &node(|n| n[2]["op"]["linear"]["weights"][1] = json!([1.0])),
        "nodes[2].op.linear.weights[1]: expected 4 numbers",
    );
    begins(
        &node(|n| n[2]["op"]["linear"]["intercept"] = json!([1.0])),
        "nodes[2].op.linear: expected 1 x 4 weights",
    );
    begins(&node(|n| n[2]["op"] = json!({"kmeans": {}})), "nodes[2].op");
    let error = node(|n| n[2]["op"]["linear"]["intercept"] = json!([1.0]));
    assert!(error.contains("(\"Pipeline > logisticregression > LogisticRegression\")"), "{error}");
    let encode = refused("columns-ordinal.json", |file| {
        let nodes = file["nodes"].as_array_mut().unwrap();
        let node = nodes.iter_mut().find(|node| node["op"].get("encode").is_some()).unwrap();
        node["op"]["encode"]["columns"][0]["values"][0] = json!([1, 2, 3]);
    });
    assert!(encode.contains(".op.encode.columns[0].values[0]: expected 1 numbers"), "{encode}");
}

#[test]
fn trees_that_are_none_are_refused() {
    let tree = |damage: fn(&mut Value)| refused("exact-tree-binary.json", |file| damage(tree(file)));
    let at = "nodes[1].op.trees.trees[0]";
    begins(&tree(|t| t["left"][0] = json!(0)), &format!("{at}: node 0: reached twice"));
    begins(
        &tree(|t| t["left"][0] = json!(1_000_000)),
        &format!("{at}: node 0: child 1000000 is out of range"),
    );
    begins(&tree(|t| t["right"][0] = json!(-1)), &format!("{at}.right[0]: expected a number from 0, got -1"));
    begins(&tree(|t| t["right"] = json!([])), &format!("{at}.right: expected"));
    begins(&tree(|t| t["leaves"] = json!([])), &format!("{at}.leaves: expected"));
    begins(
        &tree(|t| t["leaves"][0] = json!([1, 2, 3])),
        &format!("{at}.leaves: expected 2 values a leaf, got 3"),
    );
    begins(&tree(|t| t["feature"][0] = json!(77)), &format!("{at}: node 0: feature 77 is out of range"));
    begins(&tree(|t| t["threshold"][0] = Value::Null), &format!("{at}.threshold[0]: the JSON does not read"));
    begins(
        &tree(|t| t["threshold"][0] = json!({"in": [4_000_000_000_u32]})),
        &format!("{at}.threshold[0].in: expected categories"),
    );
    begins(&tree(|t| t["cover"][0] = json!(-1)), at);
    begins(
        &refused("exact-tree-binary.json", |f| {
            f["nodes"][1]["op"]["trees"]["outputs"] = json!(4_000_000_000_u32);
        }),
        at,
    );
}

#[test]
fn deep_and_long_files_are_refused_or_read_without_recursion() {
    let deep = format!("{{\"format\":\"serve-sklearn\",\"version\":1,\"nodes\":{}", "[".repeat(1_000_000));
    assert!(import(deep.as_bytes(), Format::Sklearn).is_err());
    // a tree of a hundred thousand levels is a tree
    let levels = 100_000_usize;
    let refusal = refused("exact-tree-binary.json", |file| {
        let tree = tree(file);
        let count = 2 * levels + 1;
        let list = |value: &dyn Fn(usize) -> Value| Value::Array((0..count).map(value).collect());
        let split = |node: usize| node.is_multiple_of(2) && node + 1 < count;
        tree["left"] = list(&|node| if split(node) { json!(node + 1) } else { json!(-1) });
        tree["right"] = list(&|node| if split(node) { json!(node + 2) } else { json!(-1) });
        tree["feature"] = list(&|node| if split(node) { json!(0) } else { json!(-1) });
        tree["threshold"] = list(&|_| json!(0.5));
        tree["missing_left"] = list(&|_| json!(0));
        tree["cover"] = list(&|_| json!(1));
        tree["gain"] = list(&|_| json!(0));
        tree["leaves"] = Value::Array(vec![json!([0.5, 0.5]); levels + 1]);
        file["output"] = json!(5);
    });
    begins(&refusal, "output: expected one of 2 nodes");
}

#[test]
fn any_cut_of_a_file_is_refused() {
    let whole = exported("columns-one-hot.json").to_string();
    for part in 1..40 {
        let cut = &whole.as_bytes()[..whole.len() * part / 40];
        assert!(import(cut, Format::Sklearn).is_err(), "{part}/40");
    }
}
