//! The functions of endless memory as what they are: recursions that go on from any row with the same bits.

use crate::expression::function::Function;
use crate::vocabulary::smoothing::{Ema, Macd, MacdSignal};
use crate::vocabulary::wilder::{Atr, Average, Rsi};

/// A function of endless memory after some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Recursion {
    Ema(Ema),
    Macd(Macd),
    MacdSignal(MacdSignal),
    Rsi(Rsi),
    Atr(Atr),
}

impl Recursion {
    /// The function before the first row; `None` for one with a window.
    pub(super) fn of(function: Function) -> Option<Self> {
        match function {
            Function::Ema(span) => Some(Self::Ema(Ema::new(span))),
            Function::Macd { fast, slow } => Some(Self::Macd(Macd::new(fast, slow))),
            Function::MacdSignal { fast, slow, signal } => {
                Some(Self::MacdSignal(MacdSignal::new(fast, slow, signal)))
            }
            Function::Rsi(n) => Some(Self::Rsi(Rsi::new(n))),
            Function::Atr(n) => Some(Self::Atr(Atr::new(n))),
            _ => None,
        }
    }

    /// Takes in rows, and adds a value for each.
    pub(super) fn run(&mut self, inputs: &[&[f64]], values: &mut Vec<f64>) {
        let x = inputs.first().copied().unwrap_or_default();
        match self {
            Self::Ema(ema) => values.extend(x.iter().map(|x| ema.next(*x))),
            Self::Macd(macd) => values.extend(x.iter().map(|x| macd.next(*x))),
            Self::MacdSignal(signal) => values.extend(x.iter().map(|x| signal.next(*x))),
            Self::Rsi(rsi) => values.extend(x.iter().map(|x| rsi.next(*x))),
            Self::Atr(atr) => {
                if let [high, low, close] = inputs {
                    let rows = high.iter().zip(*low).zip(*close);
                    values.extend(rows.map(|((high, low), close)| atr.next(*high, *low, *close)));
                }
            }
        }
    }

    /// What has to be remembered, the settings aside.
    pub(super) fn memory(&self) -> Vec<f64> {
        let average = |average: &Average| [average.seen as f64, average.value];
        let ema = |ema: &Ema| [ema.y, ema.weight];
        match self {
            Self::Ema(x) => ema(x).to_vec(),
            Self::Macd(macd) => [ema(&macd.fast), ema(&macd.slow)].concat(),
            Self::MacdSignal(x) => [ema(&x.macd.fast), ema(&x.macd.slow), ema(&x.signal)].concat(),
            Self::Rsi(rsi) => [&[rsi.last], &average(&rsi.gains)[..], &average(&rsi.losses)[..]].concat(),
            Self::Atr(atr) => [&[atr.close], &average(&atr.average)[..]].concat(),
        }
    }

    /// Goes on from such a memory; `None` where it is not one of this function.
    pub(super) fn recall(mut self, memory: &[f64]) -> Option<Self> {
        let mut left = memory.iter().copied();
        match &mut self {
            Self::Ema(x) => recall_ema(x, &mut left)?,
            Self::Macd(macd) => recall_macd(macd, &mut left)?,
            Self::MacdSignal(x) => {
                recall_macd(&mut x.macd, &mut left)?;
                recall_ema(&mut x.signal, &mut left)?;
            }
            Self::Rsi(rsi) => {
                rsi.last = left.next()?;
                recall_average(&mut rsi.gains, &mut left)?;
                recall_average(&mut rsi.losses, &mut left)?;
            }
            Self::Atr(atr) => {
                atr.close = left.next()?;
                recall_average(&mut atr.average, &mut left)?;
            }
        }
        left.next().is_none().then_some(self)
    }
}

fn recall_ema(ema: &mut Ema, left: &mut impl Iterator<Item = f64>) -> Option<()> {
    (ema.y, ema.weight) = (left.next()?, left.next()?);
    Some(())
}

fn recall_macd(macd: &mut Macd, left: &mut impl Iterator<Item = f64>) -> Option<()> {
    recall_ema(&mut macd.fast, left)?;
    recall_ema(&mut macd.slow, left)
}

fn recall_average(average: &mut Average, left: &mut impl Iterator<Item = f64>) -> Option<()> {
    (average.seen, average.value) = (left.next()? as usize, left.next()?);
    Some(())
}
