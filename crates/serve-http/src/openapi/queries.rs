//! Queries that several paths take, as parameters of the document.
//!
//! A schema of a query and one of a body cannot say together that the two have to agree, nor can one of several parameters that
//! they fit each other: what may contradict something else is told in words alone.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::described::Described;
use super::predictions::Selector;

/// Where features come from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UseCachedWord {
    True,
    False,
    Auto,
    #[serde(rename = "1")]
    One,
    #[serde(rename = "0")]
    Zero,
    #[serde(rename = "True")]
    CapitalTrue,
    #[serde(rename = "False")]
    CapitalFalse,
}

impl Described {
    /// Which model is meant, and which version.
    pub(super) fn query_model(self) -> Self {
        self.query::<Selector>("model", "A model's name.", json!("vader-random-forest"))
            .fails(&[404])
            .query_version()
    }

    /// Which version is meant.
    pub(super) fn query_version(self) -> Self {
        self.query_open::<Selector>("model_version", "A version, an alias, `latest`, `previous` or `best`.")
            .fails(&[404])
    }
}
