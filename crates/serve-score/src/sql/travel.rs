//! What a planned query is made of that DataFusion does not know, as JSON, for those who run it elsewhere: functions with what they
//! answer, and files of rows. A function's model stands in its first argument.

use std::sync::Arc;

use arrow_ipc::convert::{IpcSchemaEncoder, try_schema_from_flatbuffer_bytes};
use arrow_schema::SchemaRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::answering::Answers;
use super::function::{Kind, ModelFunction};
use super::scan::{Rows, RowsScan, RowsTable};
use super::{Models, external};
use crate::error::ScoreError;
use crate::location::Located;

/// A function.
#[derive(Debug, Serialize, Deserialize)]
struct Function {
    /// None where it was not planned.
    answers: Option<Answers>,
}

/// A scan.
#[derive(Debug, Serialize, Deserialize)]
struct Scan {
    /// As Arrow's IPC has it, in base64.
    schema: String,
    files: Vec<Located>,
    format: String,
    projection: Option<Vec<usize>>,
}

/// One of our functions; none where it is another's.
///
/// # Errors
/// Never, but for mistakes of ours.
pub fn encode_function(function: &ScalarUDF) -> Result<Option<Vec<u8>>> {
    let Some(function) = function.inner().downcast_ref::<ModelFunction>() else { return Ok(None) };
    written(&Function { answers: function.answers().cloned() }).map(Some)
}

/// A function by its name and what [`encode_function`] wrote.
///
/// # Errors
/// When it is none of ours.
pub fn decode_function(name: &str, bytes: &[u8], models: &Arc<Models>) -> Result<Arc<ScalarUDF>> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| plan_datafusion_err!("there is no function {name} over models"))?;
    let Function { answers } = read(bytes)?;
    let function = ModelFunction::new(kind, Arc::clone(models));
    let function = match answers {
        Some(answers) => function.planned(answers),
        None => function,
    };
    Ok(Arc::new(ScalarUDF::from(function)))
}

/// One of our tables; none where it is another's.
///
/// # Errors
/// When other machines cannot read it, as a pipe.
pub fn encode_table(table: &dyn TableProvider) -> Result<Option<Vec<u8>>> {
    let Some(table) = table.downcast_ref::<RowsTable>() else { return Ok(None) };
    written(&scan(&table.0, None)?).map(Some)
}

/// What [`encode_table`] wrote.
///
/// # Errors
/// When it is no table of ours.
pub fn decode_table(bytes: &[u8], _: &Arc<Models>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(RowsTable(Arc::new(rows(&read(bytes)?)?))))
}

/// One of our plans; none where it is another's.
///
/// # Errors
/// As [`encode_table`].
pub fn encode_plan(plan: &dyn ExecutionPlan) -> Result<Option<Vec<u8>>> {
    let Some(plan) = plan.downcast_ref::<RowsScan>() else { return Ok(None) };
    written(&scan(&plan.rows, plan.projection.clone())?).map(Some)
}

/// What [`encode_plan`] wrote.
///
/// # Errors
/// When it is no plan of ours.
pub fn decode_plan(bytes: &[u8], _: &Arc<Models>) -> Result<Arc<dyn ExecutionPlan>> {
    let scan: Scan = read(bytes)?;
    Ok(Arc::new(RowsScan::new(Arc::new(rows(&scan)?), scan.projection)?))
}

fn scan(rows: &Rows, projection: Option<Vec<usize>>) -> Result<Scan> {
    let files =
        rows.files.iter().map(crate::InputFile::located).collect::<Result<_, _>>().map_err(external)?;
    let schema = IpcSchemaEncoder::new().schema_to_fb(&rows.schema);
    let schema = STANDARD.encode(schema.finished_data());
    Ok(Scan { schema, files, format: rows.format.as_str().to_owned(), projection })
}

fn rows(scan: &Scan) -> Result<Rows> {
    let wrong = |what: &str| plan_datafusion_err!("a scan with a wrong {what}");
    let schema = STANDARD.decode(&scan.schema).map_err(|_| wrong("schema"))?;
    let schema: SchemaRef = Arc::new(try_schema_from_flatbuffer_bytes(&schema).map_err(|_| wrong("schema"))?);
    let format = scan.format.parse().map_err(|_| wrong("format"))?;
    let files = scan.files.iter().map(Located::file).collect::<Result<_, _>>().map_err(external)?;
    Ok(Rows::new(schema, files, format))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| external(ScoreError::software(error)))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| plan_datafusion_err!("what came with the plan is not ours: {error}"))
}
