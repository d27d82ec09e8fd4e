//! Errors in words for who has to act on them. What a parser says of a value that does not fit is of the types of the program
//! (`invalid type: map, expected u16`); what an error says is its own level only.

use std::error::Error;
use std::fmt::Write;

/// So much of a text is told.
const LONGEST: usize = 40;

/// An error and its causes in one line.
///
/// ```
/// let error = "many".parse::<u16>().expect_err("is no number");
/// assert_eq!(serve_core::words::with_causes(&error), "invalid digit found in string");
/// ```
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a text does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// A problem in plain words; one of other words as it is.
///
/// ```
/// let told = serve_core::words::plain("invalid type: string \"many\", expected u16");
/// assert_eq!(told, "expected a whole number from 0 to 65535, got text \"many\"");
/// ```
#[must_use]
pub fn plain(problem: &str) -> String {
    let kinds = ["invalid type: ", "invalid value: "];
    if let Some(rest) = kinds.iter().find_map(|kind| problem.strip_prefix(kind))
        && let Some((got, expected)) = halves(rest)
    {
        let (expected, place) = placed(expected);
        return format!("expected {}, got {}{place}", expected_in_words(expected), got_in_words(got));
    }
    if let Some(rest) = problem.strip_prefix("invalid length ")
        && let Some((length, expected)) = rest.split_once(", expected ")
    {
        let (expected, place) = placed(expected);
        return format!("expected {}, got {length} values{place}", expected_in_words(expected));
    }
    for (start, end) in [("missing field `", "` is missing"), ("duplicate field `", "` stands twice")] {
        if let Some((name, place)) = problem.strip_prefix(start).and_then(|rest| rest.split_once('`')) {
            return format!("`{name}{end}{place}");
        }
    }
    if let Some(rest) = problem.strip_prefix("unknown variant ") {
        return format!("unknown value {rest}");
    }
    if let Some(rest) = problem.strip_prefix("data did not match any variant of untagged enum ") {
        return format!("the value is of none of the kinds that are expected{}", placed(rest).1);
    }
    // What a YAML parser advises its programmer to set is no matter of who writes the file.
    problem.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

/// What came, and what was expected with what stands behind it. A text that came may hold anything.
fn halves(rest: &str) -> Option<(&str, &str)> {
    const BETWEEN: &str = ", expected ";
    let mut from = 0;
    if let Some(quoted) = rest.strip_prefix("string \"") {
        let mut escaped = false;
        let end = quoted.char_indices().find(|(_, character)| {
            let ends = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            ends
        })?;
        from = rest.len() - quoted.len() + end.0;
    }
    let at = from + rest[from..].find(BETWEEN)?;
    Some((&rest[..at], &rest[at + BETWEEN.len()..]))
}

/// What was expected, and where (` at line 1 column 5`).
fn placed(text: &str) -> (&str, &str) {
    text.split_at(text.rfind(" at line ").unwrap_or(text.len()))
}

fn got_in_words(got: &str) -> String {
    let within = |start: &str, end: &str| got.strip_prefix(start)?.strip_suffix(end);
    if let Some(text) = within("string \"", "\"") {
        let cut = text.char_indices().nth(LONGEST).map_or(text, |(at, _)| &text[..at]);
        let more = if cut.len() < text.len() { "…" } else { "" };
        return format!("text \"{cut}{more}\"");
    }
    for start in ["integer `", "floating point `", "boolean `", "character `"] {
        if let Some(value) = within(start, "`") {
            return value.to_owned();
        }
    }
    match got {
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit value" => "null",
        "byte array" => "bytes",
        _ => "another kind of value",
    }
    .to_owned()
}

fn expected_in_words(expected: &str) -> String {
    let whole = |least: u8, most: Option<u64>| match most {
        Some(most) => format!("a whole number from {least} to {most}"),
        None => format!("a whole number of {least} or more"),
    };
    let (least, integer) = expected.strip_prefix("a nonzero ").map_or((0, expected), |integer| (1, integer));
    match integer {
        "u8" => return whole(least, Some(u8::MAX.into())),
        "u16" => return whole(least, Some(u16::MAX.into())),
        "u32" => return whole(least, Some(u32::MAX.into())),
        "u64" | "u128" | "usize" => return whole(least, None),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => return "a whole number".to_owned(),
        _ => {}
    }
    for start in ["a tuple of size ", "an array of length "] {
        if let Some(length) = expected.strip_prefix(start) {
            return format!("a list of {length} values");
        }
    }
    match expected {
        "f32" | "f64" => "a number",
        "bool" | "a boolean" => "true or false",
        "a string" | "a borrowed string" => "text",
        "path string" => "a path",
        "a character" => "one character",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        "IP address" => "an address such as 127.0.0.1 or ::1",
        _ if expected.starts_with("struct ") => "an object",
        _ if ["enum ", "struct", "variant", "Option", "option"]
            .iter()
            .any(|word| expected.contains(word)) =>
        {
            "another kind of value"
        }
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "is refused")]
    enum Kind {
        One,
        Other,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "is refused")]
    enum Either {
        Number(u8),
        Text(String),
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "is refused")]
    struct Settings {
        host: std::net::IpAddr,
    }

    fn told<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        plain(&serde_json::from_str::<T>(json).expect_err("is refused").to_string())
    }

    #[derive(Debug, thiserror::Error)]
    #[error("level {0}")]
    struct Level(u8, #[source] Option<Box<Level>>);

    #[test]
    fn every_cause_is_told_once_from_the_top() {
        let error = Level(1, Some(Level(2, Some(Level(3, None).into())).into()));
        assert_eq!(with_causes(&error), "level 1: level 2: level 3");
    }

    #[test]
    fn no_type_of_the_program_is_named() {
        let place = |column: u32| format!(" at line 1 column {column}");
        for (told, expected) in [
            (told::<u8>("300"), format!("expected a whole number from 0 to 255, got 300{}", place(3))),
            (told::<u64>("-1"), format!("expected a whole number of 0 or more, got -1{}", place(2))),
            (told::<usize>("1.5"), format!("expected a whole number of 0 or more, got 1.5{}", place(3))),
            (
                told::<NonZeroU32>("0"),
                format!("expected a whole number from 1 to 4294967295, got 0{}", place(1)),
            ),
            (told::<i64>("true"), format!("expected a whole number, got true{}", place(4))),
            (
                told::<f64>("\"1, expected x\""),
                format!("expected a number, got text \"1, expected x\"{}", place(15)),
            ),
            (
                told::<f64>(r#""a\"b, expected \\""#),
                format!("expected a number, got text \"a\\\"b, expected \\\\\"{}", place(19)),
            ),
            (told::<bool>("null"), format!("expected true or false, got null{}", place(4))),
            (told::<String>("[1]"), format!("expected text, got a list{}", place(0))),
            (told::<Vec<u8>>("{}"), format!("expected a list, got an object{}", place(0))),
            (told::<BTreeMap<u8, u8>>("1"), format!("expected an object, got 1{}", place(1))),
            (told::<(u8, u8)>("[1]"), format!("expected a list of 2 values, got 1 values{}", place(3))),
            (told::<Settings>("[]"), format!("expected an object, got 0 values{}", place(2))),
            (told::<Settings>("1"), format!("expected an object, got 1{}", place(1))),
            (told::<Settings>("{}"), format!("`host` is missing{}", place(2))),
            (told::<Kind>("\"two\""), format!("unknown value `two`, expected `one` or `other`{}", place(5))),
            (told::<Either>("[]"), "the value is of none of the kinds that are expected".to_owned()),
        ] {
            assert_eq!(told, expected);
        }
        assert_eq!(plain("whatever else"), "whatever else");
    }

    #[test]
    fn a_long_text_is_cut() {
        let told = told::<u8>(&format!("\"{}\"", "ü".repeat(10_000)));
        assert!(told.chars().count() < 150, "{told}");
    }
}
