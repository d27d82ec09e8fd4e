//! Queries that several paths take, as parameters of the document.
//!
//! A schema of a query and one of a body cannot say together that the two have to agree: where they do not, the answer is 409.
//! What is asked of stored features (`entity`, `timestamp`) is told in words alone, for whether somebody has any is no matter of a
//! schema; and so is the model by its kind where a body says a row, which is another model's.

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

/// A model by what it was trained on and its kind.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    feature_set: String,
    model_type: String,
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
    /// Which model is meant, and which version.
    pub(super) fn query_model(self) -> Self {
        self.query_name().query_version()
    }

    /// Which model is meant.
    pub(super) fn query_name(self) -> Self {
        self.query::<Selector>("model", "A model's name.", json!("vader-random-forest")).fails(&[404, 409])
    }

    /// Which version is meant.
    pub(super) fn query_version(self) -> Self {
        self.query_open::<Selector>("model_version", "A version, an alias, `latest`, `previous` or `best`.")
            .fails(&[404, 409])
    }

    /// Which model is meant, in other words than its name: both together, for one alone may mean several.
    pub(super) fn query_kind(self) -> Self {
        self.query_open::<Kind>(
            "kind",
            "The model by what it was trained on and its kind, as `feature_set=…&model_type=…`.",
        )
    }

    /// Which models are meant, of which there may be several.
    pub(super) fn query_kinds(self) -> Self {
        self.query_open::<String>("feature_set", "The models that were trained on it.")
            .query_open::<String>("model_type", "The models of this kind.")
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
