//! No feature of the offline build sees the future: the row at a moment is the same, to the bit, when everything that became known later is cut
//! away. The set uses every function of the vocabulary, over both sources, with a delay on each.

use std::sync::Arc;

use jiff::{Span, Timestamp};
use proptest::prelude::*;
use serve_features::{Column, Declarations, FeatureRow, FeatureSet, Frame, SourceFrames};

use super::entity;

pub(crate) const DELAYS: [i64; 2] = [7, 13];

const DECLARED: &str = r"
feature_sets:
  all:
    entity: symbol
    sources:
      price: { table: price_data, delay: 7m }
      news:  { table: sentiment_data, join: as_of, max_age: 2h, delay: 13m }
    features:
      lag: lag(close, 2)
      diff: diff(close, 1)
      return: return(close, 1)
      log_return: log_return(close, 3)
      mean: rolling_mean(close, 3)
      mean_time: rolling_mean(close, 30m)
      std: rolling_std(close, 3)
      min: rolling_min(news.score, 2)
      max: rolling_max(news.score, 90m)
      median: rolling_median(close, 4)
      sum: rolling_sum(volume, 2)
      quantile: rolling_quantile(close, 4, 0.9)
      zscore: zscore(close, 1h)
      ema: ema(close, 4)
      rsi: rsi(close, 2)
      macd: macd(close, 2, 4)
      macd_signal: macd_signal(news.score, 2, 4, 3)
      upper: bollinger_upper(close, 3, 2)
      lower: bollinger_lower(news.score, 3, 2)
      atr: atr(high, low, close, 2)
      calendar: hour(timestamp) + day_of_week(news.timestamp) + day_of_month(timestamp) + month(timestamp)
      rows: log(close) + log1p(volume) + sqrt(high) + abs(low) + clip(close, 90, 110)
      both: min(close, news.score) / max(open, news.score)
      count: rolling_count(close, 3) + rolling_count(news.score, 45m)
      volume_ratio: volume_ratio(volume, 3)
      day_mean: day_mean(close) - day_mean(news.score)
      dates: minute(timestamp) + is_weekend(timestamp) + day_of_year(timestamp) + week_of_year(timestamp) + quarter(timestamp) + year(timestamp)
      pairs: ratio(close, volume) + difference(high, low) + coalesce(news.score, close) + sign(low) + exp(volume / 100)
      nested: rolling_mean(ema(close, 3) * news.score - 1, 2)
      over_endless: rolling_mean(ema(close, 3), 4) + lag(rsi(close, 2), 2)
      endless_over: ema(rolling_mean(rsi(close, 2), 3), 4)
      endless_twice: macd(ema(close * news.score, 3), 2, 3)
      news_over_endless: rolling_max(ema(news.score, 3), 90m)
      news_by_time: rolling_sum(lag(macd(news.score, 2, 3), 3), 50m) + atr(news.score, news.score, news.score, 2)
      tone: rolling_mean(vader(news.text), 2)
      referring: lag(tone, 1) * mean_time + ema(over_endless, 2)
      shared: rolling_mean(close, 30m) / rolling_std(rolling_mean(close, 30m), 3)
";

pub(crate) fn set() -> FeatureSet {
    Declarations::parse(DECLARED).expect("is sound").sets()[0].clone()
}

/// Rows some minutes apart, some values missing. No gap: several rows of one moment, where the source allows it.
pub(crate) fn rows(columns: usize, closest: i64) -> impl Strategy<Value = Vec<(i64, Vec<f64>)>> {
    let value = prop_oneof![9 => 80.0..120.0f64, 1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(100.0)];
    let row = (closest..40i64, prop::collection::vec(value, columns));
    prop::collection::vec(row, 0..40)
}

/// One of some texts with scores of their own.
pub(crate) fn text(number: i64) -> String {
    let words = ["good", "not so good", "bad news", "VERY BAD!", "it was on a Tuesday", ""];
    words[number.unsigned_abs() as usize / 60 % words.len()].to_owned()
}

fn frame(rows: &[(i64, Vec<f64>)], names: &[&str], known_until: Option<(Timestamp, i64)>) -> Frame {
    let (mut minute, mut timestamps, mut columns) = (0, Vec::new(), vec![Vec::new(); names.len()]);
    for (gap, values) in rows {
        minute += gap;
        let timestamp = Timestamp::UNIX_EPOCH.checked_add(Span::new().minutes(minute)).expect("is in range");
        let later = |(now, delay): (Timestamp, i64)| {
            timestamp.checked_add(Span::new().minutes(delay)).ok() > Some(now)
        };
        if known_until.is_some_and(later) {
            continue;
        }
        timestamps.push(timestamp);
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(*value);
        }
    }
    let numbers = columns.into_iter().map(Column::Numbers);
    let mut columns: Vec<(Arc<str>, Column)> =
        names.iter().map(|name| Arc::from(*name)).zip(numbers).collect();
    let texts = timestamps.iter().map(|at: &Timestamp| Some(text(at.as_second()).into())).collect();
    columns.push(("text".into(), Column::Texts(texts)));
    Frame::of(timestamps, columns).expect("is in order")
}

fn computed(
    set: &FeatureSet,
    prices: &[(i64, Vec<f64>)],
    news: &[(i64, Vec<f64>)],
    until: Option<Timestamp>,
) -> Vec<FeatureRow> {
    let price_names = ["open", "high", "low", "close", "volume"];
    let frames = SourceFrames::from([
        ("price".to_owned(), frame(prices, &price_names, until.map(|now| (now, DELAYS[0])))),
        ("news".to_owned(), frame(news, &["score"], until.map(|now| (now, DELAYS[1])))),
    ]);
    set.compute(&entity("A"), &frames).expect("computes").rows().collect()
}

proptest! {
    #[test]
    fn cutting_off_what_came_later_changes_nothing(prices in rows(5, 1), news in rows(1, 0), cut in 0..40usize) {
        let set = set();
        let full = computed(&set, &prices, &news, None);
        prop_assume!(!full.is_empty());
        let cut = cut % full.len();
        let known = computed(&set, &prices, &news, Some(full[cut].timestamp()));
        prop_assert_eq!(&known, &full[..=cut]);
    }

    #[test]
    fn what_comes_later_may_be_anything(prices in rows(5, 1), other in rows(5, 1), cut in 0..40usize) {
        let set = set();
        let cut = cut.min(prices.len());
        let changed: Vec<_> = prices[..cut].iter().chain(&other).cloned().collect();
        let (one, two) = (computed(&set, &prices, &[], None), computed(&set, &changed, &[], None));
        prop_assert_eq!(&one[..cut], &two[..cut]);
    }
}
