//! Whether a feature row is young enough to predict from. The only place where an age is compared with its limit, so that
//! HTTP, streams and embedding services agree. No clock here: the caller says what time it is, which for a request "as of
//! then" is that moment.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::declaration::DeclarationDigest;
use crate::duration::{self, DurationError};
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;

/// The oldest that a row may be: a duration such as `15m`, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MaxAge {
    /// Rows older than this are stale; a row of exactly this age is not.
    Limit(Duration),
    /// No row is too old.
    Unlimited,
}

impl MaxAge {
    /// The stricter of two limits. `None` is "nothing said" and changes nothing.
    ///
    /// ```
    /// use serve_features::MaxAge;
    /// let set: MaxAge = "90m".parse()?;
    /// assert_eq!(set.strictest("15m".parse().ok()), "15m".parse()?);
    /// assert_eq!(set.strictest(Some(MaxAge::Unlimited)), set);
    /// # Ok::<(), serve_features::duration::DurationError>(())
    /// ```
    #[must_use]
    pub fn strictest(self, other: Option<Self>) -> Self {
        match (self, other) {
            (Self::Limit(a), Some(Self::Limit(b))) => Self::Limit(a.min(b)),
            (Self::Limit(only), None | Some(Self::Unlimited))
            | (Self::Unlimited, Some(Self::Limit(only))) => Self::Limit(only),
            (Self::Unlimited, None | Some(Self::Unlimited)) => Self::Unlimited,
        }
    }
}

impl FromStr for MaxAge {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.trim() == "none" { Ok(Self::Unlimited) } else { duration::parse(text).map(Self::Limit) }
    }
}

impl TryFrom<String> for MaxAge {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<MaxAge> for String {
    fn from(limit: MaxAge) -> Self {
        limit.to_string()
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => f.write_str(&duration::format(*limit)),
            Self::Unlimited => f.write_str("none"),
        }
    }
}

/// How old a row is, for the answer's `age_seconds`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Seconds from the row's timestamp to now; 0 for a row from the future.
    pub age_seconds: f64,
    /// The row's timestamp is later than now: two clocks disagree.
    pub from_future: bool,
}

/// A row is older than its limit. The features' supply has stopped, which is no fault of the client.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "features of entity \"{entity}\" in feature set \"{set}\" are {} old, older than {}",
    told(*age_seconds, *limit),
    duration::format(*limit)
)]
pub struct Stale {
    /// Whose features.
    pub entity: Entity,
    /// Of which set.
    pub set: FeatureSetName,
    /// The row's age.
    pub age_seconds: f64,
    /// The limit that it exceeds.
    pub limit: Duration,
}

impl Stale {
    /// The row's age in words.
    pub(crate) fn age(&self) -> String {
        told(self.age_seconds, self.limit)
    }
}

/// An age as people say it: its two largest units, and tenths below a minute.
fn told(age_seconds: f64, limit: Duration) -> String {
    if age_seconds - limit.as_secs_f64() < 1.0 {
        return format!("just over {}", duration::format(limit));
    }
    let seconds = age_seconds as u64;
    if seconds < 60 {
        return format!("{age_seconds:.1}s");
    }
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    let units = [("d", seconds / 86_400), ("h", hours), ("m", minutes), ("s", seconds % 60)];
    let said = units.iter().skip_while(|(_, n)| *n == 0).take(2).filter(|(_, n)| *n > 0);
    said.map(|(unit, n)| format!("{n}{unit}")).collect::<Vec<_>>().join(" ")
}

/// A row was computed by another declaration than the set has now: its values may mean something else. No fault of the client.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "features of entity \"{entity}\" in feature set \"{set}\" were computed by an older declaration ({found}) than today's ({expected})"
)]
pub struct Outdated {
    /// Whose features.
    pub entity: Entity,
    /// Of which set.
    pub set: FeatureSetName,
    /// What the row was computed by.
    pub found: DeclarationDigest,
    /// What it would be computed by now.
    pub expected: DeclarationDigest,
}

/// Holds what a row was computed by against its set's declaration. Rows that came ready, and those that were stored before it
/// was kept, pass.
///
/// # Errors
/// [`Outdated`] when it is another one.
pub fn check_declaration(
    set: &FeatureSetName,
    row: &FeatureRow,
    expected: Option<DeclarationDigest>,
) -> Result<(), Outdated> {
    match (row.declaration(), expected) {
        (Some(found), Some(expected)) if found != expected => {
            Err(Outdated { entity: row.entity().clone(), set: set.clone(), found, expected })
        }
        _ => Ok(()),
    }
}

/// Holds a row's age against its limit. A row of exactly the limit's age passes.
///
/// # Errors
/// [`Stale`] when it is older.
pub fn check_freshness(
    set: &FeatureSetName,
    row: &FeatureRow,
    now: Timestamp,
    limit: MaxAge,
) -> Result<Freshness, Stale> {
    let age = now.duration_since(row.timestamp());
    let from_future = age.is_negative();
    let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
    match limit {
        MaxAge::Limit(limit) if age > limit => Err(Stale {
            entity: row.entity().clone(),
            set: set.clone(),
            age_seconds: age.as_secs_f64(),
            limit,
        }),
        MaxAge::Limit(_) | MaxAge::Unlimited => Ok(Freshness { age_seconds: age.as_secs_f64(), from_future }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now: &str, limit: &str) -> Result<Freshness, Stale> {
        let at: Timestamp = "2025-10-04T13:50:00Z".parse().expect("is a timestamp");
        let row = FeatureRow::new("BTC/USD".parse().expect("is an entity"), at, Vec::new());
        let set = "vader".parse().expect("is a name");
        check_freshness(&set, &row, now.parse().expect("is a timestamp"), limit.parse().expect("is a limit"))
    }

    #[test]
    fn the_limit_itself_is_still_fresh() {
        let fresh = Freshness { age_seconds: 900.0, from_future: false };
        assert_eq!(check("2025-10-04T14:05:00Z", "15m"), Ok(fresh));
        let stale = check("2025-10-04T14:05:00.25Z", "15m").expect_err("is stale");
        assert_eq!(stale.age_seconds, 900.25);
        assert_eq!(
            stale.to_string(),
            "features of entity \"BTC/USD\" in feature set \"vader\" are just over 15m old, older than 15m"
        );
        for (now, said) in
            [("14:05:01", "15m 1s"), ("15:55:59", "2h 5m"), ("23:50:00", "10h"), ("13:50:12.34", "12.3s")]
        {
            let limit = if said == "12.3s" { "2s" } else { "15m" };
            let stale = check(&format!("2025-10-04T{now}Z"), limit).expect_err("is stale").to_string();
            assert!(stale.ends_with(&format!(" are {said} old, older than {limit}")), "{stale}");
        }
        let stale = check("2025-10-07T13:50:00Z", "15m").expect_err("is stale").to_string();
        assert!(stale.contains(" are 3d old"), "{stale}");
    }

    #[test]
    fn without_a_limit_the_age_is_told_all_the_same() {
        assert_eq!(
            check("2026-10-04T13:50:00Z", "none").map(|fresh| fresh.age_seconds),
            Ok(365.0 * 86_400.0)
        );
    }

    #[test]
    fn a_row_from_the_future_has_age_zero_and_is_flagged() {
        let skewed = Freshness { age_seconds: 0.0, from_future: true };
        assert_eq!(check("2025-10-04T13:49:59Z", "0s"), Ok(skewed));
    }

    #[test]
    fn the_strictest_of_several_limits_wins() {
        let limit = |text: &str| text.parse::<MaxAge>().expect("is a limit");
        let strictest =
            limit("none").strictest(Some(limit("90m"))).strictest(None).strictest(Some(limit("2h")));
        assert_eq!(strictest, limit("90m"));
        assert_eq!(strictest.to_string(), "90m");
        assert_eq!(limit("none").strictest(Some(limit("none"))), MaxAge::Unlimited);
    }
}
