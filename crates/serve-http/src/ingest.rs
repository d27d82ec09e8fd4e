//! Rows on their way into the feature store: ready rows of a set, and raw rows of a table. Both come one or many, all or
//! none is stored, and what offends is told for every row and field at once. The same rows may be sent again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use serve_app::features::{MOST_OF_A_ROW, RawRefusal, shown};
use serve_app::{Code, Features, Service, ServiceError};
use serve_core::Value;
use serve_features::{
    Entity, FeatureRow, IngestError, IngestRequest, RawRow, RawTable, Refusal, Violation, ViolationKind,
};

use crate::call::{Call, maybe_objects, object};
use crate::failure::Failure;
use crate::features::set_name;
use crate::predict_body::{FeatureList, parse_time};
use crate::reply::{self, Reply};
use crate::routes::App;

/// `{"rows": [ROW, …]}`, or one row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IngestBody<'a> {
    #[serde(borrow, default, deserialize_with = "maybe_objects")]
    rows: Option<Vec<RowBody<'a>>>,
    entity: Option<Value<'a>>,
    symbol: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    #[serde(alias = "values")]
    features: Option<FeatureList<'a>>,
}

/// `{"entity", "timestamp", "features": {…}}`; a raw row may say `values`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowBody<'a> {
    #[serde(borrow)]
    entity: Option<Value<'a>>,
    symbol: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    #[serde(alias = "values")]
    features: Option<FeatureList<'a>>,
}

/// So many offences are told of a request: what is sent wrong must not come back many times as long.
const MOST_TOLD: usize = 1_000;

/// What is wrong with one field of one row.
struct Offence {
    row: usize,
    entity: Option<String>,
    field: String,
    expected: String,
    got: String,
}

impl Offence {
    fn told(&self) -> Json {
        let Self { row, entity, field, expected, got } = self;
        json!({ "row": row, "entity": entity, "field": field, "expected": expected, "got": got })
    }
}

/// The rows of a request as far as they can be read, with what is wrong with their form. A row without a sound entity or
/// time has another in its place, so that its values can be looked at too; rows with offences are never stored.
struct Read {
    rows: Vec<RawRow>,
    /// The place in the request of each of `rows`.
    places: Vec<usize>,
    offences: Vec<Offence>,
    total: usize,
}

impl Read {
    fn entity(&self, row: usize) -> Option<String> {
        self.rows.get(row).map(|row| row.entity.to_string())
    }

    /// All that is wrong, by row, each field once: with its form, or else with its value. `rows` offend by their values.
    fn refused(
        mut self,
        rows: impl Iterator<Item = usize>,
        values: impl Iterator<Item = Offence>,
    ) -> Failure {
        let place = |row: usize| self.places.get(row).copied().unwrap_or(row);
        let by_form = self.offences.iter().map(|offence| offence.row);
        let refused: HashSet<usize> = rows.map(place).chain(by_form).collect();
        let values = values.take(MOST_TOLD).map(|offence| Offence { row: place(offence.row), ..offence });
        let values: Vec<Offence> = values.collect();
        self.offences.extend(values);
        self.offences.sort_by_key(|offence| offence.row);
        let mut seen = HashSet::new();
        self.offences.retain(|offence| seen.insert((offence.row, offence.field.clone())));
        refused_rows(&self.offences, refused.len(), self.total)
    }
}

/// `POST /features/{set}`.
pub(crate) async fn ready(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let set = set_name(app, &call)?;
    let service = Arc::clone(&app.service);
    let (call, read) = app.read(call, move |call| read(&service, call, "features")).await?;
    let row = |row: &RawRow| FeatureRow::new(row.entity.clone(), row.timestamp, row.values.clone());
    let rows: Vec<FeatureRow> = read.rows.iter().map(row).collect();
    if !read.offences.is_empty() {
        let refused = app.service.retriever().refusals(&set, &rows);
        let entities: Vec<_> = refused.iter().take(MOST_TOLD).map(|(row, _)| read.entity(*row)).collect();
        let values = refused.iter().zip(entities);
        let values = values.flat_map(|((row, refusal), entity)| offences(*row, entity, refusal));
        return Err(read.refused(refused.iter().map(|(row, _)| *row), values));
    }
    let stored = app.service.ingest(&call.context, IngestRequest { set, rows, partial: false }).await;
    match stored {
        Ok(ingested) => {
            app.service.features_arrived();
            Ok(written(app, &call, ingested.written))
        }
        Err(error) => {
            let failure = Failure::from(app.service.not_ingested(&error));
            let IngestError::Refused { refused, .. } = &error else { return Err(failure) };
            let offences =
                refused.iter().flat_map(|(row, refusal)| offences(*row, read.entity(*row), refusal));
            Err(failure.with_details(offences.take(MOST_TOLD).map(|offence| offence.told()).collect()))
        }
    }
}

/// `POST /raw/{table}`.
pub(crate) async fn raw(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let table: RawTable = call.path_as("table", Code::UnknownTable)?;
    if !is_known(app, &table) {
        let message = format!("unknown table \"{table}\": no declared feature set reads it");
        return Err(ServiceError::new(Code::UnknownTable, message).into());
    }
    let service = Arc::clone(&app.service);
    let (call, read) = app.read(call, move |call| read(&service, call, "values")).await?;
    let refused = app.service.raw_refusals(&table, &read.rows);
    if !refused.is_empty() || !read.offences.is_empty() {
        let rows: Vec<usize> = refused.iter().map(|refusal| refusal.row).collect();
        let offence = |RawRefusal { row, column, expected, got }: RawRefusal| Offence {
            entity: read.entity(row),
            row,
            field: column,
            expected,
            got,
        };
        let values: Vec<Offence> = refused.into_iter().take(MOST_TOLD).map(offence).collect();
        return Err(read.refused(rows.into_iter(), values.into_iter()));
    }
    Ok(written(app, &call, app.service.ingest_raw(&call.context, &table, read.rows).await?))
}

/// Whether a table means something: a misspelt name would be a new table that nobody reads.
fn is_known(app: &App, table: &RawTable) -> bool {
    let sets = app.service.retriever().declarations().sets();
    let read = || sets.iter().any(|set| set.sources().iter().any(|source| source.table == *table));
    !matches!(table, RawTable::Events(_)) || read()
}

fn written(app: &App, call: &Call, written: usize) -> Reply {
    let body = json!({
        "success": true,
        "written": written,
        "request_id": &*call.id.0,
        "timestamp": reply::timestamp(app.service.now()),
    });
    reply::json(StatusCode::OK, &body)
}

/// The rows of a body, each with an entity, a time and, under `field`, values by name.
fn read(service: &Service, call: &Call, field: &str) -> Result<Read, Failure> {
    call.query(&[])?;
    let Some(body) = call.json_body()? else {
        return Err(Failure::unreadable(
            "malformed_json",
            "the body is empty; expected {\"rows\": […]} or one row",
        ));
    };
    let IngestBody { rows, entity, symbol, timestamp, features } = object(body)?;
    let bodies = match rows {
        None => vec![RowBody { entity, symbol, timestamp, features }],
        Some(rows) if entity.is_none() && symbol.is_none() && timestamp.is_none() && features.is_none() => {
            rows
        }
        Some(_) => {
            let message = "the request contradicts itself: rows stand beside the keys of one row";
            return Err(Failure::invalid("conflicting_request", message));
        }
    };
    service.check_rows(bodies.len())?;
    let total = bodies.len();
    let (mut rows, mut places, mut offences) = (Vec::with_capacity(total), Vec::new(), Vec::new());
    for (at, body) in bodies.into_iter().enumerate() {
        if let Some(row) = row(at, body, field, &mut offences) {
            rows.push(row);
            places.push(at);
        }
    }
    let wrong: HashSet<usize> = offences.iter().map(|offence| offence.row).collect();
    offences.extend(contradictions(&rows, &places, &wrong));
    Ok(Read { rows, places, offences, total })
}

/// What a row says, by name.
fn said(row: &RawRow) -> Vec<&(Arc<str>, Value<'static>)> {
    let mut said: Vec<_> = row.values.iter().filter(|(_, value)| !matches!(value, Value::Missing)).collect();
    said.sort_by(|a, b| a.0.cmp(&b.0));
    said
}

/// Rows of one entity and time that do not say the same: one of them would be lost. Of rows that are wrong anyway nothing is
/// told. A value that is not there and one that is missing say the same.
fn contradictions(rows: &[RawRow], places: &[usize], wrong: &HashSet<usize>) -> Vec<Offence> {
    let mut first: HashMap<(&Entity, Timestamp), (&RawRow, usize)> = HashMap::with_capacity(rows.len());
    let mut offences = Vec::new();
    for (row, place) in rows.iter().zip(places).filter(|(_, place)| !wrong.contains(place)) {
        let (known, at) = *first.entry((&row.entity, row.timestamp)).or_insert((row, *place));
        if at != *place && said(known) != said(row) {
            offences.push(Offence {
                row: *place,
                entity: Some(row.entity.to_string()),
                field: "timestamp".to_owned(),
                expected: format!("one row of an entity and a time, or the values of row {at} again"),
                got: "other values".to_owned(),
            });
        }
    }
    offences
}

fn refused_rows(offences: &[Offence], refused: usize, total: usize) -> Failure {
    let first = offences.first().map(|Offence { row, field, expected, got, .. }| {
        format!(": row {row}: `{field}`: expected {expected}, got {got}")
    });
    let message =
        format!("{refused} of {total} rows are refused, and none is stored{}", first.unwrap_or_default());
    let details = offences.iter().take(MOST_TOLD).map(Offence::told).collect();
    Failure::from(ServiceError::new(Code::InvalidRows, message).with_details(details))
}

/// One row, or everything that is wrong with its form.
fn row(at: usize, body: RowBody<'_>, field: &str, offences: &mut Vec<Offence>) -> Option<RawRow> {
    let differ = matches!((&body.entity, &body.symbol), (Some(entity), Some(symbol)) if entity != symbol);
    let named = body.entity.or(body.symbol);
    let text = named.as_ref().and_then(|value| match value {
        Value::Text(text) => Some(text.clone().into_owned()),
        // Ids are numbers in many places.
        Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => Some(format!("{x:.0}")),
        _ => None,
    });
    let mut offend = |field: &str, expected: &str, got: String| {
        let (entity, field, expected) = (text.clone(), field.to_owned(), expected.to_owned());
        offences.push(Offence { row: at, entity, field, expected, got });
    };
    if differ {
        offend("symbol", "what entity says", "another".to_owned());
    }
    let got = |value: Option<&Value<'_>>| value.map_or_else(|| "nothing".to_owned(), shown);
    let entity = text.as_deref().and_then(|text| text.parse::<Entity>().ok());
    if entity.is_none() {
        offend("entity", "1 to 256 bytes of text without control characters", got(named.as_ref()));
    }
    let timestamp = match &body.timestamp {
        Some(Value::Text(text)) => parse_time(text).ok(),
        _ => None,
    };
    if timestamp.is_none() {
        offend(
            "timestamp",
            "RFC 3339 with a zone, such as 2025-10-04T13:50:00Z",
            got(body.timestamp.as_ref()),
        );
    }
    let named = match body.features {
        Some(FeatureList(Features::Named(named))) => named,
        Some(FeatureList(Features::Positional(_))) => {
            offend(field, "an object of values by name", "a list".to_owned());
            return None;
        }
        Some(FeatureList(Features::None)) | None => {
            offend(field, "an object of values by name", "nothing".to_owned());
            return None;
        }
    };
    let mut values: Vec<(Arc<str>, Value<'static>)> = Vec::with_capacity(named.len());
    let mut names: Vec<&str> = named.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        offend(pair[0], "one value", "several".to_owned());
    }
    let mut others = 0;
    for (name, value) in &named {
        if let Value::Other(_) = value
            && others < MOST_OF_A_ROW
        {
            others += 1;
            offend(name, "a number, a boolean, text or null", shown(value));
        }
        values.push((Arc::from(&**name), value.clone().into_owned()));
    }
    let entity = entity.or_else(|| "unknown".parse().ok())?;
    Some(RawRow::new(entity, timestamp.unwrap_or(Timestamp::UNIX_EPOCH), values))
}

/// What a refused row of a declared set offends in.
fn offences(row: usize, entity: Option<String>, refusal: &Refusal) -> Vec<Offence> {
    let offence = |field: &str, expected: String, got: String| Offence {
        row,
        entity: entity.clone(),
        field: field.to_owned(),
        expected,
        got,
    };
    let future = refusal.from_future.map(|timestamp| {
        offence("timestamp", "a moment that has been".to_owned(), reply::timestamp(timestamp))
    });
    let violation = |Violation { feature, kind }: &Violation| {
        let (expected, got) = told(kind);
        offence(feature, expected, got)
    };
    future.into_iter().chain(refusal.violations.iter().map(violation)).collect()
}

fn told(kind: &ViolationKind) -> (String, String) {
    match kind {
        ViolationKind::Type { expected, got } => ((*expected).to_owned(), (*got).to_owned()),
        ViolationKind::NumberAsText { got } => {
            ("a number without quotes".to_owned(), format!("text {got:?}"))
        }
        ViolationKind::Range { min, max, got } => {
            let expected = match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => "a number".to_owned(),
            };
            (expected, got.to_string())
        }
        ViolationKind::Missing => ("a value".to_owned(), "nothing".to_owned()),
        ViolationKind::Unknown { known } => {
            (format!("one of {known}"), "a feature that the set lacks".to_owned())
        }
        _ => ("a value that is allowed".to_owned(), "another".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(at: usize, json: &'static str, field: &str, offences: &mut Vec<Offence>) -> Option<RawRow> {
        row(at, serde_json::from_str(json).expect("is a row"), field, offences)
    }

    #[test]
    fn all_rows_that_offend_are_told_by_form_or_by_value() {
        let mut offences = Vec::new();
        let list =
            r#"{"entity": "A", "timestamp": "2025-10-01T00:00:00Z", "features": {"x": [1], "y": "2"}}"#;
        let none = r#"{"entity": "B", "timestamp": "2025-10-01T00:00:00Z"}"#;
        let late = r#"{"entity": "C", "timestamp": "2025-10-01 00:00:00", "features": {"y": "2"}}"#;
        let rows = [list, none, late].into_iter().enumerate();
        let (places, rows): (Vec<usize>, Vec<RawRow>) =
            rows.filter_map(|(at, json)| Some((at, sent(at, json, "features", &mut offences)?))).unzip();
        assert_eq!(places, [0, 2]);
        let read = Read { rows, places, offences, total: 3 };
        let value = |row: usize, field: &str| Offence {
            row,
            entity: read.entity(row),
            field: field.to_owned(),
            expected: "a number".to_owned(),
            got: "another".to_owned(),
        };
        // What is wrong with the form of `x` is not told a second time by its value.
        let values = vec![value(0, "x"), value(0, "y"), value(1, "y")];
        let entry = read.refused([0, 1].into_iter(), values.into_iter()).entry();
        let fields: Vec<(u64, &str)> = entry["details"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|offence| Some((offence["row"].as_u64()?, offence["field"].as_str()?)))
            .collect();
        assert_eq!(fields, [(0, "x"), (0, "y"), (1, "features"), (2, "timestamp"), (2, "y")]);
        assert_eq!(entry["details"][0]["got"], "a list");
        assert!(entry["error"].as_str().is_some_and(|told| told.starts_with("3 of 3 rows are refused")));
    }

    #[test]
    fn a_raw_row_without_values_is_told_so() {
        let mut offences = Vec::new();
        let row = sent(0, r#"{"entity": "A", "timestamp": "2025-10-01T00:00:00Z"}"#, "values", &mut offences);
        assert!(row.is_none());
        assert_eq!(offences.iter().map(|offence| offence.field.as_str()).collect::<Vec<_>>(), ["values"]);
    }

    #[test]
    fn what_offends_is_told_as_far_as_there_is_room() {
        let mut offences = Vec::new();
        let values: Vec<String> = (0..100).map(|n| format!("\"x{n}\": [1]")).collect();
        let json = format!(
            "{{\"entity\": \"A\", \"timestamp\": \"2025-10-01T00:00:00Z\", \"features\": {{{}}}}}",
            values.join(",")
        );
        let body: RowBody<'_> = serde_json::from_str(&json).expect("is a row");
        assert!(row(0, body, "features", &mut offences).is_some());
        assert_eq!(offences.len(), MOST_OF_A_ROW);
        let offence = |row: usize| Offence {
            row,
            entity: None,
            field: "x".to_owned(),
            expected: "a number".to_owned(),
            got: "another".to_owned(),
        };
        let places = (0..5_000).collect();
        let read = Read { rows: Vec::new(), places, offences: Vec::new(), total: 5_000 };
        let entry = read.refused(0..5_000, (0..5_000).map(offence)).entry();
        assert_eq!(entry["details"].as_array().map(Vec::len), Some(MOST_TOLD));
        assert!(
            entry["error"].as_str().is_some_and(|told| told.starts_with("5000 of 5000 rows are refused"))
        );
    }
}
