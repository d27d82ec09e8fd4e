//! Proof for an imported model: the answers of the library that trained it, from a CSV file, or rows sampled where the
//! model changes its answer, answered by serve-core's naive evaluator.
//!
//! The CSV file has a column per feature, in any order and named as in the model, then `predict` (the class label, or
//! the value of a regression; for several outputs one `predict:<output>` each) and for a classification
//! `predict_proba:<label>` for each class, of which the predicted one has the greatest. An empty cell is missing; `inf` and `-inf` are themselves. A feature with a vocabulary takes its texts or their codes.

mod columns;
mod sample;

use csv::{ReaderBuilder, StringRecord, Trim};
use serve_core::signature::text_hash;
use serve_core::{Golden, GoldenSource, Task};
use thiserror::Error;

use crate::error::shown;
use crate::imported::{Feature, ImportedModel};
use columns::Columns;

pub use sample::sample_golden;

/// Why a file holds no golden rows for a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// It is no CSV file.
    #[error("the golden file cannot be read as CSV")]
    Csv(#[from] csv::Error),
    /// A column is not there.
    #[error("the golden file has no column {column:?}")]
    MissingColumn {
        /// The column.
        column: String,
    },
    /// A column is there twice.
    #[error("the golden file has the column {column:?} twice")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// A column means nothing to the model.
    #[error(
        "the golden file has a column {column:?}, which is none of the model's features, predict, predict:<output> or predict_proba:<label>"
    )]
    UnknownColumn {
        /// The column.
        column: String,
    },
    /// Its classes are others than the model's.
    #[error("the golden file has probabilities of {got}, the model has the classes {expected}")]
    Classes {
        /// The model's.
        expected: String,
        /// The file's.
        got: String,
    },
    /// A cell is not what its column holds.
    #[error("line {line}, column {column:?}: expected {expected}, got {got}")]
    Cell {
        /// The line, from 1, the header's.
        line: u64,
        /// The column's name.
        column: String,
        /// What it holds.
        expected: String,
        /// What the cell holds.
        got: String,
    },
    /// It has a header and nothing else.
    #[error("the golden file has no rows")]
    NoRows,
}

/// Reads golden rows that the training library answered. Classes are the model's, so labels that a person gives have
/// to be set before ([`ImportedModel::with_classes`]). `O(bytes)`.
///
/// # Errors
/// When the columns do not fit the model, a cell does not fit its column, or there are no rows.
///
/// ```
/// # let file = serve_formats_doctest();
/// # fn serve_formats_doctest() -> &'static [u8] {
/// #   b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\
/// #     objective=regression\nfeature_names=rain\nfeature_infos=[0:9]\n\n\
/// #     Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=2\n\
/// #     left_child=-1\nright_child=-2\nleaf_value=10 20\n\nend of trees\n"
/// # }
/// use serve_formats::{Format, import, read_golden};
/// let model = import(file, Format::Auto)?;
/// let golden = read_golden(b"rain,predict\n0.5,10\n0.6,20\n", &model)?;
/// assert_eq!(golden.scores, [[10.0], [20.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_golden(csv: &[u8], model: &ImportedModel) -> Result<Golden, GoldenError> {
    let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
    let mut reader = ReaderBuilder::new().trim(Trim::Fields).from_reader(csv);
    let columns = Columns::find(reader.headers()?, model)?;
    let (mut rows, mut scores) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record?;
        let cells =
            Cells { columns: &columns, line: record.position().map_or(0, csv::Position::line), record };
        let features = model.features.iter().zip(&columns.features);
        rows.push(features.map(|(feature, &at)| cells.input(feature, at)).collect::<Result<Vec<f64>, _>>()?);
        scores.push(cells.scores(&model.task)?);
    }
    if rows.is_empty() {
        return Err(GoldenError::NoRows);
    }
    let tolerance = model.tolerance;
    Ok(Golden { source: GoldenSource::Reference, by: author(model), tolerance, rows, scores })
}

fn author(model: &ImportedModel) -> String {
    match &model.source.version {
        Some(version) => format!("{} {version}", model.source.library),
        None => model.source.library.clone(),
    }
}

/// One line.
struct Cells<'a> {
    columns: &'a Columns,
    line: u64,
    record: StringRecord,
}

impl Cells<'_> {
    fn text(&self, at: usize) -> &str {
        self.record.get(at).unwrap_or_default()
    }

    fn error(&self, at: usize, expected: impl Into<String>) -> GoldenError {
        let (line, column) = (self.line, self.columns.names[at].clone());
        GoldenError::Cell { line, column, expected: expected.into(), got: shown(self.text(at)) }
    }

    fn input(&self, feature: &Feature, at: usize) -> Result<f64, GoldenError> {
        input(feature, self.text(at)).ok_or_else(|| self.error(at, expected(feature)))
    }

    fn scores(&self, task: &Task) -> Result<Vec<f64>, GoldenError> {
        let answer = |&at: &usize| {
            let number = self.text(at).parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| self.error(at, "a finite number"))
        };
        let (classes, Some(&predict)) = (task.classes(), self.columns.predict.first()) else {
            return Ok(Vec::new());
        };
        if classes.is_empty() {
            return self.columns.predict.iter().map(answer).collect();
        }
        let label = self.text(predict);
        let Some(label) = classes.iter().position(|class| class == label) else {
            return Err(self.error(predict, format!("one of {}", columns::listed(classes))));
        };
        let scores: Vec<f64> = self.columns.probabilities.iter().map(answer).collect::<Result<_, _>>()?;
        // Columns that were swapped would else pass for a model that answers the wrong class.
        match (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])) {
            Some(best) if scores[best] > scores[label] => {
                let (class, score) = (&classes[best], scores[best]);
                Err(self.error(predict, format!("{class:?}, whose probability {score} is the greatest")))
            }
            _ => Ok(scores),
        }
    }
}

/// A cell as the number that the model sees; NaN where it is empty, nothing where it means nothing to the feature.
pub(crate) fn input(feature: &Feature, text: &str) -> Option<f64> {
    if let Some(hashes) = &feature.text_hashes {
        let hash = text_hash(text);
        return Some(hashes.iter().position(|known| *known == hash).unwrap_or(hashes.len()) as f64);
    }
    let words = feature.vocabulary.as_deref().unwrap_or_default();
    match (text, words.iter().position(|word| word == text)) {
        ("", _) => Some(f64::NAN),
        (_, Some(code)) => Some(code as f64),
        _ => text.parse().ok(),
    }
}

/// What [`input`] reads.
pub(crate) fn expected(feature: &Feature) -> &'static str {
    if feature.vocabulary.as_ref().is_some_and(|words| !words.is_empty()) {
        "a number, or a text of the vocabulary"
    } else {
        "a number"
    }
}
