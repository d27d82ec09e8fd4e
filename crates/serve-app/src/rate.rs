//! How often somebody may ask: `100/s`, `600/m`, `5000/h`, each with `burst N` where more or fewer than a whole period's
//! may come at once. What is counted is counted by the generic cell rate algorithm (the governor crate): the allowance
//! comes back evenly, not all at the turn of a period.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::Quota;
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod meter;

pub use meter::Standing;
pub(crate) use meter::{Meter, Meters, Taken};

/// The most that may be said for one period, and for a burst.
const MOST: u32 = 1_000_000;

/// Units, with their seconds.
const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "rate {got:?}: expected a whole number up to {MOST} and /s, /m or /h, such as `100/s` or `600/m burst 50`"
)]
pub struct InvalidRate {
    got: String,
}

/// How often somebody may ask.
///
/// ```
/// let rate: serve_app::Rate = "600/m burst 50".parse()?;
/// assert_eq!((rate.requests(), rate.window_seconds(), rate.burst()), (600, 60, 50));
/// # Ok::<(), serve_app::rate::InvalidRate>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    requests: NonZeroU32,
    window_seconds: u64,
    burst: NonZeroU32,
}

impl Rate {
    /// How many requests a window has.
    #[must_use]
    pub fn requests(self) -> u32 {
        self.requests.get()
    }

    /// How long a window is.
    #[must_use]
    pub fn window_seconds(self) -> u64 {
        self.window_seconds
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst.get()
    }

    /// How long it takes until one more may come.
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(self.window_seconds) / self.requests.get()
    }

    /// As governor has it.
    fn quota(self) -> Quota {
        let quota =
            Quota::with_period(self.interval()).expect("a window is a second or more, for a million at most");
        quota.allow_burst(self.burst)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.iter().find(|(_, seconds)| *seconds == self.window_seconds).map_or("s", |(unit, _)| unit);
        write!(f, "{}/{unit}", self.requests)?;
        if self.burst == self.requests { Ok(()) } else { write!(f, " burst {}", self.burst) }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<NonZeroU32>().ok().filter(|number| digits && number.get() <= MOST)
        };
        let read = || {
            let (rate, burst) = match text.trim().split_once(" burst ") {
                Some((rate, burst)) => (rate.trim_end(), Some(number(burst.trim_start())?)),
                None => (text.trim(), None),
            };
            let (requests, unit) = rate.split_once('/')?;
            let requests = number(requests)?;
            let window_seconds = UNITS.iter().find(|(name, _)| *name == unit)?.1;
            Some(Self { requests, window_seconds, burst: burst.unwrap_or(requests) })
        };
        read().ok_or_else(|| InvalidRate { got: text.chars().take(40).collect() })
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// For `#[serde(with)]` where there may be none: `none` is no limit.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::Rate;

    /// Text, `none` where there is no limit.
    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(rate: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
        match rate {
            Some(rate) => serializer.collect_str(rate),
            None => serializer.serialize_str("none"),
        }
    }

    /// Text, or `none`, or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
        match Option::<String>::deserialize(deserializer)?.as_deref() {
            None | Some("none") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_they_are_read() {
        for text in ["100/s", "600/m", "5000/h", "600/m burst 50", "1/h burst 3"] {
            assert_eq!(text.parse::<Rate>().expect("is one").to_string(), text);
        }
        let plain: Rate = "100/s burst 100".parse().expect("is one");
        assert_eq!((plain.to_string().as_str(), plain.interval()), ("100/s", Duration::from_millis(10)));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "100",
            "0/s",
            "/s",
            "100/d",
            "+5/s",
            "1.5/s",
            "-1/s",
            "1000001/s",
            "5/s burst 0",
            "5/sburst 3",
        ] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("rate {text:?}: expected")), "{error}");
        }
    }
}
