//! What of an XGBoost file is for people.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::Head;

/// A parameter's text as the number that it holds.
pub(super) fn number(text: &str) -> Value {
    serde_json::from_str::<serde_json::Number>(text).map_or(text.into(), Value::from)
}

pub(super) fn hyperparameters(head: &Head) -> BTreeMap<String, Value> {
    let base = number(head.learner.param.base_score.trim_matches(['[', ']']));
    let mut kept = BTreeMap::from([("base_score".to_owned(), base)]);
    for name in ["best_iteration", "best_score"] {
        if let Some(Value::String(text)) = head.learner.attributes.get(name) {
            kept.insert(name.to_owned(), number(text));
        }
    }
    kept
}

/// That a file with rounds after the best one answers with all of them.
pub(super) fn best_iteration(head: &Head, rounds: usize) -> Option<String> {
    let best: usize = head.learner.attributes.get("best_iteration")?.as_str()?.trim().parse().ok()?;
    let used = best.checked_add(1).filter(|&used| used < rounds)?;
    Some(format!(
        "all {rounds} rounds of the file answer, as in Booster.predict and inplace_predict; XGBClassifier, XGBRegressor \
         and XGBRanker stop after the first {used}, up to best_iteration: to have these, save booster[:{used}]"
    ))
}
