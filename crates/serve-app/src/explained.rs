//! Explanations of many rows of one model, for protocols that send rows as a matrix.

use std::sync::Arc;

use ndarray::Array2;
use serve_core::Explanation;
use serve_registry::Deployment;

use crate::context::Context;
use crate::error::ServiceError;
use crate::predict::run;
use crate::service::Service;

impl Service {
    /// What each input of each row, `[rows, inputs]` in the signature's order, contributed to the row's score.
    ///
    /// # Errors
    /// When there are more rows than allowed, the model has no explanations, or the signature refuses a row.
    pub async fn explain_matrix(
        &self,
        context: &Context,
        deployment: Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<Vec<Explanation>, ServiceError> {
        self.check_rows(matrix.nrows())?;
        self.prepare_explanations(&deployment).await?;
        let made = deployment.explanations().map(serve_registry::Explanations::row_cost).unwrap_or_default();
        let cost = made * u32::try_from(matrix.nrows()).unwrap_or(u32::MAX);
        let registry = Arc::clone(self.registry());
        let work = move || {
            let explainer = registry.explanations(&deployment)?.explainer()?;
            let explained = matrix.outer_iter().map(|row| Ok(explainer.explain(&row.to_vec())?));
            explained.collect::<Result<Vec<_>, ServiceError>>()
        };
        run(context, cost, work).await?
    }

    /// The most rows that one request may have.
    #[must_use]
    pub fn most_rows(&self) -> usize {
        self.parts.limits.batch_rows
    }
}
