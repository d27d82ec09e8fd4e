//! A share of a whole: more than 0, and 1 at most.

use serde::{Deserialize, Serialize};

/// More than 0, and 1 at most.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("share {got}: expected more than 0, and 1 at most")]
pub struct ShareError {
    /// The refused number.
    pub got: f64,
}

impl Share {
    /// One half.
    pub const HALF: Self = Self(0.5);

    /// A share.
    ///
    /// # Errors
    /// [`ShareError`] for 0 and less, more than 1, and NaN.
    pub fn new(share: f64) -> Result<Self, ShareError> {
        if share > 0.0 && share <= 1.0 { Ok(Self(share)) } else { Err(ShareError { got: share }) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;

    fn try_from(share: f64) -> Result<Self, ShareError> {
        Self::new(share)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_more_than_nothing_and_at_most_all() {
        assert_eq!(Share::new(1.0).map(Share::get), Ok(1.0));
        for bad in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(Share::new(bad).is_err(), "{bad}");
        }
    }
}
