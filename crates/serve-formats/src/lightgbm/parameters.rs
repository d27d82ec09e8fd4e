//! The training parameters at the end of a file, lines `[name: value]`. They are for people; nothing relies on them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Those that say how a model came about. The rest is about threads, files and GPUs.
const KEPT: [&str; 26] = [
    "bagging_fraction",
    "bagging_freq",
    "boosting",
    "cat_l2",
    "cat_smooth",
    "data_sample_strategy",
    "drop_rate",
    "extra_trees",
    "feature_fraction",
    "is_unbalance",
    "lambda_l1",
    "lambda_l2",
    "learning_rate",
    "max_bin",
    "max_cat_to_onehot",
    "max_depth",
    "min_data_in_leaf",
    "min_gain_to_split",
    "min_sum_hessian_in_leaf",
    "num_iterations",
    "num_leaves",
    "path_smooth",
    "scale_pos_weight",
    "seed",
    "use_missing",
    "zero_as_missing",
];

pub(super) fn read(lines: &[&str]) -> BTreeMap<String, Value> {
    lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| KEPT.contains(name))
        .map(|(name, text)| (name.to_owned(), value(text)))
        .collect()
}

fn value(text: &str) -> Value {
    serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| Value::from(text), Value::from)
}

/// What to say where the file holds another number of iterations than were asked for: training stopped early, or part
/// of the model was saved.
pub(super) fn iterations(parameters: &BTreeMap<String, Value>, held: usize) -> Option<String> {
    let asked = parameters.get("num_iterations")?.as_u64()?;
    (asked != held as u64).then(|| {
        format!(
            "the file holds {held} iterations where its parameters ask for {asked}; all that it holds answer, as in \
             LightGBM"
        )
    })
}
