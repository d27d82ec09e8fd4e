//! Where the columns that are asked for stand in one file: among its own, or in the names of its folders.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use serve_core::{Datatype, Signature};

/// What Hive writes for a null.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// What the values of an input that is text are read as, where a file leaves types open: texts and nothing else.
pub(super) const WORDS: DataType = DataType::LargeUtf8;
/// Texts, or whole numbers, which stand for their digits.
pub(super) const WORDS_OR_WHOLE: DataType = DataType::Utf8View;

/// The columns of one file that are read, and their order.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// Positions of the file's own columns that are read, ascending, each once.
    pub(crate) own: Vec<usize>,
    /// Their names.
    own_names: Vec<String>,
    /// What their values are read as, where the file leaves that open.
    pub(crate) own_types: Vec<DataType>,
    /// The columns asked for, in order.
    at: Vec<At>,
    /// Their types in this file.
    pub(crate) fields: Vec<FieldRef>,
}

#[derive(Debug, Clone)]
enum At {
    /// The nth of those read.
    Own(usize),
    /// The same in every row.
    Folder(String),
}

/// Why a column cannot be had of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbound {
    Missing,
    Twice,
}

/// All columns of a file: its own, then those of its folders that it does not have itself.
pub(crate) fn all_columns(schema: &Schema, partition: &[(String, String)]) -> Vec<FieldRef> {
    let own = schema.fields().iter().cloned();
    let folders = partition.iter().filter(|(name, _)| schema.index_of(name).is_err());
    own.chain(folders.map(|(name, _)| Arc::new(Field::new(name, DataType::Utf8, true)))).collect()
}

impl Binding {
    /// Finds columns by name.
    ///
    /// # Errors
    /// Those that cannot be had, and why.
    pub(crate) fn new(
        names: &[String],
        schema: &Schema,
        partition: &[(String, String)],
    ) -> Result<Self, Vec<(String, Unbound)>> {
        let (mut found, mut wrong) = (Vec::with_capacity(names.len()), Vec::new());
        for name in names {
            let mut own = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
            let folder = || partition.iter().find(|(column, _)| column == name);
            match (own.next(), own.next()) {
                (Some((position, field)), None) => found.push((Ok(position), Arc::clone(field))),
                (Some(_), Some(_)) => wrong.push((name.clone(), Unbound::Twice)),
                (None, _) => match folder() {
                    Some((_, value)) => {
                        found.push((Err(value.clone()), Arc::new(Field::new(name, DataType::Utf8, true))));
                    }
                    None => wrong.push((name.clone(), Unbound::Missing)),
                },
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut own: Vec<usize> = found.iter().filter_map(|(at, _)| at.as_ref().ok().copied()).collect();
        own.sort_unstable();
        own.dedup();
        let rank = |position: usize| own.partition_point(|&other| other < position);
        let (at, fields) = found
            .into_iter()
            .map(|(at, field)| (at.map_or_else(At::Folder, |position| At::Own(rank(position))), field))
            .unzip();
        let own_types = own.iter().map(|&position| schema.field(position).data_type().clone()).collect();
        let own_names = own.iter().map(|&position| schema.field(position).name().clone()).collect();
        Ok(Self { own, own_names, own_types, at, fields })
    }

    /// For files whose types are those of their first lines: what is only an input is text until the signature says what it
    /// is, and a whole number that is also kept need not stay one. Of an input that is text the reader is told so.
    pub(crate) fn loosen(&mut self, signature: &Signature, inputs: &[usize], kept: &[usize]) {
        for (&name, input) in inputs.iter().zip(signature.inputs()) {
            let At::Own(own) = self.at[name] else { continue };
            let is_kept = kept.contains(&name);
            if input.datatype == Datatype::Bytes && (!is_kept || self.own_types[own] == DataType::Utf8) {
                self.own_types[own] = if input.text_hashes.is_some() { WORDS_OR_WHOLE } else { WORDS };
                self.fields[name] =
                    Arc::new(self.fields[name].as_ref().clone().with_data_type(DataType::Utf8));
                continue;
            }
            let loose = match self.own_types[own] {
                _ if !is_kept => DataType::Utf8,
                DataType::Int64 => DataType::Float64,
                _ => continue,
            };
            self.fields[name] = Arc::new(self.fields[name].as_ref().clone().with_data_type(loose.clone()));
            self.own_types[own] = loose;
        }
    }

    /// The name of one of the columns that are read, by its position in the file.
    pub(crate) fn own_name(&self, position: usize) -> String {
        let at = self.own.iter().position(|&own| own == position);
        at.map_or_else(String::new, |at| self.own_names[at].clone())
    }

    /// The columns asked for, of the file's own columns that were read.
    pub(crate) fn columns(&self, own: &[ArrayRef], rows: usize) -> Vec<ArrayRef> {
        let column = |at: &At| match at {
            At::Own(position) => Arc::clone(&own[*position]),
            At::Folder(value) if value == NULL_FOLDER => new_null_array(&DataType::Utf8, rows),
            At::Folder(value) => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows))) as ArrayRef
            }
        };
        let columns: Vec<ArrayRef> = self.at.iter().map(column).collect();
        debug_assert!(
            columns.iter().all(|column| column.len() == rows),
            "a binding's columns have one length"
        );
        columns
    }
}
