//! The values of a path's `{…}`, most of which stand in the path as they are.

use std::ops::Range;

use crate::failure::Failure;

/// The values of a path's `{…}`.
#[derive(Debug, Default)]
pub(crate) struct Parameters([Option<Parameter>; MOST_PARAMETERS]);

/// No line of the table has more.
pub(super) const MOST_PARAMETERS: usize = 2;

#[derive(Debug)]
struct Parameter {
    name: &'static str,
    value: Value,
}

/// Most values stand in the path as they are.
#[derive(Debug)]
enum Value {
    There(Range<usize>),
    Decoded(String),
}

impl Parameters {
    /// Adds the value of a name, which stands in `path`.
    pub(super) fn add(&mut self, name: &'static str, path: &str, value: &str) -> Result<(), Failure> {
        let start = value.as_ptr().addr() - path.as_ptr().addr();
        let value = if value.contains('%') {
            Value::Decoded(decoded(name, value)?)
        } else {
            Value::There(start..start + value.len())
        };
        let free = self.0.iter_mut().find(|place| place.is_none());
        *free.ok_or_else(Failure::internal)? = Some(Parameter { name, value });
        Ok(())
    }

    /// The value of one, of the path that they were found in; nothing, if there is none of this name.
    pub(crate) fn get<'a>(&'a self, name: &str, path: &'a str) -> &'a str {
        let found = self.0.iter().flatten().find(|parameter| parameter.name == name);
        match found.map(|parameter| &parameter.value) {
            Some(Value::There(range)) => path.get(range.clone()).unwrap_or_default(),
            Some(Value::Decoded(value)) => value,
            None => "",
        }
    }
}

/// The value of a path's `{…}`.
fn decoded(name: &str, value: &str) -> Result<String, Failure> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8().map_err(|_| {
        let message = format!("the path's {name} is not UTF-8 once decoded: {value:?}");
        Failure::unreadable("malformed_path", message)
    })?;
    Ok(text.into_owned())
}
