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
use super::rows::Rows;
use super::scan::{Scan, Table, Work};
use super::shares::Shares;
use super::{Models, external};
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::{InputFile, Located};
use crate::spread::Spread;

/// A function.
#[derive(Debug, Serialize, Deserialize)]
struct Function {
    /// None where it was not planned.
    answers: Option<Answers>,
}

/// What a table or a plan of ours does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Travelling {
    Rows { schema: String, files: Vec<Located>, format: Format, projection: Option<Vec<usize>> },
    Shares { spread: Spread, output: String },
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
    let function = ModelFunction::new(kind, Arc::clone(models)).counting_alone();
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
    table.downcast_ref::<Table>().map(|table| encode(&table.work)).transpose()
}

/// What [`encode_table`] wrote.
///
/// # Errors
/// When it is no table of ours.
pub fn decode_table(bytes: &[u8], models: &Arc<Models>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(Table::new(decode(bytes, models)?)?))
}

/// One of our plans; none where it is another's.
///
/// # Errors
/// As [`encode_table`].
pub fn encode_plan(plan: &dyn ExecutionPlan) -> Result<Option<Vec<u8>>> {
    plan.downcast_ref::<Scan>().map(|plan| encode(&plan.work)).transpose()
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
    Ok(Arc::new(Scan::new(decode(bytes, models)?, Arc::clone(numbers))?))
}

/// The shares of a plain job as a table with a column `part`; reading a row of it scores a share, with a model of these.
///
/// # Errors
/// Never, but for mistakes of ours.
pub fn shares_table(
    spread: Spread,
    output: &SchemaRef,
    models: &Arc<Models>,
) -> Result<Arc<dyn TableProvider>> {
    let (output, models) = (Arc::clone(output), Arc::clone(models));
    Ok(Arc::new(Table::new(Work::Shares(Arc::new(Shares { spread, output, models })))?))
}

fn encode(work: &Work) -> Result<Vec<u8>> {
    written(&match work {
        Work::Rows { rows, projection } => {
            let files =
                rows.files.iter().map(InputFile::located).collect::<Result<_, _>>().map_err(external)?;
            let (format, projection) = (rows.format, projection.clone());
            Travelling::Rows { schema: schema_text(&rows.schema), files, format, projection }
        }
        Work::Shares(shares) => {
            Travelling::Shares { spread: shares.spread.clone(), output: schema_text(&shares.output) }
        }
    })
}

fn decode(bytes: &[u8], models: &Arc<Models>) -> Result<Work> {
    Ok(match read(bytes)? {
        Travelling::Rows { schema: text, files, format, projection } => {
            let files = files.iter().map(Located::file).collect::<Result<_, _>>().map_err(external)?;
            Work::Rows { rows: Arc::new(Rows::new(schema(&text)?, files, format)), projection }
        }
        Travelling::Shares { spread, output } => {
            let (output, models) = (schema(&output)?, Arc::clone(models));
            Work::Shares(Arc::new(Shares { spread, output, models }))
        }
    })
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
