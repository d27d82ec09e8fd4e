//! Output tensors: which were asked for and how, and their elements in JSON or, after it, in binary.

use std::borrow::Cow;

use serde::Serialize;
use serve_core::{BatchPrediction, Task};
use serve_registry::Deployment;

use super::Labels;
use super::request::{InferRequest, OutputParameters, RequestedOutput};
use crate::failure::Failure;

/// The labels, or the values of a regression.
const PREDICT: &str = "predict";

/// The probabilities of the classes.
const PREDICT_PROBA: &str = "predict_proba";

/// As many as a model has at most, each of which may be asked for once.
pub(super) const MOST_OUTPUTS: usize = 2;

/// An output that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    name: &'static str,
    binary: bool,
    /// The best this many, in words, in the place of all.
    best: Option<usize>,
}

/// The outputs asked for, in that order; all, if none are.
pub(super) fn wanted(request: &InferRequest<'_>, deployment: &Deployment) -> Result<Vec<Wanted>, Failure> {
    let classes = deployment.manifest().target.task.classes().len();
    let has: &[&'static str] = if classes > 0 { &[PREDICT, PREDICT_PROBA] } else { &[PREDICT] };
    let binary = request.binary_output();
    let Some(outputs) = request.outputs.as_ref().filter(|outputs| !outputs.is_empty()) else {
        return Ok(has.iter().map(|name| Wanted { name, binary, best: None }).collect());
    };
    let mut wanted: Vec<Wanted> = Vec::with_capacity(has.len());
    for RequestedOutput { name, parameters } in outputs {
        let Some(name) = has.iter().find(|has| *has == name) else {
            let message = format!("unknown output {name:?}; the model has {}", has.join(", "));
            return Err(Failure::invalid("unknown_output", message));
        };
        if wanted.iter().any(|earlier| earlier.name == *name) {
            return Err(Failure::invalid("duplicate_output", format!("output {name:?} is asked for twice")));
        }
        let one = Wanted { name, binary, best: None };
        wanted.push(parameters.as_ref().map_or(Ok(one), |parameters| one.with(parameters, deployment))?);
    }
    Ok(wanted)
}

impl Wanted {
    fn with(self, parameters: &OutputParameters, deployment: &Deployment) -> Result<Self, Failure> {
        let Self { name, binary, .. } = self;
        let refuse =
            |problem: &str| Err(Failure::invalid("invalid_output", format!("output {name:?}: {problem}")));
        if parameters.shared_memory_region.is_some() {
            return refuse("shared memory is not supported; the data comes with the answer");
        }
        let best = match parameters.classification {
            None => None,
            Some(0) => return refuse("classification: expected 1 or more"),
            Some(_) if name == PREDICT && Labels::of(deployment.manifest()) != Labels::Values => {
                return refuse(
                    "classification ranks scores, and this holds labels; ask it of \"predict_proba\"",
                );
            }
            Some(best) => Some(usize::try_from(best).unwrap_or(usize::MAX)),
        };
        Ok(Self { binary: parameters.binary_data.unwrap_or(binary), best, ..self })
    }

    /// The output, which `batch` has no failed row of.
    pub(super) fn of<'a>(
        self,
        deployment: &'a Deployment,
        labels: Labels,
        batch: &'a BatchPrediction,
    ) -> Output<'a> {
        let manifest = deployment.manifest();
        if let Some(best) = self.best {
            let columns = best.min(manifest.target.task.scores());
            let data = Data::Words(ranked(batch, &manifest.target.task, columns));
            return Output { wanted: self, shape: [batch.len(), columns], datatype: "BYTES", data };
        }
        if self.name == PREDICT_PROBA || labels == Labels::Values {
            let shape = [batch.len(), manifest.target.task.scores()];
            return Output { wanted: self, shape, datatype: "FP64", data: Data::Floats(batch.scores()) };
        }
        let pipeline = deployment.pipeline();
        let words = batch.iter().flatten().map(|prediction| pipeline.label(&prediction).unwrap_or_default());
        let data = match labels {
            Labels::Words => Data::Words(words.map(Cow::Borrowed).collect()),
            _ => Data::Numbers(words.map(|label| label.parse().unwrap_or_default()).collect()),
        };
        Output { wanted: self, shape: [batch.len(), 1], datatype: labels.datatype(), data }
    }
}

/// The `best` greatest scores of each row as `value:index[:label]`; of equal ones the first is first.
fn ranked<'a>(batch: &BatchPrediction, task: &Task, best: usize) -> Vec<Cow<'a, str>> {
    let names = match task {
        Task::MultiRegression { outputs } => &outputs[..],
        other => other.classes(),
    };
    let mut words = Vec::with_capacity(batch.len() * best);
    let mut order: Vec<usize> = Vec::new();
    for scores in batch.scores().chunks_exact(task.scores().max(1)) {
        order.clear();
        order.extend(0..scores.len());
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        for at in order.iter().take(best) {
            let score = scores[*at];
            words.push(Cow::Owned(match names.get(*at) {
                Some(name) => format!("{score}:{at}:{name}"),
                None => format!("{score}:{at}"),
            }));
        }
    }
    words
}

/// An output with its elements.
#[derive(Debug)]
pub(super) struct Output<'a> {
    wanted: Wanted,
    shape: [usize; 2],
    datatype: &'static str,
    data: Data<'a>,
}

/// Elements, row-major.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Floats(&'a [f64]),
    Numbers(Vec<i64>),
    Words(Vec<Cow<'a, str>>),
}

impl Output<'_> {
    /// Whether its elements follow the JSON.
    pub(super) fn is_binary(&self) -> bool {
        self.wanted.binary
    }

    /// Whether what stands of it in the JSON depends on nothing but the number of rows.
    pub(super) fn has_fixed_json(&self) -> bool {
        self.is_binary() && !matches!(self.data, Data::Words(_))
    }

    /// Writes it as it stands in the JSON: `{"name", "shape", "datatype"}`, and `data` or the size of what follows.
    pub(super) fn write_json(&self, body: &mut Vec<u8>) -> serde_json::Result<()> {
        let number = |body: &mut Vec<u8>, number: usize| {
            body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        // The names of outputs and of types need no escapes.
        for piece in ["{\"name\":\"", self.wanted.name, "\",\"shape\":["] {
            body.extend_from_slice(piece.as_bytes());
        }
        number(body, self.shape[0]);
        body.push(b',');
        number(body, self.shape[1]);
        for piece in ["],\"datatype\":\"", self.datatype, "\""] {
            body.extend_from_slice(piece.as_bytes());
        }
        if self.is_binary() {
            body.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            number(body, self.data.binary_size());
            body.push(b'}');
        } else {
            body.extend_from_slice(b",\"data\":");
            serde_json::to_writer(&mut *body, &self.data)?;
        }
        body.push(b'}');
        Ok(())
    }

    /// About how many bytes its elements take.
    pub(super) fn size(&self) -> usize {
        self.data.binary_size()
    }

    /// Appends them.
    pub(super) fn write_binary(&self, body: &mut Vec<u8>) {
        if self.is_binary() {
            self.data.write_binary(body);
        }
    }
}

impl Data<'_> {
    fn binary_size(&self) -> usize {
        match self {
            Self::Floats(numbers) => 8 * numbers.len(),
            Self::Numbers(numbers) => 8 * numbers.len(),
            Self::Words(words) => words.iter().map(|word| 4 + word.len()).sum(),
        }
    }

    fn write_binary(&self, body: &mut Vec<u8>) {
        match self {
            Self::Floats(numbers) => {
                numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
            }
            Self::Numbers(numbers) => {
                numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
            }
            Self::Words(words) => {
                for word in words {
                    // A label of 4 GiB is in no manifest.
                    let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
                    body.extend_from_slice(&length.to_le_bytes());
                    body.extend_from_slice(word.as_bytes());
                }
            }
        }
    }
}
