//! One prediction, many, or the same question put to several feature sets.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use serve_core::{Explanation, ModelName, ModelRef, Prediction, Selector};
use serve_registry::Deployment;

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use crate::gather::{Ask, Fetched, Gathered};
use crate::infer::Row;
use crate::metrics::rows::Whose;
use crate::request::{Features, ModelQuery, PredictRequest};
use crate::service::{Service, agree};

/// Rows of a batch that are read before others get their turn on the thread.
const ROWS_A_TURN: usize = 128;

/// A prediction with all that has to be told about it.
#[derive(Debug)]
pub struct Answered {
    /// The version that answered.
    pub deployment: Arc<Deployment>,
    /// Its prediction.
    pub prediction: Prediction,
    /// The row and where it came from.
    pub gathered: Gathered,
    /// What each feature contributed, where that was asked for.
    pub explanation: Option<Explanation>,
    /// Whether an earlier request had it computed.
    pub cached: bool,
    /// In whose place it answered, where it is a fallback.
    pub fallback: Option<Fallback>,
}

/// In whose place a fallback answered.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The model that was asked.
    pub instead_of: ModelName,
    /// Why it did not answer.
    pub reason: String,
}

/// The same question answered under several feature sets.
#[derive(Debug)]
pub struct Compared {
    /// One answer per feature set, in order.
    pub answers: Vec<(String, Answered)>,
    /// Whether all gave the same label (or, for regressions, the same value).
    pub agreement: bool,
}

/// Details of so many offences are told in the answer to a batch; rows after that have their message alone.
const MOST_DETAILS: usize = 1_000;

/// A request with the version that will answer it and what has to be fetched for it.
type Prepared = Result<(Arc<Deployment>, Vec<Ask>), ServiceError>;

impl Service {
    /// Predicts one row; where the model does not load or infer, or its features cannot be had, by its fallback, if it has
    /// one.
    ///
    /// # Errors
    /// When the model cannot be resolved, features cannot be had, or the signature refuses them.
    pub async fn predict(
        &self,
        context: &Context,
        request: &PredictRequest<'_>,
    ) -> Result<Answered, ServiceError> {
        context.add_rows(1);
        let answered = self.predict_alone(context, request).await;
        self.count_rows(context, slice::from_ref(request), slice::from_ref(&answered));
        let error = match answered {
            Err(error) if error.code.may_fall_back() => error,
            answered => {
                if answered.is_ok() {
                    self.set_rows_apart(context, slice::from_ref(request), slice::from_ref(&answered));
                }
                return answered;
            }
        };
        let Some((asked, instead)) = self.fallback(context, request) else { return Err(error) };
        let answered = Box::pin(self.predict_alone(context, &instead)).await;
        self.count_rows(context, slice::from_ref(&instead), slice::from_ref(&answered));
        let answered = fallen_back(asked, error, answered)?;
        context.set_row_apart(Whose::Version(Arc::clone(&answered.deployment)), None);
        Ok(answered)
    }

    /// The request as it is put to a model's fallback, with the model's name. A version that was asked for by its number has
    /// none: who says so means that version. A fallback without a feature set answers from what the request has.
    fn fallback<'r>(
        &self,
        context: &Context,
        request: &PredictRequest<'r>,
    ) -> Option<(ModelName, PredictRequest<'r>)> {
        let asked = self.reference(context, &request.model).ok()?;
        if matches!(asked.selector, Selector::Version(_)) {
            return None;
        }
        let fallback = self.registry().options().models.get(&asked.name)?.fallback.clone()?;
        if !context.caller().may_use(&fallback.name) {
            return None;
        }
        let served = self.registry().model(fallback.name.as_str());
        let served =
            served.is_some_and(|model| model.summary().is_some_and(|about| about.feature_set.is_some()));
        let entity = request.entity.clone().filter(|_| served);
        let model = ModelQuery::named(fallback.name, Some(fallback.selector));
        Some((asked.name, PredictRequest { model, entity, ..request.clone() }))
    }

    async fn predict_alone(
        &self,
        context: &Context,
        request: &PredictRequest<'_>,
    ) -> Result<Answered, ServiceError> {
        let deployment = self.deployment(context, &request.model).await?;
        self.admission.admit(context, &[&deployment.manifest().name]).await?;
        let wanted = self.wanted(&deployment, request)?;
        let fetched = self.fetch_in(context, &wanted).await?;
        let gathered = self.gathered(&deployment, request, fetched)?;
        let row = Row { deployment, gathered, explain: request.explain };
        self.answer(context, row).await
    }

    /// Fetches what is asked for, where anything is.
    async fn fetch_in(
        &self,
        context: &Context,
        asks: &[Ask],
    ) -> Result<Vec<Result<Fetched, ServiceError>>, ServiceError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        Box::pin(context.timed_async(Stage::Features, context.within(self.fetch(asks)))).await
    }

    /// Predicts many rows; a row that fails, fails alone. Features of the same set that are asked for in the same way are
    /// fetched in one go, and so are those of rows that fall back.
    ///
    /// # Errors
    /// When there are more rows than allowed.
    pub async fn predict_batch(
        &self,
        context: &Context,
        requests: &[PredictRequest<'_>],
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        self.check_rows(requests.len())?;
        context.add_rows(requests.len());
        let mut answers = self.predict_all(context, requests).await?;
        self.count_rows(context, requests, &answers);
        let (mut failed, mut instead) = (Vec::new(), Vec::new());
        for (at, (answer, request)) in answers.iter().zip(requests).enumerate() {
            if let Err(error) = answer
                && error.code.may_fall_back()
                && let Some((asked, request)) = self.fallback(context, request)
            {
                failed.push((at, asked, error.clone()));
                instead.push(request);
            }
        }
        if !instead.is_empty() {
            let others = self.predict_all(context, &instead).await?;
            self.count_rows(context, &instead, &others);
            for ((at, asked, error), other) in failed.into_iter().zip(others) {
                answers[at] = fallen_back(asked, error, other);
            }
        }
        self.set_rows_apart(context, requests, &answers);
        Ok(answers)
    }

    async fn predict_all(
        &self,
        context: &Context,
        requests: &[PredictRequest<'_>],
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        let prepared = self.prepare(context, requests).await;
        let mut models: Vec<_> =
            prepared.iter().flatten().map(|(deployment, _)| Arc::clone(deployment)).collect();
        models.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let models: Vec<_> = models.iter().map(|deployment| &deployment.manifest().name).collect();
        self.admission.admit(context, &models).await?;
        let asks: Vec<Ask> =
            prepared.iter().flatten().flat_map(|(_, wanted)| wanted.iter().cloned()).collect();
        let mut fetched = self.fetch_in(context, &asks).await?.into_iter();
        let mut rows = Vec::with_capacity(requests.len());
        let mut details = 0;
        for (at, (request, prepared)) in requests.iter().zip(prepared).enumerate() {
            if at % ROWS_A_TURN == ROWS_A_TURN - 1 {
                context.check_deadline()?;
                tokio::task::yield_now().await;
            }
            let row = prepared.and_then(|(deployment, wanted)| {
                let fetched = fetched.by_ref().take(wanted.len()).collect();
                let gathered = self.gathered(&deployment, request, fetched)?;
                Ok(Row { deployment, gathered, explain: request.explain })
            });
            rows.push(row.map_err(|error| error.with_room_for_details(&mut details, MOST_DETAILS)));
        }
        self.answer_all(context, rows).await
    }

    /// The version that answers each request, and what has to be fetched for it.
    async fn prepare(&self, context: &Context, requests: &[PredictRequest<'_>]) -> Vec<Prepared> {
        let mut prepared: Vec<Prepared> = Vec::with_capacity(requests.len());
        // Rows that mean the same get one version, also when another is promoted meanwhile.
        let mut meant: HashMap<ModelRef, Arc<Deployment>> = HashMap::new();
        let mut last: Option<(&ModelQuery, Arc<Deployment>)> = None;
        for request in requests {
            let deployment = match &last {
                Some((query, deployment)) if **query == request.model => Ok(Arc::clone(deployment)),
                _ => self.deployment_of(context, &request.model, &mut meant).await,
            };
            last =
                deployment.as_ref().ok().map(|deployment| (&request.model, Arc::clone(deployment))).or(last);
            prepared.push(deployment.and_then(|deployment| {
                let wanted = self.wanted(&deployment, request)?;
                Ok((deployment, wanted))
            }));
        }
        prepared
    }

    /// The deployment that a query means, the same for all rows of a batch that mean the same.
    async fn deployment_of(
        &self,
        context: &Context,
        query: &ModelQuery,
        meant: &mut HashMap<ModelRef, Arc<Deployment>>,
    ) -> Result<Arc<Deployment>, ServiceError> {
        let reference = self.reference(context, query)?;
        if let Some(deployment) = meant.get(&reference) {
            agree(query, deployment)?;
            return Ok(Arc::clone(deployment));
        }
        let deployment = self.deployment(context, query).await?;
        meant.insert(reference, Arc::clone(&deployment));
        Ok(deployment)
    }

    /// Puts one question to the feature sets that are compared. The model type is the one asked for, else the default
    /// model's, else the only one there is.
    ///
    /// # Errors
    /// When any of them has no answer.
    pub async fn compare(
        &self,
        context: &Context,
        request: &PredictRequest<'_>,
    ) -> Result<Compared, ServiceError> {
        let sets = &self.parts.compare;
        if sets.is_empty() {
            let message = "there are no feature sets to compare: http.compare names none";
            return Err(ServiceError::new(Code::ModelRequired, message));
        }
        if request.model.name.is_some() || request.model.feature_set.is_some() {
            let message = "the compared models are those of each set of http.compare: leave out the model's name (also as symbol with \
                           horizon) and the feature set; model_type says which of a set's";
            return Err(ServiceError::new(Code::ConflictingModel, message));
        }
        let mut answers = Vec::with_capacity(sets.len());
        for set in sets {
            let model = self.compared_model(set, &request.model);
            let features = match &request.features {
                Features::Positional(_) => Features::None,
                other => other.clone(),
            };
            let answered =
                self.predict(context, &PredictRequest { model, features, ..request.clone() }).await;
            let answered =
                answered.map_err(|error| ServiceError { message: format!("{set}: {error}"), ..error })?;
            answers.push((set.clone(), answered));
        }
        let said = |answered: &Answered| {
            let label = answered.deployment.pipeline().label(&answered.prediction).map(str::to_owned);
            (label, answered.prediction.value().map(f64::to_bits))
        };
        let agreement = answers.windows(2).all(|pair| said(&pair[0].1) == said(&pair[1].1));
        Ok(Compared { answers, agreement })
    }

    fn compared_model(&self, set: &str, asked: &ModelQuery) -> ModelQuery {
        let default = || {
            let name = self.parts.default_model.as_ref()?;
            let snapshot = self.parts.registry.model(name.as_str())?;
            snapshot.summary()?.model_type.clone()
        };
        ModelQuery {
            name: None,
            feature_set: Some(set.to_owned()),
            model_type: asked.model_type.clone().or_else(default),
            selector: asked.selector.clone(),
        }
    }
}

/// What a fallback answered, or why neither it nor the model that was asked did.
fn fallen_back(
    asked: ModelName,
    error: ServiceError,
    answered: Result<Answered, ServiceError>,
) -> Result<Answered, ServiceError> {
    match answered {
        Ok(answered) => {
            let fallback = Fallback { instead_of: asked, reason: error.message };
            Ok(Answered { fallback: Some(fallback), ..answered })
        }
        Err(also) => {
            let message = format!("{error}; its fallback does not answer either: {also}");
            Err(ServiceError { message, ..error })
        }
    }
}
