//! Which of a graph's outputs are the answer, and what it means: probabilities and classes, or values.
//!
//! A label beside scores, or a `ZipMap`, makes a classification; scores alone are values. The answered class is the one
//! of the greatest score; where the file's own label is another thing, the scores become 1 for the label and 0
//! elsewhere, and a note says so. Scores that are probabilities are never replaced.

use std::collections::HashMap;

use serve_core::Task;
use serve_core::graph::{Binary, Dtype, Tensor};

use super::columns::Columns;
use super::file::{GraphFile, NodeFile, ValueFile};
use super::lower::{Fault, Lowering, Value};
use crate::error::{ImportError, Place, shown};
use crate::imported::{numbered_classes, unusable};

/// Rows on which a label is held against the greatest score.
const SAMPLED: usize = 24;

/// Names of outputs.
#[derive(Debug)]
pub(super) struct Outputs<'a> {
    scores: Option<&'a str>,
    label: Option<&'a str>,
    /// Where every output of floats is a column of the scores.
    columns: Option<Columns<'a>>,
    /// How many outputs of floats there are.
    floats: usize,
}

/// The answer in the graph.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) scores: Tensor,
    pub(super) task: Task,
    pub(super) notes: Vec<String>,
}

fn producer<'a>(graph: &'a GraphFile<'a>, name: &str) -> Option<&'a NodeFile<'a>> {
    graph.nodes.iter().rev().find(|node| node.outputs.contains(&name))
}

fn refused(problem: impl Into<String>) -> ImportError {
    ImportError::Graph { place: Place::Path("graph.output".to_owned()), problem: problem.into() }
}

impl<'a> Outputs<'a> {
    pub(super) fn find(graph: &'a GraphFile<'a>) -> Result<Self, ImportError> {
        let made = |node: &'a NodeFile<'a>| node.outputs.iter().map(move |output| (*output, node));
        let producers: HashMap<&str, &NodeFile<'_>> = graph.nodes.iter().flat_map(made).collect();
        let zipped = |output: &&ValueFile<'_>| {
            producers.get(output.name).is_some_and(|node| node.op == "ZipMap" && node.domain == "ai.onnx.ml")
        };
        let float = |output: &&ValueFile<'_>| matches!(output.kind, 1 | 11);
        let whole = |output: &&ValueFile<'_>| matches!(output.kind, 6..=9);
        let named = |output: &&ValueFile<'_>| output.name.to_lowercase().contains("prob");
        let label = graph.outputs.iter().find(whole).map(|output| output.name);
        let floats: Vec<_> = graph.outputs.iter().filter(float).collect();
        let zipped = graph.outputs.iter().find(zipped);
        let columns = match (zipped, label) {
            (None, Some(_)) => Columns::find(&producers, &floats),
            _ => None,
        };
        let named = || floats.iter().copied().find(named);
        let scores = zipped.or_else(named).or_else(|| floats.first().copied());
        if scores.is_none() && label.is_none() {
            return Err(refused("expected an output that is a tensor of numbers or labels, got none"));
        }
        let scores = match &columns {
            Some(columns) => Some(columns.source),
            None => scores.map(|output| output.name),
        };
        Ok(Self { scores, label, columns, floats: floats.len() })
    }

    pub(super) fn names(&self) -> Vec<&'a str> {
        self.scores.into_iter().chain(self.label).collect()
    }

    pub(super) fn answer(
        &self,
        graph: &'a GraphFile<'a>,
        low: &mut Lowering<'a>,
    ) -> Result<Answer, ImportError> {
        self.lowered(graph, low).map_err(|fault| match fault {
            Fault::Import(error) => error,
            Fault::Problem(problem) => refused(problem),
            Fault::Invalid { expected, got } => {
                ImportError::invalid(Place::Path("graph.output".to_owned()), expected, got)
            }
            Fault::Unsupported { what, supported } => {
                ImportError::Unsupported { place: Place::Path("graph.output".to_owned()), what, supported }
            }
        })
    }

    fn lowered(&self, graph: &'a GraphFile<'a>, low: &mut Lowering<'a>) -> Result<Answer, Fault> {
        let named = |low: &mut Lowering<'a>, name: &str| {
            low.value(name)?.ok_or_else(|| Fault::invalid("an output that a node makes", shown(name)))
        };
        let label = self.label.map(|name| named(low, name)).transpose()?;
        let scores = match self.scores.map(|name| named(low, name)).transpose()? {
            Some(Value::Number(scores)) => Some(scores),
            Some(Value::Text(_)) => return Err(Fault::invalid("scores that are numbers", "texts")),
            None => None,
        };
        let zipped = self.scores.and_then(|name| producer(graph, name)).filter(|node| node.op == "ZipMap");
        let classes = self.classes(graph, low, zipped)?;
        let Some(scores) = scores else { return one_hot(low, label, classes) };
        let count: usize = low.graph.shape(scores).iter().product();
        self.check_columns(low, scores, zipped.is_none() && classes.is_some())?;
        if label.is_none() && zipped.is_none() {
            return Ok(Answer { scores, task: values(count), notes: Vec::new() });
        }
        if count == 1 && classes.is_none() {
            let notes = vec!["the score is the answer, the file's label is left out".to_owned()];
            return Ok(Answer { scores, task: values(count), notes });
        }
        let classes = classes.unwrap_or_else(|| numbered_classes(count).classes().to_vec());
        if count == 1 && classes.len() == 2 {
            let score = low.graph.reshape(scores, &[1, 1])?;
            let other = low.graph.unary(serve_core::graph::Unary::Neg, score)?;
            let scores = low.graph.concat(1, &[other, score])?;
            let notes = vec!["one score for two classes is given as [-score, score]".to_owned()];
            return Ok(Answer { scores, task: Task::Classification { classes }, notes });
        }
        if count != classes.len() {
            return one_hot(low, label, Some(classes));
        }
        compared(low, scores, label, classes)
    }
}

impl<'a> Outputs<'a> {
    /// The labels of the classes, where the file tells them.
    fn classes(
        &self,
        graph: &'a GraphFile<'a>,
        low: &mut Lowering<'a>,
        zipped: Option<&NodeFile<'a>>,
    ) -> Result<Option<Vec<String>>, Fault> {
        let classes = match zipped.map(attribute_labels).filter(|labels| !labels.is_empty()) {
            Some(classes) => Some(classes),
            None => self.label.and_then(|name| labels_of(graph, low, name)),
        };
        match unusable(classes.iter().flatten().map(String::as_str)) {
            Some((class, problem)) => {
                Err(Fault::invalid("distinct labels of classes", format!("{}, {problem}", shown(class))))
            }
            None => Ok(classes),
        }
    }

    /// One number cannot be the scores of classes where other outputs of floats stand beside it.
    fn check_columns(&self, low: &mut Lowering<'a>, scores: Tensor, classes: bool) -> Result<(), Fault> {
        if let Some(columns) = &self.columns {
            return columns.check(low, scores);
        }
        let one = low.graph.shape(scores).iter().product::<usize>() == 1;
        if one && classes && self.floats > 1 {
            let what = format!("an answer in {} outputs of floats", self.floats);
            return Err(Fault::unsupported(what, "one output of scores, or one for each of their columns"));
        }
        Ok(())
    }
}

fn values(count: usize) -> Task {
    if count == 1 {
        return Task::Regression;
    }
    Task::MultiRegression { outputs: (0..count).map(|output| format!("output_{output}")).collect() }
}

fn attribute_labels(node: &NodeFile<'_>) -> Vec<String> {
    let strings = node.strings("classlabels_strings");
    if !strings.is_empty() {
        return strings.iter().map(|&text| text.to_owned()).collect();
    }
    let ints = match node.ints("classlabels_int64s") {
        [] => node.ints("classlabels_ints"),
        ints => ints,
    };
    ints.iter().map(ToString::to_string).collect()
}

/// The labels that an output can have, found by going back from it.
fn labels_of<'a>(graph: &'a GraphFile<'a>, low: &mut Lowering<'a>, name: &str) -> Option<Vec<String>> {
    let mut node = producer(graph, name)?;
    // Exporters put a few nodes behind a label.
    for _ in 0..64 {
        match node.op {
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                node = producer(graph, node.inputs.first()?)?;
            }
            "ArrayFeatureExtractor" | "Gather" => {
                let labels = low.value(node.inputs.first()?).ok()??;
                return constant_labels(low, &labels);
            }
            "LabelEncoder" if !node.strings("values_strings").is_empty() => {
                return Some(node.strings("values_strings").iter().map(|&text| text.to_owned()).collect());
            }
            "LabelEncoder" if !node.ints("values_int64s").is_empty() => {
                return Some(node.ints("values_int64s").iter().map(ToString::to_string).collect());
            }
            _ => return Some(attribute_labels(node)).filter(|labels| !labels.is_empty()),
        }
    }
    None
}

fn constant_labels(low: &Lowering<'_>, labels: &Value) -> Option<Vec<String>> {
    match labels {
        Value::Number(tensor) => Some(low.graph.value(*tensor)?.iter().map(ToString::to_string).collect()),
        Value::Text(tensor) => {
            let ids = low.graph.value(*tensor)?.to_vec();
            ids.into_iter().map(|id| low.text_of(id).map(str::to_owned)).collect()
        }
    }
}

/// Per class, whether the label is it.
fn indicators(low: &mut Lowering<'_>, label: &Value, classes: &[String]) -> Result<Tensor, Fault> {
    let (own, values) = match label {
        Value::Text(ids) => (*ids, classes.iter().map(|class| low.identity(class)).collect()),
        Value::Number(label) => {
            let values: Option<Vec<f64>> = classes.iter().map(|class| class.parse().ok()).collect();
            (*label, values.ok_or_else(|| Fault::invalid("labels that are numbers", "texts"))?)
        }
    };
    let own = low.graph.reshape(own, &[1, 1])?;
    let values = low.graph.row_constant(values, low.graph.dtype(own))?;
    Ok(low.graph.binary(Binary::Equal, own, values)?)
}

fn one_hot(
    low: &mut Lowering<'_>,
    label: Option<Value>,
    classes: Option<Vec<String>>,
) -> Result<Answer, Fault> {
    let (Some(label), Some(classes)) = (label, classes) else {
        return Err(Fault::unsupported(
            "an answer whose classes the file does not tell",
            "labels with their classes",
        ));
    };
    let hot = indicators(low, &label, &classes)?;
    let scores = low.graph.cast(hot, Dtype::F32)?;
    let notes = vec!["scores are 1 for the file's label and 0 elsewhere".to_owned()];
    Ok(Answer { scores, task: Task::Classification { classes }, notes })
}

/// Scores of a graph that is more than a model are held against its label: those of pairs of classes, say, are as many
/// as classes where there are three. Probabilities are scores of classes whatever the label is: far from its support
/// vectors an `SVC` votes otherwise.
fn compared(
    low: &mut Lowering<'_>,
    scores: Tensor,
    label: Option<Value>,
    classes: Vec<String>,
) -> Result<Answer, Fault> {
    let plain = low.bare.iter().any(|bare| bare.scores == scores);
    let mut notes = Vec::new();
    if let Some(label) = label.filter(|_| !plain) {
        let sampled = sample(low, scores, &label, &classes).unwrap_or_default();
        if sampled.others > SAMPLED / 3 && !sampled.probabilities {
            return one_hot(low, Some(label), Some(classes));
        }
        if sampled.others > 0 {
            notes.push("the file's own label is not always the class of the greatest score".to_owned());
        }
    }
    Ok(Answer { scores, task: Task::Classification { classes }, notes })
}

/// What sampled rows tell of the scores.
#[derive(Debug, Default)]
struct Sampled {
    /// On how many rows the label is not the class of the greatest score.
    others: usize,
    /// Whether the scores of every row are between 0 and 1 and sum to 1.
    probabilities: bool,
}

fn sample(
    low: &mut Lowering<'_>,
    scores: Tensor,
    label: &Value,
    classes: &[String],
) -> Result<Sampled, Fault> {
    let hot = indicators(low, label, classes)?;
    let (scores, hot) = (low.graph.clone().finish(scores)?, low.graph.clone().finish(hot)?);
    let first =
        |values: &[f64]| (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    let mut state = 0x5eed_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let mut sampled = Sampled { others: 0, probabilities: true };
    for number in 0..SAMPLED {
        let scale = [1.0, 4.0, 16.0][number % 3];
        let row: Vec<f64> = (0..low.inputs.width())
            .map(|column| if low.inputs.is_text(column) { 0.0 } else { (draw() - 0.25) * scale })
            .collect();
        let scores = scores.evaluate(&row);
        if scores.iter().all(|score| score.is_finite()) {
            sampled.others += usize::from(first(&scores) != first(&hot.evaluate(&row)));
            sampled.probabilities &= are_probabilities(&scores);
        }
    }
    Ok(sampled)
}

/// Up to what `f32` rounds away.
fn are_probabilities(scores: &[f64]) -> bool {
    const ROUNDED: f64 = 1e-4;
    let sum: f64 = scores.iter().sum();
    scores.iter().all(|score| (-ROUNDED..=1.0 + ROUNDED).contains(score)) && (sum - 1.0).abs() <= ROUNDED
}
