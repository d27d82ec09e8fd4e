//! Explanations of many rows of one model, for protocols that send rows as a matrix.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;
use serve_core::Explanation;
use serve_registry::{Deployment, Explanations};

use crate::context::Context;
use crate::error::ServiceError;
use crate::parts::rows_a_part;
use crate::service::Service;
use crate::workers::Wanted;

impl Service {
    /// What each input of each row, `[rows, inputs]` in the signature's order, contributed to the row's score.
    ///
    /// # Errors
    /// When there are more rows than allowed, the width is not the signature's, or the model has no explanations.
    pub async fn explain_matrix(
        &self,
        context: &Context,
        deployment: Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<Vec<Explanation>, ServiceError> {
        let rows = matrix.nrows();
        self.check_rows(rows)?;
        self.admission.admit(context, &[&deployment.manifest().name]).await?;
        self.prepare_explanations(&deployment).await?;
        let cost = deployment.explanations().map(Explanations::row_cost).unwrap_or_default();
        let registry = Arc::clone(self.registry());
        let step = rows_a_part(cost);
        let parts = (0..rows).step_by(step).map(|start| start..rows.min(start + step)).collect();
        let work = move |part: Range<usize>, wanted: &Wanted| {
            let explain = |at: usize| -> Option<Result<Explanation, ServiceError>> {
                wanted.still().then(|| {
                    wanted.count(1);
                    let explainer = registry.explanations(&deployment)?.explainer()?;
                    Ok(explainer.explain(&matrix.row(at).to_vec())?)
                })
            };
            part.map(explain).collect::<Option<Vec<_>>>()
        };
        self.workers.run(context, parts, work).await?.into_iter().flatten().collect()
    }
}
