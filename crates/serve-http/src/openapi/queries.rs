//! Queries that several paths take, as parameters of the document.
//!
//! A schema of a query and one of a body cannot say together that the two have to agree: where they do not, the answer is 409.
//! What is asked of stored features (`entity`, `timestamp`) is told in words alone: whether somebody has any is no matter of a
//! schema.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::described::Described;
use super::predictions::Selector;

/// The parameter that asks for contributions, which not every model has.
pub(super) const EXPLAIN: &str = "explain";

/// `true` or `false`, as queries have it.
#[derive(Serialize, ToSchema)]
pub(super) enum Switch {
    #[serde(rename = "true")]
    True,
    #[serde(rename = "false")]
    False,
}

/// The same in other words too.
#[derive(Serialize, ToSchema)]
enum SwitchWord {
    #[serde(rename = "true")]
    True,
    #[serde(rename = "false")]
    False,
    #[serde(rename = "1")]
    One,
    #[serde(rename = "0")]
    Zero,
    #[serde(rename = "True")]
    PythonTrue,
    #[serde(rename = "False")]
    PythonFalse,
}

/// How old stored features may be: any age.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AnyAge {
    None,
}

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
    /// Which model is meant.
    pub(super) fn query_model(self) -> Self {
        self.query::<Selector>("model", "A model's name.", json!("vader-random-forest")).query_kind()
    }

    /// The same where the model itself is told elsewhere.
    pub(super) fn query_kind(self) -> Self {
        self.query_open::<Selector>("model_version", "A version, an alias, `latest`, `previous` or `best`.")
            .query_open::<String>(
                "feature_set",
                "With `model_type`: the model by what it was trained on and its kind.",
            )
            .query_open::<String>("model_type", "See `feature_set`.")
            .fails(&[404, 409])
    }

    /// How a prediction is made.
    pub(super) fn query_how(self) -> Self {
        self.query_open::<SwitchWord>(EXPLAIN, "Whether each feature's contribution is told.")
            .query_open::<UseCachedWord>(
                "use_cached_features",
                "`true` reads what is stored, `auto` computes where that is stale, and `false` computes.",
            )
            .query_open::<AnyAge>(
                "max_age",
                "How old stored features may be: `none`, or a duration such as `15m`, and then 422 where they are older.",
            )
            .fails(&[404, 409])
    }
}
