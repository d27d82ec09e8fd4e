//! Small models written by hand, and what they answer.

use serve_core::naive;
use serve_formats::{Format, ImportedModel, import};

use crate::cases::{chain, pipeline};

/// A LightGBM regression of one tree on the features `a` and `b`.
pub(crate) fn lightgbm(tree: &str) -> String {
    format!(
        "tree\nobjective=regression\nfeature_names=a b\nmax_feature_idx=1\nnum_tree_per_iteration=1\nnum_class=1\n\
         version=v3\n\nTree=0\n{tree}\n\nend of trees\n"
    )
}

/// One split on `a`, 1 on its left and 2 on its right.
pub(crate) fn lightgbm_split(threshold: &str, kind: u8) -> String {
    lightgbm(&format!(
        "num_leaves=2\nsplit_feature=0\nthreshold={threshold}\ndecision_type={kind}\nleft_child=-1\nright_child=-2\n\
         leaf_value=1 2"
    ))
}

/// An XGBoost regression on two features of one tree, given as its arrays.
pub(crate) fn xgboost(nodes: usize, deleted: usize, arrays: &str) -> String {
    format!(
        r#"{{"learner":{{"gradient_booster":{{"name":"gbtree","model":{{
        "gbtree_model_param":{{"num_trees":"1"}},"tree_info":[0],"trees":[{{
        "tree_param":{{"num_nodes":"{nodes}","num_deleted":"{deleted}"}},{arrays}}}]}}}},
        "learner_model_param":{{"base_score":"0","num_class":"0","num_feature":"2"}},
        "objective":{{"name":"reg:linear"}}}}}}"#
    )
}

pub(crate) fn xgboost_split(threshold: &str) -> String {
    let arrays = format!(
        r#""left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],
        "split_conditions":[{threshold},1,2],"default_left":[false,false,false]"#
    );
    xgboost(3, 0, &arrays)
}

pub(crate) fn read(text: &str) -> ImportedModel {
    import(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

pub(crate) fn refusal(text: &str) -> String {
    chain(&import(text.as_bytes(), Format::Auto).expect_err("refused"))
}

/// The answer for `a`, by engine and naive evaluator.
pub(crate) fn answer(model: &ImportedModel, a: f64) -> f64 {
    let row = [a, 0.0];
    let alone = pipeline(model).predict(&row).unwrap().value().unwrap();
    let naive = naive::scores(&model.estimator, &model.feature_names(), &row).unwrap();
    assert_eq!(naive, [alone]);
    alone
}

pub(crate) fn answers(text: &str, values: &[f64]) -> Vec<f64> {
    let model = read(text);
    values.iter().map(|a| answer(&model, *a)).collect()
}
