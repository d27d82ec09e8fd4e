//! The functions by name: what each takes, and the [`Function`] that its arguments make. One line a function; the meaning
//! is in [`crate::vocabulary`].

use super::function::Function;
use crate::vocabulary::Window;
use crate::vocabulary::calendar::Field;
use crate::vocabulary::elementwise::Unary;
use crate::vocabulary::rolling::Statistic;

/// The longest window or lag, in rows.
pub(crate) const MOST_ROWS: usize = 1_000_000;

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// An expression of columns and numbers.
    Column,
    /// Two or more of these; only as the last.
    Columns,
    /// A whole number of rows, 1 to [`MOST_ROWS`].
    Rows,
    /// [`Self::Rows`], or a duration.
    Window,
    /// A number.
    Number,
    /// `timestamp`.
    Timestamp,
}

/// The arguments that are no columns, each kind in order.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) rows: Vec<usize>,
    pub(crate) windows: Vec<Window>,
    pub(crate) numbers: Vec<f64>,
}

/// One function.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The arguments as a message shows them.
    pub(crate) usage: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// `None`, or what is wrong with arguments that are each in order.
    pub(crate) build: fn(&Settings) -> Result<Function, String>,
}

use Parameter::{Column, Columns, Number, Rows, Timestamp, Window as Span};

macro_rules! entries {
    ($($name:literal ($usage:literal) [$($parameter:expr),*] => $build:expr;)*) => {
        &[$(Entry { name: $name, usage: $usage, parameters: &[$($parameter),*], build: $build }),*]
    };
}

const CATALOG: &[Entry] = entries! {
    "lag" ("x, n") [Column, Rows] => |s| Ok(Function::Lag(s.rows[0]));
    "diff" ("x, n") [Column, Rows] => |s| Ok(Function::Diff(s.rows[0]));
    "return" ("x, n") [Column, Rows] => |s| Ok(Function::Return(s.rows[0]));
    "log_return" ("x, n") [Column, Rows] => |s| Ok(Function::LogReturn(s.rows[0]));
    "rolling_mean" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Mean, s.windows[0]));
    "rolling_std" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Std, s.windows[0]));
    "rolling_min" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Min, s.windows[0]));
    "rolling_max" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Max, s.windows[0]));
    "rolling_median" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Median, s.windows[0]));
    "rolling_sum" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Sum, s.windows[0]));
    "rolling_count" ("x, window") [Column, Span] => |s| Ok(Function::Rolling(Statistic::Count, s.windows[0]));
    "rolling_quantile" ("x, window, q") [Column, Span, Number] => quantile;
    "zscore" ("x, window") [Column, Span] => |s| Ok(Function::Zscore(s.windows[0]));
    "bollinger_upper" ("x, window, k") [Column, Span, Number] => |s| Ok(Function::Bollinger(s.windows[0], s.numbers[0]));
    "bollinger_lower" ("x, window, k") [Column, Span, Number] => |s| Ok(Function::Bollinger(s.windows[0], -s.numbers[0]));
    "volume_ratio" ("volume, window") [Column, Span] => |s| Ok(Function::VolumeRatio(s.windows[0]));
    "day_mean" ("x") [Column] => |_| Ok(Function::DayMean);
    "ema" ("x, span") [Column, Rows] => |s| Ok(Function::Ema(s.rows[0]));
    "macd" ("x, fast, slow") [Column, Rows, Rows] => macd;
    "macd_signal" ("x, fast, slow, signal") [Column, Rows, Rows, Rows] => macd_signal;
    "rsi" ("x, n") [Column, Rows] => |s| Ok(Function::Rsi(s.rows[0]));
    "atr" ("high, low, close, n") [Column, Column, Column, Rows] => |s| Ok(Function::Atr(s.rows[0]));
    "minute" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::Minute));
    "hour" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::Hour));
    "day_of_week" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::DayOfWeek));
    "is_weekend" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::IsWeekend));
    "day_of_month" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::DayOfMonth));
    "day_of_year" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::DayOfYear));
    "week_of_year" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::WeekOfYear));
    "month" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::Month));
    "quarter" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::Quarter));
    "year" ("timestamp") [Timestamp] => |_| Ok(Function::Calendar(Field::Year));
    "log" ("x") [Column] => |_| Ok(Function::Unary(Unary::Log));
    "log1p" ("x") [Column] => |_| Ok(Function::Unary(Unary::Log1p));
    "sqrt" ("x") [Column] => |_| Ok(Function::Unary(Unary::Sqrt));
    "abs" ("x") [Column] => |_| Ok(Function::Unary(Unary::Abs));
    "exp" ("x") [Column] => |_| Ok(Function::Unary(Unary::Exp));
    "sign" ("x") [Column] => |_| Ok(Function::Unary(Unary::Sign));
    "ratio" ("x, y") [Column, Column] => |_| Ok(Function::Ratio);
    "difference" ("x, y") [Column, Column] => |_| Ok(Function::Difference);
    "coalesce" ("x, y, …") [Columns] => |_| Ok(Function::Coalesce);
    "min" ("x, y, …") [Columns] => |_| Ok(Function::Min);
    "max" ("x, y, …") [Columns] => |_| Ok(Function::Max);
    "clip" ("x, low, high") [Column, Number, Number] => clip;
};

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// What to say of a name that is no function.
pub(crate) fn hint(name: &str) -> String {
    if name == "vader" {
        return "it takes one argument, a column of texts such as `sentiment.text`".to_owned();
    }
    let names: Vec<&str> = CATALOG.iter().map(|entry| entry.name).collect();
    format!("expected one of {}", names.join(", "))
}

fn quantile(settings: &Settings) -> Result<Function, String> {
    let q = settings.numbers[0];
    if (0.0..=1.0).contains(&q) {
        Ok(Function::Rolling(Statistic::Quantile(q), settings.windows[0]))
    } else {
        Err(format!("expected q from 0 to 1, got {q}"))
    }
}

fn macd(settings: &Settings) -> Result<Function, String> {
    let (fast, slow) = spans(settings)?;
    Ok(Function::Macd { fast, slow })
}

fn macd_signal(settings: &Settings) -> Result<Function, String> {
    let (fast, slow) = spans(settings)?;
    Ok(Function::MacdSignal { fast, slow, signal: settings.rows[2] })
}

fn spans(settings: &Settings) -> Result<(usize, usize), String> {
    let (fast, slow) = (settings.rows[0], settings.rows[1]);
    if fast < slow {
        Ok((fast, slow))
    } else {
        Err(format!("expected fast below slow, got {fast} and {slow}"))
    }
}

fn clip(settings: &Settings) -> Result<Function, String> {
    let (low, high) = (settings.numbers[0], settings.numbers[1]);
    if low <= high {
        Ok(Function::Clip { low, high })
    } else {
        Err(format!("expected low not above high, got {low} and {high}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_builds_from_arguments_in_order_and_is_found_by_its_name() {
        for entry in CATALOG {
            let settings =
                Settings { rows: vec![2, 3, 4], windows: vec![Window::Rows(2)], numbers: vec![0.5, 1.0] };
            assert!((entry.build)(&settings).is_ok(), "{}", entry.name);
            assert_eq!(find(entry.name).map(|found| found.usage), Some(entry.usage));
            // `Columns` is two parameters in the usage.
            assert!(entry.usage.split(", ").count() >= entry.parameters.len(), "{}", entry.name);
        }
    }

    #[test]
    fn every_function_has_golden_values() {
        let golden = include_str!("../../../../tests/golden/features/features.yaml");
        for set in ["  golden:", "  days:"] {
            let (_, set) = golden.split_once(set).expect("is there");
            for entry in CATALOG {
                assert!(set.contains(&format!("{}(", entry.name)), "{}", entry.name);
            }
        }
    }
}
