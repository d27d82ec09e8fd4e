//! Files as a table of a session. Parquet is DataFusion's own ([`parquet`](super::parquet)); the other formats are read as in a plain
//! job, with their rows in order, and never by inference: the columns of a CSV are text, in which what says that nothing is there is
//! NULL.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::prelude::SessionContext;

use super::rows::Rows;
use super::scan::{Table, Work};
use super::{external, parquet};
use crate::error::ScoreError;
use crate::format::Format;
use crate::plan::widens;
use crate::source::{Binding, Source, all_columns};

/// Makes files a table of this name.
///
/// # Errors
/// When they cannot be opened, or lack columns of the first of them.
pub async fn register_input(session: &SessionContext, name: &str, source: Source) -> Result<()> {
    let schema = table_schema(&source).map_err(external)?;
    if source.format() == Format::Parquet {
        return parquet::register(session, name, &source, &schema).await;
    }
    let table = Table::new(Work::Rows { rows: Arc::new(Rows::of(source, schema)), projection: None })?;
    session.register_table(name, Arc::new(table)).map(drop)
}

/// The columns of the first file with types that hold those of all files, which have to have them.
fn table_schema(source: &Source) -> Result<SchemaRef, ScoreError> {
    let files = || source.files().iter().zip(source.headers());
    let Some((first, header)) = files().next() else { return Err(ScoreError::plan("there is no input")) };
    let mut fields = all_columns(&header.schema, first.partition());
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    for (file, header) in files() {
        let binding = Binding::new(&names, &header.schema, file.partition());
        let binding = binding.map_err(|wrong| {
            let names: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
            let problem = "columns that are missing or stand twice";
            ScoreError::plan(format!("{}: {problem}: {}", file.name(), names.join(", ")))
        })?;
        for (field, own) in fields.iter_mut().zip(&binding.fields) {
            let (so_far, own) = (field.data_type(), own.data_type());
            let common = common(so_far, own, source.format()).ok_or_else(|| {
                let (file, name) = (file.name(), field.name());
                ScoreError::plan(format!("{file}: the column {name:?} is {own}, in the first file {so_far}"))
            })?;
            *field = Arc::new(Field::new(field.name(), common, true));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A type that holds the values of both. A number of JSON that was whole so far need not stay so.
fn common(a: &DataType, b: &DataType, format: Format) -> Option<DataType> {
    match (a, b) {
        _ if a == b || widens(b, a) => Some(a.clone()),
        _ if widens(a, b) => Some(b.clone()),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64)
            if format == Format::Json =>
        {
            Some(DataType::Float64)
        }
        _ => None,
    }
}
