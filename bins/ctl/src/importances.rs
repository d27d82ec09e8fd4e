//! The features that matter most to a version, as `show` prints them.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serve_core::Manifest;
use serve_core::explain::Importance;
use serve_registry::Explanations;

/// How many features are shown.
const TOP: usize = 10;

/// A version's manifest, and the most important features after it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(flatten)]
    pub(crate) manifest: &'a Manifest,
    pub(crate) importances: TopTen<'a>,
    /// Why there are no explanations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_explainable: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(manifest: &'a Manifest, made: &'a Explanations) -> Self {
        let not_explainable = made.explainer().err().map(ToString::to_string);
        Self { manifest, importances: TopTen(made), not_explainable }
    }
}

/// By each measure the features that matter most, greatest first.
pub(crate) struct TopTen<'a>(&'a Explanations);

impl Serialize for TopTen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let measures = [
            ("gain", self.0.importances().gain.as_ref()),
            ("split", self.0.importances().split.as_ref()),
            ("mean_abs_shap", self.0.mean_abs_shap()),
        ];
        for (name, importance) in measures {
            if let Some(importance) = importance {
                map.serialize_entry(name, &Top(importance))?;
            }
        }
        map.end()
    }
}

struct Top<'a>(&'a Importance);

impl Serialize for Top<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.top(TOP))
    }
}
