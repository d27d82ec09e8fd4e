//! Features of a stream: real Bitcoin days come one after another, as from an exchange, and each gives its features at once.
//! They have the bits of the offline build over the whole history, which is what a model was trained on.
//! `cargo run --release -p serve-examples --example stream`.
#![allow(clippy::print_stdout, reason = "what an example shows, it prints")]

use std::error::Error;

use serve_core::Value;
use serve_features::{
    Declarations, Entity, FeatureRow, FeatureStream, RawRow, RawTable, SourceFrames, read_raw,
};

/// Five of the vocabulary; `ema` and `rsi` remember without end, so the stream carries their state along.
const DECLARATIONS: &str = "
feature_sets:
  daily:
    entity: symbol
    sources:
      price:     { table: price_data }
      sentiment: { table: sentiment_data, join: as_of, max_age: 3d }
    features:
      change: 'return(close, 1)'
      volatility_30: 'rolling_std(return(close, 1), 30)'
      ema_ratio_26: 'close / ema(close, 26) - 1'
      rsi_14: 'rsi(close, 14)'
      mood_mean_7: 'rolling_mean(sentiment.vader, 7)'
";

/// How many days are shown.
const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let declarations = Declarations::parse(DECLARATIONS)?;
    let set = declarations.get("daily").ok_or("the set is declared above")?;
    let bitcoin: Entity = "BTC/USD".parse()?;
    let prices = read_raw(&RawTable::Price, include_str!("../data/price_data.csv").as_bytes())?;
    let moods = read_raw(&RawTable::Sentiment, include_str!("../data/sentiment_data.csv").as_bytes())?;

    let mut stream = FeatureStream::new(set)?;
    let mut streamed = Vec::with_capacity(prices.len());
    let mut waiting = moods.iter().peekable();
    for price in &prices {
        let now = price.timestamp;
        let mut news: Vec<RawRow> = Vec::new();
        while let Some(mood) = waiting.next_if(|mood| mood.timestamp <= now) {
            news.push(mood.clone());
        }
        stream.push(&RawTable::Sentiment, news)?;
        stream.push(&RawTable::Price, vec![price.clone()])?;
        // Whatever is known at this moment has come: its row is given.
        streamed.extend(stream.advance(now)?);
    }
    show(&streamed);

    let frames = SourceFrames::from([
        ("price".to_owned(), RawTable::Price.frame(&prices, &bitcoin)?),
        ("sentiment".to_owned(), RawTable::Sentiment.frame(&moods, &bitcoin)?),
    ]);
    let offline: Vec<FeatureRow> = set.compute(&bitcoin, &frames)?.rows().collect();
    let equal = streamed.iter().zip(&offline).filter(|(one, other)| one == other).count();
    println!(
        "{equal} of {} rows have the bits of the offline build; {} raw rows are kept",
        offline.len(),
        stream.kept()
    );
    if equal == offline.len() && streamed.len() == equal { Ok(()) } else { Err("the stream differs".into()) }
}

fn show(rows: &[FeatureRow]) {
    for row in rows.iter().rev().take(SHOWN).rev() {
        let shown = |value: &Value<'_>| match value {
            Value::Number(x) => format!("{x:.6}"),
            _ => "missing".to_owned(),
        };
        let features: Vec<String> =
            row.features().map(|(name, value)| format!("{name} {}", shown(value))).collect();
        println!("{}  {}", row.timestamp(), features.join("  "));
    }
}
