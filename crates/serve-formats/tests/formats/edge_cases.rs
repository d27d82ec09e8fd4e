//! Rules and limits that no golden file shows by itself, on models written by hand.

use serve_core::ensemble::Model;
use serve_core::pipeline::Estimator;
use serve_core::signature::Datatype;
use serve_core::{Task, naive};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::{chain, coded, model, model_file, pipeline};

/// LightGBM's `kZeroThreshold`.
const ZERO: f64 = 1e-35_f32 as f64;

/// A LightGBM regression of one tree on the features `a` and `b`.
fn lightgbm(tree: &str) -> String {
    format!(
        "tree\nobjective=regression\nfeature_names=a b\nmax_feature_idx=1\nnum_tree_per_iteration=1\nnum_class=1\n\
         version=v3\n\nTree=0\n{tree}\n\nend of trees\n"
    )
}

/// One split on `a`, 1 on its left and 2 on its right.
fn lightgbm_split(threshold: &str, kind: u8) -> String {
    lightgbm(&format!(
        "num_leaves=2\nsplit_feature=0\nthreshold={threshold}\ndecision_type={kind}\nleft_child=-1\nright_child=-2\n\
         leaf_value=1 2"
    ))
}

/// An XGBoost regression on two features of one tree, given as its arrays.
fn xgboost(nodes: usize, deleted: usize, arrays: &str) -> String {
    format!(
        r#"{{"learner":{{"gradient_booster":{{"name":"gbtree","model":{{
        "gbtree_model_param":{{"num_trees":"1"}},"tree_info":[0],"trees":[{{
        "tree_param":{{"num_nodes":"{nodes}","num_deleted":"{deleted}"}},{arrays}}}]}}}},
        "learner_model_param":{{"base_score":"0","num_class":"0","num_feature":"2"}},
        "objective":{{"name":"reg:linear"}}}}}}"#
    )
}

fn xgboost_split(threshold: &str) -> String {
    let arrays = format!(
        r#""left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],
        "split_conditions":[{threshold},1,2],"default_left":[false,false,false]"#
    );
    xgboost(3, 0, &arrays)
}

fn read(text: &str) -> ImportedModel {
    import(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn refusal(text: &str) -> String {
    chain(&import(text.as_bytes(), Format::Auto).expect_err("refused"))
}

/// The answer for `a`, by engine and naive evaluator.
fn answer(model: &ImportedModel, a: f64) -> f64 {
    let row = [a, 0.0];
    let alone = pipeline(model).predict(&row).unwrap().value().unwrap();
    let naive = naive::scores(&model.estimator, &model.feature_names(), &row).unwrap();
    assert_eq!(naive, [alone]);
    alone
}

fn answers(text: &str, values: &[f64]) -> Vec<f64> {
    let model = read(text);
    values.iter().map(|a| answer(&model, *a)).collect()
}

#[test]
fn lightgbm_missing_types_follow_its_decision_bits() {
    let values = [f64::NAN, 0.0, -0.0, ZERO, -ZERO, ZERO.next_up(), 0.5, 0.6];
    // missing none: NaN is 0, and the default bit is ignored
    assert_eq!(answers(&lightgbm_split("0.5", 0), &values), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]);
    assert_eq!(answers(&lightgbm_split("-0.5", 2), &values), [2.0; 8]);
    // missing zero: NaN and zero take the default side
    assert_eq!(answers(&lightgbm_split("0.5", 4), &values), [2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 2.0]);
    assert_eq!(answers(&lightgbm_split("-0.5", 6), &values), [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    // missing nan: NaN takes the default side, zero is compared
    assert_eq!(answers(&lightgbm_split("0.5", 8), &values), [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]);
    assert_eq!(answers(&lightgbm_split("-0.5", 10), &values), [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
    assert!(refusal(&lightgbm_split("0.5", 12)).contains("tree 0, decision_type: expected a decision type"));
}

#[test]
fn lightgbm_magnitudes_up_to_its_zero_threshold_are_zero() {
    let values = [-ZERO.next_up(), -ZERO, -1e-40, 0.0, 1e-40, ZERO, ZERO.next_up()];
    for (threshold, left) in [
        (1e-40, 6),
        (0.0, 6),
        (-0.0, 6),
        (ZERO, 6),
        (ZERO.next_up(), 7),
        (-1e-40, 1),
        (-ZERO, 1),
        (-ZERO.next_up(), 1),
        (-1e-34, 0),
    ] {
        let expected: Vec<f64> = (0..7).map(|place| if place < left { 1.0 } else { 2.0 }).collect();
        assert_eq!(
            answers(&lightgbm_split(&format!("{threshold:e}"), 0), &values),
            expected,
            "{threshold:e}"
        );
    }
}

#[test]
fn lightgbm_categories_are_truncated_and_members_go_left() {
    let tree = "num_leaves=2\nnum_cat=1\nsplit_feature=0\nthreshold=0\ndecision_type=9\nleft_child=-1\nright_child=-2\n\
                leaf_value=1 2\ncat_boundaries=0 2\ncat_threshold=1 2147483648";
    let values =
        [0.0, 0.9, -0.5, -1.0, 1.0, 63.0, 63.5, 64.0, 3e9, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let expected = [1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0];
    assert_eq!(answers(&lightgbm(tree), &values), expected);
    assert!(read(&lightgbm(tree)).features[0].categorical);
    let twice = "num_leaves=3\nnum_cat=1\nsplit_feature=0 1\nthreshold=0 0\ndecision_type=9 9\nleft_child=1 -1\n\
                 right_child=-2 -3\nleaf_value=1 2 3\ncat_boundaries=0 1\ncat_threshold=1";
    assert!(
        refusal(&lightgbm(twice))
            .contains("threshold: expected the number of one of 1 category sets, each once")
    );
}

#[test]
fn lightgbm_trees_of_one_leaf_need_no_split_arrays() {
    let model = read(&lightgbm("num_leaves=1\nleaf_value=0.5"));
    assert_eq!(answer(&model, f64::NAN), 0.5);
    let summary = model.summary();
    assert_eq!((summary.trees, summary.leaves, summary.depth, summary.features_used), (1, 1, 0, 0));
    assert!(refusal(&lightgbm("num_leaves=0\nleaf_value=")).contains("at least one leaf"));
    let infinite = refusal(&lightgbm("num_leaves=1\nleaf_value=inf"));
    assert!(infinite.contains("leaf_value: expected finite numbers, got inf (value 0)"), "{infinite}");
}

#[test]
fn lightgbm_counts_and_gains_stand_in_the_order_of_the_nodes() {
    let split = "num_leaves=2\nsplit_feature=0\nthreshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\n\
                 leaf_value=1 2";
    let statistics = |more: &str| {
        let text = lightgbm(&format!("{split}{more}\n\nTree=1\nnum_leaves=1\nleaf_value=3"));
        let model = read(&text);
        let Model::Trees(trees) = &model.estimator.model else { panic!("it has trees") };
        trees.trees().map(|tree| tree.statistics).collect::<Vec<_>>()
    };
    let all = statistics("\nsplit_gain=7.5\nleaf_count=30 12\ninternal_count=42");
    assert_eq!((&all[0].cover, &all[0].gain), (&vec![42.0, 30.0, 12.0], &vec![7.5, 0.0, 0.0]));
    assert_eq!((&all[1].cover, &all[1].gain), (&vec![0.0], &vec![0.0]));
    // what one tree lacks is left out of all; gains that are not above 0 count as 0
    let some = statistics("\nsplit_gain=-inf\nleaf_count=30 12");
    assert!(some.iter().all(|tree| tree.cover.is_empty()));
    assert_eq!(some[0].gain, [0.0; 3]);
    assert!(statistics("").iter().all(|tree| tree.cover.is_empty() && tree.gain.is_empty()));
    let negative = refusal(&lightgbm(&format!("{split}\nleaf_count=30 -1\ninternal_count=29")));
    assert!(negative.contains("leaf_count: expected counts of rows, got -1 (value 1)"), "{negative}");
    let few = refusal(&lightgbm(&format!("{split}\nleaf_count=30 1\ninternal_count=29 1")));
    assert!(few.contains("internal_count: expected 1 values, got 2"), "{few}");
}

#[test]
fn lightgbm_lines_may_end_as_on_windows() {
    let text = String::from_utf8(model_file("lightgbm", "binary-categorical")).unwrap();
    let windows = read(&text.replace('\n', "\r\n"));
    assert_eq!(windows.estimator, read(&text).estimator);
}

#[test]
fn lightgbm_parameters_are_kept_for_people() {
    let model = model("lightgbm", "binary-pandas");
    let kept = |name: &str| model.hyperparameters[name].to_string();
    assert_eq!(
        (kept("learning_rate"), kept("boosting"), kept("trees")),
        ("0.2".into(), "\"gbdt\"".into(), "6".into())
    );
    assert_eq!(kept("file_format"), "\"v4\"");
    assert!(!model.hyperparameters.contains_key("num_threads"));
    assert_eq!((model.source.library.as_str(), &model.source.version), ("lightgbm", &None));
}

#[test]
fn lightgbm_versions_that_were_not_checked_are_refused() {
    let text = lightgbm("num_leaves=1\nleaf_value=0.5").replace("version=v3", "version=v2");
    assert!(refusal(&text).contains("version: format version \"v2\" is not supported; supported: v3, v4"));
}

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

/// One split below the other, 20,000 times: no step may call itself.
#[test]
fn trees_of_any_depth_are_read_and_walked() {
    const SPLITS: usize = 20_000;
    let list = |f: &dyn Fn(usize) -> String, n: usize| (0..n).map(f).collect::<Vec<_>>().join(" ");
    let tree = format!(
        "num_leaves={}\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}",
        SPLITS + 1,
        list(&|_| "0".into(), SPLITS),
        list(&|split| format!("-{split}"), SPLITS),
        list(&|_| "8".into(), SPLITS),
        list(
            &|split| if split + 1 < SPLITS { (split + 1).to_string() } else { format!("-{}", SPLITS + 1) },
            SPLITS
        ),
        list(&|split| format!("-{}", split + 1), SPLITS),
        list(&|leaf| leaf.to_string(), SPLITS + 1),
    );
    let model = read(&lightgbm(&tree));
    assert_eq!(
        (answer(&model, 1.0), answer(&model, -10.5), answer(&model, -1e9)),
        (0.0, 11.0, SPLITS as f64)
    );
    assert_eq!(model.summary().depth, SPLITS);

    let nodes = 2 * SPLITS + 1;
    let json = |f: &dyn Fn(usize) -> String| (0..nodes).map(f).collect::<Vec<_>>().join(",");
    let child = |plus: usize| {
        move |n: usize| {
            if n.is_multiple_of(2) && n + 1 < nodes { (n + plus).to_string() } else { "-1".into() }
        }
    };
    let arrays = format!(
        r#""left_children":[{}],"right_children":[{}],"split_indices":[{}],"split_conditions":[{}],"default_left":[{}]"#,
        json(&child(2)),
        json(&child(1)),
        json(&|_| "0".into()),
        json(&|node| if node % 2 == 0 && node + 1 < nodes { format!("-{node}") } else { node.to_string() }),
        json(&|_| "0".into()),
    );
    let model = read(&xgboost(nodes, 0, &arrays));
    assert_eq!(
        (answer(&model, 1.0), answer(&model, -5.0), answer(&model, -1e9)),
        (1.0, 7.0, nodes as f64 - 1.0)
    );
    assert_eq!(model.summary().depth, SPLITS);
}

#[test]
fn texts_of_pandas_categories_become_the_vocabulary() {
    let lightgbm = model("lightgbm", "binary-pandas");
    let words: Vec<String> = ["a \"q\"", "blue", "green", "red", "日本"].map(str::to_owned).into();
    assert_eq!(lightgbm.features[1].vocabulary, Some(words));
    assert_eq!(lightgbm.features[2].vocabulary, None);
    assert_eq!(
        lightgbm.summary().notes,
        [
            "the categories of feature \"shop\" are the numbers -30, -20, -10, 0, 10, …; another one counts as missing"
        ]
    );
    assert_eq!(lightgbm.features[1].unknown, Some(-1.0), "LightGBM answers for texts that it never saw");
    let numbers = lightgbm.features[2].numbers.clone().unwrap();
    assert_eq!((numbers.len(), &numbers[..3]), (40, &[-30.0, -20.0, -10.0][..]));
    let signature = lightgbm.signature().unwrap();
    let types: Vec<Datatype> = signature.inputs().iter().map(|input| input.datatype).collect();
    assert_eq!(types, [Datatype::Fp64, Datatype::Bytes, Datatype::Fp64, Datatype::Fp64]);
    assert_eq!(lightgbm.summary().categorical_features, ["colour", "shop"]);
    // A shop by its number is answered as its code is where codes are asked for.
    let renamed =
        lightgbm.clone().with_feature_names(["a", "b", "c", "d"].map(str::to_owned).into()).unwrap();
    let (numbers, codes) = (pipeline(&renamed), pipeline(&coded(lightgbm)));
    for code in 0..40 {
        let row = |shop| [0.5, 1.0, shop, 0.25];
        let number = -30.0 + 10.0 * f64::from(code);
        assert_eq!(numbers.predict(&row(number)), codes.predict(&row(f64::from(code))));
        assert_eq!(numbers.predict(&row(number + 0.5)), codes.predict(&row(f64::NAN)));
    }
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

#[test]
fn features_without_names_get_those_of_the_library() {
    let names = model("xgboost", "binary-no-names").feature_names();
    assert_eq!((names[0].as_str(), names[29].as_str()), ("f0", "f29"));
    let huge = xgboost_split("0.5").replace(r#""num_feature":"2""#, r#""num_feature":"4000000000""#);
    assert!(refusal(&huge).contains("num_feature: expected 1 to 1048576 features"));
}

#[test]
fn features_and_classes_can_be_named_by_a_person() {
    let model = model("lightgbm", "multiclass-iris");
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let named = model.clone().with_classes(names(&["setosa", "versicolor", "virginica"])).unwrap();
    assert_eq!(named.task, Task::Classification { classes: names(&["setosa", "versicolor", "virginica"]) });
    let error = |list: &[&str]| model.clone().with_classes(names(list)).expect_err("refused").to_string();
    assert_eq!(error(&["a", "b"]), "the model has 3 classes, got 2 names");
    assert_eq!(error(&["a", "b", "a"]), "\"a\" cannot name one of the model's classes: it is given twice");
    let named = model.clone().with_feature_names(names(&["a", "b", "c", "d"])).unwrap();
    assert_eq!(named.signature().unwrap().names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let error = model.with_feature_names(names(&["a", "", "c", "d"])).expect_err("refused").to_string();
    assert_eq!(error, "\"\" cannot name one of the model's features: it is empty");
    let regression = crate::cases::model("xgboost", "regression");
    let error = regression.with_classes(names(&["a"])).expect_err("refused").to_string();
    assert_eq!(error, "the model is a regression and has no classes to name");
}

#[test]
fn names_that_a_signature_cannot_have_are_refused_at_import() {
    let twice = lightgbm("num_leaves=1\nleaf_value=1").replace("feature_names=a b", "feature_names=a a");
    assert!(refusal(&twice).contains("feature_names: expected distinct names, got \"a\", given twice"));
    let empty = xgboost_split("0.5").replace(r#"{"learner":{"#, r#"{"learner":{"feature_names":["a",""],"#);
    assert!(refusal(&empty).contains("feature_names: expected distinct names, got \"\", empty"));
}

#[test]
fn estimators_are_bare_models() {
    let Estimator { transforms, scaler, .. } = model("xgboost", "binary").estimator;
    assert!(transforms.is_empty() && scaler.is_none());
}
