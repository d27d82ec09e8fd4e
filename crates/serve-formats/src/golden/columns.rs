//! Which column of a golden file holds what.

use std::collections::HashMap;

use csv::StringRecord;
use serve_core::Task;

use super::GoldenError;
use crate::imported::ImportedModel;

const PREDICT: &str = "predict";
const OUTPUT: &str = "predict:";
const PROBABILITY: &str = "predict_proba:";

/// Positions of columns.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    /// In the model's order.
    pub(super) features: Vec<usize>,
    /// The class that is answered; none for a regression.
    pub(super) label: Option<usize>,
    /// Probabilities in class order, or the values of a regression in the order of its outputs.
    pub(super) scores: Vec<usize>,
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
        let label = if model.task.is_classification() { Some(take(PREDICT)?) } else { None };
        let mut scores: Vec<usize> = match &model.task {
            Task::MultiRegression { outputs } => {
                let values = outputs.iter().map(|output| take(&format!("{OUTPUT}{output}")));
                values.collect::<Result<_, _>>()?
            }
            _ if label.is_some() => Vec::new(),
            _ => vec![take(PREDICT)?],
        };
        let classes = model.task.classes();
        check_labels(&names, &positions, classes)?;
        let probability = |class: &String| positions.remove(format!("{PROBABILITY}{class}").as_str());
        scores.extend(classes.iter().filter_map(probability));
        match positions.into_values().min() {
            Some(at) => Err(GoldenError::UnknownColumn { column: names[at].clone() }),
            None => Ok(Self { names, features, label, scores }),
        }
    }
}

/// The columns of probabilities that are left have to be those of the classes.
fn check_labels(
    names: &[String],
    left: &HashMap<&str, usize>,
    classes: &[String],
) -> Result<(), GoldenError> {
    let mut places: Vec<usize> = left.values().copied().collect();
    places.sort_unstable();
    let label = |at: usize| names[at].strip_prefix(PROBABILITY).map(str::to_owned);
    let labels: Vec<String> = places.into_iter().filter_map(label).collect();
    if labels.len() == classes.len() && labels.iter().all(|label| classes.contains(label)) {
        return Ok(());
    }
    Err(GoldenError::Classes { expected: listed(classes), got: listed(&labels) })
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
