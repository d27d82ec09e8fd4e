//! The answer to one prediction as every adapter writes it. Only the shape lives here: ids and times are given by the
//! caller, since this crate has no clock.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::digest::Digest;
use crate::explain::{Explanation, OutputExplanation};
use crate::manifest::{Manifest, Task};
use crate::pipeline::Pipeline;
use crate::prediction::{Answer, Prediction};

/// The whole answer; see `docs/http-api.md` for its fields.
#[derive(Debug, Serialize)]
pub struct PredictResponse<'a> {
    /// Always true: failures have another shape.
    pub success: bool,
    /// The request's id.
    pub request_id: &'a str,
    /// This prediction's id.
    pub prediction_id: &'a str,
    /// What was predicted.
    pub prediction: PredictionBody<'a>,
    /// What each feature contributed, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<ExplanationBody<'a>>,
    /// Who predicted it.
    pub model_info: ModelBody<'a>,
    /// Where the features came from.
    pub features: FeatureInfo<'a>,
    /// How long it took.
    pub performance: Performance,
    /// Whether an earlier request with the same row had it computed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Whether something that should have answered did not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// What that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_reason: Option<&'a str>,
    /// When it was answered, RFC 3339 UTC.
    pub timestamp: &'a str,
}

/// Anything that can be written as text, so that ids and times need no string of their own.
pub trait Text: fmt::Debug + fmt::Display {}

impl<T: fmt::Debug + fmt::Display> Text for T {}

impl Serialize for dyn Text + '_ {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `{"<target>": label, "<target>_numeric": number, "probability": {…}, "confidence": p}`, or `{"<target>": value}` for a
/// regression, or `{"<target>": {"<output>": value, …}}` for one of several numbers.
#[derive(Debug)]
pub struct PredictionBody<'a> {
    /// The pipeline that answered.
    pub pipeline: &'a Pipeline,
    /// Its prediction.
    pub prediction: &'a Prediction,
}

impl Serialize for PredictionBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let target = self.pipeline.target();
        let mut map = serializer.serialize_map(None)?;
        match (self.pipeline.label(self.prediction), self.prediction.class()) {
            (Some(label), Some(class)) => {
                map.serialize_entry(&target.name, label)?;
                map.serialize_entry(&Suffixed(&target.name), &class)?;
            }
            _ => match &target.task {
                Task::MultiRegression { outputs } => {
                    let values = Named { names: outputs, values: self.prediction.scores() };
                    map.serialize_entry(&target.name, &values)?;
                }
                _ => map.serialize_entry(&target.name, &self.prediction.scores()[0])?,
            },
        }
        if let Some(probabilities) = self.prediction.probabilities() {
            let probabilities = Named { names: target.task.classes(), values: probabilities };
            map.serialize_entry("probability", &probabilities)?;
        }
        if let Some(confidence) = self.prediction.confidence() {
            map.serialize_entry("confidence", &confidence)?;
        }
        if let Answer::Band { abstains: true, .. } = self.prediction.answer() {
            map.serialize_entry("abstained", &true)?;
        }
        map.end()
    }
}

/// `{"raw_score", "base_value", "contributions": {…}, "background"}`, or one such object under the name of each output
/// where there are several.
#[derive(Debug)]
pub struct ExplanationBody<'a>(pub &'a Explanation);

impl Serialize for ExplanationBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let one = |output| OutputBody { explanation: self.0, output };
        let mut outputs = self.0.outputs();
        if outputs.len() == 1
            && let Some(output) = outputs.next()
        {
            return one(output).serialize(serializer);
        }
        serializer.collect_map(outputs.map(|output| (output.name.unwrap_or_default(), one(output))))
    }
}

struct OutputBody<'a> {
    explanation: &'a Explanation,
    output: OutputExplanation<'a>,
}

impl Serialize for OutputBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let OutputExplanation { raw_score, base_value, names, contributions, .. } = self.output;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("raw_score", &raw_score)?;
        map.serialize_entry("base_value", &base_value)?;
        map.serialize_entry("contributions", &Named { names, values: contributions })?;
        map.serialize_entry("background", &self.explanation.background())?;
        if let Some(trees) = self.explanation.averaged_over() {
            map.serialize_entry("averaged_over", &trees)?;
        }
        map.end()
    }
}

struct Suffixed<'a>(&'a str);

impl Serialize for Suffixed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}_numeric", self.0))
    }
}

struct Named<'a> {
    names: &'a [String],
    values: &'a [f64],
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.values))
    }
}

/// Which version of which model answered: told for this answer, or, where nothing is said of its row, as it was written once.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ModelBody<'a> {
    /// As it was written once.
    Written(&'a RawValue),
    /// Told for this answer.
    Told(Box<ModelInfo<'a>>),
}

/// Which version of which model answered.
#[derive(Debug, Serialize)]
pub struct ModelInfo<'a> {
    /// The model.
    pub name: &'a str,
    /// The feature set it was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_set: Option<&'a str>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_type: Option<&'a str>,
    /// The version.
    pub model_version: &'a str,
    /// The identity of the version's content.
    pub digest: &'a dyn Text,
    /// How many inputs the model takes.
    pub features_used: usize,
    /// Inputs that were missing: filled in by their policy, or left to the model's own rule.
    pub imputed_features: Names<'a>,
    /// How many given features the model does not have; they were ignored.
    #[serde(skip_serializing_if = "is_zero")]
    pub ignored_features: usize,
    /// In whose place it answered, where it is a fallback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackInfo<'a>>,
}

/// In whose place a fallback answered.
#[derive(Debug, Serialize)]
pub struct FallbackInfo<'a> {
    /// The model that was asked.
    pub instead_of: &'a str,
    /// Why it did not answer.
    pub reason: &'a str,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl<'a> ModelInfo<'a> {
    /// The information about a version, with what was filled in and ignored for this row.
    #[must_use]
    pub fn new(manifest: &'a Manifest, digest: &'a Digest, imputed: &'a [u32], ignored: usize) -> Self {
        Self {
            name: manifest.name.as_str(),
            feature_set: manifest.feature_set.as_deref(),
            model_type: manifest.model_type.as_deref(),
            model_version: manifest.version.as_str(),
            digest,
            features_used: manifest.signature.len(),
            imputed_features: Names { manifest, positions: imputed },
            ignored_features: ignored,
            fallback: None,
        }
    }
}

/// The names of some inputs.
#[derive(Debug)]
pub struct Names<'a> {
    manifest: &'a Manifest,
    positions: &'a [u32],
}

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inputs = self.manifest.signature.inputs();
        let mut list = serializer.serialize_seq(Some(self.positions.len()))?;
        for input in self.positions.iter().filter_map(|&position| inputs.get(position as usize)) {
            list.serialize_element(&input.name)?;
        }
        list.end()
    }
}

/// Where features came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSource {
    /// With the request.
    Request,
    /// From the feature store.
    Cached,
    /// Computed from raw rows for this request.
    Computed,
    /// From memory, in the place of a store that failed.
    LastKnownGood,
    /// From several of these, e.g. from the store with some overridden by the request.
    Mixed,
}

/// Where features came from, and how old they are. Of several rows, the oldest and strictest; `sets` tells each.
#[derive(Debug, Serialize)]
pub struct FeatureInfo<'a> {
    /// Where all of them came from.
    pub source: FeatureSource,
    /// The row, where there was one.
    #[serde(flatten)]
    pub row: RowInfo<'a>,
    /// Each row, where the model joins several sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetInfo<'a>>,
}

/// One of the rows that a model joins.
#[derive(Debug, Serialize)]
pub struct SetInfo<'a> {
    /// Where it came from.
    pub source: FeatureSource,
    /// The row.
    #[serde(flatten)]
    pub row: RowInfo<'a>,
}

/// One row of features that did not come with the request.
#[derive(Debug, Default, Serialize)]
pub struct RowInfo<'a> {
    /// Its feature set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<&'a str>,
    /// Whom or what it describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<&'a str>,
    /// Its time, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<&'a dyn Text>,
    /// Its age in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<f64>,
    /// The age that it might have at most, where a limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<f64>,
    /// It lies in the future, by no more than clocks may differ.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_future: bool,
    /// The time of a newer row that was left out, because it lies further in the future than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_future: Option<&'a dyn Text>,
    /// An older declaration of the set computed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
    /// Of a computed row, whether functions that remember without end had their past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm: Option<bool>,
    /// Features for which the set's constant stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imputed: Vec<&'a str>,
    /// Values that the set's declaration does not allow; they counted as missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invalid: Vec<&'a dyn Text>,
    /// Why the row is not what it should be, where it was taken all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_reason: Option<&'a str>,
}

/// How long an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Performance {
    /// From the request's arrival to this answer, in milliseconds.
    pub response_time_ms: f64,
    /// Whether features came from the store or its memory, and none was computed.
    pub cached_features: bool,
}
