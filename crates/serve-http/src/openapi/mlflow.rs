//! The chapter of MLflow's scoring server.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::predictions::FeatureValue;

/// Rows in one of MLflow's four forms.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum InvocationsRequest {
    Split {
        dataframe_split: Split,
        params: Option<BTreeMap<String, Json>>,
    },
    Records {
        dataframe_records: Vec<BTreeMap<String, FeatureValue>>,
        params: Option<BTreeMap<String, Json>>,
    },
    /// Lists by position, or objects by name.
    Instances {
        instances: Vec<TableRow>,
        params: Option<BTreeMap<String, Json>>,
    },
    /// Columns by name.
    Inputs {
        inputs: BTreeMap<String, Vec<FeatureValue>>,
        params: Option<BTreeMap<String, Json>>,
    },
}

/// A table as pandas splits it.
#[derive(Serialize, ToSchema)]
struct Split {
    /// Names, in the order of the values; without them the model's order.
    columns: Option<Vec<String>>,
    index: Option<Vec<Json>>,
    data: Vec<Vec<FeatureValue>>,
}

/// A row by position, or by name.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum TableRow {
    List(Vec<FeatureValue>),
    Object(BTreeMap<String, FeatureValue>),
}

/// One entry a row.
#[derive(Serialize, ToSchema)]
struct InvocationsAnswer {
    predictions: Vec<Scored>,
}

/// A classifier's probabilities in class order, a regression's value, or its values where it has several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Scored {
    Value(f64),
    Values(Vec<f64>),
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Mlflow, id, summary);
    let split =
        || json!({ "dataframe_split": { "columns": ["a", "b"], "data": [[0.5, 1.0], [0.25, null]] } });
    let invocations = |id, summary| {
        new(id, summary)
            .text("CSV has a header, Parquet no nested columns. Any bad row refuses the request, as MLflow has no place for errors of rows.")
            .takes::<InvocationsRequest>(true, &[("Two rows", split())])
            .takes_as::<String>("text/csv", true, &[("Two rows", json!("a,b\n0.5,1.0\n0.25,\n"))])
            .takes_file("application/vnd.apache.parquet")
            .answers::<InvocationsAnswer>("One entry a row.", Some(json!({ "predictions": [[0.88, 0.12], [0.07, 0.93]] })))
    };
    let ping =
        |id, summary| new(id, summary).answers_text("text/plain; charset=utf-8", "A model can answer.");
    Some(match (method, path) {
        ("POST", "/invocations") => invocations("invocations", "Predictions of a table by the default model")
            .query::<String>(
                "model",
                "Another model than the default: `name`, `name@version` or `name@alias`.",
                json!("vader-random-forest"),
            )
            .query_version(),
        ("POST", "/models/{name}/invocations") => {
            invocations("model_invocations", "Predictions of a table by one model").query_version()
        }
        ("GET", "/ping") => ping("ping", "Whether models can answer").fails(&[404]),
        ("GET", "/models/{name}/ping") => ping("model_ping", "Whether the model is there"),
        ("GET", "/version") => {
            new("version", "This server's version, bare").answers_text("text/plain; charset=utf-8", "It.")
        }
        _ => return None,
    })
}
