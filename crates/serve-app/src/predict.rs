//! One prediction, many, or the same question put to several feature sets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serve_core::{BatchPrediction, Explanation, InvalidInput, ModelName, ModelRef, Prediction, Selector};
use serve_features::{Entity, FeatureRow, FeatureSetName};
use serve_registry::{Deployment, Registry};

use crate::error::{Code, ServiceError};
use crate::gather::{Gathered, Wanted};
use crate::request::{Features, ModelQuery, PredictRequest};
use crate::service::{Service, agree};

/// Work that is expected to take longer than this leaves the thread that serves connections.
const LONGEST_ON_WORKER: Duration = Duration::from_micros(200);

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

/// A request with the version that will answer it and what it needs from the store.
type Prepared = Result<(Arc<Deployment>, Option<Wanted>), ServiceError>;

impl Service {
    /// Predicts one row; where the model does not load or infer, by its fallback, if it has one.
    ///
    /// # Errors
    /// When the model cannot be resolved, features cannot be had, or the signature refuses them.
    pub async fn predict(&self, request: &PredictRequest<'_>) -> Result<Answered, ServiceError> {
        match self.predict_alone(request).await {
            Err(error) if error.code.may_fall_back() => self.fall_back(request, error).await,
            answered => answered,
        }
    }

    /// The answer of the fallback, or the error where there is none. A version that was asked for by its number has none:
    /// who says so means that version.
    async fn fall_back(
        &self,
        request: &PredictRequest<'_>,
        error: ServiceError,
    ) -> Result<Answered, ServiceError> {
        let asked = self.reference(&request.model).ok();
        let asked = asked.filter(|asked| !matches!(asked.selector, Selector::Version(_)));
        let Some((asked, fallback)) = asked.and_then(|asked| {
            let fallback = self.registry().options().models.get(&asked.name)?.fallback.clone()?;
            Some((asked.name, fallback))
        }) else {
            return Err(error);
        };
        let model = ModelQuery::named(fallback.name, Some(fallback.selector));
        let answered = self.predict_alone(&PredictRequest { model, ..request.clone() }).await;
        let answered = answered.map_err(|also| {
            let message = format!("{error}; its fallback does not answer either: {also}");
            ServiceError { message, ..error.clone() }
        })?;
        let fallback = Fallback { instead_of: asked, reason: error.message };
        Ok(Answered { fallback: Some(fallback), ..answered })
    }

    async fn predict_alone(&self, request: &PredictRequest<'_>) -> Result<Answered, ServiceError> {
        let deployment = self.deployment(&request.model).await?;
        let wanted = self.wanted(&deployment, request)?;
        let stored = match &wanted {
            Some(wanted) => {
                self.fetch(&wanted.set, vec![wanted.entity.clone()], wanted.as_of).await?.pop().flatten()
            }
            None => None,
        };
        let gathered = self.gathered(&deployment, request, wanted.as_ref(), stored)?;
        let row = Row { deployment, gathered, explain: request.explain };
        let registry = Arc::clone(&self.parts.registry);
        if row.cost() <= LONGEST_ON_WORKER {
            return row.answer(&registry);
        }
        let work = tokio::task::spawn_blocking(move || row.answer(&registry));
        work.await.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?
    }

    /// Predicts many rows; a row that fails, fails alone. Stored features of the same set and time are fetched in one go.
    ///
    /// # Errors
    /// When there are more rows than allowed.
    pub async fn predict_batch(
        &self,
        requests: &[PredictRequest<'_>],
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        self.check_rows(requests.len())?;
        let mut prepared: Vec<Prepared> = Vec::with_capacity(requests.len());
        // Rows that mean the same get one version, also when another is promoted meanwhile.
        let mut meant: HashMap<ModelRef, Arc<Deployment>> = HashMap::new();
        let mut last: Option<(&ModelQuery, Arc<Deployment>)> = None;
        for request in requests {
            let deployment = match &last {
                Some((query, deployment)) if **query == request.model => Ok(Arc::clone(deployment)),
                _ => self.deployment_of(&request.model, &mut meant).await,
            };
            last =
                deployment.as_ref().ok().map(|deployment| (&request.model, Arc::clone(deployment))).or(last);
            prepared.push(deployment.and_then(|deployment| {
                let wanted = self.wanted(&deployment, request)?;
                Ok((deployment, wanted))
            }));
        }
        let mut stored = self.fetch_all(&prepared).await;
        let mut rows = Vec::with_capacity(requests.len());
        for ((request, prepared), stored) in requests.iter().zip(prepared).zip(&mut stored) {
            rows.push(prepared.and_then(|(deployment, wanted)| {
                let gathered =
                    self.gathered(&deployment, request, wanted.as_ref(), stored.take().transpose()?)?;
                Ok(Row { deployment, gathered, explain: request.explain })
            }));
        }
        let mut answers = self.infer_all(rows).await?;
        for (answer, request) in answers.iter_mut().zip(requests) {
            if let Err(error) = answer
                && error.code.may_fall_back()
            {
                *answer = self.fall_back(request, error.clone()).await;
            }
        }
        Ok(answers)
    }

    /// The deployment that a query means, the same for all rows of a batch that mean the same.
    async fn deployment_of(
        &self,
        query: &ModelQuery,
        meant: &mut HashMap<ModelRef, Arc<Deployment>>,
    ) -> Result<Arc<Deployment>, ServiceError> {
        let reference = self.reference(query)?;
        if let Some(deployment) = meant.get(&reference) {
            agree(query, deployment)?;
            return Ok(Arc::clone(deployment));
        }
        let deployment = self.deployment(query).await?;
        meant.insert(reference, Arc::clone(&deployment));
        Ok(deployment)
    }

    /// Refuses a batch of more rows than the configuration allows.
    ///
    /// # Errors
    /// [`Code::TooManyRows`].
    pub fn check_rows(&self, rows: usize) -> Result<(), ServiceError> {
        let allowed = self.parts.limits.batch_rows;
        if rows <= allowed {
            return Ok(());
        }
        let message = format!("the batch has {rows} rows, limits.batch_rows allows {allowed}");
        Err(ServiceError::new(Code::TooManyRows, message))
    }

    /// What the store has for each prepared request: nothing asked, a row or none, or why not.
    async fn fetch_all(&self, prepared: &[Prepared]) -> Vec<Option<Result<FeatureRow, ServiceError>>> {
        type Group<'a> = (&'a FeatureSetName, Option<Timestamp>, Vec<(usize, Entity)>);
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (at, request) in prepared.iter().enumerate() {
            let Ok((_, Some(Wanted { set, entity, as_of }))) = request else { continue };
            match groups.iter_mut().find(|(other, time, _)| *other == set && time == as_of) {
                Some((_, _, members)) => members.push((at, entity.clone())),
                None => groups.push((set, *as_of, vec![(at, entity.clone())])),
            }
        }
        let mut found: Vec<Option<Result<FeatureRow, ServiceError>>> =
            prepared.iter().map(|_| None).collect();
        for (set, as_of, members) in groups {
            let entities = members.iter().map(|(_, entity)| entity.clone()).collect();
            match self.fetch(set, entities, as_of).await {
                Ok(rows) => members.iter().zip(rows).for_each(|((at, _), row)| found[*at] = row.map(Ok)),
                Err(error) => members.iter().for_each(|(at, _)| found[*at] = Some(Err(error.clone()))),
            }
        }
        found
    }

    async fn infer_all(
        &self,
        rows: Vec<Result<Row, ServiceError>>,
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        let cost = rows.iter().flatten().map(Row::cost).fold(Duration::ZERO, Duration::saturating_add);
        let registry = Arc::clone(&self.parts.registry);
        let work =
            move || rows.into_iter().map(|row| row.and_then(|row| row.answer(&registry))).collect::<Vec<_>>();
        if cost <= LONGEST_ON_WORKER {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| ServiceError::new(Code::Internal, error.to_string()))
    }

    /// Predicts a matrix of numbers, row-major `[rows, inputs]`, with one model.
    ///
    /// # Errors
    /// When there are more rows than allowed, or the width is not the signature's.
    pub async fn predict_matrix(
        &self,
        deployment: Arc<Deployment>,
        matrix: ndarray::Array2<f64>,
    ) -> Result<BatchPrediction, ServiceError> {
        self.check_rows(matrix.nrows())?;
        let cost = deployment.row_cost() * u32::try_from(matrix.nrows()).unwrap_or(u32::MAX);
        let work = move || -> Result<BatchPrediction, InvalidInput> {
            let mut batch = BatchPrediction::new();
            deployment.pipeline().predict_batch(matrix.view(), &mut batch)?;
            Ok(batch)
        };
        let result = if cost <= LONGEST_ON_WORKER {
            work()
        } else {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?
        };
        Ok(result?)
    }

    /// Puts one question to the feature sets that are compared. The model type is the one asked for, else the default
    /// model's, else the only one there is.
    ///
    /// # Errors
    /// When any of them has no answer.
    pub async fn compare(&self, request: &PredictRequest<'_>) -> Result<Compared, ServiceError> {
        let sets = &self.parts.compare;
        if sets.is_empty() {
            let message = "there are no feature sets to compare: http.compare names none";
            return Err(ServiceError::new(Code::ModelRequired, message));
        }
        let mut answers = Vec::with_capacity(sets.len());
        for set in sets {
            let model = self.compared_model(set, &request.model);
            let features = match &request.features {
                Features::Positional(_) => Features::None,
                other => other.clone(),
            };
            let answered = self.predict(&PredictRequest { model, features, ..request.clone() }).await;
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

/// A row that is ready to be answered.
struct Row {
    deployment: Arc<Deployment>,
    gathered: Gathered,
    explain: bool,
}

impl Row {
    /// How long the answer is expected to take. What explains a deployment is made at its first use, which reads files.
    fn cost(&self) -> Duration {
        let explaining = match (self.explain, self.deployment.explanations()) {
            (false, _) => Duration::ZERO,
            (true, Some(made)) => made.row_cost(),
            (true, None) => Duration::MAX,
        };
        self.deployment.row_cost().saturating_add(explaining)
    }

    fn answer(self, registry: &Registry) -> Result<Answered, ServiceError> {
        let Self { deployment, gathered, explain } = self;
        let prediction = deployment.pipeline().predict_checked(&gathered.row)?;
        let explanation = if explain {
            let explainer = registry.explanations(&deployment)?.explainer()?;
            Some(explainer.explain_checked(&gathered.row)?)
        } else {
            None
        };
        Ok(Answered { deployment, prediction, gathered, explanation, fallback: None })
    }
}
