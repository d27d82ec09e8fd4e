//! `symbol,timestamp,open,high,low,close,volume`.

use std::collections::HashMap;
use std::io::Read;

use super::CsvError;
use super::sheet::Sheet;
use crate::raw::{PRICE_COLUMNS, PriceRow};

const EXPECTED: &str = "`symbol`, `timestamp`, `open`, `high`, `low`, `close`, `volume`";

/// Reads candles. All seven columns must be there and no others; an empty number is missing.
///
/// # Errors
/// [`CsvError`] for the first line that is wrong, and for two lines of one symbol and timestamp.
///
/// ```
/// let csv = "symbol,timestamp,open,high,low,close,volume\nBTC/USD,2019-01-01,1,2,0.5,1.5,\n";
/// let rows = serve_features::read_prices(csv.as_bytes())?;
/// assert_eq!(rows[0].values[..4], [1.0, 2.0, 0.5, 1.5]);
/// assert!(rows[0].values[4].is_nan());
/// # Ok::<(), serve_features::CsvError>(())
/// ```
pub fn read_prices(input: impl Read) -> Result<Vec<PriceRow>, CsvError> {
    let mut sheet = Sheet::open(input, EXPECTED)?;
    let (symbol, timestamp) = (sheet.column("symbol")?, sheet.column("timestamp")?);
    let mut columns = [0; PRICE_COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(PRICE_COLUMNS) {
        *column = sheet.column(name)?;
    }
    let other =
        sheet.names().find(|name| !matches!(*name, "symbol" | "timestamp") && !PRICE_COLUMNS.contains(name));
    if let Some(name) = other {
        return Err(sheet.refuse("an unknown", name));
    }
    let (mut rows, mut seen) = (Vec::new(), HashMap::new());
    while let Some(line) = sheet.next()? {
        let mut values = [f64::NAN; PRICE_COLUMNS.len()];
        for (value, column) in values.iter_mut().zip(columns) {
            *value = sheet.number(&line, column)?;
        }
        let (symbol, timestamp) = (sheet.entity(&line, symbol)?, sheet.timestamp(&line, timestamp)?);
        if let Some(first) = seen.insert((symbol.clone(), timestamp), line.number) {
            return Err(CsvError::Repeated { line: line.number, first, key: "symbol and timestamp" });
        }
        rows.push(PriceRow { symbol, timestamp, values });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lines: &str) -> String {
        let csv = format!("symbol,timestamp,open,high,low,close,volume\n{lines}");
        read_prices(csv.as_bytes()).expect_err("is refused").to_string()
    }

    #[test]
    fn a_wrong_cell_is_named_with_line_column_and_value() {
        assert_eq!(
            message("BTC/USD,2019-01-01,1,1,1,1,1\nBTC/USD,2019-01-02,1,1,1,cheap,1\n"),
            "line 3, column `close`: expected a finite number, or nothing, got \"cheap\""
        );
        assert!(
            message("BTC/USD,yesterday,1,1,1,1,1")
                .starts_with("line 2, column `timestamp`: expected RFC 3339")
        );
        assert!(message("BTC/USD,2019-01-01,1,1,1,inf,1").contains("got \"inf\""));
        assert!(message(",2019-01-01,1,1,1,1,1").starts_with("line 2, column `symbol`: expected a name"));
    }

    #[test]
    fn one_moment_twice_is_refused_also_when_written_differently() {
        assert_eq!(
            message(
                "A,2019-01-01,1,1,1,1,1\nB,2019-01-01,1,1,1,1,1\nA,2019-01-01T01:00:00+01:00,1,1,1,1,1\n"
            ),
            "line 4 has the same symbol and timestamp as line 2"
        );
    }

    #[test]
    fn the_header_is_exact_but_in_any_order() {
        let csv = "timestamp,close,symbol,open,volume,high,low\n2019-01-01,4,A,1,5,2,3\n";
        assert_eq!(read_prices(csv.as_bytes()).expect("reads")[0].values, [1.0, 2.0, 3.0, 4.0, 5.0]);
        let message = |csv: &str| read_prices(csv.as_bytes()).expect_err("is refused").to_string();
        assert_eq!(
            message("symbol,timestamp,open\n"),
            format!("line 1: the header lacks `high`: expected {EXPECTED}")
        );
        assert_eq!(
            message("symbol,timestamp,open,high,low,close,volume,vwap\n"),
            format!("line 1: the header has an unknown column `vwap`: expected {EXPECTED}")
        );
    }
}
