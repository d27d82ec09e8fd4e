//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand in it bare, which JSON does not have. MLflow's client
//! sends a data frame with missing values so.

use std::borrow::Cow;

use serve_core::{Datatype, Value};

/// The bare words, and what stands in their place in JSON.
const WORDS: [(&[u8], &[u8]); 3] =
    [(b"NaN", b"null"), (b"-Infinity", b"\"-Infinity\""), (b"Infinity", b"\"Infinity\"")];

/// The same text in JSON; none where there is no such word outside of strings.
pub(crate) fn strict(text: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(text.len() + 64);
    let (mut at, mut copied, mut inside) = (0, 0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if inside => at += 1,
            b'"' => inside = !inside,
            b'N' | b'I' | b'-' if !inside => {
                if let Some((word, json)) = WORDS.iter().find(|(word, _)| text[at..].starts_with(word)) {
                    written.extend_from_slice(&text[copied..at]);
                    written.extend_from_slice(json);
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return None;
    }
    written.extend_from_slice(&text[copied..]);
    Some(written)
}

/// Reads the texts that [`strict`] writes back as numbers, where a number is expected.
pub(super) fn read_infinity(value: &mut Value<'_>, datatype: Datatype) {
    let Value::Text(text) = value else { return };
    let number = match &**text {
        "Infinity" | "inf" => f64::INFINITY,
        "-Infinity" | "-inf" => f64::NEG_INFINITY,
        _ => return,
    };
    if datatype != Datatype::Bytes {
        *value = Value::Number(number);
    }
}

/// What pandas reads as a missing value in a CSV.
pub(super) fn is_missing(text: &str) -> bool {
    const MISSING: [&str; 19] = [
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
        "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
    MISSING.contains(&text)
}

/// A cell of a CSV where a number is expected.
pub(super) fn number(text: &str) -> Option<Value<'_>> {
    let text = text.trim();
    if is_missing(text) {
        return Some(Value::Missing);
    }
    match text {
        "True" | "TRUE" | "true" => Some(Value::Bool(true)),
        "False" | "FALSE" | "false" => Some(Value::Bool(false)),
        text => text.parse::<f64>().ok().map(Value::from),
    }
}

/// A cell that is what it says, a text or nothing.
pub(super) fn text(text: &str, known: impl Fn(&str) -> bool) -> Value<'_> {
    if is_missing(text) && !known(text) { Value::Missing } else { Value::Text(Cow::Borrowed(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_json_and_texts_stay() {
        let strict =
            |text: &str| strict(text.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(
            strict(r#"[NaN, -Infinity,Infinity, "NaN \" NaN", -1, NaN]"#).as_deref(),
            Some(r#"[null, "-Infinity","Infinity", "NaN \" NaN", -1, null]"#)
        );
        assert_eq!(strict(r#"["NaN", "\\", -1]"#), None);
        assert_eq!(strict(r#"["open NaN"#), None);
    }

    #[test]
    fn cells_read_as_pandas_reads_them() {
        assert_eq!(number(" 1e3 "), Some(Value::Number(1000.0)));
        assert_eq!(number("inf"), Some(Value::Number(f64::INFINITY)));
        assert_eq!(number("NA"), Some(Value::Missing));
        assert_eq!(number("True"), Some(Value::Bool(true)));
        assert_eq!(number("red"), None);
        assert_eq!(text("NA", |_| false), Value::Missing);
        assert_eq!(text("NA", |known| known == "NA"), Value::Text("NA".into()));
    }
}
