//! Cells of a CSV, read as pandas reads them: the one way in which text of a table becomes a [`Value`], so that a data frame
//! sent to a server and a file scored offline mean the same.

use std::borrow::Cow;

use crate::value::Value;

/// What pandas reads as a missing value in a CSV.
fn is_missing(text: &str) -> bool {
    const MISSING: [&str; 19] = [
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
        "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
    MISSING.contains(&text)
}

/// A cell where a number is expected; none where it is no number, truth value or missing value.
///
/// ```
/// use serve_core::{Value, cell};
/// assert_eq!(cell::number(" 1e3 "), Some(Value::Number(1000.0)));
/// assert_eq!(cell::number("NA"), Some(Value::Missing));
/// assert_eq!(cell::number("red"), None);
/// ```
#[must_use]
pub fn number(text: &str) -> Option<Value<'_>> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(x) => Some(Value::from(x)),
        Err(_) => match text {
            "True" | "TRUE" | "true" => Some(Value::Bool(true)),
            "False" | "FALSE" | "false" => Some(Value::Bool(false)),
            text => is_missing(text).then_some(Value::Missing),
        },
    }
}

/// A cell that is what it says, a text or nothing: what stands for a missing value is one unless the text is `known`.
#[must_use]
pub fn text(text: &str, known: impl Fn(&str) -> bool) -> Value<'_> {
    if is_missing(text) && !known(text) { Value::Missing } else { Value::Text(Cow::Borrowed(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_as_pandas_reads_them() {
        assert_eq!(number("inf"), Some(Value::Number(f64::INFINITY)));
        assert_eq!(number("NaN"), Some(Value::Missing));
        assert_eq!(number(""), Some(Value::Missing));
        assert_eq!(number("True"), Some(Value::Bool(true)));
        assert_eq!(text("NA", |_| false), Value::Missing);
        assert_eq!(text("NA", |known| known == "NA"), Value::Text("NA".into()));
    }
}
