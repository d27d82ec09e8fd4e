//! Who asks, and what they may.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serve_core::ModelName;

use crate::error::{Code, ServiceError};

/// What somebody may do. None of them includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Ask for predictions.
    Predict,
    /// See models, features, metrics and documents.
    Read,
    /// Change what serves, and what is stored.
    Admin,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Predict, Self::Read, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody showed to be known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A key of the configuration, whose owner it names.
    Key,
    /// A signed token, whose issuer names its owner.
    Token,
}

impl Proof {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
        }
    }
}

/// Who asks, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    proof: Option<Proof>,
    permissions: BTreeSet<Permission>,
    models: Option<BTreeSet<ModelName>>,
}

impl Caller {
    /// Somebody by that name with those permissions, for all models.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { name: name.into(), proof: None, permissions: permissions.into_iter().collect(), models: None }
    }

    /// Somebody of whom nothing is known and to whom everything is allowed: what everyone is where nobody is asked who
    /// they are.
    #[must_use]
    pub fn anyone() -> Self {
        Self::new("anyone", Permission::ALL)
    }

    /// The same caller, for these models alone.
    #[must_use]
    pub fn only(self, models: impl IntoIterator<Item = ModelName>) -> Self {
        Self { models: Some(models.into_iter().collect()), ..self }
    }

    /// The same caller, known by that.
    #[must_use]
    pub fn known_by(self, proof: Proof) -> Self {
        Self { proof: Some(proof), ..self }
    }

    /// The name that a key or a token gives them. It is no secret, and not unique: whoever issues tokens chooses theirs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, with what it is known by before it: as logs and histories have it.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self.proof {
            Some(proof) => Cow::Owned(format!("{}:{}", proof.as_str(), self.name)),
            None => Cow::Borrowed(&self.name),
        }
    }

    /// The name, to be kept.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether that is allowed.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether the model may be used, and seen.
    #[must_use]
    pub fn may_use(&self, model: &ModelName) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// Whether all models may be used.
    #[must_use]
    pub fn may_use_all(&self) -> bool {
        self.models.is_none()
    }

    /// Refuses a model that the caller may not use.
    ///
    /// # Errors
    /// [`Code::NotPermitted`].
    pub fn check_model(&self, model: &ModelName) -> Result<(), ServiceError> {
        if self.may_use(model) {
            return Ok(());
        }
        let message = format!("{:?} may not use model {:?}", self.name(), model.as_str());
        Err(ServiceError::new(Code::NotPermitted, message))
    }
}

/// As logs and histories have it: `key:ci` and `token:ci` are two callers.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_what_it_was_given() {
        let model = |name: &str| name.parse::<ModelName>().expect("is a name");
        let caller = Caller::new("ci", [Permission::Predict]).only([model("a")]);
        assert!(caller.may(Permission::Predict) && !caller.may(Permission::Admin));
        assert!(caller.check_model(&model("a")).is_ok());
        let refused = caller.check_model(&model("b")).expect_err("is not among its models");
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (Code::NotPermitted, "\"ci\" may not use model \"b\"")
        );
        assert_eq!(
            (caller.clone().known_by(Proof::Key).to_string(), caller.to_string()),
            ("key:ci".into(), "ci".into())
        );
        assert!(Permission::ALL.into_iter().all(|permission| Caller::anyone().may(permission)));
    }
}
