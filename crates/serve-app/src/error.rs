//! What can go wrong with a request. Each error has a stable code, says whose fault it is and whether the same request
//! can succeed later; adapters turn that into their protocol's status in one place each.

use std::time::Duration;

use serde_json::{Value as Json, json};
use serve_core::explain::{ExplainError, Unexplainable};
use serve_core::{InvalidInput, InvalidName, PredictError};
use serve_registry::deployment::RefusedError;
use serve_registry::explanations::ReadAgainError;
use serve_registry::{DeploymentError, PromoteError, StorageError};
use thiserror::Error;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request's; the same request fails again.
    Client,
    /// A system we depend on; a retry can help.
    Upstream,
    /// Ours.
    Ours,
}

/// A stable word for an error, on the wire and in logs. Not `non_exhaustive`: an adapter that forgets one must not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name in snake case, listed in docs/http-api.md")]
pub enum Code {
    InvalidName,
    UnknownModel,
    UnknownVersion,
    UnknownAlias,
    VersionRefused,
    ModelLoading,
    CacheFull,
    ModelRequired,
    AmbiguousModel,
    ConflictingModel,
    InvalidFeatures,
    NonFiniteOutput,
    NotExplainable,
    EntityRequired,
    FeaturesUnavailable,
    FeaturesStale,
    OnDemandUnavailable,
    FeaturesNotComputed,
    StoredRowUnreadable,
    FeatureStoreUnavailable,
    UnknownFeatureSet,
    UnknownEntity,
    UnknownTable,
    InvalidRows,
    RawRowsNotKept,
    TooManyRows,
    PromotionRefused,
    ModelPinned,
    NothingToRollBack,
    RegistryUnavailable,
    NotPermitted,
    Unauthenticated,
    InvalidKey,
    KeyExpired,
    InvalidToken,
    TokenExpired,
    AmbiguousCredentials,
    TooManyFailures,
    RateLimited,
    DeadlineExceeded,
    Overloaded,
    Internal,
}

impl Code {
    /// The code as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidName => "invalid_name",
            Self::UnknownModel => "unknown_model",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownAlias => "unknown_alias",
            Self::VersionRefused | Self::PromotionRefused => "version_refused",
            Self::ModelLoading => "model_loading",
            Self::CacheFull => "cache_full",
            Self::ModelPinned => "model_pinned",
            Self::ModelRequired => "model_required",
            Self::AmbiguousModel => "ambiguous_model",
            Self::ConflictingModel => "conflicting_model",
            Self::InvalidFeatures => "invalid_features",
            Self::NonFiniteOutput => "non_finite_output",
            Self::NotExplainable => "not_explainable",
            Self::EntityRequired => "entity_required",
            Self::FeaturesUnavailable => "features_unavailable",
            Self::FeaturesStale => "features_stale",
            Self::OnDemandUnavailable => "on_demand_unavailable",
            Self::FeaturesNotComputed => "features_not_computed",
            Self::StoredRowUnreadable => "stored_row_unreadable",
            Self::FeatureStoreUnavailable => "feature_store_unavailable",
            Self::UnknownFeatureSet => "unknown_feature_set",
            Self::UnknownEntity => "unknown_entity",
            Self::UnknownTable => "unknown_table",
            Self::InvalidRows => "invalid_rows",
            Self::RawRowsNotKept => "raw_rows_not_kept",
            Self::TooManyRows => "too_many_rows",
            Self::NothingToRollBack => "nothing_to_roll_back",
            Self::RegistryUnavailable => "registry_unavailable",
            Self::NotPermitted => "not_permitted",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidKey => "invalid_key",
            Self::KeyExpired => "key_expired",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::TooManyFailures => "too_many_failures",
            Self::RateLimited => "rate_limited",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// Whether another model may answer in the place of one that failed so.
    #[must_use]
    pub fn may_fall_back(self) -> bool {
        match self {
            Self::NonFiniteOutput => true,
            // To ask twice is no help.
            Self::Overloaded => false,
            // The other model may need fewer features, or those of another set.
            Self::FeaturesUnavailable
            | Self::FeaturesStale
            | Self::OnDemandUnavailable
            | Self::FeaturesNotComputed
            | Self::StoredRowUnreadable
            | Self::FeatureStoreUnavailable => true,
            code => code.fault() != Fault::Client,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::VersionRefused
            | Self::ModelLoading
            | Self::CacheFull
            | Self::FeatureStoreUnavailable
            | Self::RegistryUnavailable => Fault::Upstream,
            Self::Internal | Self::FeaturesNotComputed | Self::StoredRowUnreadable | Self::Overloaded => {
                Fault::Ours
            }
            _ => Fault::Client,
        }
    }
}

/// A request that got no answer.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct ServiceError {
    /// What kind.
    pub code: Code,
    /// What is wrong, for people: names the thing, what was expected and what came.
    pub message: String,
    /// More, for programs: every offending input, or the candidates of an ambiguous name.
    pub details: Option<Json>,
    /// When the same request may succeed, where that is known.
    pub retry_after: Option<Duration>,
}

impl ServiceError {
    /// An error without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None, retry_after: None }
    }

    /// The same error, without its details where `told` of `most` leave no room for them: what is sent wrong ten thousand times
    /// would else come back many times as long.
    pub(crate) fn with_room_for_details(self, told: &mut usize, most: usize) -> Self {
        let count = self.details.as_ref().map_or(0, |details| details.as_array().map_or(1, Vec::len));
        *told += count;
        if *told > most { Self { details: None, ..self } } else { self }
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(self, details: Json) -> Self {
        Self { details: Some(details), ..self }
    }
}

impl From<InvalidName> for ServiceError {
    fn from(error: InvalidName) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}

impl From<InvalidInput> for ServiceError {
    fn from(error: InvalidInput) -> Self {
        let details = match &error {
            InvalidInput::Violations { violations } => json!(violations),
            InvalidInput::Length { expected, got } => json!([{ "expected_values": expected, "got": got }]),
            _ => Json::Null,
        };
        Self::new(Code::InvalidFeatures, error.to_string()).with_details(details)
    }
}

impl From<PredictError> for ServiceError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::Input(error) => error.into(),
            other => Self::new(Code::NonFiniteOutput, other.to_string()),
        }
    }
}

impl From<ExplainError> for ServiceError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Input(error) => error.into(),
            other => Self::new(Code::NonFiniteOutput, other.to_string()),
        }
    }
}

impl From<&Unexplainable> for ServiceError {
    fn from(error: &Unexplainable) -> Self {
        Self::new(Code::NotExplainable, error.to_string())
    }
}

impl From<ReadAgainError> for ServiceError {
    fn from(error: ReadAgainError) -> Self {
        Self::new(Code::RegistryUnavailable, error.to_string())
    }
}

impl From<RefusedError> for ServiceError {
    fn from(error: RefusedError) -> Self {
        Self::new(Code::VersionRefused, error.to_string())
    }
}

impl From<DeploymentError> for ServiceError {
    fn from(error: DeploymentError) -> Self {
        let code = match &error {
            DeploymentError::UnknownModel { .. } => Code::UnknownModel,
            DeploymentError::UnknownVersion { .. } | DeploymentError::Nothing { .. } => Code::UnknownVersion,
            DeploymentError::UnknownAlias { .. } => Code::UnknownAlias,
            DeploymentError::InvalidName(_) => Code::InvalidName,
            DeploymentError::Refused(_) => Code::VersionRefused,
            DeploymentError::NotLoaded { .. }
            | DeploymentError::Busy { .. }
            | DeploymentError::TimedOut { .. }
            | DeploymentError::Closed => Code::ModelLoading,
            DeploymentError::NoRoom { .. } => Code::CacheFull,
            DeploymentError::Unreadable { .. } => Code::RegistryUnavailable,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StorageError> for ServiceError {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::UnknownModel { .. } => Code::UnknownModel,
            StorageError::UnknownVersion { .. } => Code::UnknownVersion,
            _ => Code::RegistryUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PromoteError> for ServiceError {
    fn from(error: PromoteError) -> Self {
        match error {
            PromoteError::Storage(error) => error.into(),
            PromoteError::Refused(error) => Self::new(Code::PromotionRefused, error.to_string()),
            PromoteError::NotLoaded(error) => error.into(),
            PromoteError::Pinned { .. } => Self::new(Code::ModelPinned, error.to_string()),
            PromoteError::NoPrevious { .. } => Self::new(Code::NothingToRollBack, error.to_string()),
            other => Self::new(Code::Internal, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_tells_details_as_long_as_there_is_room() {
        let error = || ServiceError::new(Code::InvalidFeatures, "no").with_details(json!([1, 2, 3]));
        let mut told = 0;
        let kept: Vec<bool> =
            (0..4).map(|_| error().with_room_for_details(&mut told, 6).details.is_some()).collect();
        assert_eq!(kept, [true, true, false, false]);
    }
}
