//! CatBoost: our answers are CatBoost's on rows made to hurt, texts included; broken files are refused with their place.

use serde_json::{Value as Json, json};
use serve_core::ensemble::Model;
use serve_core::tree::Node;
use serve_core::{CheckedRow, Signature, Task, Tolerance, Value, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::{chain, pipeline};

fn file(path: &str) -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn parsed(path: &str) -> Json {
    serde_json::from_slice(&file(path)).unwrap()
}

fn case_names() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/catboost");
    let mut names: Vec<String> = (std::fs::read_dir(root).unwrap())
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn model(bytes: &[u8]) -> ImportedModel {
    import(bytes, Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn value(cell: &Json, categorical: bool) -> Value<'_> {
    match cell {
        Json::Null => Value::Missing,
        Json::String(text) if !categorical => Value::Number(text.parse().unwrap()),
        Json::String(text) => Value::Text(text.as_str().into()),
        other => Value::Number(other.as_f64().unwrap()),
    }
}

fn read(row: &Json, model: &ImportedModel, signature: &Signature) -> Vec<f64> {
    let cells = row.as_array().unwrap().iter().zip(&model.features);
    let values: Vec<Value<'_>> = cells.map(|(cell, feature)| value(cell, feature.categorical)).collect();
    let mut checked = CheckedRow::new();
    signature.read_positional(&values, &mut checked).unwrap();
    checked.values().to_vec()
}

fn check(name: &str) {
    let model = model(&file(&format!("catboost/{name}/model.json")));
    let golden = parsed(&format!("catboost/{name}/golden.json"));
    let summary = model.summary();
    assert_eq!(summary.trees as u64, golden["trees"].as_u64().unwrap(), "{name}");
    if let Some(loss) = golden["loss"].as_str() {
        assert_eq!(summary.objective, loss, "{name}");
    }
    if let Some(classes) = golden["classes"].as_array().filter(|classes| !classes.is_empty()) {
        let labels: Vec<&str> = classes.iter().map(|class| class.as_str().unwrap()).collect();
        assert_eq!(model.task.classes(), labels, "{name}");
    }
    let pipeline = pipeline(&model);
    let (rows, scores) = (golden["rows"].as_array().unwrap(), golden["scores"].as_array().unwrap());
    assert!(rows.len() > 30 && rows.len() == scores.len(), "{name}");
    let mut equal = 0;
    for (number, (row, expected)) in rows.iter().zip(scores).enumerate() {
        let expected: Vec<f64> =
            expected.as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect();
        let values = read(row, &model, pipeline.signature());
        let got = pipeline.predict(&values).unwrap();
        assert_eq!(got.scores().len(), expected.len(), "{name}");
        let naive = naive::scores(&model.estimator, &model.feature_names(), &values).unwrap();
        assert_eq!(got.scores(), naive, "{name}, row {number}");
        for (expected, got) in expected.iter().zip(got.scores()) {
            let close = Tolerance { absolute: 1e-15, relative: 1e-12 }.allows(*expected, *got);
            assert!(close, "{name}, row {number}: expected {expected}, got {got}");
        }
        equal += usize::from(expected == got.scores());
    }
    println!("{name:<32} {:>4} rows, {equal:>4} bit-equal", rows.len());
}

#[test]
fn catboost_models_answer_as_catboost_does() {
    let names = case_names();
    assert!(names.len() >= 25, "{names:?}");
    names.iter().for_each(|name| check(name));
}

#[test]
fn leaf_weights_are_the_cover_of_every_node() {
    for name in ["rmse-deep", "rmse-lossguide-nan-max"] {
        let model = model(&file(&format!("catboost/{name}/model.json")));
        let Model::Trees(trees) = &model.estimator.model else { panic!("it has trees") };
        assert!(trees.has_cover());
        for tree in trees.trees() {
            assert_eq!(tree.statistics.cover[0], 400.0, "every training row reaches the root");
            for (node, cover) in tree.nodes.iter().zip(&tree.statistics.cover) {
                if let Node::Split { left, right, .. } = node {
                    let below = [left, right].map(|child| tree.statistics.cover[*child as usize]);
                    assert_eq!(*cover, below[0] + below[1]);
                }
            }
        }
    }
}

#[test]
fn what_a_file_says_of_itself_is_kept() {
    let model = model(&file("catboost/one-hot-texts/model.json"));
    assert_eq!(
        (model.source.library.as_str(), model.source.version.as_deref()),
        ("catboost", Some("1.2.10"))
    );
    assert_eq!(model.feature_names(), ["word", "size", "colour", "step"]);
    assert!(model.notes.iter().any(|note| note.contains("\"red\"")), "{:?}", model.notes);
    assert_eq!(model.hyperparameters["learning_rate"], json!(0.5));
    assert_eq!(model.task, Task::Regression);
    let signature = model.signature().unwrap();
    let refused = signature.read_positional(
        &[Value::Missing, Value::Number(0.0), Value::Text("red".into()), Value::Number(1.0)],
        &mut CheckedRow::new(),
    );
    let message = refused.expect_err("CatBoost refuses a missing category too").to_string();
    assert!(message.contains("word: missing"), "{message}");
}

/// The error of a small model after a change.
fn error(change: impl FnOnce(&mut Json)) -> String {
    let mut file = json!({
        "features_info": {
            "float_features": [
                {"feature_index": 0, "flat_feature_index": 0, "feature_id": "a", "has_nans": false,
                 "nan_value_treatment": "AsIs", "borders": [0.5]}],
            "categorical_features": [
                {"feature_index": 0, "flat_feature_index": 1, "feature_id": "b", "values": [7]}]},
        "model_info": {"params": {"loss_function": {"type": "RMSE", "params": {}}}},
        "oblivious_trees": [{
            "leaf_values": [1, 2, 3, 4], "leaf_weights": [1, 1, 1, 1],
            "splits": [
                {"split_type": "FloatFeature", "float_feature_index": 0, "border": 0.5, "split_index": 0},
                {"split_type": "OneHotFeature", "cat_feature_index": 0, "value": 7, "split_index": 1}]}],
        "scale_and_bias": [1, [0]]});
    import(file.to_string().as_bytes(), Format::CatBoost).unwrap_or_else(|e| panic!("{}", chain(&e)));
    change(&mut file);
    chain(&import(file.to_string().as_bytes(), Format::Auto).expect_err("refused"))
}

#[test]
fn what_is_broken_is_refused_with_its_place() {
    const TREE: &str = "oblivious_trees[0]";
    let at =
        |pointer: &'static str, value: Json| error(move |file| *file.pointer_mut(pointer).unwrap() = value);
    for (pointer, value, expected) in [
        (
            "/oblivious_trees/0/splits/0/border",
            json!(1e39),
            "splits[0].border: the JSON does not read as a CatBoost model: number out of range",
        ),
        (
            "/oblivious_trees/0/splits/0/float_feature_index",
            json!(3),
            "splits[0].float_feature_index: expected one of",
        ),
        ("/oblivious_trees/0/splits/1/value", json!(8), "splits[1].value: expected one of the values"),
        (
            "/oblivious_trees/0/splits/1/cat_feature_index",
            json!(1),
            "splits[1].cat_feature_index: expected one of",
        ),
        (
            "/oblivious_trees/0/splits/1/split_type",
            json!("OnlineCtr"),
            "splits[1].split_type: a split of type \"OnlineCtr\"",
        ),
        (
            "/oblivious_trees/0/splits",
            json!([]),
            "leaf_values: expected 1 numbers for 0 splits and 1 outputs, got 4",
        ),
        (
            "/oblivious_trees/0/leaf_weights",
            json!([1]),
            "leaf_weights: expected 4 numbers for 2 splits, got 1",
        ),
        ("/oblivious_trees/0/leaf_values", json!([1, 2, 3]), "leaf_values: expected 4 numbers"),
        (
            "/oblivious_trees/0/leaf_values/2",
            json!(null),
            "leaf_values[2]: the JSON does not read as a CatBoost model",
        ),
    ] {
        let message = at(pointer, value);
        assert!(message.starts_with(&format!("{TREE}.{expected}")), "{message}");
    }
    for (pointer, value, expected) in [
        (
            "/features_info/float_features/0/flat_feature_index",
            json!(1),
            "features_info.categorical_features[0].flat_",
        ),
        (
            "/features_info/float_features/0/flat_feature_index",
            json!(1_u64 << 40),
            "features_info.float_features[0].flat_feature_index: expected 0 to 1048575",
        ),
        (
            "/features_info/float_features/0/feature_id",
            json!("b"),
            "features_info: expected distinct names, got \"b\", given twice",
        ),
        (
            "/features_info/float_features/0/nan_value_treatment",
            json!("x"),
            "features_info.float_features[0].nan_value_treatment: expected AsIs",
        ),
        ("/scale_and_bias", json!([1, []]), "scale_and_bias[1]: expected 1 to 65536 numbers, got 0"),
        (
            "/scale_and_bias",
            json!([1, [0, 0]]),
            "scale_and_bias[1]: expected a number of outputs that fits RMSE, got 2",
        ),
        ("/oblivious_trees", json!([]), "oblivious_trees: expected at least one tree, got none"),
        (
            "/model_info/params/loss_function/type",
            json!("Wonder"),
            "model_info.params.loss_function: the loss function \"Wonder\" is not supported",
        ),
        ("/model_info/params", json!({}), "model_info.params.loss_function: the loss function is missing"),
    ] {
        let message = at(pointer, value);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn nested_trees_are_held_to_their_form() {
    let nested = |tree: Json| {
        error(move |file| {
            file["oblivious_trees"].take();
            file["trees"] = json!([tree]);
        })
    };
    let split = json!({"split_type": "FloatFeature", "float_feature_index": 0, "border": 0.5});
    let half = nested(json!({"split": split, "left": {"value": 1}}));
    assert!(
        half.starts_with("trees[0], node 0 breadth first: expected a split with left and right, or a value")
    );
    let wide = nested(json!({"split": split, "left": {"value": 1}, "right": {"value": [1, 2]}}));
    assert_eq!(wide, "trees[0], node 2 breadth first: expected 1 values, one per output, got 2");
    let text = "{\"features_info\":{},\"scale_and_bias\":[1,[0]],\"trees\":[".to_owned();
    let deep = format!("{text}{}", "{\"left\":".repeat(1_000_000));
    let message = chain(&import(deep.as_bytes(), Format::CatBoost).expect_err("refused"));
    assert!(message.contains("recursion limit exceeded"), "{message}");
}

#[test]
fn target_statistics_are_refused_by_name() {
    let message =
        chain(&import(&file("catboost-refused/ctr/model.json"), Format::Auto).expect_err("refused"));
    assert!(message.starts_with(
        "features_info.ctrs: a model with target statistics of categories (CTR) is not supported"
    ));
    assert!(
        message.ends_with("train with a one_hot_max_size of at least the number of categories"),
        "{message}"
    );
    let binary = chain(&import(b"CBM1\0\0\0", Format::CatBoost).expect_err("refused"));
    assert!(binary.contains("save_model(\"model.json\", format=\"json\")"), "{binary}");
}
