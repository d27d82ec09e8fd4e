//! Tables to predictions, as MLflow and TensorFlow Serving answer them: a list of one entry a row, without anything beside.
//! There is no place for what went wrong with one row, so a bad row refuses the request.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ndarray::Array2;
use serde::{Serialize, Serializer};
use serve_app::Context;
use serve_core::{BatchPrediction, CheckedRow};
use serve_registry::Deployment;
use serve_registry::guard::Reply as GuardReply;

use crate::failure::Failure;
use crate::reply::Reply;
use crate::routes::App;
use crate::table::{FirstRow, Table};

/// Answers a request that a version was found for, and counts it as that version's, whatever comes of it.
pub(crate) async fn counted<F: Future<Output = Result<Reply, Failure>>>(
    app: &App,
    context: &Context,
    deployment: Arc<Deployment>,
    answer: impl FnOnce(Arc<Deployment>) -> F,
) -> Result<Reply, Failure> {
    let statistics = app.service.statistics_of(context, &deployment);
    let answered = answer(deployment).await;
    match &answered {
        Ok(_) => statistics.answered(context, usize::try_from(context.rows()).unwrap_or(usize::MAX)),
        Err(_) => statistics.failed(context),
    }
    answered
}

/// Predicts all rows of a table that came in JSON.
pub(crate) async fn predict_table(
    app: &App,
    context: &Context,
    deployment: &Arc<Deployment>,
    first: Option<FirstRow>,
    matrix: Array2<f64>,
) -> Result<BatchPrediction, Failure> {
    offer(deployment, first);
    predict(app, context, deployment, matrix).await
}

/// Predicts all rows of a matrix.
pub(crate) async fn predict(
    app: &App,
    context: &Context,
    deployment: &Arc<Deployment>,
    matrix: Array2<f64>,
) -> Result<BatchPrediction, Failure> {
    let batch = app.service.predict_matrix(context, deployment, matrix).await?;
    for (row, outcome) in batch.iter().enumerate() {
        if let Err(error) = outcome {
            let error = serve_app::ServiceError::from(error.clone());
            let message = format!("row {row}: {error}");
            return Err(serve_app::ServiceError { message, ..error }.into());
        }
    }
    Ok(batch)
}

/// The matrix of a table, and its first row where a guard window wants one. Rows that are refused are noted as asked for.
pub(crate) fn read_table(
    table: Table<'_>,
    context: &Context,
    deployment: &Deployment,
) -> Result<(Option<FirstRow>, Array2<f64>), Failure> {
    let signature = deployment.pipeline().signature();
    let first = deployment.guard().and_then(|_| table.first_row(signature));
    let rows = table.rows();
    let matrix = table.matrix(signature).inspect_err(|_| context.add_rows(rows))?;
    Ok((first, matrix))
}

/// Keeps the first row for the guard of the version that answers it.
fn offer(deployment: &Deployment, first: Option<FirstRow>) {
    if let (Some(guard), Some(first)) = (deployment.guard(), first) {
        guard.offer(|| Box::new(move |deployment| guard_reply(deployment, &first)));
    }
}

/// What a version would have made of the row.
fn guard_reply(deployment: &Deployment, first: &FirstRow) -> GuardReply {
    let pipeline = deployment.pipeline();
    let mut row = CheckedRow::new();
    let read = match first {
        FirstRow::Positional(values) => pipeline.signature().read_positional(values, &mut row),
        FirstRow::Named(named) => pipeline.signature().read_named(named, &mut row),
    };
    if read.is_err() {
        return GuardReply::Error;
    }
    pipeline.predict_checked(&row).map_or(GuardReply::Error, GuardReply::Answer)
}

/// Writing one number in decimal takes about so long.
const NUMBER_COST: Duration = Duration::from_nanos(100);

/// How long writing so many numbers takes.
pub(crate) fn writing(numbers: usize) -> Duration {
    NUMBER_COST * u32::try_from(numbers).unwrap_or(u32::MAX)
}

/// Writes an answer about all rows, which takes about so long.
pub(crate) async fn write(
    app: &App,
    context: &Context,
    cost: Duration,
    deployment: Arc<Deployment>,
    batch: BatchPrediction,
    write: impl Fn(&BatchPrediction, &Deployment) -> Reply + Send + Sync + 'static,
) -> Result<Reply, Failure> {
    Ok(app.service.write_whole(context, cost, batch, move |batch| write(&batch, &deployment)).await?)
}

/// One entry a row: the probabilities in class order, a regression's value, or its values where there are several.
pub(crate) struct Predictions<'a> {
    batch: &'a BatchPrediction,
    /// How wide a list each entry is; 0 for a bare value.
    width: usize,
}

impl<'a> Predictions<'a> {
    pub(crate) fn of(batch: &'a BatchPrediction, deployment: &Deployment) -> Self {
        let task = &deployment.manifest().target.task;
        let classes = task.classes().len();
        let width = match (classes, task.scores()) {
            (0, 1) => 0,
            (0, scores) => scores,
            (classes, _) => classes,
        };
        Self { batch, width }
    }
}

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.width {
            0 => serializer.collect_seq(self.batch.scores()),
            width => serializer.collect_seq(self.batch.scores().chunks_exact(width)),
        }
    }
}
