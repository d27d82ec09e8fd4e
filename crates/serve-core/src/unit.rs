//! Settings that are written with their unit, `15m` or `10MiB`, as serde meets them.

use std::fmt::{self, Display};

use serde::de::{Error, Visitor};

/// Reads a text; of a bare number says what it lacks, as the text would.
pub(crate) struct WithUnit<T, E> {
    /// What a message expects in the place of anything else.
    pub(crate) expected: &'static str,
    pub(crate) parse: fn(&str) -> Result<T, E>,
}

impl<T, P: Display> Visitor<'_> for WithUnit<T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
