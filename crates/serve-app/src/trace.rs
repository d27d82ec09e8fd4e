//! W3C Trace Context, version 00: where a request stands among others in a trace. The text forms are
//! <https://www.w3.org/TR/trace-context/>'s.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Of the whole trace; never 0.
    pub trace_id: u128,
    /// Of what this process does for it; never 0.
    pub span_id: u64,
    /// Of what asked this process; 0, where nothing did.
    pub parent_id: u64,
    /// Whether whoever asked keeps what it sees of the trace.
    pub sampled: bool,
}

impl Trace {
    /// A trace that begins here.
    #[must_use]
    pub fn begin(sampled: bool) -> Self {
        let trace_id = (u128::from(fresh()) << 64) | u128::from(fresh());
        Self { trace_id, span_id: fresh(), parent_id: 0, sampled }
    }

    /// A trace that goes on here, under a span of its own. Nothing, where the text is not a `traceparent`: then a trace
    /// begins, as the recommendation has it.
    #[must_use]
    pub fn of(traceparent: &str) -> Option<Self> {
        let text = traceparent.trim_matches([' ', '\t']);
        let (version, rest) = text.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (parent, rest) = rest.split_once('-')?;
        // Later versions may have more after the flags.
        let flags = match rest.split_once('-') {
            Some((flags, _)) if version != "00" => flags,
            Some(_) => return None,
            None => rest,
        };
        if hex(version, 2)? == 0xff {
            return None;
        }
        let (trace_id, parent_id) = (hex(trace, 32)?, u64::try_from(hex(parent, 16)?).ok()?);
        let sampled = hex(flags, 2)? & 1 == 1;
        (trace_id != 0 && parent_id != 0).then(|| Self { trace_id, span_id: fresh(), parent_id, sampled })
    }
}

/// The `traceparent` of what this process asks others, and of its answers.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

fn hex(text: &str, length: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == length && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok())?
}

/// A number that no other process is likely to have and this one does not repeat; never 0. Ids need to differ, not to be
/// unguessable: SplitMix64 over a counter that begins anywhere.
fn fresh() -> u64 {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU64::new(RandomState::new().hash_one(std::process::id())));
    loop {
        let mut x = next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        if x != 0 {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_under_a_new_span() {
        let trace = Trace::of(GIVEN).expect("is one");
        assert_eq!(
            (trace.trace_id, trace.parent_id),
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7)
        );
        assert!(trace.sampled && trace.span_id != trace.parent_id);
        assert_eq!(trace.to_string(), format!("{}-{:016x}-01", &GIVEN[..35], trace.span_id));
        let other = Trace::of(&GIVEN.replace("-01", "-02")).expect("is one");
        assert!(
            !other.sampled && other.to_string().ends_with("-00"),
            "only the flag that is known is told on"
        );
        assert_ne!(trace.span_id, other.span_id);
        assert!(Trace::of(&format!("{}-more", GIVEN.replacen("00", "cc", 1))).is_some(), "a later version");
    }

    #[test]
    fn what_is_no_traceparent_is_not_taken() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(Trace::of(text), None, "{text}");
        }
    }
}
