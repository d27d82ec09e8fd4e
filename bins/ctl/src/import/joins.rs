//! `--join`: which features come from another feature set than the model's own.

use serve_app::{Exit, ExitReason};
use serve_core::Input;
use serve_core::signature::Signature;
use serve_features::FeatureSetName;

use super::data;

/// The signature with the sets that a person declared: `SET:FEATURE,FEATURE` each.
pub(super) fn declared(signature: Signature, joins: &[String]) -> Result<Signature, Exit> {
    if joins.is_empty() {
        return Ok(signature);
    }
    let mut inputs = signature.inputs().to_vec();
    for join in joins {
        let told = |problem: String| Exit::told(ExitReason::Data, format!("--join {join:?}: {problem}"));
        let (set, features) =
            join.split_once(':').ok_or_else(|| told("expected SET:FEATURE,FEATURE".to_owned()))?;
        let set: FeatureSetName =
            set.parse().map_err(|error: serve_features::NameError| told(error.to_string()))?;
        for feature in features.split(',').map(str::trim) {
            let input = inputs.iter_mut().find(|input| input.name == feature);
            let input = input.ok_or_else(|| told(format!("the model has no feature {feature:?}")))?;
            join_to(input, &set).map_err(told)?;
        }
    }
    Signature::new(inputs).map_err(data)
}

fn join_to(input: &mut Input, set: &FeatureSetName) -> Result<(), String> {
    match input.feature_set.replace(set.as_str().to_owned()) {
        Some(other) => Err(format!("feature {:?} is joined from {other:?} already", input.name)),
        None => Ok(()),
    }
}
