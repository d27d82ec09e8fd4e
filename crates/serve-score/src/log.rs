//! The log of predictions: a row for each, as the design has it. Nothing writes it yet; what does will take its columns from here,
//! and what reads it finds them by these names.

mod features;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use crate::error::ScoreError;
use crate::source::{Batch, Binding, Source};

pub(crate) use features::columns as feature_columns;

/// Which prediction it is.
pub const PREDICTION_ID: &str = "prediction_id";
/// The request that it answered.
pub const REQUEST_ID: &str = "request_id";
/// When it was made.
pub const TIMESTAMP: &str = "timestamp";
/// The model.
pub const MODEL: &str = "model";
/// Its version.
pub const VERSION: &str = "version";
/// The digest of the version.
pub const DIGEST: &str = "digest";
/// What the features describe.
pub const ENTITY: &str = "entity";
/// The features as they were before transforms, null where they were missing.
pub const FEATURES: &str = "features";
/// The features that something stood in for.
pub const IMPUTED: &str = "imputed";
/// The scores, by class or by output.
pub const SCORE: &str = "score";
/// How long it took.
pub const LATENCY_US: &str = "latency_us";

/// Columns that a replay cannot do without.
const REQUIRED: [&str; 4] = [MODEL, VERSION, FEATURES, SCORE];
/// Those that it tells rows by, where all files have them.
const TOLD: [&str; 2] = [PREDICTION_ID, ENTITY];

/// The columns of a log of one model, whose features and scores these are.
#[must_use]
pub fn schema(features: Fields, scores: &[String]) -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let score = |name: &String| Field::new(name, DataType::Float64, false);
    let imputed = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, false)));
    Schema::new(vec![
        text(PREDICTION_ID),
        text(REQUEST_ID),
        Field::new(TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text(MODEL),
        text(VERSION),
        text(DIGEST),
        Field::new(ENTITY, DataType::Utf8, true),
        Field::new(FEATURES, DataType::Struct(features), false),
        Field::new(IMPUTED, imputed, false),
        Field::new(SCORE, DataType::Struct(scores.iter().map(score).collect()), false),
        Field::new(LATENCY_US, DataType::UInt64, false),
    ])
}

/// A log of which the columns are known.
#[derive(Debug)]
pub(crate) struct LogColumns {
    told: Vec<&'static str>,
}

impl LogColumns {
    /// Finds the columns of a log in a source.
    pub(crate) fn find(source: &Source) -> Result<(Self, Vec<Binding>), ScoreError> {
        let has = |name: &&str| source.headers().iter().all(|header| header.schema.index_of(name).is_ok());
        let told: Vec<&'static str> = TOLD.into_iter().filter(has).collect();
        let names: Vec<String> = REQUIRED.iter().chain(&told).map(|name| (*name).to_owned()).collect();
        let files = source.files().iter().zip(source.headers());
        let bindings = files.map(|(file, header)| {
            Binding::new(&names, &header.schema, file.partition()).map_err(|wrong| {
                let wrong: Vec<String> = wrong.into_iter().map(|(name, _)| format!("{name:?}")).collect();
                let (file, wrong) = (file.name(), wrong.join(", "));
                ScoreError::plan(format!(
                    "{file} is no log of predictions: expected one column each of {wrong}"
                ))
            })
        });
        Ok((Self { told }, bindings.collect::<Result<_, _>>()?))
    }

    /// The rows of a batch that a condition on model and version holds for.
    pub(crate) fn rows(
        &self,
        batch: &Batch,
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Logged, ScoreError> {
        let [model, version, features, score] = &batch.columns[..REQUIRED.len()] else {
            return Err(ScoreError::software("a log's columns were not read"));
        };
        let (model, version) = (texts(model)?, texts(version)?);
        let wanted = |row: usize| wanted(text(&model, row), text(&version, row));
        let kept: Vec<usize> = (0..batch.rows).filter(|row| wanted(*row)).collect();
        let mask = (kept.len() < batch.rows).then(|| {
            let mut mask = vec![false; batch.rows];
            kept.iter().for_each(|row| mask[*row] = true);
            BooleanArray::from(mask)
        });
        let filtered = |column: &dyn Array| match &mask {
            Some(mask) => arrow_select::filter::filter(column, mask).map_err(ScoreError::software),
            None => Ok(column.slice(0, column.len())),
        };
        let told = |name: &str| -> Result<Option<StringArray>, ScoreError> {
            let Some(at) = self.told.iter().position(|told| *told == name) else { return Ok(None) };
            let column = texts(&batch.columns[REQUIRED.len() + at])?;
            Ok(Some(filtered(&column)?.as_string().clone()))
        };
        Ok(Logged {
            numbers: kept.into_iter().map(|row| batch.number(row)).collect(),
            prediction_id: told(PREDICTION_ID)?,
            entity: told(ENTITY)?,
            model: filtered(&model)?.as_string().clone(),
            version: filtered(&version)?.as_string().clone(),
            features: filtered(features)?,
            scores: LoggedScores::read(&filtered(score)?)?,
        })
    }
}

/// Rows of a log.
#[derive(Debug)]
pub(crate) struct Logged {
    /// Their numbers in the log, from 1.
    pub(crate) numbers: Vec<u64>,
    pub(crate) prediction_id: Option<StringArray>,
    pub(crate) entity: Option<StringArray>,
    pub(crate) model: StringArray,
    pub(crate) version: StringArray,
    pub(crate) features: ArrayRef,
    pub(crate) scores: LoggedScores,
}

/// The scores that were answered then.
#[derive(Debug)]
pub(crate) enum LoggedScores {
    /// A column for each name.
    Columns(HashMap<String, Float64Array>),
    /// Numbers by name, for each row.
    Rows(Vec<HashMap<String, f64>>),
    /// One number.
    One(Float64Array),
}

impl LoggedScores {
    fn read(column: &ArrayRef) -> Result<Self, ScoreError> {
        if let DataType::Struct(fields) = column.data_type() {
            let scores = fields.iter().zip(column.as_struct().columns());
            let read = scores.map(|(field, column)| Ok((field.name().clone(), numbers(column)?)));
            return read.collect::<Result<_, ScoreError>>().map(Self::Columns);
        }
        if column.data_type().is_numeric() {
            return numbers(column).map(Self::One);
        }
        let texts = texts(column)?;
        let row = |text: Option<&str>| serde_json::from_str(text?).ok();
        let rows = texts.iter().map(|text| match row(text) {
            Some(serde_json::Value::Object(scores)) => {
                scores.into_iter().filter_map(|(name, score)| Some((name, score.as_f64()?))).collect()
            }
            // A score by itself has no name.
            Some(score) => score.as_f64().map(|score| (String::new(), score)).into_iter().collect(),
            None => HashMap::new(),
        });
        Ok(Self::Rows(rows.collect()))
    }

    /// The score of a name; where a row has one score and one is asked for, its name says nothing.
    pub(crate) fn get(&self, row: usize, name: &str, only: bool) -> Option<f64> {
        let at = |column: &Float64Array| (!column.is_null(row)).then(|| column.value(row));
        let score = match self {
            Self::Columns(columns) => match columns.get(name) {
                Some(column) => at(column),
                None if only && columns.len() == 1 => columns.values().next().and_then(at),
                None => None,
            },
            Self::Rows(rows) => match rows[row].get(name) {
                Some(score) => Some(*score),
                None if only && rows[row].len() == 1 => rows[row].values().next().copied(),
                None => None,
            },
            Self::One(column) => only.then(|| at(column)).flatten(),
        };
        score.filter(|score| score.is_finite())
    }

    /// The score that a row has by itself, without a name.
    pub(crate) fn unnamed(&self, row: usize) -> Option<f64> {
        match self {
            Self::Columns(_) => None,
            Self::Rows(_) => self.get(row, "", false),
            Self::One(_) => self.get(row, "", true),
        }
    }
}

fn numbers(column: &ArrayRef) -> Result<Float64Array, ScoreError> {
    let cast = arrow_cast::cast(column, &DataType::Float64);
    let cast = cast.map_err(|error| ScoreError::plan(format!("the log's {SCORE:?}: {error}")))?;
    Ok(cast.as_primitive::<Float64Type>().clone())
}

fn texts(column: &ArrayRef) -> Result<StringArray, ScoreError> {
    let cast = arrow_cast::cast(column, &DataType::Utf8);
    let cast = cast.map_err(|error| {
        ScoreError::plan(format!("a column of the log that is expected to be text: {error}"))
    })?;
    Ok(cast.as_string::<i32>().clone())
}

/// A text of a column; nothing where it is null.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}
