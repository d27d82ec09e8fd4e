//! A model file as JSON or UBJSON: the same keys and values, read into the same types.

use serde::de::DeserializeOwned;
use serde_json::Deserializer;

use super::ubjson::Reader;
use crate::error::{ImportError, Place};

/// The bytes of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Document<'a> {
    Json(&'a [u8]),
    Ubjson(&'a [u8]),
}

impl Document<'_> {
    /// Reads twice where it fails: the second reading knows the path, which the first would pay for at every number.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ImportError> {
        match self {
            Self::Ubjson(bytes) => ubjson(bytes),
            Self::Json(bytes) => match serde_json::from_slice(bytes) {
                Ok(value) => Ok(value),
                Err(_) => match without_bare_words(bytes) {
                    Some(clean) => serde_json::from_slice(&clean).or_else(|_| failing_json(&clean)),
                    None => failing_json(bytes),
                },
            },
        }
    }
}

fn failing_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    let mut deserializer = Deserializer::from_slice(bytes);
    let failed = |path: String, source: serde_json::Error| {
        let place = if path == "." { format!("line {}", source.line()) } else { path };
        ImportError::Json { place: Place::Path(place), source }
    };
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| failed(shown_path(error.path()), error.into_inner()))?;
    deserializer.end().map_err(|source| failed(".".to_owned(), source))?;
    Ok(parsed)
}

fn ubjson<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    let mut reader = Reader::new(bytes);
    let value = reader.root().and_then(T::deserialize);
    if let Ok(value) = value.and_then(|value| reader.end().map(|()| value)) {
        return Ok(value);
    }
    let mut reader = Reader::new(bytes);
    let failed = |byte: usize, path: String, problem: String| {
        let path = if path == "." { String::new() } else { path };
        ImportError::Ubjson { place: Place::Byte { byte, path }, problem }
    };
    let value = match reader.root() {
        Ok(root) => serde_path_to_error::deserialize(root)
            .map_err(|error| (shown_path(error.path()), error.into_inner().to_string())),
        Err(error) => Err((String::new(), error.to_string())),
    };
    let value = value.map_err(|(path, problem)| failed(reader.position(), path, problem))?;
    let end = reader.end();
    end.map_err(|error| failed(reader.position(), String::new(), error.to_string()))?;
    Ok(value)
}

/// Keys come from the file.
fn shown_path(path: &serde_path_to_error::Path) -> String {
    path.to_string().escape_debug().take(200).collect()
}

/// The same with `null` for the bare words `NaN` and `Infinity`, which XGBoost writes and JSON has not; `None` where
/// there are none.
fn without_bare_words(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut clean = Vec::with_capacity(bytes.len());
    let (mut found, mut quoted) = (false, false);
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let word = if quoted { None } else { WORDS.iter().find(|word| rest.starts_with(word)) };
        let taken = match (word, first, quoted) {
            (Some(word), ..) => {
                found = true;
                clean.extend_from_slice(b"null");
                rest = &rest[word.len()..];
                continue;
            }
            (None, b'\\', true) => 1 + after.len().min(1),
            (None, b'"', _) => {
                quoted = !quoted;
                1
            }
            _ => 1,
        };
        clean.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    found.then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_null_outside_of_texts() {
        let clean = |text: &str| {
            without_bare_words(text.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"))
        };
        assert_eq!(clean("[1,NaN,-Infinity,Infinity]").as_deref(), Some("[1,null,null,null]"));
        assert_eq!(
            clean(r#"{"NaN":"Infinity \" NaN \\","a":NaN}"#).as_deref(),
            Some(r#"{"NaN":"Infinity \" NaN \\","a":null}"#)
        );
        assert_eq!(clean(r#"{"NaN":"\\\"NaN"}"#), None);
        assert_eq!(clean("\"\\"), None);
    }
}
