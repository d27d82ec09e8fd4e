//! Raw rows: `symbol,timestamp` and the columns of their table. `entity` may stand for `symbol`.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use serve_core::Value;

use super::CsvError;
use super::sheet::{Line, Sheet};
use crate::raw::{PRICE_COLUMNS, RawRow, RawTable, TEXT};

const PRICES: &str = "`symbol`, `timestamp`, `open`, `high`, `low`, `close`, `volume`";
const SENTIMENT: &str = "`symbol`, `timestamp`, `text` (optional) and columns of numbers";
const EVENTS: &str = "`entity` (or `symbol`), `timestamp` and columns of numbers or texts";

/// Reads raw rows. Candles have all seven columns and no others, an empty number is missing. Of sentiment, `text` may be
/// missing, and every other column holds numbers. Events have any columns: what reads as a number is one, everything else is
/// text.
///
/// # Errors
/// [`CsvError`] for the first line that is wrong, and for two lines that are the same row.
///
/// ```
/// use serve_features::{RawTable, read_raw};
/// let csv = "symbol,timestamp,text,finbert\nBTC/USD,2019-01-01,To the moon,\n";
/// let rows = read_raw(&RawTable::Sentiment, csv.as_bytes())?;
/// assert_eq!(rows[0].get("text"), Some(&serve_core::Value::Text("To the moon".into())));
/// assert_eq!(rows[0].get("finbert"), Some(&serve_core::Value::Missing));
/// # Ok::<(), serve_features::CsvError>(())
/// ```
pub fn read_raw(table: &RawTable, input: impl Read) -> Result<Vec<RawRow>, CsvError> {
    let (expected, key) = match table {
        RawTable::Price => (PRICES, "symbol and timestamp"),
        RawTable::Sentiment => (SENTIMENT, "symbol, timestamp and text"),
        RawTable::Events(_) => (EVENTS, "entity, timestamp and columns"),
    };
    let mut sheet = Sheet::open(input, expected)?;
    let entity = sheet.column("entity").or_else(|_| sheet.column("symbol"))?;
    let timestamp = sheet.column("timestamp")?;
    let columns: Vec<(usize, Arc<str>)> = sheet
        .names()
        .map(Arc::from)
        .enumerate()
        .filter(|(column, _)| *column != entity && *column != timestamp)
        .collect();
    if *table == RawTable::Price {
        check_prices(&sheet, &columns)?;
    }
    let (mut rows, mut seen) = (Vec::new(), HashMap::new());
    while let Some(line) = sheet.next()? {
        let mut values = Vec::with_capacity(columns.len());
        for (column, name) in &columns {
            values.push((Arc::clone(name), value(table, &sheet, &line, *column, name)?));
        }
        let row = RawRow::new(sheet.entity(&line, entity)?, sheet.timestamp(&line, timestamp)?, values);
        let name = (row.entity.clone(), row.timestamp, row.digest(table));
        if let Some(first) = seen.insert(name, line.number) {
            return Err(CsvError::Repeated { line: line.number, first, key });
        }
        rows.push(row);
    }
    Ok(rows)
}

fn check_prices<R: Read>(sheet: &Sheet<R>, columns: &[(usize, Arc<str>)]) -> Result<(), CsvError> {
    for name in PRICE_COLUMNS {
        sheet.column(name)?;
    }
    match columns.iter().find(|(_, name)| !PRICE_COLUMNS.contains(&&**name)) {
        Some((_, other)) => Err(sheet.refuse("an unknown", other)),
        None => Ok(()),
    }
}

fn value<R: Read>(
    table: &RawTable,
    sheet: &Sheet<R>,
    line: &Line,
    column: usize,
    name: &str,
) -> Result<Value<'static>, CsvError> {
    let text = || Value::Text(line.text(column).to_owned().into());
    match table {
        RawTable::Sentiment if name == TEXT => {
            Ok(if line.text(column).is_empty() { Value::Missing } else { text() })
        }
        RawTable::Price | RawTable::Sentiment => Ok(Value::from(sheet.number(line, column)?)),
        RawTable::Events(_) => match line.cell(column) {
            "" => Ok(Value::Missing),
            cell => match cell.parse::<f64>() {
                Ok(x) if x.is_infinite() => {
                    Err(sheet.wrong(line, column, "a finite number, text or nothing"))
                }
                Ok(x) => Ok(Value::from(x)),
                Err(_) => Ok(text()),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(lines: &str) -> String {
        refused(&RawTable::Price, &format!("symbol,timestamp,open,high,low,close,volume\n{lines}"))
    }

    fn refused(table: &RawTable, csv: &str) -> String {
        read_raw(table, csv.as_bytes()).expect_err("is refused").to_string()
    }

    #[test]
    fn a_wrong_cell_is_named_with_line_column_and_value() {
        assert_eq!(
            prices("BTC/USD,2019-01-01,1,1,1,1,1\nBTC/USD,2019-01-02,1,1,1,cheap,1\n"),
            "line 3, column `close`: expected a finite number, or nothing, got \"cheap\""
        );
        assert!(
            prices("BTC/USD,yesterday,1,1,1,1,1")
                .starts_with("line 2, column `timestamp`: expected RFC 3339")
        );
        assert!(prices("BTC/USD,2019-01-01,1,1,1,inf,1").contains("got \"inf\""));
        assert!(prices(",2019-01-01,1,1,1,1,1").starts_with("line 2, column `symbol`: expected a name"));
    }

    #[test]
    fn one_moment_twice_is_refused_also_when_written_differently() {
        assert_eq!(
            prices("A,2019-01-01,1,1,1,1,1\nB,2019-01-01,1,1,1,1,1\nA,2019-01-01T01:00:00+01:00,1,1,1,1,1\n"),
            "line 4 has the same symbol and timestamp as line 2"
        );
    }

    #[test]
    fn the_header_is_exact_but_in_any_order() {
        let csv = "timestamp,close,symbol,open,volume,high,low\n2019-01-01,4,A,1,5,2,3\n";
        let rows = read_raw(&RawTable::Price, csv.as_bytes()).expect("reads");
        assert_eq!(
            PRICE_COLUMNS.map(|name| rows[0].get(name).cloned()),
            [1.0, 2.0, 3.0, 4.0, 5.0].map(|x| Some(Value::Number(x)))
        );
        assert_eq!(
            refused(&RawTable::Price, "symbol,timestamp,open\n"),
            format!("line 1: the header lacks `high`: expected {PRICES}")
        );
        assert_eq!(
            refused(&RawTable::Price, "symbol,timestamp,open,high,low,close,volume,vwap\n"),
            format!("line 1: the header has an unknown column `vwap`: expected {PRICES}")
        );
    }

    #[test]
    fn texts_keep_every_character_and_scores_their_names() {
        let csv = "score,text,symbol,timestamp,pos\n0.5,\" To the moon,\n\"\"HODL\"\" \",BTC/USD,2019-01-01,nan\n,,BTC/USD,2019-01-01,1\n";
        let rows = read_raw(&RawTable::Sentiment, csv.as_bytes()).expect("reads");
        assert_eq!(rows[0].get("text"), Some(&Value::Text(" To the moon,\n\"HODL\" ".into())));
        assert_eq!((rows[0].get("score"), rows[0].get("pos")), (Some(&0.5.into()), Some(&Value::Missing)));
        assert_eq!((rows[1].get("text"), rows[1].get("pos")), (Some(&Value::Missing), Some(&1.0.into())));
    }

    #[test]
    fn the_same_text_twice_in_a_moment_is_refused() {
        let table = RawTable::Sentiment;
        assert_eq!(
            refused(&table, "symbol,timestamp,text\nA,2019-01-01,x\nA,2019-01-01,y\nA,2019-01-01,x\n"),
            "line 4 has the same symbol, timestamp and text as line 2"
        );
        assert_eq!(
            refused(&table, "symbol,timestamp,mood\nA,2019-01-01,good\n"),
            "line 2, column `mood`: expected a finite number, or nothing, got \"good\""
        );
        assert_eq!(
            refused(&table, "symbol,score\n"),
            format!("line 1: the header lacks `timestamp`: expected {SENTIMENT}")
        );
    }

    #[test]
    fn events_have_columns_of_their_own() {
        let table = "payments".parse().expect("is a table");
        let csv = "entity,timestamp,amount,shop\nann,2019-01-01,9.5,Bakery\nann,2019-01-01,9.5,Bar\n";
        let rows = read_raw(&table, csv.as_bytes()).expect("reads");
        assert_eq!(
            rows[1].values,
            [("amount".into(), 9.5.into()), ("shop".into(), Value::Text("Bar".into()))]
        );
    }
}
