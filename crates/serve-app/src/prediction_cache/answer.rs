//! Rows on their way through the cache: what is there is answered from it, the rest is computed and kept.

use super::{Found, Key, Lead, Outcome, PredictionCache};
use crate::context::{Context, Stage};
use crate::error::ServiceError;
use crate::infer::Row;
use crate::predict::Answered;
use crate::service::Service;

impl Service {
    /// The cache that a row is looked up in, if it is worth that.
    fn cache_for(&self, row: &Row) -> Option<&PredictionCache> {
        self.prediction_cache().filter(|cache| cache.takes(row.cost()))
    }

    /// Answers one row. Of several requests with the same row at the same time one computes.
    pub(crate) async fn answer(&self, context: &Context, row: Row) -> Result<Answered, ServiceError> {
        let Some(cache) = self.cache_for(&row) else {
            let (row, outcome) = self.infer_one(context, row).await?;
            return Ok(row.answered(outcome?, false));
        };
        let key = row.key();
        loop {
            let joining = match context.timed(Stage::Cache, || cache.find(&row.deployment, &key)) {
                Found::Kept(outcome) => return Ok(row.answered(outcome, true)),
                Found::Lead(lead) => return Box::pin(self.lead(context, cache, &key, lead, row)).await,
                Found::UnderWay(joining) => joining,
            };
            if let Some(outcome) = context.timed_async(Stage::Cache, joining.outcome(context)).await? {
                return Ok(row.answered(outcome?, true));
            }
        }
    }

    /// Asks the servers that share answers with this one, and computes what they do not know.
    async fn lead(
        &self,
        context: &Context,
        cache: &PredictionCache,
        key: &Key,
        lead: Lead,
        row: Row,
    ) -> Result<Answered, ServiceError> {
        let shared = cache.shared().filter(|_| !row.explain);
        if let Some(shared) = shared {
            let asking = shared.get(key, row.deployment.pipeline(), context.deadline());
            if let Some(prediction) = context.timed_async(Stage::Cache, asking).await {
                let outcome = Outcome { prediction, explanation: None };
                lead.land(&Ok(outcome.clone()));
                return Ok(row.answered(outcome, true));
            }
        }
        let (row, outcome) = self.infer_one(context, row).await?;
        lead.land(&outcome);
        let outcome = outcome?;
        if let Some(shared) = shared {
            shared.put(key, &outcome.prediction);
        }
        Ok(row.answered(outcome, false))
    }

    /// Answers many rows, each for itself. They are looked up in this process's memory alone, and wait for nobody.
    pub(crate) async fn answer_all(
        &self,
        context: &Context,
        rows: Vec<Result<Row, ServiceError>>,
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        let mut kept = self.all_kept(context, &rows).into_iter();
        let mut answers: Vec<Option<Result<Answered, ServiceError>>> = Vec::with_capacity(rows.len());
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        for row in rows {
            let (place, kept) = (answers.len(), kept.next().flatten());
            answers.push(match row {
                Err(error) => Some(Err(error)),
                Ok(row) => match kept {
                    Some(outcome) => Some(Ok(row.answered(outcome, true))),
                    None => {
                        places.push(place);
                        missing.push(row);
                        None
                    }
                },
            });
        }
        for (place, (row, outcome)) in places.into_iter().zip(self.infer_all(context, missing).await?) {
            if let (Some(cache), Ok(outcome)) = (self.cache_for(&row), &outcome) {
                cache.keep(&row.key(), outcome);
            }
            answers[place] = Some(outcome.map(|outcome| row.answered(outcome, false)));
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// The answers that are there; none at all where none are kept.
    fn all_kept(&self, context: &Context, rows: &[Result<Row, ServiceError>]) -> Vec<Option<Outcome>> {
        if self.prediction_cache().is_none() {
            return Vec::new();
        }
        let kept = |row: &Result<Row, ServiceError>| row.as_ref().ok().and_then(|row| self.kept(row));
        context.timed(Stage::Cache, || rows.iter().map(kept).collect())
    }

    /// The row's answer, if it is there.
    fn kept(&self, row: &Row) -> Option<Outcome> {
        self.cache_for(row)?.kept(&row.deployment, &row.key())
    }
}
