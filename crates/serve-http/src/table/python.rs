//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand in it bare, which JSON does not have. MLflow's client
//! sends a data frame with missing values so.

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
}
