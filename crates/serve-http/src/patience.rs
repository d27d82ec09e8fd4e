//! How long a client waits and how urgent it finds its request: the headers `X-Request-Timeout` and `X-Request-Priority`.
//!
//! A plain number is in milliseconds, as in Envoy's `x-envoy-upstream-rq-timeout-ms`, gRPC-Web's and Connect's
//! `Connect-Timeout-Ms`; anything else has its unit beside it, as in the configuration.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serve_app::{Context, Priority};
use serve_core::duration;

use crate::failure::Failure;

pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("x-request-priority");

/// How long an answer is worth having.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) limit: Duration,
    /// Whether the client said so, rather than the configuration.
    asked: bool,
}

impl Patience {
    /// What the client says, but never more than `most`.
    ///
    /// # Errors
    /// 400 when the header is no duration.
    pub(crate) fn of(headers: &HeaderMap, most: Duration) -> Result<Self, Failure> {
        let Some(value) = headers.get(TIMEOUT) else { return Ok(Self { limit: most, asked: false }) };
        let text = value.to_str().unwrap_or("not text").trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let asked = match duration::parse(text) {
            Ok(asked) => asked,
            Err(duration::DurationError::TooLong { .. }) => Duration::MAX,
            // More than fits is longer than anybody waits.
            Err(_) if plain => Duration::from_millis(text.parse().unwrap_or(u64::MAX)),
            Err(_) => {
                let text: String = text.chars().take(40).collect();
                let message = format!(
                    "{TIMEOUT}: expected a whole number of milliseconds, or one with a unit, {}, such as 250ms, got {text:?}",
                    duration::LISTED
                );
                return Err(Failure::unreadable("malformed_header", message));
            }
        };
        Ok(Self { limit: asked.min(most), asked: asked < most })
    }

    /// The answer once it is over.
    pub(crate) fn over(self) -> Failure {
        if !self.asked {
            return Failure::timeout(self.limit);
        }
        Context::deadline_passed(self.limit).into()
    }
}

/// How urgent the client finds its request, where it says so.
///
/// # Errors
/// 400 when the header is no number from 0 to 255.
pub(crate) fn priority(headers: &HeaderMap) -> Result<Option<Priority>, Failure> {
    let Some(value) = headers.get(PRIORITY) else { return Ok(None) };
    let text = value.to_str().unwrap_or("not text").trim();
    let number = text.parse().map_err(|_| {
        let text: String = text.chars().take(40).collect();
        let message = format!(
            "{PRIORITY}: expected a number from 0 (nothing said) to 255, 1 going first, got {text:?}"
        );
        Failure::unreadable("malformed_header", message)
    })?;
    Ok(Some(Priority::of(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    fn read(text: &str) -> Option<(Duration, bool)> {
        let headers = HeaderMap::from_iter([(TIMEOUT, text.parse().expect("a value"))]);
        Patience::of(&headers, MOST).ok().map(|patience| (patience.limit, patience.asked))
    }

    #[test]
    fn a_plain_number_is_in_milliseconds() {
        let asked = |millis| Some((Duration::from_millis(millis), true));
        assert_eq!(
            (read("250"), read(" 250ms "), read("2s"), read("0")),
            (asked(250), asked(250), asked(2_000), asked(0))
        );
        assert_eq!(read("500us"), Some((Duration::from_micros(500), true)));
        let most = Some((MOST, false));
        assert_eq!(
            (read("30000"), read("1d"), read("99999w"), read("99999999999999999999999")),
            (most, most, most, most)
        );
        for wrong in ["", "soon", "-5", "0.5", "1e3", "5 s", "5S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let headers = HeaderMap::from_iter([(TIMEOUT, "1 day".parse().expect("a value"))]);
        let told = Patience::of(&headers, MOST).expect_err("is none").entry()["error"].to_string();
        assert!(told.contains("`us`, `ms`, `s`, `m`, `h`, `d`, `w`"), "{told}");
        let open = Patience::of(&HeaderMap::new(), MOST).ok();
        assert_eq!(open, Some(Patience { limit: MOST, asked: false }));
    }

    #[test]
    fn priorities_are_small_numbers() {
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(PRIORITY, text.parse().expect("a value"))]);
            priority(&headers).ok()
        };
        assert_eq!((read("1"), read("0")), (Some(Some(Priority(1))), Some(Some(Priority::USUAL))));
        assert_eq!((read("high"), read("256"), read("-1")), (None, None, None));
        assert!(matches!(priority(&HeaderMap::new()), Ok(None)));
    }
}
