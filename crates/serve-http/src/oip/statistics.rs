//! `GET /v2/models/stats` and `GET /v2/models/{name}[/versions/{version}]/stats`: what each version was asked and how long
//! that took, in the words of the protocol's statistics extension.

use http::StatusCode;
use serde::Serialize;
use serve_app::statistics::{BatchTotals, Total, VersionStatistics};
use serve_core::{ModelName, ModelVersion};

use super::{failure, query, unknown};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

/// The answer.
#[derive(Debug, Serialize)]
struct Statistics {
    model_stats: Vec<ModelStatistics>,
}

/// One version.
#[derive(Debug, Serialize)]
struct ModelStatistics {
    name: ModelName,
    version: ModelVersion,
    /// Milliseconds since 1970; 0 for never.
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: InferenceStatistics,
    batch_stats: Vec<BatchStatistics>,
}

#[derive(Debug, Default, Serialize)]
struct InferenceStatistics {
    success: Total,
    fail: Total,
    queue: Total,
    compute_input: Total,
    compute_infer: Total,
    compute_output: Total,
    cache_hit: Total,
    cache_miss: Total,
}

#[derive(Debug, Serialize)]
struct BatchStatistics {
    batch_size: u64,
    compute_input: Total,
    compute_infer: Total,
    compute_output: Total,
}

/// `GET /v2/models/stats`: every version that is loaded or was asked for.
pub(crate) async fn all(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    Ok(told(app, &call, |_, _| true))
}

/// `GET /v2/models/{name}[/versions/{version}]/stats`.
pub(crate) async fn model(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let asked = query(&call)?;
    let name = asked.name.as_ref().ok_or_else(|| unknown(call.path("name"), None))?;
    app.service.check_model(&call.context, name)?;
    if app.service.registry().model(name.as_str()).is_none() {
        return Err(unknown(name.as_str(), None));
    }
    if asked.selector.is_none() {
        return Ok(told(app, &call, |other, _| other == name));
    }
    let deployment =
        app.service.loaded_deployment(&call.context, &asked).map_err(|error| failure(&call, error))?;
    let version = &deployment.manifest().version;
    Ok(told(app, &call, |other, of| other == name && of == version))
}

fn told(app: &App, call: &Call, means: impl Fn(&ModelName, &ModelVersion) -> bool) -> Reply {
    let caller = call.context.caller();
    let counted = app.service.statistics().all();
    let mut model_stats: Vec<_> = counted
        .iter()
        .filter(|counts| caller.may_use(&counts.name) && means(&counts.name, &counts.version))
        .map(|counts| ModelStatistics::of(counts))
        .collect();
    // Those that are loaded and were not asked yet.
    for model in app.service.registry().models() {
        let uncounted = |version: &&ModelVersion| {
            let counted = |entry: &ModelStatistics| entry.name == model.name && entry.version == **version;
            means(&model.name, version) && !model_stats.iter().any(counted)
        };
        if caller.may_use(&model.name) {
            let new: Vec<_> = model.deployments.keys().filter(uncounted).cloned().collect();
            model_stats
                .extend(new.into_iter().map(|version| ModelStatistics::new(model.name.clone(), version)));
        }
    }
    model_stats.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    reply::json(StatusCode::OK, &Statistics { model_stats })
}

impl ModelStatistics {
    fn new(name: ModelName, version: ModelVersion) -> Self {
        let (inference_stats, batch_stats) = (InferenceStatistics::default(), Vec::new());
        Self {
            name,
            version,
            last_inference: 0,
            inference_count: 0,
            execution_count: 0,
            inference_stats,
            batch_stats,
        }
    }

    fn of(counts: &VersionStatistics) -> Self {
        let totals = counts.totals();
        let inference_stats = InferenceStatistics {
            success: totals.success,
            fail: totals.fail,
            queue: totals.queue,
            compute_input: totals.compute_input,
            compute_infer: totals.compute_infer,
            compute_output: totals.compute_output,
            ..InferenceStatistics::default()
        };
        Self {
            last_inference: totals.last_inference_ms,
            inference_count: totals.inferences,
            execution_count: totals.executions,
            inference_stats,
            batch_stats: totals.batches.into_iter().map(BatchStatistics::of).collect(),
            ..Self::new(counts.name.clone(), counts.version.clone())
        }
    }
}

impl BatchStatistics {
    fn of(batch: BatchTotals) -> Self {
        let BatchTotals { size, input, infer, output } = batch;
        Self { batch_size: size, compute_input: input, compute_infer: infer, compute_output: output }
    }
}
