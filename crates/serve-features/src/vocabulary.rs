//! The functions that feature expressions are made of, with the meaning that pandas and TA-Lib give them.
//!
//! | function | value at row *t* |
//! |---|---|
//! | `lag(x, n)` | xₜ₋ₙ |
//! | `diff(x, n)` | xₜ − xₜ₋ₙ |
//! | `return(x, n)` | xₜ / xₜ₋ₙ − 1 |
//! | `log_return(x, n)` | ln(xₜ / xₜ₋ₙ) |
//! | `rolling_mean` `rolling_std` `rolling_min` `rolling_max` `rolling_median` `rolling_sum` (x, w) | of the window; `std` divides by the count less one |
//! | `rolling_count(x, w)` | how many values of the window are present |
//! | `rolling_quantile(x, w, q)` | of the window, between neighbours linearly |
//! | `zscore(x, w)` | (xₜ − mean) / std of the window |
//! | `bollinger_upper(x, w, k)`, `bollinger_lower` | mean ± k deviations of the window, dividing by the count |
//! | `volume_ratio(x, w)` | xₜ / mean of the window; missing where that is 0 |
//! | `day_mean(x)` | of the values present in the rows of the same UTC day up to *t* |
//! | `ema(x, span)` | yₜ = yₜ₋₁ + 2/(span+1)·(xₜ − yₜ₋₁), from the first value on |
//! | `macd(x, fast, slow)` | `ema(x, fast) − ema(x, slow)` |
//! | `macd_signal(x, fast, slow, signal)` | `ema` of `macd` over `signal` |
//! | `rsi(x, n)` | Wilder's relative strength index, 0 to 100 |
//! | `atr(high, low, close, n)` | Wilder's average true range |
//! | `minute` `hour` `day_of_week` `is_weekend` `day_of_month` `day_of_year` `week_of_year` `month` `quarter` `year` (timestamp) | in UTC; Monday is 0 |
//! | `log` `log1p` `exp` `sqrt` `abs` `sign` (x), `min` `max` (x, y, …), `clip(x, low, high)` | row by row |
//! | `ratio(x, y)`, `difference(x, y)` | x / y, missing where y is 0; x − y |
//! | `coalesce(x, y, …)` | the first that is present |
//!
//! Rules that hold for all of them:
//!
//! - A missing value is NaN, and so is the result wherever too little history is there; a window is never shortened.
//! - A missing value in a window makes the result missing, except that of `rolling_count`; `day_mean` leaves it out.
//! - `n` counts rows. A window `w` counts rows too, or is a duration such as `7d`: the rows of the last 7 days.
//! - A window is summed anew at every row, oldest first, so its value does not depend on what came before it.
//! - The value at a row depends on that row and earlier ones only.
//! - Logarithms and `exp` are `libm`'s, in Rust: the bits of a feature are the same on every CPU.
//!
//! `ema`, `macd`, `rsi` and `atr` remember their whole past, so their value depends on where the history begins.

pub use window::Window;

pub mod bands;
pub mod calendar;
pub mod daily;
pub mod elementwise;
pub mod returns;
pub mod rolling;
pub mod smoothing;
pub mod wilder;

mod extremes;
mod moments;
mod sliding;
mod window;
