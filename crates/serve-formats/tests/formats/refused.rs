//! Every file that must be refused is refused, with a message that says what is wrong and where.

use serve_formats::{Format, import};

use crate::cases::{cases, chain};

type Expected = (&'static str, &'static [&'static str]);

const NOW: &str = "supported now: LightGBM text and JSON dump";
const LIGHTGBM_OBJECTIVES: &str = "supported: binary, cross_entropy, cross_entropy_lambda, multiclass (softmax), multiclassova, regression,";
const XGBOOST_OBJECTIVES: &str = "supported: binary:hinge, binary:logistic, binary:logitraw, count:poisson";

const LIGHTGBM: [Expected; 30] = [
    ("category-bits-out-of-range", &["line 27, tree 0, cat_boundaries", "the end of cat_threshold", "4000"]),
    ("category-boundaries-descending", &["line 27, tree 0, cat_boundaries", "ascending"]),
    ("category-set-out-of-range", &["tree 0, threshold", "1 category sets", "got 50"]),
    ("child-not-a-number", &["line 38, tree 1, left_child", r#"got "x""#]),
    ("child-out-of-range", &["tree 1, left_child: expected -4 to 2, got 99"]),
    ("cyclic-children", &["line 31, tree 1: split 0: reached twice"]),
    ("empty", &["the file is empty"]),
    ("feature-negative", &["tree 1, split_feature: expected a feature", r#""-1""#]),
    ("feature-out-of-range", &["tree 1: split 0: feature 30 is out of range (30 inputs)"]),
    ("leaf-counts-disagree", &["tree 1, leaf_value: expected 4 values, got 3"]),
    ("leaf-not-a-number", &["tree 1, leaf_value: expected a number", r#""0x""#]),
    ("leaf-out-of-range", &["tree 1, right_child: expected -4 to 2, got -99"]),
    ("max-feature-idx-huge", &["max_feature_idx: expected one below the 30 feature names"]),
    ("no-feature-names", &["feature_names= is missing"]),
    ("node-counts-disagree", &["tree 1, threshold: expected 3 values, got 2"]),
    ("not-a-model", &["line 2: expected key=value", r#""This file"#]),
    ("nul-bytes", &["line 21", "a zero byte"]),
    ("num-class-huge", &["num_tree_per_iteration: expected a divisor of the 4 trees", r#""2000000000""#]),
    ("num-leaves-huge", &["tree 1, leaf_value: expected 2147483647 values, got 4"]),
    ("num-leaves-negative", &["tree 1, num_leaves: expected a count of leaves", r#""-4""#]),
    ("pickle", &["a Python pickle", "never read", "execute code", NOW]),
    ("random-bytes", &[r#"not a model file we know: it begins with "\xda!"#, NOW]),
    ("self-child", &["tree 1: split 0: reached twice"]),
    ("sigmoid-not-positive", &["line 7, objective", "above 0", r#""binary sigmoid:-1""#]),
    ("threshold-not-a-number", &["tree 1, threshold: expected a number", r#""12,5""#]),
    ("tree-count-uneven", &["num_tree_per_iteration: expected a divisor of the 4 trees", r#""3""#]),
    ("truncated", &["tree 2", r#"expected the line "end of trees""#, "cut off"]),
    ("truncated-between-trees", &["tree 1", r#"expected the line "end of trees""#, "cut off"]),
    ("truncated-header", &["line 8", "cut off"]),
    ("unknown-objective", &[r#""banana" is not supported"#, LIGHTGBM_OBJECTIVES]),
];

const XGBOOST: [Expected; 35] = [
    ("arrays-differ", &["[1].split_conditions: expected 7 values, got 6"]),
    ("base-score-count", &["base_score: expected 1 or 3 numbers"]),
    ("base-score-garbage", &["base_score: expected a number", r#""half""#]),
    ("binary-deprecated", &["old binary form", "save it as JSON", NOW]),
    ("categories-missing", &["trees[1]: node 0", "without a set of categories"]),
    (
        "categories-out-of-range",
        &["[1].categories_segments[0]: expected a place in the 25 categories, got 5000"],
    ),
    ("category-negative", &["[1].categories[0]: expected 0 to 16777215, got -3"]),
    ("child-negative", &["[1].left_children[0]", "got -7"]),
    ("child-out-of-range", &["[1].left_children[0]: expected 0 to 6", "got 4000"]),
    ("condition-not-a-number", &["[1].split_conditions[0]", r#""high""#, "line 1 column"]),
    ("cyclic", &["trees[1]: node 1: its child 0 is reached twice"]),
    ("deep-nesting", &["learner", "does not read as an XGBoost model"]),
    ("empty", &["the file is empty"]),
    ("feature-names-count", &["feature_names: expected 13 names, got 2"]),
    (
        "hinge-labels",
        &[r#"the objective "binary:hinge" with 2 targets is not supported; supported: one target"#],
    ),
    ("json-list", &["JSON, but of no model that we know", NOW]),
    ("no-nodes", &["[1].left_children: expected at least one node"]),
    ("no-objective", &["missing field `objective`"]),
    ("not-json", &[r#"not a model file we know: it begins with "This file"#, NOW]),
    ("num-class-huge", &["num_class: expected at most 64", "borne out", "got 2000000000"]),
    ("num-nodes-huge", &["[1].tree_param.num_nodes: expected 7", r#""2147483647""#]),
    ("num-trees-disagrees", &["num_trees: expected 6", r#""60""#]),
    ("one-child", &["[1].right_children[0]", "got -1"]),
    ("other-json", &["JSON, but of no model that we know", NOW]),
    ("self-child", &["trees[1]: node 0: its child 0 is reached twice"]),
    ("split-index-negative", &["[1].split_indices[0]: expected 0 to 12, got -1"]),
    ("split-index-out-of-range", &["[1].split_indices[0]: expected 0 to 12, got 13"]),
    ("trailing-garbage", &["line 1", "trailing characters"]),
    ("tree-id-twice", &["trees[1].id: expected 0 to 5, each once, got 0"]),
    ("tree-info-out-of-range", &["tree_info[1]: expected 0 to 2, got 3"]),
    ("tree-info-short", &["tree_info: expected 6 values, got 5"]),
    ("truncated", &["EOF while parsing", "line 1 column"]),
    ("ubjson-truncated", &["byte ", "learner.gradient_booster.model: the UBJSON", "the end of the file"]),
    ("unknown-booster", &[r#""banana" is not supported; supported: gbtree, dart, gblinear"#]),
    ("unknown-objective", &[r#""banana" is not supported"#, XGBOOST_OBJECTIVES]),
];

fn check(folder: &str, expected: &[Expected], format: Format) {
    let cases = cases(folder);
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let listed: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "every case of {folder} has its line here");
    for (case, (name, parts)) in cases.iter().zip(expected) {
        let bytes = case.read(case.json["file"].as_str().unwrap());
        let Err(error) = import(&bytes, Format::Auto) else { panic!("{folder}/{name} was imported") };
        let message = chain(&error);
        for part in *parts {
            assert!(message.contains(part), "{folder}/{name}: {message:?} lacks {part:?}");
        }
        assert!(import(&bytes, format).is_err(), "{folder}/{name}, forced");
    }
}

#[test]
fn lightgbm_files_that_must_be_refused_are() {
    check("lightgbm-refused", &LIGHTGBM, Format::LightGbm);
}

#[test]
fn xgboost_files_that_must_be_refused_are() {
    check("xgboost-refused", &XGBOOST, Format::XgBoost);
}
