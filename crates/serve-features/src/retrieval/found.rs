//! What a look into the store, or a computation, found of one entity: what the cache keeps.

use std::error::Error;
use std::mem::size_of;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use super::{Asked, Origin, Retrieved, Unavailable, Unfit, Weighed};
use crate::feature_cache::Cacheable;
use crate::freshness::{check_declaration, check_freshness};
use crate::name::Entity;
use crate::store::{RetrieveError, StoreError, Unreadable};
use crate::validation::Checked;

/// What was found, checked against its declaration.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) content: Content,
    /// A newer row that lies in the future.
    pub(super) skipped_future: Option<Timestamp>,
    /// Of a computed row.
    pub(super) warm: Option<bool>,
}

/// A row, or why there is none that can be used.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Row(Checked),
    /// A feature that must not be missing is.
    Rejected {
        feature: Arc<str>,
        reason: Arc<str>,
    },
    /// All there is lies in the future.
    Nothing,
}

/// Why nothing was found, shared by all who wait for it.
#[derive(Debug, Clone)]
pub(super) enum Failed {
    Store(Arc<RetrieveError>),
    /// One entity's row.
    Unreadable(Unreadable),
    Computing(Arc<dyn Error + Send + Sync>),
}

impl From<RetrieveError> for Failed {
    fn from(error: RetrieveError) -> Self {
        match error {
            RetrieveError::Unreadable(unreadable) => Self::Unreadable(unreadable),
            error => Self::Store(Arc::new(error)),
        }
    }
}

impl From<Unreadable> for Failed {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl Failed {
    /// Whether it holds for all who wait, and is not one caller's own deadline.
    pub(super) fn is_everyones(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(
                **error,
                RetrieveError::Store(StoreError::TimedOut { .. })
                    | RetrieveError::Deadline { .. }
                    | RetrieveError::RawDeadline { .. }
            ),
            Self::Unreadable(_) | Self::Computing(_) => true,
        }
    }

    pub(super) fn unavailable(self, asked: &Asked<'_>) -> Unavailable {
        let set = asked.set.clone();
        match self {
            Self::Store(source) => Unavailable::Store { set, source },
            Self::Unreadable(source) => Unavailable::Unreadable { set, source },
            Self::Computing(source) => Unavailable::Computing { set, source },
        }
    }
}

impl Cacheable for Found {
    fn bytes(&self) -> Option<usize> {
        let row = &self.row()?.row;
        let text = |value: &Value<'_>| if let Value::Text(text) = value { text.len() } else { 0 };
        let one = |(name, value): (&Arc<str>, &Value<'_>)| {
            size_of::<(Arc<str>, Value<'_>)>() + name.len() + text(value)
        };
        // The row itself, its key, and the map's slot.
        Some(256 + row.entity().as_str().len() + row.features().map(one).sum::<usize>())
    }
}

impl Found {
    /// Holds what was found against the limit.
    pub(super) fn weigh(self, asked: &Asked<'_>, entity: &Entity, origin: Origin) -> Weighed {
        let (set, entity) = (asked.set.clone(), entity.clone());
        let checked = match (self.content, self.skipped_future) {
            (Content::Row(checked), _) => checked,
            (Content::Rejected { feature, reason }, _) => {
                return Weighed::Absent(Unavailable::Rejected { set, entity, feature, reason });
            }
            (Content::Nothing, Some(newest)) => {
                return Weighed::Absent(Unavailable::FromFuture { set, entity, newest });
            }
            (Content::Nothing, None) => return Weighed::Absent(Unavailable::NoRow { set, entity }),
        };
        let freshness = check_freshness(&set, &checked.row, asked.now, asked.limit);
        let declared = check_declaration(&set, &checked.row, asked.computed_by);
        let (age_seconds, from_future) = match &freshness {
            Ok(freshness) => (freshness.age_seconds, freshness.from_future),
            Err(stale) => (stale.age_seconds, false),
        };
        let retrieved = Retrieved {
            row: checked.row,
            origin,
            age_seconds,
            from_future,
            skipped_future: self.skipped_future,
            outdated: declared.is_err(),
            warm: self.warm,
            filled: checked.filled,
            invalid: checked.invalid,
            degraded: None,
        };
        match (freshness, declared) {
            (Ok(_), Ok(())) => Weighed::Fresh(retrieved),
            (Err(stale), _) => Weighed::Stale(retrieved, Unfit::Old(stale)),
            (Ok(_), Err(outdated)) => Weighed::Stale(retrieved, Unfit::Outdated(outdated)),
        }
    }

    /// Whether the row is young enough, and of today's declaration, to be answered from memory.
    pub(super) fn is_fresh(&self, asked: &Asked<'_>) -> bool {
        let fresh = |Checked { row, .. }: &Checked| {
            check_freshness(asked.set, row, asked.now, asked.limit).is_ok()
                && check_declaration(asked.set, row, asked.computed_by).is_ok()
        };
        self.row().is_some_and(fresh)
    }

    fn row(&self) -> Option<&Checked> {
        match &self.content {
            Content::Row(checked) => Some(checked),
            Content::Rejected { .. } | Content::Nothing => None,
        }
    }
}
