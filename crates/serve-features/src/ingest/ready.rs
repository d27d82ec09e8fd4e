//! `entity,timestamp` and a column per feature: rows that somebody has computed already.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use serve_core::Value;

use super::CsvError;
use super::sheet::{Line, Sheet};
use crate::row::FeatureRow;

const EXPECTED: &str = "`entity`, `timestamp` and a column per feature";

/// Reads feature rows, the features in the header's order. An empty cell or `NaN` is missing; what reads as a number is one;
/// `true` and `false` are booleans; everything else is text.
///
/// # Errors
/// [`CsvError`] for the first line that is wrong, and for two lines of one entity and timestamp.
///
/// ```
/// let csv = "entity,timestamp,mood,trend\nBTC/USD,2025-10-04T13:50:00Z,0.25,up\n";
/// let rows = serve_features::read_features(csv.as_bytes())?;
/// assert_eq!(rows[0].get("mood"), Some(&0.25.into()));
/// assert_eq!(rows[0].get("trend"), Some(&serve_core::Value::Text("up".into())));
/// # Ok::<(), serve_features::CsvError>(())
/// ```
pub fn read_features(input: impl Read) -> Result<Vec<FeatureRow>, CsvError> {
    let mut sheet = Sheet::open(input, EXPECTED)?;
    let (entity, timestamp) = (sheet.column("entity")?, sheet.column("timestamp")?);
    let features: Vec<(usize, Arc<str>)> = sheet
        .names()
        .map(Arc::from)
        .enumerate()
        .filter(|(column, _)| *column != entity && *column != timestamp)
        .collect();
    let (mut rows, mut seen) = (Vec::new(), HashMap::new());
    while let Some(line) = sheet.next()? {
        let mut values = Vec::with_capacity(features.len());
        for (column, name) in &features {
            values.push((Arc::clone(name), value(&sheet, &line, *column)?));
        }
        let (entity, timestamp) = (sheet.entity(&line, entity)?, sheet.timestamp(&line, timestamp)?);
        if let Some(first) = seen.insert((entity.clone(), timestamp), line.number) {
            return Err(CsvError::Repeated { line: line.number, first, key: "entity and timestamp" });
        }
        rows.push(FeatureRow::new(entity, timestamp, values));
    }
    Ok(rows)
}

fn value<R: Read>(sheet: &Sheet<R>, line: &Line, column: usize) -> Result<Value<'static>, CsvError> {
    match (line.cell(column), line.cell(column).parse::<f64>()) {
        ("", _) => Ok(Value::Missing),
        (_, Ok(x)) if x.is_infinite() => {
            Err(sheet.wrong(line, column, "a finite number, a boolean, text or nothing"))
        }
        (_, Ok(x)) => Ok(Value::from(x)),
        ("true" | "True", _) => Ok(Value::Bool(true)),
        ("false" | "False", _) => Ok(Value::Bool(false)),
        (_, Err(_)) => Ok(Value::Text(Cow::Owned(line.text(column).to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_what_they_read_as() {
        let csv = "timestamp,a,entity,b,c,d,e\n2019-01-01, 1e3 ,X,,NaN,True, two words\n";
        let rows = read_features(csv.as_bytes()).expect("reads");
        let values: Vec<_> =
            rows[0].features().iter().map(|(name, value)| (&**name, value.clone())).collect();
        let expected = [
            ("a", Value::Number(1000.0)),
            ("b", Value::Missing),
            ("c", Value::Missing),
            ("d", Value::Bool(true)),
            ("e", Value::Text(" two words".into())),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn what_no_store_keeps_is_refused() {
        let message = |csv: &str| read_features(csv.as_bytes()).expect_err("is refused").to_string();
        assert_eq!(
            message("entity,timestamp,a\nX,2019-01-01,-inf\n"),
            "line 2, column `a`: expected a finite number, a boolean, text or nothing, got \"-inf\""
        );
        assert_eq!(
            message("entity,timestamp,a\nX,2019-01-01,1\nX,2019-01-01 00:00:00,2\n"),
            "line 3 has the same entity and timestamp as line 2"
        );
    }
}
