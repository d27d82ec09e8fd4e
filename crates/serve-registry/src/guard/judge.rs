//! Whether a version answers worse than the one it replaced.
//!
//! Three comparisons, any of which is a breach:
//!
//! - **Errors**: the one-sided test of two proportions ([`proportions`]) says that the new version errs more often. The
//!   test is for independent samples; both versions are asked the same rows, which only makes it more careful.
//! - **Latency**: p99(new)/p99(old) is above the ratio. Since the 99th percentile of a thousand rows hangs on ten of them,
//!   the same test must also say that more of the new version's latencies than of the old one's times the ratio lie above
//!   ratio · p99(old). Both percentiles are by nearest rank, and times below a microsecond count as one.
//! - **Scores**: the largest PSI ([`stability`]) over the scores that are compared is above the limit, and above what
//!   chance makes of samples of this size. A version that gives another number of scores is in breach by that alone.
//!
//! A judgement repeated again and again would find, sooner or later, what one look finds once in a thousand. So a look is
//! taken only when the rows have doubled, and the k-th look allows an error of α/(k·(k + 1)) where α = 1 − confidence:
//! over all looks that sums to α at most.

use std::fmt;

use super::config::GuardConfig;
use super::proportions::{self, Share};
use super::stability;
use super::tally::Tally;

/// The confidence where the configuration compares no errors.
const CONFIDENCE: f64 = 0.999;

/// Shorter latencies than this, in seconds, are not told apart.
const SHORTEST: f64 = 1e-6;

/// What was found about two versions that answered the same rows.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// How many rows each version was asked.
    pub rows: u64,
    /// The share of them on which the old version failed.
    pub old_error_rate: f64,
    /// The share of them on which the new version failed.
    pub new_error_rate: f64,
    /// The old version's 99th percentile of the latency in seconds; none before it answered.
    pub old_p99_seconds: Option<f64>,
    /// The new version's.
    pub new_p99_seconds: Option<f64>,
    /// The largest population stability index of the scores; none before both answered.
    pub psi: Option<f64>,
}

/// What a guard makes of a new version.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Too little was asked to judge it; it stays.
    TooFew {
        /// How many rows were asked.
        rows: u64,
        /// How many it takes.
        needed: u64,
    },
    /// It stays.
    Keep(Comparison),
    /// It has to go.
    Breach {
        /// Every comparison that it failed.
        reason: String,
    },
}

/// The text for the history.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { rows, needed } => {
                write!(f, "not judged: the guard window saw {rows} rows, {needed} are needed")
            }
            Self::Keep(found) => write!(f, "kept by the guard window: {found}"),
            Self::Breach { reason } => write!(f, "breach in the guard window: {reason}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, errors {}", self.rows, percent(self.new_error_rate))?;
        write!(f, " (before {})", percent(self.old_error_rate))?;
        if let (Some(new), Some(old)) = (self.new_p99_seconds, self.old_p99_seconds) {
            write!(f, ", p99 {} (before {})", micros(new), micros(old))?;
        }
        self.psi.map_or(Ok(()), |psi| write!(f, ", PSI {psi:.3}"))
    }
}

/// Judges `new` by `old`; `look` counts the judgements of this pair from 1.
#[must_use]
pub fn judge(config: &GuardConfig, look: u32, old: &Tally, new: &Tally) -> Verdict {
    if let Some(reason) = other_scores(old, new) {
        return Verdict::Breach { reason };
    }
    let (rows, needed) = (old.rows().min(new.rows()), config.min_rows.get());
    if rows < needed {
        return Verdict::TooFew { rows, needed };
    }
    let look = f64::from(look.max(1));
    let allowed = (1.0 - config.error_confidence.unwrap_or(CONFIDENCE)) / (look * (look + 1.0));
    let evidence = Evidence::new(old, new);
    let breaches = [
        config.error_confidence.and_then(|_| evidence.errors(allowed)),
        config.latency_ratio.and_then(|ratio| evidence.latency(ratio, allowed)),
        config.psi.and_then(|limit| evidence.scores(limit)),
    ];
    let breaches: Vec<String> = breaches.into_iter().flatten().collect();
    if breaches.is_empty() {
        Verdict::Keep(evidence.comparison())
    } else {
        Verdict::Breach { reason: format!("{} (of {rows} rows)", breaches.join("; ")) }
    }
}

/// What is found so far, whatever the limits are.
pub(super) fn compare(old: &Tally, new: &Tally) -> Comparison {
    Evidence::new(old, new).comparison()
}

fn other_scores(old: &Tally, new: &Tally) -> Option<String> {
    let told = |tally: &Tally| format!("{} with {} scores", tally.task().as_str(), tally.task().scores());
    (told(old) != told(new)).then(|| format!("it is a {}, the version before a {}", told(new), told(old)))
}

struct Evidence<'a> {
    old: &'a Tally,
    new: &'a Tally,
    old_latencies: Vec<f64>,
    new_latencies: Vec<f64>,
    /// The score that moved most, and by how much.
    moved: Option<Moved>,
}

struct Moved {
    score: String,
    psi: f64,
    noise: f64,
}

impl<'a> Evidence<'a> {
    fn new(old: &'a Tally, new: &'a Tally) -> Self {
        let (old_latencies, new_latencies) = (old.latencies(), new.latencies());
        Self { old, new, old_latencies, new_latencies, moved: moved(old, new) }
    }

    fn errors(&self, allowed: f64) -> Option<String> {
        let (old, new) = (errors(self.old), errors(self.new));
        let z = proportions::z(old, new);
        let told =
            || format!("errors {} (before {}, z = {z:.2})", percent(new.value()), percent(old.value()));
        (proportions::tail(z) <= allowed).then(told)
    }

    fn latency(&self, ratio: f64, allowed: f64) -> Option<String> {
        let (old, new) = (p99(&self.old_latencies)?, p99(&self.new_latencies)?);
        let z = proportions::z(above(&self.old_latencies, old), above(&self.new_latencies, ratio * old));
        let told =
            || format!("p99 {} is above {ratio} times {} of the version before", micros(new), micros(old));
        (new > ratio * old && proportions::tail(z) <= allowed).then(told)
    }

    fn scores(&self, limit: f64) -> Option<String> {
        let Moved { score, psi, noise } = self.moved.as_ref()?;
        (*psi > limit.max(*noise)).then(|| format!("PSI {psi:.3} of {score} is above {limit}"))
    }

    fn comparison(&self) -> Comparison {
        Comparison {
            rows: self.old.rows().min(self.new.rows()),
            old_error_rate: errors(self.old).value(),
            new_error_rate: errors(self.new).value(),
            old_p99_seconds: p99(&self.old_latencies),
            new_p99_seconds: p99(&self.new_latencies),
            psi: self.moved.as_ref().map(|moved| moved.psi),
        }
    }
}

fn errors(tally: &Tally) -> Share {
    Share { k: tally.errors(), n: tally.rows() }
}

fn moved(old: &Tally, new: &Tally) -> Option<Moved> {
    let pairs = old.scores().zip(new.scores());
    let indices = pairs.filter(|((_, old), (_, new))| !old.is_empty() && !new.is_empty()).map(
        |((name, old), (_, new))| {
            let (psi, noise) = (stability::psi(&old, &new), stability::noise(old.len(), new.len()));
            (name, psi, noise)
        },
    );
    let largest = indices.max_by(|a, b| a.1.total_cmp(&b.1));
    largest.map(|(name, psi, noise)| Moved { score: name.to_owned(), psi, noise })
}

/// The 99th percentile by nearest rank of ascending values.
fn p99(sorted: &[f64]) -> Option<f64> {
    let rank = (sorted.len() * 99).div_ceil(100);
    rank.checked_sub(1).and_then(|at| sorted.get(at)).map(|value| value.max(SHORTEST))
}

fn above(sorted: &[f64], limit: f64) -> Share {
    let within = sorted.partition_point(|x| *x <= limit);
    Share { k: (sorted.len() - within) as u64, n: sorted.len() as u64 }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn micros(seconds: f64) -> String {
    format!("{:.1} µs", seconds * 1e6)
}
