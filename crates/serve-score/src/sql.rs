//! Models in queries: `predict(model, …)`, `predict_proba(model, …)` and `explain(model, …)` as functions of DataFusion.
//!
//! ```sql
//! SELECT id, predict('churn@champion', *) FROM input
//! SELECT id, predict_proba('churn', a, b)['yes'] AS p FROM input ORDER BY p DESC
//! ```
//!
//! The model is a text that is known when the query is planned: it is resolved then, once for the session, and the query goes on with
//! the version and its digest in the text's place, so everything that runs a part of it answers from the same version or not at
//! all. Inputs are matched by name: `*` and `t.*` stand for those columns that the model takes, and columns may come in any order.
//! Expressions without a name that the model knows are taken in the order of the signature.
//!
//! A row without an answer is NULL; [`Models::unanswered`] counts them and keeps the first reasons.

mod answering;
mod arguments;
mod failure;
mod function;
mod parquet;
mod query;
mod rows;
mod scan;
mod shares;
mod table;
mod travel;
mod unanswered;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::config::{ConfigOptions, Dialect};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use serve_core::words::with_causes;
use serve_registry::Registry;

use crate::error::ScoreError;
use crate::model::PinnedModel;

use arguments::InputsByName;
use failure::Told;
pub use failure::{failure, for_others, remote, unmarked};
use function::{Kind, ModelFunction};
pub use query::{QueryOptions, QuerySummary, TABLE, physical_rules, planned, preview, query, write};
pub use table::register_input;
pub use travel::{
    decode_function, decode_plan, decode_table, encode_function, encode_plan, encode_table, shares_table,
};
use unanswered::Unanswered;
pub use unanswered::{add_reasons, take_unanswered};

/// The models of a session, each resolved once.
#[derive(Debug)]
pub struct Models {
    /// None where queries are planned and not run.
    registry: Option<Arc<Registry>>,
    /// By the text that named them. Invariant: the lock is not held while a model is loaded.
    pinned: Mutex<HashMap<String, PinnedModel>>,
    unanswered: Arc<Unanswered>,
    /// Whose registry it is, where that is not the one that queries are planned with.
    whose: Option<String>,
}

/// Registers `predict`, `predict_proba` and `explain`, and the rule that finds their columns, with a session. A session of the usual
/// dialect of SQL gets PostgreSQL's, so that `explain` is a function wherever it stands.
///
/// # Errors
/// When the session takes no functions.
///
/// ```
/// # use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path();
/// # serve_registry::Storage::publish(&serve_registry::Directory::create(dir)?, &serve_core::doctest::logistic_bundle(), "doctest")?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// use datafusion::prelude::SessionContext;
/// let registry = Arc::new(serve_registry::Registry::open(dir)?);
/// let session = SessionContext::new();
/// serve_score::register(&session, &registry)?;
/// # runtime.block_on(async {
/// let query = "SELECT predict('doctest', b, a) AS direction FROM (VALUES (0.5, 1)) AS t (a, b)";
/// let rows = session.sql(query).await?.collect().await?;
/// assert_eq!(rows[0].num_rows(), 1);
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
pub fn register(session: &SessionContext, registry: &Arc<Registry>) -> Result<Arc<Models>> {
    let models = Models::new(Some(Arc::clone(registry)));
    models.functions().into_iter().for_each(|function| session.register_udf(function));
    let state = session.state_ref();
    state.write().register_function_rewrite(Arc::new(InputsByName))?;
    take_explain_for_a_name(state.write().config_mut().options_mut());
    Ok(models)
}

/// The usual dialect takes EXPLAIN behind a comma for the end of a list, and so our function of that name; PostgreSQL's does not.
/// Another one that was chosen stays.
pub fn take_explain_for_a_name(options: &mut ConfigOptions) {
    if options.sql_parser.dialect == Dialect::Generic {
        options.sql_parser.dialect = Dialect::PostgreSQL;
    }
}

impl Models {
    /// The models of a registry, or of none where their functions are planned and not run.
    #[must_use]
    pub fn new(registry: Option<Arc<Registry>>) -> Arc<Self> {
        Arc::new(Self { registry, pinned: Mutex::default(), unanswered: Arc::default(), whose: None })
    }

    /// The models of a registry that answers for queries and jobs which others planned; what it lacks is told as `whose`.
    #[must_use]
    pub fn of_another(registry: Arc<Registry>, whose: String) -> Arc<Self> {
        let (registry, whose) = (Some(registry), Some(whose));
        Arc::new(Self { registry, pinned: Mutex::default(), unanswered: Arc::default(), whose })
    }

    /// `predict`, `predict_proba` and `explain`.
    #[must_use]
    pub fn functions(self: &Arc<Self>) -> Vec<ScalarUDF> {
        let function = |kind| ScalarUDF::from(ModelFunction::new(kind, Arc::clone(self)));
        Kind::ALL.map(function).into()
    }

    /// The model that a text names: `N`, `N@V`, `N@alias`, or `N@V#digest` as a planned query has it.
    fn get(&self, text: &str, explained: bool) -> Result<PinnedModel> {
        let known = lock(&self.pinned).get(text).cloned();
        let model = match known {
            Some(model) if !explained || model.explainer().is_some() => return Ok(model),
            // Whoever came first decided what an alias means in this session.
            Some(model) => self.resolve(&pinned_text(&model), explained)?,
            None => self.resolve(text, explained)?,
        };
        let mut pinned = lock(&self.pinned);
        let first = pinned.entry(text.to_owned()).or_insert_with(|| model.clone());
        if explained && *first == model {
            *first = model;
        }
        let first = first.clone();
        pinned.insert(pinned_text(&first), first.clone());
        Ok(first)
    }

    fn resolve(&self, text: &str, explained: bool) -> Result<PinnedModel> {
        self.load(text, explained).map_err(|error| self.failed(error))
    }

    /// A model with how its training data was distributed, against which a report's rows are counted.
    fn with_reference(&self, model: PinnedModel) -> Result<PinnedModel> {
        match &self.registry {
            Some(registry) => model.with_reference(registry).map_err(|error| self.failed(error)),
            None => Ok(model),
        }
    }

    /// An error of the registry, with whose it is.
    fn failed(&self, error: ScoreError) -> DataFusionError {
        external(match &self.whose {
            Some(whose) => ScoreError::Remote {
                problem: format!("{whose}: {}", with_causes(&error)),
                fault: error.fault(),
            },
            None => error,
        })
    }

    fn load(&self, text: &str, explained: bool) -> Result<PinnedModel, ScoreError> {
        let (reference, digest) =
            text.split_once('#').map_or((text, None), |(text, digest)| (text, Some(digest)));
        let nowhere = || format!("{reference}: there is no registry here to load models from");
        let registry = self.registry.as_ref().ok_or_else(|| ScoreError::plan(nowhere()))?;
        let resolve = || {
            if explained {
                PinnedModel::resolve_explained(registry, reference)
            } else {
                PinnedModel::resolve(registry, reference)
            }
        };
        let model = match resolve() {
            // It may have been published since the registry was looked at: an executor runs for days.
            Err(ScoreError::Model(error)) if error.is_unknown() && registry.reload().is_ok() => resolve(),
            resolved => resolved,
        }?;
        if let Some(digest) = digest.filter(|digest| *digest != model.digest().to_string()) {
            let has = model.digest();
            return Err(ScoreError::plan(format!("{model} has the digest {has}, planned was {digest}")));
        }
        Ok(model)
    }

    /// How many rows had no answer, and the first reasons.
    #[must_use]
    pub fn unanswered(&self) -> (u64, Vec<String>) {
        self.unanswered.told()
    }
}

/// What stands in a planned query in a reference's place.
fn pinned_text(model: &PinnedModel) -> String {
    format!("{model}#{}", model.digest())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn external(error: ScoreError) -> DataFusionError {
    DataFusionError::External(Box::new(Told(error)))
}
