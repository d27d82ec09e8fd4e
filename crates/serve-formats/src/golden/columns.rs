//! Which column of a golden file holds what.

use std::collections::HashMap;

use csv::StringRecord;
use serve_core::Task;

use super::GoldenError;
use crate::imported::ImportedModel;

const PREDICT: &str = "predict";
const PROBABILITY: &str = "predict_proba:";

/// Positions of columns.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    /// In the model's order.
    pub(super) features: Vec<usize>,
    /// One, or one for each output of several.
    pub(super) predict: Vec<usize>,
    /// In class order; none for a regression.
    pub(super) probabilities: Vec<usize>,
}

impl Columns {
    /// Every column of the model has to be there, once, and no other.
    pub(super) fn find(header: &StringRecord, model: &ImportedModel) -> Result<Self, GoldenError> {
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let mut positions: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            if positions.insert(name, at).is_some() {
                return Err(GoldenError::DuplicateColumn { column: name.clone() });
            }
        }
        let mut take = |column: &str| {
            positions.remove(column).ok_or_else(|| GoldenError::MissingColumn { column: column.to_owned() })
        };
        let features = model.features.iter().map(|feature| take(&feature.name));
        let features = features.collect::<Result<Vec<usize>, _>>()?;
        let predict = match &model.task {
            Task::MultiRegression { outputs } => {
                outputs.iter().map(|name| format!("{PREDICT}:{name}")).collect()
            }
            _ => vec![PREDICT.to_owned()],
        };
        let predict = predict.iter().map(|column| take(column)).collect::<Result<_, _>>()?;
        let classes = model.task.classes();
        let given = |at: &usize| names[*at].strip_prefix(PROBABILITY).map(str::to_owned);
        let mut labels: Vec<(usize, String)> =
            positions.values().filter_map(|at| Some((*at, given(at)?))).collect();
        labels.sort_unstable();
        let labels: Vec<String> = labels.into_iter().map(|(_, label)| label).collect();
        if labels.len() != classes.len() || labels.iter().any(|label| !classes.contains(label)) {
            return Err(GoldenError::Classes { expected: listed(classes), got: listed(&labels) });
        }
        let probability = |class: &String| positions.remove(format!("{PROBABILITY}{class}").as_str());
        let probabilities = classes.iter().filter_map(probability).collect();
        match positions.into_values().min() {
            Some(at) => Err(GoldenError::UnknownColumn { column: names[at].clone() }),
            None => Ok(Self { names, features, predict, probabilities }),
        }
    }
}

/// Names in a message.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
