//! LightGBM files that no library wrote: each is refused with the place of what is wrong, however deep or large it claims
//! to be. The text's other cases are files of `tests/golden/lightgbm-refused`.

use serve_core::{Task, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::chain;

const HEAD: &str = r#""version":"v4","num_class":1,"num_tree_per_iteration":1,"max_feature_idx":1,"objective":"regression",
    "average_output":false,"feature_names":["a","b"]"#;
const LEAF: &str = r#"{"leaf_index":0,"leaf_value":1}"#;
const OTHER: &str = r#"{"leaf_index":1,"leaf_value":2}"#;

fn dump(leaves: usize, structure: &str) -> String {
    format!(
        r#"{{{HEAD},"tree_info":[{{"tree_index":0,"num_leaves":{leaves},"tree_structure":{structure}}}]}}"#
    )
}

fn split(index: usize, rest: &str, left: &str, right: &str) -> String {
    format!(
        r#"{{"split_index":{index},"split_feature":0,"default_left":true,"missing_type":"None",{rest},
        "left_child":{left},"right_child":{right}}}"#
    )
}

fn numeric(threshold: &str) -> String {
    split(0, &format!(r#""decision_type":"<=","threshold":{threshold}"#), LEAF, OTHER)
}

fn read(text: &str) -> ImportedModel {
    import(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn refusal(text: &str) -> String {
    chain(&import(text.as_bytes(), Format::Auto).expect_err("refused"))
}

fn check(text: &str, expected: &str) {
    let message = refusal(text);
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

fn answer(model: &ImportedModel, a: f64) -> f64 {
    naive::scores(&model.estimator, &model.feature_names(), &[a, 0.0]).unwrap()[0]
}

#[test]
fn a_dump_that_is_no_json_is_told_by_its_line() {
    let good = dump(2, &numeric("0.5"));
    assert_eq!(answer(&read(&good), 0.5), 1.0);
    check(&good[..good.len() - 1], "line 3: expected JSON, got EOF while parsing");
    check(&format!("{good}]"), "expected JSON, got trailing characters");
    check(&good.replace("0.5", "NaN"), "line 2: expected JSON, got expected value");
    check(&good.replace("0.5", "\u{0}"), "a zero byte");
}

#[test]
fn a_dump_must_have_what_answers_depend_on() {
    let good = dump(2, &numeric("0.5"));
    for (key, value) in [
        ("version", "\"v4\""),
        ("num_class", "1"),
        ("num_tree_per_iteration", "1"),
        ("max_feature_idx", "1"),
        ("average_output", "false"),
    ] {
        let field = format!("\"{key}\":{value}");
        assert!(good.contains(&field), "{key}");
        // the file is still known for a dump where the key stands somewhere
        check(&good.replace(&field, &format!("\"x\":\"{key}\"")), &format!("the dump: {key} is missing"));
        check(
            &good.replace(&field, &format!("{field},{field}")),
            &format!("{key}: expected a key once, got it again"),
        );
    }
    let custom = read(&good.replace("\"objective\":\"regression\",", ""));
    assert_eq!((&custom.task, custom.objective.as_str()), (&Task::Regression, "custom"));
    assert!(custom.notes[0].contains("raw scores"));
    check(
        &good.replace("\"regression\"", "\"banana\""),
        "objective: the objective \"banana\" is not supported",
    );
    check(&good.replace("v4", "v2"), "version: format version \"v2\" is not supported; supported: v3, v4");
    check(
        &good.replace("_class\":1", "_class\":2"),
        "num_tree_per_iteration: expected 2, the same as num_class",
    );
    check(&good.replace("iteration\":1", "iteration\":2000000000"), "expected a divisor of the 1 trees");
    check(
        &good.replace("_idx\":1", "_idx\":2147483647"),
        "expected one below the 2 feature names, got 2147483647",
    );
    check(&good.replace("\"b\"", "\"a\""), "feature_names: expected distinct names, got \"a\", given twice");
    for key in ["split_index", "split_feature", "threshold", "decision_type", "default_left", "missing_type"]
    {
        let text = good.replace(&format!("\"{key}\":"), "\"other\":");
        check(&text, &format!("{key} is missing"));
    }
    check(&good.replace("\"num_leaves\":2,", ""), "tree_info[0]: num_leaves is missing");
}

#[test]
fn numbers_of_a_dump_are_held_against_what_it_has() {
    for (leaves, expected) in [
        (0, "tree_info[0].num_leaves: expected a count from 1 that the tree's length bears out, got 0"),
        (usize::MAX, "tree_info[0].num_leaves: expected a count from 1"),
        (1, "leaf 1, leaf_index: expected a number below 1, got 1"),
        (3, "tree_info[0]: expected 5 nodes, as num_leaves has it, got 3"),
    ] {
        check(&dump(leaves, &numeric("0.5")), expected);
    }
    let good = dump(2, &numeric("0.5"));
    for (from, to, expected) in [
        ("\"leaf_index\":1", "\"leaf_index\":0", "tree_info[0]: expected leaf_index 0 once, got it again"),
        (
            "\"leaf_index\":1",
            "\"leaf_index\":2",
            "tree_info[0], leaf 2, leaf_index: expected a number below 2, got 2",
        ),
        (
            "\"leaf_index\":1",
            "\"leaf_index\":-1",
            "tree_info[0], leaf -1, leaf_index: expected a number of a node",
        ),
        ("\"leaf_index\":1,", "", "tree_info[0], node 2 as they stand: leaf_index is missing"),
        (
            "split_feature\":0",
            "split_feature\":2",
            "tree_info[0]: split 0: feature 2 is out of range (2 inputs)",
        ),
        ("split_feature\":0", "split_feature\":-1", "split 0, split_feature: expected a feature, got \"-1\""),
        ("\"threshold\":0.5", "\"threshold\":\"x\"", "split 0, threshold: expected a number"),
        ("\"threshold\":0.5", "\"threshold\":-1e300", "split 0, threshold: expected a number below 1e300"),
        ("leaf_value\":2", "leaf_value\":1e300", "leaf 1, leaf_value: expected a number below 1e300"),
        ("leaf_value\":2", "leaf_value\":null", "leaf 1, leaf_value: expected a number, got \"null\""),
        (
            "leaf_value\":2",
            "leaf_value\":2,\"leaf_count\":-1",
            "leaf 1, leaf_count: expected a count of rows, got -1",
        ),
        ("leaf_value\":2", "leaf_value\":2,\"leaf_value\":3", "leaf 1, leaf_value: expected a key once"),
        ("\"<=\"", "\"<\"", "split 0, decision_type: expected <= or ==, got \"<\""),
        ("\"None\"", "\"none\"", "split 0, missing_type: expected None, Zero or NaN, got \"none\""),
        (OTHER, "7", "node 2 as they stand: expected an object, got another value"),
        ("\"right_child\"", "\"left_child\"", "split 0, left_child: expected a child once, got it again"),
        ("\"right_child\"", "\"child\"", "expected two children or a leaf_value, got neither, or both"),
    ] {
        assert!(good.contains(from), "{from}");
        check(&good.replacen(from, to, 1), expected);
    }
    let twice = numeric("1").replace(OTHER, &numeric("2").replace("leaf_index\":0", "leaf_index\":2"));
    check(&dump(3, &twice), "tree_info[0]: expected split_index 0 once, got it again");
    let turned = numeric("1").replace("split_index\":0", "split_index\":1");
    let turned = turned.replace(OTHER, &numeric("2").replace("leaf_index\":0", "leaf_index\":2"));
    check(&dump(3, &turned), "tree_info[0]: expected split_index 0 at the root, got another");
}

#[test]
fn infinite_thresholds_of_a_dump_are_those_that_it_cuts_off() {
    let model = read(&dump(2, &numeric("1e300")));
    assert_eq!((answer(&model, f64::MAX), answer(&model, f64::INFINITY)), (1.0, 1.0));
}

#[test]
fn categories_of_a_dump_are_members_and_claim_no_memory() {
    let sets = |codes: &str| {
        let rest = format!(r#""decision_type":"==","threshold":{codes}"#);
        dump(2, &split(0, &rest, LEAF, OTHER))
    };
    let model = read(&sets("\"0||33\""));
    let answers = [0.0, 0.5, 33.0, 1.0, 32.0, 64.0, -1.0, f64::NAN].map(|a| answer(&model, a));
    assert_eq!(answers, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
    assert!(model.features[0].categorical && !model.features[1].categorical);
    check(&sets("\"0||4000000000\""), "split 0, threshold: expected codes of categories up to 16777215");
    check(&sets("\"0||-3\""), "split 0, threshold: expected codes of categories");
    check(&sets("3"), "split 0, threshold: expected a text of codes, got \"3\"");
    // each set of a few bytes asks for two megabytes
    let one = sets("\"16777215\"");
    let start = one.find("{\"tree_index\"").unwrap();
    let trees = vec![&one[start..one.len() - 2]; 40].join(",");
    check(&format!("{}{trees}]}}", &one[..start]), "sets of at most 16777216 words in all trees");
}

#[test]
fn linear_leaves_are_held_against_their_lists() {
    let leaf = |more: &str| dump(1, &format!("{{\"leaf_value\":1,\"leaf_const\":3{more}}}"));
    let model = read(&leaf(r#","leaf_features":[0],"leaf_coeff":[2]"#));
    assert_eq!((answer(&model, 5.0), answer(&model, f64::NAN)), (13.0, 1.0));
    check(&leaf(""), "tree_info[0], node 0 as they stand: leaf_features is missing");
    check(
        &leaf(r#","leaf_features":[0,1],"leaf_coeff":[2]"#),
        "leaf_coeff: expected 2 coefficients, one for each feature",
    );
    check(
        &leaf(r#","leaf_features":[2],"leaf_coeff":[2]"#),
        "tree_info[0]: leaf 0: feature 2 is out of range",
    );

    let text = |features: &str, coefficients: &str, counts: &str| {
        format!(
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\n\
             feature_names=a b\n\nTree=0\nnum_leaves=2\nsplit_feature=0\nthreshold=0\ndecision_type=2\nleft_child=-1\n\
             right_child=-2\nleaf_value=1 2\nis_linear=1\nleaf_const=3 4\nnum_features={counts}\n\
             leaf_features={features}\nleaf_coeff={coefficients}\n\nend of trees\n"
        )
    };
    let model = read(&text("0 1  1 ", "2 5  7 ", "2 1"));
    assert_eq!([-1.0, 1.0, f64::NAN].map(|a| answer(&model, a)), [1.0, 4.0, 1.0]);
    check(&text("0 1  2 ", "2 5  7 ", "2 1"), "line 9, tree 0: leaf 1: feature 2 is out of range (2 inputs)");
    check(
        &text("0 1  -1 ", "2 5  7 ", "2 1"),
        "tree 0, leaf_features: expected a feature, got \"-1\" (value 2)",
    );
    check(&text("0 1 1 1", "2 5  7 ", "2 1"), "tree 0, leaf_features: expected 3 values, got 4");
    check(
        &text("0 1  1 ", "2 5  7 ", "2 2"),
        "num_features: expected counts that add up to the 3 coefficients, got 4",
    );
    let most = usize::MAX.to_string();
    check(&text("0 1  1 ", "2 5  7 ", &format!("{most} 4")), "add up to the 3 coefficients, got more");
    check(&text("0 1  1 ", "2 5  7 ", "3"), "num_features: expected 2 values, got 1");
    check(
        &text("0 1  1 ", "2 inf  7 ", "2 1"),
        "tree 0: leaf 0: its linear model has a number that is not finite",
    );
    check(
        &text("0 1  1 ", "2 5  7 ", "2 1").replace("leaf_const=3 4\n", ""),
        "line 9, tree 0: leaf_const= is missing",
    );
    check(
        &text("", "", "0 0").replace("threshold=0", "threshold=nan"),
        "threshold: expected a number, got nan (value 0)",
    );
}

/// One split below the other, 20,000 times, each node inside its parent: no step may call itself.
#[test]
fn dumps_of_any_depth_are_read() {
    const SPLITS: usize = 20_000;
    let begin = |split: usize| {
        format!(
            r#"{{"split_index":{split},"split_feature":0,"decision_type":"<=","default_left":true,"missing_type":"NaN",
            "threshold":-{split},"right_child":{{"leaf_index":{split},"leaf_value":{split}}},"left_child":"#
        )
    };
    let last = format!("{{\"leaf_index\":{SPLITS},\"leaf_value\":{SPLITS}}}{}", "}".repeat(SPLITS));
    let structure: String = (0..SPLITS).map(begin).chain([last]).collect();
    let model = read(&dump(SPLITS + 1, &structure));
    assert_eq!([1.0, -10.5, -1e9].map(|a| answer(&model, a)), [0.0, 11.0, SPLITS as f64]);
    assert_eq!(model.summary().depth, SPLITS);
    check(&dump(SPLITS, &structure), "tree_info[0], leaf 20000, leaf_index: expected a number below 20000");
}
