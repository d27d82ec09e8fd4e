//! What the service does with features besides predicting: why there are none, in the service's words, which sets there
//! are, and raw rows on their way in.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use serve_core::Value;
use serve_features::{
    FeatureSet, FeatureSetName, FeatureStore as _, IngestError, IngestRequest, Ingested, MaxAge, NameError,
    RawRow, RawTable, Retriever, Source, SourceColumn, Unavailable,
};

use crate::auth::Act;
use crate::caller::Caller;
use crate::context::Context;
use crate::error::{Code, ServiceError};
use crate::service::Service;

/// A raw row that is not stored, by its place, with each column that offends.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRefusal {
    /// Its place in the request.
    pub row: usize,
    /// The column, or `timestamp`.
    pub column: String,
    /// What the column holds.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// So many offences are told of a row: what is sent wrong must not come back many times as long.
pub const MOST_OF_A_ROW: usize = 10;

impl Service {
    /// What gives features.
    #[must_use]
    pub fn retriever(&self) -> &Arc<Retriever> {
        &self.parts.retriever
    }

    /// The limit that a row's age is held against: the strictest of the request's, the model's and the set's, which is the
    /// configuration's for a set that declares none.
    #[must_use]
    pub fn limit(&self, set: &FeatureSetName, asked: Option<MaxAge>) -> MaxAge {
        self.retriever().limit(set).strictest(asked)
    }

    /// The names of all sets that are declared, or that a model is served from.
    #[must_use]
    pub fn feature_sets(&self) -> BTreeSet<FeatureSetName> {
        let declared = self.retriever().declarations().sets().iter().map(|set| set.name().clone());
        let models = self.registry().models();
        let served = models.iter().filter_map(|model| model.summary()?.feature_set.as_ref()?.parse().ok());
        declared.chain(served).collect()
    }

    /// The feature sets that the caller may see: all, or those that the models they may use are served from.
    #[must_use]
    pub fn usable_sets(&self, caller: &Caller) -> BTreeSet<FeatureSetName> {
        if caller.may_use_all() {
            return self.feature_sets();
        }
        let mut sets = BTreeSet::new();
        for model in self.registry().models().iter().filter(|model| caller.may_use(&model.name)) {
            let served = model.summary().and_then(|about| about.feature_set.clone());
            let loaded = model.champion_deployment();
            let joined = loaded.iter().flat_map(|loaded| loaded.manifest().signature.inputs());
            let joined = joined.filter_map(|input| input.feature_set.clone());
            sets.extend(
                served.into_iter().chain(joined).filter_map(|set| set.parse::<FeatureSetName>().ok()),
            );
        }
        sets
    }

    /// Refuses a feature set that the caller may not see, and writes that down.
    ///
    /// # Errors
    /// [`Code::NotPermitted`].
    pub fn check_set(&self, context: &Context, set: &FeatureSetName) -> Result<(), ServiceError> {
        let caller = context.caller();
        if caller.may_use_all() || self.usable_sets(caller).contains(set) {
            return Ok(());
        }
        let message = format!("{:?} may not use feature set \"{set}\"", caller.name());
        let error = ServiceError::new(Code::NotPermitted, message);
        self.locks().kept_from(context, None, &error);
        Err(error)
    }

    /// Stores ready rows.
    ///
    /// # Errors
    /// Why they are not stored; [`not_ingested`](Self::not_ingested) tells it.
    pub async fn ingest(&self, context: &Context, request: IngestRequest) -> Result<Ingested, IngestError> {
        let set = request.set.clone();
        let act = Act { what: "ingest", target: Some(set.as_str()), ..Act::default() }.begun(context);
        let stored = self.retriever().ingest(request).await;
        let told = stored.as_ref().map(|_| ()).map_err(|error| self.not_ingested(error));
        drop(act.ended(told));
        stored
    }

    /// Why there are no features.
    #[must_use]
    pub fn unavailable(&self, error: &Unavailable) -> ServiceError {
        let code = match error {
            Unavailable::Stale { .. } | Unavailable::Outdated { .. } => Code::FeaturesStale,
            Unavailable::OnDemand { .. } => Code::OnDemandUnavailable,
            Unavailable::Computing { .. } => Code::FeaturesNotComputed,
            Unavailable::Unreadable { .. } => Code::StoredRowUnreadable,
            Unavailable::Store { .. } => Code::FeatureStoreUnavailable,
            _ => Code::FeaturesUnavailable,
        };
        let told = ServiceError::new(code, error.to_string());
        match error {
            Unavailable::Stale { stale, .. } => {
                let details =
                    json!({ "age_seconds": stale.age_seconds, "max_age_seconds": stale.limit.as_secs_f64() });
                told.with_details(details)
            }
            Unavailable::Outdated { outdated, .. } => told.with_details(json!({
                "outdated": true,
                "declaration": outdated.found.to_string(),
                "expected_declaration": outdated.expected.to_string(),
            })),
            Unavailable::Store { .. } => self.retried_later(told),
            _ => told,
        }
    }

    /// Why rows were not stored. Each refused row's offences are for the adapter to list.
    #[must_use]
    pub fn not_ingested(&self, error: &IngestError) -> ServiceError {
        match error {
            IngestError::NoStore { .. } => ServiceError::new(Code::FeaturesUnavailable, error.to_string()),
            IngestError::Refused { .. } => ServiceError::new(Code::InvalidRows, error.to_string()),
            other if other.fault() == serve_features::Fault::Client => {
                ServiceError::new(Code::InvalidRows, other.to_string())
            }
            other => self.retried_later(ServiceError::new(Code::FeatureStoreUnavailable, other.to_string())),
        }
    }

    /// The same error with when the store is next asked, where its breaker is open.
    fn retried_later(&self, error: ServiceError) -> ServiceError {
        let health = self.retriever().health();
        ServiceError { retry_after: health.and_then(|health| health.breaker.retry_after), ..error }
    }

    /// Stores raw rows, all or none, and forgets what was computed without them.
    ///
    /// # Errors
    /// Why the store does not take them. What [`raw_refusals`](Self::raw_refusals) tells of is for the caller to refuse.
    pub async fn ingest_raw(
        &self,
        context: &Context,
        table: &RawTable,
        rows: Vec<RawRow>,
    ) -> Result<usize, ServiceError> {
        let named = table.to_string();
        let act = Act { what: "ingest_raw", target: Some(&named), ..Act::default() }.begun(context);
        act.ended(self.ingest_raw_unwritten(context, table, rows).await)
    }

    async fn ingest_raw_unwritten(
        &self,
        context: &Context,
        table: &RawTable,
        rows: Vec<RawRow>,
    ) -> Result<usize, ServiceError> {
        if !context.caller().may_use_all() {
            let message =
                format!("{:?} may use some models only, and raw rows are for all", context.caller().name());
            let error = ServiceError::new(Code::NotPermitted, message);
            self.locks().kept_from(context, None, &error);
            return Err(error);
        }
        let store = self
            .retriever()
            .store()
            .ok_or_else(|| nowhere(Code::FeaturesUnavailable, "no feature store is configured", table))?;
        let raw = store
            .raw()
            .ok_or_else(|| nowhere(Code::RawRowsNotKept, "the feature store keeps no raw rows", table))?;
        let entities: BTreeSet<_> = rows.iter().map(|row| row.entity.clone()).collect();
        let written = rows.len();
        let stored = raw.write_raw(table.clone(), rows).await;
        let sets = self.retriever().declarations().sets().iter();
        for set in sets.filter(|set| set.sources().iter().any(|source| source.table == *table)) {
            entities.iter().for_each(|entity| self.retriever().written(set.name(), entity, &stored));
        }
        match stored {
            Ok(()) => {
                self.raw_arrived(table, &entities);
                Ok(written)
            }
            Err(error) if error.fault() == serve_features::Fault::Client => {
                Err(ServiceError::new(Code::InvalidRows, error.to_string()))
            }
            Err(error) => {
                let message = format!("the rows of {table} cannot be stored: {error}");
                Err(self.retried_later(ServiceError::new(Code::FeatureStoreUnavailable, message)))
            }
        }
    }

    /// Every offence of raw rows that their table cannot hold or that lie further in the future than clocks may differ. A
    /// table whose columns declared sets name has those, of their types, and no others.
    #[must_use]
    pub fn raw_refusals(&self, table: &RawTable, rows: &[RawRow]) -> Vec<RawRefusal> {
        let latest = self.latest();
        let sets = self.retriever().declarations().sets().iter();
        let sources: Vec<&Source> =
            sets.flat_map(FeatureSet::sources).filter(|source| source.table == *table).collect();
        let mut refused = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if row.timestamp > latest {
                let (expected, got) = ("a moment that has been".to_owned(), row.timestamp.to_string());
                refused.push(RawRefusal { row: at, column: "timestamp".to_owned(), expected, got });
            }
            let most = refused.len() + MOST_OF_A_ROW;
            for (column, value) in &row.values {
                if refused.len() == most {
                    break;
                }
                let checked = table.check(column, value).map_err(str::to_owned);
                if let Err(expected) = checked.and_then(|()| declared(&sources, column, value)) {
                    let (column, got) = (column.to_string(), shown(value));
                    refused.push(RawRefusal { row: at, column, expected, got });
                }
            }
        }
        refused
    }

    /// The moment after which a row is no clock that runs ahead.
    fn latest(&self) -> Timestamp {
        let skew = jiff::SignedDuration::try_from(self.retriever().config().clock_skew);
        skew.ok().and_then(|skew| self.now().checked_add(skew).ok()).unwrap_or(Timestamp::MAX)
    }
}

/// Whether a column may have a value by the sources that name their table's columns; what was expected, if not.
fn declared(sources: &[&Source], column: &str, value: &Value<'_>) -> Result<(), String> {
    let naming = || sources.iter().filter(|source| !source.columns.is_empty());
    if naming().next().is_none() {
        return Ok(());
    }
    let kinds: Vec<SourceColumn> = naming().filter_map(|source| source.column(column)).collect();
    let Some(first) = kinds.first() else {
        let known: BTreeSet<&str> = naming().filter_map(|source| source.columns()).flatten().collect();
        let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
        return Err(format!("one of the columns {}", known.join(", ")));
    };
    let holds = |kind: &SourceColumn| match value {
        Value::Missing => true,
        // Booleans are computed with as 0 and 1.
        Value::Number(_) | Value::Bool(_) => *kind == SourceColumn::Number,
        Value::Text(_) => *kind == SourceColumn::Text,
        Value::Other(_) => false,
    };
    match (kinds.iter().any(holds), first) {
        (true, _) => Ok(()),
        (false, SourceColumn::Number) => Err("a finite number, or nothing".to_owned()),
        (false, SourceColumn::Text) => Err("a text, or nothing".to_owned()),
    }
}

fn nowhere(code: Code, what: &str, table: &RawTable) -> ServiceError {
    ServiceError::new(code, format!("{what}, so rows of {table} cannot be stored"))
}

/// A value as errors tell it.
#[must_use]
pub fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Number(x) => x.to_string(),
        Value::Bool(x) => x.to_string(),
        Value::Text(text) => format!("text {:?}", text.chars().take(60).collect::<String>()),
        Value::Missing | Value::Other(_) => value.kind().to_owned(),
    }
}

impl From<NameError> for ServiceError {
    fn from(error: NameError) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serve_features::Declarations;

    use super::*;

    #[test]
    fn a_table_of_declared_columns_has_no_others() {
        let sets = "
feature_sets:
  s:
    entity: user
    sources: { paid: { table: payments, columns: { amount: number, venue: text } } }
    features: { last: amount }
  t:
    entity: user
    sources: { paid: { table: anything } }
    features: { last: paid.whatever }
";
        let declarations = Declarations::parse(sets).expect("is sound");
        let sources: Vec<&Source> = declarations.sets().iter().flat_map(FeatureSet::sources).collect();
        let payments = &sources[..1];
        for (column, value) in [
            ("amount", Value::Number(1.0)),
            ("amount", Value::Bool(true)),
            ("amount", Value::Missing),
            ("venue", Value::Text("x".into())),
        ] {
            assert_eq!(declared(payments, column, &value), Ok(()), "{column}");
        }
        let refused = |column, value| declared(payments, column, &value).expect_err("is refused");
        assert_eq!(refused("amount", Value::Text("1".into())), "a finite number, or nothing");
        assert_eq!(refused("venue", Value::Number(1.0)), "a text, or nothing");
        assert_eq!(refused("amuont", Value::Number(1.0)), "one of the columns `amount`, `venue`");
        assert_eq!(declared(&sources[1..], "amuont", &Value::Number(1.0)), Ok(()));
    }
}
