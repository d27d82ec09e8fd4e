//! What a planned query is made of that DataFusion does not know, as JSON, for those who run it elsewhere: functions with what they
//! answer, and files of rows. A function's model stands in its first argument.

use std::sync::Arc;

use arrow_ipc::convert::{IpcSchemaEncoder, fb_to_schema};
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
use super::shares::{Shares, SharesScan, SharesTable};
use super::{Models, external};
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::Located;
use crate::spread::Spread;

/// A function.
#[derive(Debug, Serialize, Deserialize)]
struct Function {
    /// None where it was not planned.
    answers: Option<Answers>,
}

/// A table, or what reads it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Travelling {
    Rows(Scan),
    Shares { spread: Spread, output: String },
}

/// Files of rows.
#[derive(Debug, Serialize, Deserialize)]
struct Scan {
    schema: String,
    files: Vec<Located>,
    format: Format,
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
    if let Some(table) = table.downcast_ref::<RowsTable>() {
        return written(&Travelling::Rows(scan(&table.0, None)?)).map(Some);
    }
    let Some(table) = table.downcast_ref::<SharesTable>() else { return Ok(None) };
    written(&job(&table.0)).map(Some)
}

/// What [`encode_table`] wrote.
///
/// # Errors
/// When it is no table of ours.
pub fn decode_table(bytes: &[u8], models: &Arc<Models>) -> Result<Arc<dyn TableProvider>> {
    Ok(match read(bytes)? {
        Travelling::Rows(scan) => Arc::new(RowsTable(Arc::new(rows(&scan)?))),
        Travelling::Shares { spread, output } => Arc::new(SharesTable(shares(spread, &output, models)?)),
    })
}

/// One of our plans; none where it is another's.
///
/// # Errors
/// As [`encode_table`].
pub fn encode_plan(plan: &dyn ExecutionPlan) -> Result<Option<Vec<u8>>> {
    if let Some(plan) = plan.downcast_ref::<RowsScan>() {
        return written(&Travelling::Rows(scan(&plan.rows, plan.projection.clone())?)).map(Some);
    }
    let Some(plan) = plan.downcast_ref::<SharesScan>() else { return Ok(None) };
    written(&job(&plan.shares)).map(Some)
}

/// What [`encode_plan`] wrote, over what gives it the numbers of its partitions.
///
/// # Errors
/// When it is no plan of ours.
pub fn decode_plan(
    bytes: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
    models: &Arc<Models>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let [numbers] = inputs else {
        return Err(plan_datafusion_err!("a plan of ours has one input, got {}", inputs.len()));
    };
    let numbers = Arc::clone(numbers);
    Ok(match read(bytes)? {
        Travelling::Rows(scan) => Arc::new(RowsScan::new(Arc::new(rows(&scan)?), scan.projection, numbers)?),
        Travelling::Shares { spread, output } => {
            Arc::new(SharesScan::new(shares(spread, &output, models)?, numbers))
        }
    })
}

/// The shares of a plain job as a table with a column `part`; reading a row of it scores a share, with a model of these.
#[must_use]
pub fn shares_table(spread: Spread, output: &SchemaRef, models: &Arc<Models>) -> Arc<dyn TableProvider> {
    let (output, models) = (Arc::clone(output), Arc::clone(models));
    Arc::new(SharesTable(Arc::new(Shares { spread, output, models })))
}

fn job(shares: &Shares) -> Travelling {
    Travelling::Shares { spread: shares.spread.clone(), output: schema_text(&shares.output) }
}

fn shares(spread: Spread, output: &str, models: &Arc<Models>) -> Result<Arc<Shares>> {
    Ok(Arc::new(Shares { spread, output: schema(output)?, models: Arc::clone(models) }))
}

fn scan(rows: &Rows, projection: Option<Vec<usize>>) -> Result<Scan> {
    let files =
        rows.files.iter().map(crate::InputFile::located).collect::<Result<_, _>>().map_err(external)?;
    Ok(Scan { schema: schema_text(&rows.schema), files, format: rows.format, projection })
}

fn rows(scan: &Scan) -> Result<Rows> {
    let files = scan.files.iter().map(Located::file).collect::<Result<_, _>>().map_err(external)?;
    Ok(Rows::new(schema(&scan.schema)?, files, scan.format))
}

/// As Arrow's IPC has it, in base64.
fn schema_text(schema: &SchemaRef) -> String {
    STANDARD.encode(IpcSchemaEncoder::new().schema_to_fb(schema).finished_data())
}

fn schema(text: &str) -> Result<SchemaRef> {
    let wrong = || plan_datafusion_err!("what came with the plan has no schema");
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    arrow_ipc::root_as_schema(&bytes).map(|schema| Arc::new(fb_to_schema(schema))).map_err(|_| wrong())
}

fn written(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| external(ScoreError::software(error)))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| plan_datafusion_err!("what came with the plan is not ours: {error}"))
}
