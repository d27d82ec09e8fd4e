//! `symbol,timestamp,text,…`: texts, scores of texts, or both.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use super::CsvError;
use super::sheet::Sheet;
use crate::raw::SentimentRow;

const EXPECTED: &str = "`symbol`, `timestamp`, `text` (optional) and columns of numbers";

/// Reads texts and scores. `text` may be missing; every other column holds numbers, and an empty one is missing.
///
/// # Errors
/// [`CsvError`] for the first line that is wrong, and for two lines of one symbol, timestamp and text.
///
/// ```
/// let csv = "symbol,timestamp,score,finbert\nBTC/USD,2019-01-01,0.5,\n";
/// let rows = serve_features::read_sentiment(csv.as_bytes())?;
/// assert_eq!(rows[0].scores[0], ("score".into(), 0.5));
/// assert_eq!(rows[0].text, None);
/// # Ok::<(), serve_features::CsvError>(())
/// ```
pub fn read_sentiment(input: impl Read) -> Result<Vec<SentimentRow>, CsvError> {
    let mut sheet = Sheet::open(input, EXPECTED)?;
    let (symbol, timestamp) = (sheet.column("symbol")?, sheet.column("timestamp")?);
    let text = sheet.column("text").ok();
    let taken = |column: &usize| ![Some(symbol), Some(timestamp), text].contains(&Some(*column));
    let scores: Vec<(usize, Arc<str>)> =
        sheet.names().map(Arc::from).enumerate().filter(|(column, _)| taken(column)).collect();
    let (mut rows, mut seen) = (Vec::new(), HashMap::new());
    while let Some(line) = sheet.next()? {
        let mut values = Vec::with_capacity(scores.len());
        for (column, name) in &scores {
            values.push((Arc::clone(name), sheet.number(&line, *column)?));
        }
        let row = SentimentRow {
            symbol: sheet.entity(&line, symbol)?,
            timestamp: sheet.timestamp(&line, timestamp)?,
            text: text.map(|column| line.text(column)).filter(|text| !text.is_empty()).map(str::to_owned),
            scores: values,
        };
        let key = (row.symbol.clone(), row.timestamp, row.digest());
        if let Some(first) = seen.insert(key, line.number) {
            return Err(CsvError::Repeated { line: line.number, first, key: "symbol, timestamp and text" });
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_every_character_and_scores_their_names() {
        let csv = "score,text,symbol,timestamp,pos\n0.5,\" To the moon,\n\"\"HODL\"\" \",BTC/USD,2019-01-01,nan\n,,BTC/USD,2019-01-01,1\n";
        let rows = read_sentiment(csv.as_bytes()).expect("reads");
        assert_eq!(rows[0].text.as_deref(), Some(" To the moon,\n\"HODL\" "));
        assert_eq!(format!("{:?}", rows[0].scores), r#"[("score", 0.5), ("pos", NaN)]"#);
        assert_eq!(rows[1].text, None);
        assert_eq!(format!("{:?}", rows[1].scores), r#"[("score", NaN), ("pos", 1.0)]"#);
    }

    #[test]
    fn the_same_text_twice_in_a_moment_is_refused() {
        let message = |csv: &str| read_sentiment(csv.as_bytes()).expect_err("is refused").to_string();
        assert_eq!(
            message("symbol,timestamp,text\nA,2019-01-01,x\nA,2019-01-01,y\nA,2019-01-01,x\n"),
            "line 4 has the same symbol, timestamp and text as line 2"
        );
        assert_eq!(
            message("symbol,timestamp,mood\nA,2019-01-01,good\n"),
            "line 2, column `mood`: expected a finite number, or nothing, got \"good\""
        );
        assert_eq!(
            message("symbol,score\n"),
            format!("line 1: the header lacks `timestamp`: expected {EXPECTED}")
        );
    }
}
