//! What training left at the nodes of XGBoost's trees, node by node against the file.

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::tree::{Node, Test, Tree};
use serve_formats::{Format, ImportedModel, import};

use crate::cases::model_file;

fn trees(model: &ImportedModel) -> Vec<Tree> {
    let Model::Trees(ensemble) = &model.estimator.model else { panic!("it has trees") };
    ensemble.trees().collect()
}

/// A tree of the file and ours, walked side by side.
fn check_tree(file: &Value, tree: &Tree) {
    let number = |key: &str, node: usize| file[key][node].as_f64().unwrap();
    let child = |key: &str, node: usize| usize::try_from(file[key][node].as_i64().unwrap()).unwrap();
    let mut pairs = vec![(0, 0)];
    let mut seen = 0;
    while let Some((theirs, ours)) = pairs.pop() {
        seen += 1;
        let single = |x: f64| f64::from(x as f32);
        assert_eq!(tree.statistics.cover[ours], single(number("sum_hessian", theirs)));
        assert_eq!(tree.statistics.gain[ours], single(number("loss_changes", theirs)));
        if let Node::Split { test, left, right, .. } = &tree.nodes[ours] {
            let (left, right) = (*left as usize, *right as usize);
            let (left, right) = if matches!(test, Test::InSet(_)) { (right, left) } else { (left, right) };
            pairs.push((child("left_children", theirs), left));
            pairs.push((child("right_children", theirs), right));
        }
    }
    assert_eq!((seen, seen), (tree.statistics.cover.len(), tree.statistics.gain.len()));
}

#[test]
fn cover_and_gain_stand_at_the_nodes_that_the_file_gives_them() {
    for case in ["binary-nan", "binary-categorical", "softprob-iris", "binary-constant"] {
        let bytes = model_file("xgboost", case);
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        let theirs = file["learner"]["gradient_booster"]["model"]["trees"].as_array().unwrap();
        let ours = trees(&import(&bytes, Format::Auto).unwrap());
        assert_eq!(theirs.len(), ours.len(), "{case}");
        theirs.iter().zip(&ours).for_each(|(theirs, ours)| check_tree(theirs, ours));
    }
}

#[test]
fn a_file_with_statistics_for_some_trees_has_none() {
    let mut file: Value = serde_json::from_slice(&model_file("xgboost", "binary")).unwrap();
    let list = &mut file["learner"]["gradient_booster"]["model"]["trees"];
    list[1].as_object_mut().unwrap().remove("sum_hessian");
    list[2]["loss_changes"][0] = 1e39.into();
    let read = |file: &Value| import(&serde_json::to_vec(file).unwrap(), Format::Auto);
    assert!(read(&file).is_err(), "1e39 is no f32");
    file["learner"]["gradient_booster"]["model"]["trees"][2]["loss_changes"] = Value::Array(Vec::new());
    for tree in trees(&read(&file).unwrap()) {
        assert!(tree.statistics.cover.is_empty() && tree.statistics.gain.is_empty());
    }
    file["learner"]["gradient_booster"]["model"]["trees"][2]["loss_changes"] = vec![0.0].into();
    let message = read(&file).expect_err("refused").to_string();
    assert!(message.contains("trees[2].loss_changes: expected 15 values, got 1"), "{message}");
}
