//! A call with its checked parameters, and the one place that leads from it to the vocabulary.

use jiff::Timestamp;

use crate::vocabulary::elementwise::{self, Unary};
use crate::vocabulary::{Window, bands, calendar, daily, returns, rolling, smoothing, wilder};

/// A function of the vocabulary with everything but its columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    Lag(usize),
    Diff(usize),
    Return(usize),
    LogReturn(usize),
    Rolling(rolling::Statistic, Window),
    Zscore(Window),
    Bollinger(Window, f64),
    VolumeRatio(Window),
    DayMean,
    Ema(usize),
    Macd { fast: usize, slow: usize },
    MacdSignal { fast: usize, slow: usize, signal: usize },
    Rsi(usize),
    Atr(usize),
    Calendar(calendar::Field),
    Unary(Unary),
    Min,
    Max,
    Ratio,
    Difference,
    Coalesce,
    Clip { low: f64, high: f64 },
}

impl Function {
    /// The function over columns of one length, which is that of the timestamps too.
    pub(crate) fn apply(self, timestamps: &[Timestamp], inputs: &[&[f64]]) -> Vec<f64> {
        let x = inputs.first().copied().unwrap_or_default();
        match self {
            Self::Lag(n) => returns::lag(x, n),
            Self::Diff(n) => returns::diff(x, n),
            Self::Return(n) => returns::simple_return(x, n),
            Self::LogReturn(n) => returns::log_return(x, n),
            Self::Rolling(statistic, window) => rolling::rolling(statistic, x, timestamps, window),
            Self::Zscore(window) => bands::zscore(x, timestamps, window),
            Self::Bollinger(window, k) => bands::bollinger(x, timestamps, window, k),
            Self::VolumeRatio(window) => bands::volume_ratio(x, timestamps, window),
            Self::DayMean => daily::day_mean(x, timestamps),
            Self::Ema(span) => smoothing::ema(x, span),
            Self::Macd { fast, slow } => smoothing::macd(x, fast, slow),
            Self::MacdSignal { fast, slow, signal } => smoothing::macd_signal(x, fast, slow, signal),
            Self::Rsi(n) => wilder::rsi(x, n),
            Self::Atr(n) => match inputs {
                [high, low, close] => wilder::atr(high, low, close, n),
                _ => vec![f64::NAN; x.len()],
            },
            Self::Calendar(field) => calendar::field(timestamps, field),
            Self::Unary(function) => x.iter().map(|x| function.of(*x)).collect(),
            Self::Min => fold(inputs, elementwise::min),
            Self::Max => fold(inputs, elementwise::max),
            Self::Ratio => fold(inputs, elementwise::ratio),
            Self::Difference => fold(inputs, elementwise::difference),
            Self::Coalesce => fold(inputs, elementwise::coalesce),
            Self::Clip { low, high } => x.iter().map(|x| elementwise::clip(*x, low, high)).collect(),
        }
    }
}

/// Row by row over any number of columns.
fn fold(inputs: &[&[f64]], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let Some((first, others)) = inputs.split_first() else {
        return Vec::new();
    };
    let mut folded = first.to_vec();
    for column in others {
        for (y, x) in folded.iter_mut().zip(*column) {
            *y = f(*y, *x);
        }
    }
    folded
}
