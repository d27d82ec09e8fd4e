//! The rows that an imported model learned from: how its inputs and its scores were distributed then, which is recorded
//! with the version and never enforced.
//!
//! The CSV file has a column per feature, in any order and named as in the model; other columns are not looked at. An
//! empty cell, `nan`, `na`, `n/a` and `null` are missing. Texts that the model has no code for are counted and are its code
//! for unknown texts, or missing where it has none.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Trim};
use ndarray::ArrayView2;
use serve_core::reference::{Columns, Reference};
use serve_core::{BatchPrediction, InvalidInput, Pipeline, Value, cell};
use thiserror::Error;

use crate::error::shown;
use crate::golden;
use crate::imported::{Feature, ImportedModel};

/// Cells that mean "missing", in any case, besides the empty one.
const MISSING: [&str; 4] = ["nan", "na", "n/a", "null"];

/// So many different texts of a feature are counted; later ones are not.
const MAX_CATEGORIES: usize = 10_000;

/// Rows that are scored at once.
const CHUNK: usize = 4096;

/// Why a file holds no training data for a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainingDataError {
    /// It is no CSV file.
    #[error("the training data cannot be read")]
    Csv(#[from] csv::Error),
    /// A column is not there.
    #[error("the training data has no column {column:?}")]
    MissingColumn {
        /// The column.
        column: String,
    },
    /// A column is there twice.
    #[error("the training data has the column {column:?} twice")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// A cell is not what its column holds.
    #[error("line {line}, column {column:?}: expected {expected}, got {got}")]
    Cell {
        /// The line, from 1, the header's.
        line: u64,
        /// The column's name.
        column: String,
        /// What it holds.
        expected: &'static str,
        /// What the cell holds.
        got: String,
    },
    /// It has a header and nothing else.
    #[error("the training data has no rows")]
    NoRows,
    /// The model does not take such rows at all.
    #[error("the model cannot score the training data")]
    Score(#[from] InvalidInput),
}

/// Rows as the model sees them.
#[derive(Debug, Clone)]
pub struct TrainingData {
    names: Vec<String>,
    /// Row-major.
    values: Vec<f64>,
    categories: Vec<BTreeMap<String, u64>>,
    window: Option<(String, String)>,
}

/// The columns of a file that are looked at, as positions.
struct Places {
    features: Vec<usize>,
    time: Option<usize>,
}

impl Places {
    fn find(
        header: &StringRecord,
        features: &[Feature],
        time: Option<&str>,
    ) -> Result<Self, TrainingDataError> {
        let mut positions: HashMap<&str, usize> = HashMap::with_capacity(header.len());
        let mut twice = Vec::new();
        for (at, name) in header.iter().enumerate() {
            if positions.insert(name, at).is_some() {
                twice.push(name);
            }
        }
        let find = |column: &str| {
            if twice.contains(&column) {
                return Err(TrainingDataError::DuplicateColumn { column: column.to_owned() });
            }
            let missing = || TrainingDataError::MissingColumn { column: column.to_owned() };
            positions.get(column).copied().ok_or_else(missing)
        };
        let features = features.iter().map(|feature| find(&feature.name)).collect::<Result<_, _>>()?;
        Ok(Self { features, time: time.map(find).transpose()? })
    }
}

struct Line<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Line<'_> {
    fn error(&self, at: usize, expected: &'static str) -> TrainingDataError {
        TrainingDataError::Cell {
            line: self.record.position().map_or(0, csv::Position::line),
            column: self.header[at].to_owned(),
            expected,
            got: shown(&self.record[at]),
        }
    }
}

/// The header without the mark that some programs put at the beginning of UTF-8 text.
fn without_mark(header: &StringRecord) -> StringRecord {
    header.iter().map(|name| name.strip_prefix('\u{feff}').unwrap_or(name)).collect()
}

impl TrainingData {
    /// Reads rows. `time` is the column of their times and `parse` reads one; without it the window of time is not known.
    /// Holds `rows · features` numbers in memory.
    ///
    /// # Errors
    /// When a column is not there, a cell does not fit its column, or there are no rows.
    pub fn read<T: Ord + Copy + ToString>(
        csv: impl Read,
        model: &ImportedModel,
        time: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, TrainingDataError> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(csv);
        let header = without_mark(reader.headers()?);
        let places = Places::find(&header, &model.features, time)?;
        let mut data = Self {
            names: model.feature_names(),
            values: Vec::new(),
            categories: vec![BTreeMap::new(); model.features.len()],
            window: None,
        };
        let (mut window, mut record) = (None, StringRecord::new());
        while reader.read_record(&mut record)? {
            let line = Line { header: &header, record: &record };
            data.push(&line, &places, &model.features)?;
            if let Some(at) = places.time {
                let time = parse(&record[at]).ok_or_else(|| line.error(at, "a time, RFC 3339 or a date"))?;
                let (first, last) = window.unwrap_or((time, time));
                window = Some((time.min(first), time.max(last)));
            }
        }
        if data.values.is_empty() {
            return Err(TrainingDataError::NoRows);
        }
        data.window = window.map(|(first, last)| (first.to_string(), last.to_string()));
        Ok(data)
    }

    fn push(
        &mut self,
        line: &Line<'_>,
        places: &Places,
        features: &[Feature],
    ) -> Result<(), TrainingDataError> {
        for ((feature, &at), counts) in features.iter().zip(&places.features).zip(&mut self.categories) {
            let text = &line.record[at];
            self.values.push(value(feature, text).ok_or_else(|| line.error(at, golden::expected(feature)))?);
            count(feature, text, counts);
        }
        Ok(())
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.names.len().max(1)
    }

    /// How the rows and the scores that a model gives them are distributed, and how many rows got no score.
    /// `outputs` are the scores' names.
    ///
    /// # Errors
    /// When the pipeline has another number of inputs.
    pub fn reference(
        &self,
        pipeline: &Pipeline,
        outputs: &[String],
    ) -> Result<(Reference, usize), TrainingDataError> {
        let width = self.names.len();
        let (mut scores, mut unscored) = (Vec::new(), 0);
        for chunk in self.values.chunks((CHUNK * width).max(1)) {
            let mut batch = BatchPrediction::new();
            pipeline.predict_batch(view(chunk, width)?, &mut batch)?;
            for row in 0..chunk.len() / width.max(1) {
                match batch.get(row) {
                    Ok(prediction) => scores.extend_from_slice(prediction.scores()),
                    Err(_) => unscored += 1,
                }
            }
        }
        let features = Columns { names: &self.names, values: view(&self.values, width)? };
        let scores = Columns { names: outputs, values: view(&scores, outputs.len())? };
        let mut reference = Reference::of(self.window.clone(), features, scores);
        for (feature, categories) in reference.features.iter_mut().zip(&self.categories) {
            feature.categories.clone_from(categories);
        }
        Ok((reference, unscored))
    }
}

fn view(values: &[f64], width: usize) -> Result<ArrayView2<'_, f64>, InvalidInput> {
    let rows = values.len() / width.max(1);
    ArrayView2::from_shape((rows, width), values)
        .map_err(|_| InvalidInput::Length { expected: rows * width, got: values.len() })
}

fn value(feature: &Feature, text: &str) -> Option<f64> {
    let known = golden::input(feature, text);
    if known.is_some() {
        return known;
    }
    if MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
        return Some(f64::NAN);
    }
    match (&feature.vocabulary, cell::number(text)) {
        (Some(_), _) => Some(feature.unknown.unwrap_or(f64::NAN)),
        (None, Some(Value::Bool(truth))) => Some(f64::from(u8::from(truth))),
        (None, Some(Value::Missing)) => Some(f64::NAN),
        (None, _) => None,
    }
}

/// Notes a category, where the feature has categories.
fn count(feature: &Feature, text: &str, counts: &mut BTreeMap<String, u64>) {
    let has = feature.categorical || feature.vocabulary.is_some() || feature.text_hashes.is_some();
    if !has || text.is_empty() {
        return;
    }
    if let Some(count) = counts.get_mut(text) {
        *count += 1;
    } else if counts.len() < MAX_CATEGORIES {
        counts.insert(text.to_owned(), 1);
    }
}
