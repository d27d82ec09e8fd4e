//! The model's inputs: one tensor `[N, n]` or many, which columns of the row they are, and what is learnt about them on
//! the way.
//!
//! A tensor of one column gives a feature its name; one of several columns gives `name_0`, `name_1`, … where there are
//! other inputs, and `f0`, `f1`, … where it is the only one. The metadata key `feature_names`, a JSON list, names them
//! all.

use std::collections::HashSet;

use serve_core::graph::Dtype;

use super::file::{GraphFile, ModelFile, ValueFile};
use super::lower::{self, Fault};
use crate::error::{ImportError, Place, shown};
use crate::imported::Feature;

/// Most columns of all inputs.
const MAX_COLUMNS: usize = 1 << 16;

/// One tensor that the file's graph takes.
#[derive(Debug, Clone)]
pub(super) struct InputTensor {
    pub(super) name: String,
    /// `None` is text.
    pub(super) dtype: Option<Dtype>,
    pub(super) columns: Vec<u32>,
    /// Its shape for one row.
    pub(super) shape: Vec<usize>,
}

/// What is known of one column.
#[derive(Debug, Clone, Default)]
pub(super) struct ColumnInput {
    name: String,
    text: bool,
    whole: bool,
    vocabulary: Vec<String>,
    known: HashSet<String>,
    /// Whether some encoder has no rule for a text that it does not know.
    strict: bool,
}

/// All inputs.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    pub(super) tensors: Vec<InputTensor>,
    columns: Vec<ColumnInput>,
}

impl Inputs {
    pub(super) fn read(model: &ModelFile<'_>, graph: &GraphFile<'_>) -> Result<Self, ImportError> {
        let mut inputs = Self::default();
        // Older files list their constants among the inputs.
        let given = |value: &&ValueFile<'_>| !graph.tensors.iter().any(|tensor| tensor.name == value.name);
        let values: Vec<&ValueFile<'_>> = graph.inputs.iter().filter(given).collect();
        for value in &values {
            inputs.add(value, values.len() == 1)?;
        }
        if inputs.columns.is_empty() {
            let place = Place::Path("graph.input".to_owned());
            return Err(ImportError::Missing { place, what: "an input".to_owned() });
        }
        inputs.name_by(model);
        Ok(inputs)
    }

    fn add(&mut self, value: &ValueFile<'_>, alone: bool) -> Result<(), ImportError> {
        let place = || Place::Path(format!("input {}", shown(value.name)));
        let dtype = match value.kind {
            8 => None,
            kind => Some(lower::dtype(kind).map_err(|fault| match fault {
                Fault::Unsupported { what, supported } => {
                    ImportError::Unsupported { place: place(), what, supported }
                }
                _ => ImportError::Missing { place: place(), what: "a tensor type".to_owned() },
            })?),
        };
        let width = |n: Option<i64>| {
            let n = n.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
            let most = MAX_COLUMNS - self.columns.len();
            n.filter(|&n| n <= most).ok_or_else(|| {
                ImportError::invalid(place(), format!("a fixed number of columns, at most {most}"), "another")
            })
        };
        let dims = value.dims.as_deref().unwrap_or_default();
        let (count, shape) = match *dims {
            [] => (1, vec![1, 1]),
            // `[N]`: one value a row.
            [_] => (1, vec![1]),
            [_, n] => (width(n)?, vec![1, width(n)?]),
            _ => return Err(ImportError::invalid(place(), "one or two dimensions", dims.len().to_string())),
        };
        let first = self.columns.len() as u32;
        for column in 0..count {
            let name = match (count, alone) {
                (1, _) => value.name.to_owned(),
                (_, true) => format!("f{column}"),
                (_, false) => format!("{}_{column}", value.name),
            };
            let whole = matches!(dtype, Some(Dtype::I64 | Dtype::Bool));
            self.columns.push(ColumnInput { name, text: dtype.is_none(), whole, ..ColumnInput::default() });
        }
        let columns = (first..first + count as u32).collect();
        self.tensors.push(InputTensor { name: value.name.to_owned(), dtype, columns, shape });
        Ok(())
    }

    fn name_by(&mut self, model: &ModelFile<'_>) {
        let given = model.metadata.iter().find(|(key, _)| *key == "feature_names");
        let names = given.and_then(|(_, json)| serde_json::from_str::<Vec<String>>(json).ok());
        let Some(names) = names.filter(|names| names.len() == self.columns.len()) else { return };
        self.columns.iter_mut().zip(names).for_each(|(column, name)| column.name = name);
    }

    /// Length of a row.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Vocabularies of all text columns.
    pub(super) fn words(&self) -> impl Iterator<Item = Vec<String>> {
        self.columns.iter().filter(|column| column.text).map(|column| column.vocabulary.clone())
    }

    /// Whether some column is text.
    pub(super) fn has_texts(&self) -> bool {
        self.columns.iter().any(|column| column.text)
    }

    pub(super) fn vocabulary(&self, column: u32) -> Vec<String> {
        self.columns[column as usize].vocabulary.clone()
    }

    /// An encoder on this column knows these texts.
    pub(super) fn know(&mut self, column: u32, words: &[&str], has_rule: bool) {
        let column = &mut self.columns[column as usize];
        if !column.text {
            return;
        }
        for word in words {
            if column.known.insert((*word).to_owned()) {
                column.vocabulary.push((*word).to_owned());
            }
        }
        column.strict |= !has_rule;
    }

    /// The features, `required` where nothing is known to say otherwise.
    pub(super) fn features(&self) -> Vec<Feature> {
        let feature = |column: &ColumnInput| Feature {
            name: column.name.clone(),
            categorical: column.text,
            vocabulary: column.text.then(|| column.vocabulary.clone()),
            unknown: (column.text && !column.strict).then_some(-1.0),
            required: true,
            ..Feature::default()
        };
        self.columns.iter().map(feature).collect()
    }

    /// Whether a column is text.
    pub(super) fn is_text(&self, column: usize) -> bool {
        self.columns[column].text
    }

    /// A column that no encoder looks at takes any text.
    pub(super) fn fill_vocabularies(&mut self) {
        for column in self.columns.iter_mut().filter(|column| column.text && column.vocabulary.is_empty()) {
            column.vocabulary.push(String::new());
        }
    }

    /// Whether a column can hold NaN.
    pub(super) fn may_be_missing(&self, column: usize) -> bool {
        !self.columns[column].text && !self.columns[column].whole
    }
}
