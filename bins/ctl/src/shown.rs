//! A version as `show` prints it: its manifest, who signed it, what its training data was like, the features that matter
//! most.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serve_core::explain::Importance;
use serve_core::reference::{Distribution, Reference};
use serve_core::{Bundle, BundleError, Digest, Manifest};
use serve_registry::Explanations;
use serve_registry::signature::claimed_key;

/// How many features are shown.
const TOP: usize = 10;

/// A version's manifest, and what else is known of it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(flatten)]
    pub(crate) manifest: &'a Manifest,
    /// The key that the signature names.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_data: Option<Observed>,
    pub(crate) importances: TopTen<'a>,
    /// Why there are no explanations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_explainable: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(
        manifest: &'a Manifest,
        made: &'a Explanations,
        bundle: &Bundle,
    ) -> Result<Self, BundleError> {
        let not_explainable = made.explainer().err().map(ToString::to_string);
        let signed_by = bundle.signature().and_then(|bytes| claimed_key(bytes).ok());
        let training_data = bundle.reference()?.map(Observed::of);
        Ok(Self { manifest, signed_by, training_data, importances: TopTen(made), not_explainable })
    }
}

/// The training data in short; recorded, never enforced.
#[derive(Serialize)]
struct Observed {
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<(String, String)>,
    features: BTreeMap<String, Column>,
}

#[derive(Serialize)]
struct Column {
    min: Option<f64>,
    max: Option<f64>,
    null_rate: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    categories: BTreeMap<String, u64>,
}

impl Observed {
    fn of(reference: Reference) -> Self {
        let column = |column: Distribution| {
            let (min, max) = column.range().unzip();
            (column.name, Column { min, max, null_rate: column.null_rate, categories: column.categories })
        };
        let features = reference.features.into_iter().map(column).collect();
        Self { rows: reference.rows, window: reference.window, features }
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
