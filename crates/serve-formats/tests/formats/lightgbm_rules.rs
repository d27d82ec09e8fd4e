//! Rules and limits of LightGBM that no golden file shows by itself, on models written by hand.

use serve_core::ensemble::Model;

use crate::cases::{model, model_file};
use crate::handwritten::{answer, answers, lightgbm, lightgbm_split, read, refusal};

/// LightGBM's `kZeroThreshold`.
const ZERO: f64 = 1e-35_f32 as f64;

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
