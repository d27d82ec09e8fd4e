//! Rules and limits of XGBoost that no golden file shows by itself, on models written by hand.

use crate::cases::{model, model_file};
use crate::handwritten::{answer, answers, read, refusal, xgboost, xgboost_split};

/// `x < t` in `f32`, after rounding `x` to `f32`.
#[test]
fn xgboost_thresholds_are_exclusive_and_single_precision() {
    let below = f64::from(0.5_f32.next_down());
    let halfway = f64::midpoint(0.5, below);
    let values =
        [0.5, below, 0.5 - 1e-12, halfway, halfway.next_down(), f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(answers(&xgboost_split("0.5"), &values), [2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.0]);
    let tiny = f64::from(f32::from_bits(1));
    assert_eq!(answers(&xgboost_split("0"), &[0.0, -0.0, -tiny, tiny]), [2.0, 2.0, 1.0, 2.0]);
}

/// A number that rounds to another `f32` by way of `f64`: 1 + 2^-24 + 2^-60 is above the tie.
#[test]
fn xgboost_numbers_are_rounded_once() {
    let text = xgboost_split("1.000000059604644775390625867361737988");
    let first_above = f64::from(1.0_f32.next_up());
    assert_eq!(answers(&text, &[1.0, first_above]), [1.0, 2.0]);
    assert!(refusal(&xgboost_split("1e39")).contains("split_conditions[0]"));
}

#[test]
fn xgboost_categories_are_floored_and_members_go_right() {
    let arrays = r#""left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],
        "split_conditions":[1E-45,1,2],"default_left":[DEFAULT,0,0],"split_type":[1,0,0],
        "categories":[0,33],"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[2]"#;
    let values = [0.0, 0.9, -0.5, 1.0, 33.0, 64.0, f64::INFINITY, f64::NAN];
    let right = answers(&xgboost(3, 0, &arrays.replace("DEFAULT", "0")), &values);
    assert_eq!(right, [2.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 2.0]);
    let left = answers(&xgboost(3, 0, &arrays.replace("DEFAULT", "1")), &values);
    assert_eq!(left, [2.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0]);
    // sets that share members could take quadratic time
    let shared = arrays.replace("DEFAULT", "0").replace("_nodes\":[0]", "_nodes\":[0,1]");
    let shared =
        shared.replace("_segments\":[0]", "_segments\":[0,0]").replace("_sizes\":[2]", "_sizes\":[2,2]");
    let message = refusal(&xgboost(3, 0, &shared));
    assert!(
        message.contains("categories_sizes: expected at most 2 altogether, the categories, got 4"),
        "{message}"
    );
}

#[test]
fn xgboost_nodes_that_pruning_deleted_are_left_out() {
    let arrays = r#""left_children":[1,-1,-1,-1,-1],"right_children":[4,-1,-1,-1,-1],"split_indices":[0,0,2147483647,7,0],
        "parents":[2147483647,0,2147483647,2147483647,0],
        "split_conditions":[0.5,1,9,9,2],"default_left":[true,false,false,false,false]"#;
    let model = read(&xgboost(5, 2, arrays));
    assert_eq!((answer(&model, 0.0), answer(&model, 1.0), answer(&model, f64::NAN)), (1.0, 2.0, 1.0));
    assert_eq!(model.summary().leaves, 2);
    let lost = refusal(&xgboost(5, 0, arrays));
    assert!(
        lost.contains("num_deleted: expected 2, as many as nodes that are never reached, got 0"),
        "{lost}"
    );
}

#[test]
fn xgboost_leaves_have_a_value_per_output() {
    let text =
        xgboost_split("0.5").replace(r#""num_deleted":"0""#, r#""num_deleted":"0","size_leaf_vector":"3""#);
    assert!(refusal(&text).contains("size_leaf_vector: expected 1, one value per output, got 3"));
}

#[test]
fn xgboost_sets_that_claim_more_memory_than_any_model_needs_are_refused() {
    let nodes = 1 << 17;
    let list = |f: &dyn Fn(usize) -> String| (0..nodes).map(f).collect::<Vec<_>>().join(",");
    // a chain of categorical splits, each with the one category 2^24 - 1, whose set has half a million words
    let inner = (nodes - 1) / 2;
    let child = |side: usize| {
        move |node: usize| if node < inner { (2 * node + side).to_string() } else { "-1".into() }
    };
    let arrays = format!(
        r#""left_children":[{}],"right_children":[{}],"split_indices":[{}],"split_conditions":[{}],"default_left":[{}],
        "split_type":[{}],"categories":[{}],"categories_nodes":[{}],"categories_segments":[{}],"categories_sizes":[{}]"#,
        list(&child(1)),
        list(&child(2)),
        list(&|_| "0".into()),
        list(&|_| "0".into()),
        list(&|_| "0".into()),
        list(&|node| u8::from(node < inner).to_string()),
        list(&|_| "16777215".into()),
        list(&|node| node.to_string()),
        list(&|node| node.to_string()),
        list(&|_| "1".into()),
    );
    let message = refusal(&xgboost(nodes, 1, &arrays));
    assert!(message.contains("categories: expected sets of at most 33554432 words"), "{message}");
}

#[test]
fn xgboost_files_tell_their_version_and_best_iteration() {
    let model = model("xgboost", "binary-early-stopping");
    assert_eq!(model.source.version.as_deref(), Some("3.2.0"));
    assert_eq!(model.hyperparameters["best_iteration"], 5);
    assert_eq!(model.hyperparameters["trees"], 9);
    assert_eq!(model.summary().trees, 9, "all trees answer, as in Booster.predict");
    assert!(model.notes[0].starts_with("all 9 rounds of the file answer"), "{:?}", model.notes);
    assert!(model.notes[0].ends_with("to have these, save booster[:6]"), "{:?}", model.notes);
}

/// XGBoost 3.2 writes "日本" as two bytes of six, so none of this column's texts is trusted.
#[test]
fn texts_that_xgboost_cut_short_are_no_vocabulary() {
    let xgboost = model("xgboost", "binary-pandas");
    assert!(xgboost.features.iter().all(|feature| feature.vocabulary.is_none()));
    let notes = xgboost.summary().notes;
    assert!(
        notes[0]
            .starts_with("feature \"colour\" is given as the codes 0 to 4 of its categories, whose texts")
    );
    assert!(notes[1].starts_with("the categories of feature \"shop\" are the numbers -30"));

    let text = String::from_utf8(model_file("xgboost", "binary-pandas")).unwrap();
    let ascii = read(&text.replace("100,-26,-105]", "100,74,80]"));
    let words: Vec<String> = ["a", "blue", "green", "red", "JP"].map(str::to_owned).into();
    assert_eq!(ascii.features[1].vocabulary, Some(words));
}
