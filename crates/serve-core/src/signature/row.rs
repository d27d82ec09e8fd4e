//! Rows on their way in: by name, by position or as numbers, checked once and then carried as [`CheckedRow`].

use super::Signature;
use super::check::{InvalidInput, Problem, Violation, push};
use super::reading::number;
use crate::value::Value;

/// Of a refused row so many names are told that the signature lacks: a row may have as many as its sender likes.
const MOST_UNKNOWN: usize = 50;

/// A row of numbers that a signature has admitted: ordered, typed, filled in, inside its ranges.
///
/// The buffer is made to be used again: reading another row into it allocates nothing once it has grown.
#[derive(Debug, Clone, Default)]
pub struct CheckedRow {
    values: Vec<f64>,
    imputed: Vec<u32>,
    ignored: usize,
    given: Vec<bool>,
}

impl CheckedRow {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The row's numbers in the signature's order.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Positions, in order, whose value was missing: absent, null or NaN. The input's policy filled them in, or left them
    /// NaN where the model has a rule of its own ([`MissingPolicy::Nan`](super::MissingPolicy::Nan)).
    #[must_use]
    pub fn imputed(&self) -> &[u32] {
        &self.imputed
    }

    /// How many given names the signature does not have; they were ignored.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    fn reset(&mut self, width: usize) {
        self.values.clear();
        self.values.resize(width, f64::NAN);
        self.given.clear();
        self.given.resize(width, false);
        self.imputed.clear();
        self.ignored = 0;
    }
}

impl Signature {
    /// Reads a row given by name. Names that the signature lacks are ignored and counted.
    ///
    /// # Errors
    /// [`InvalidInput::Violations`] with every offending input; the buffer is then empty.
    ///
    /// ```
    /// use serve_core::{CheckedRow, Signature, Value};
    /// let signature = Signature::of_numbers(["a", "b"])?;
    /// let mut row = CheckedRow::new();
    /// signature.read_named(&[("b", Value::Number(2.0)), ("a", Value::Number(1.0))], &mut row)?;
    /// assert_eq!(row.values(), [1.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_named<N: AsRef<str>>(
        &self,
        given: &[(N, Value<'_>)],
        row: &mut CheckedRow,
    ) -> Result<(), InvalidInput> {
        self.read_mixed(given, std::iter::empty::<(&str, &Value<'_>)>(), row)
    }

    /// Reads a row given by name of which a part is stored. What is given overrides what is stored; only given names
    /// that the signature lacks are counted as ignored, since a stored row may serve several models.
    ///
    /// # Errors
    /// As [`read_named`](Self::read_named).
    pub fn read_mixed<'v, 'w: 'v, N: AsRef<str>, M: AsRef<str>>(
        &self,
        given: &[(N, Value<'_>)],
        stored: impl IntoIterator<Item = (M, &'v Value<'w>)>,
        row: &mut CheckedRow,
    ) -> Result<(), InvalidInput> {
        row.reset(self.len());
        let mut violations = Vec::new();
        self.read_layer(given.iter().map(|(name, value)| (name, value)), true, row, &mut violations);
        self.read_layer(stored, false, row, &mut violations);
        self.finish(row, violations).map_err(|error| self.with_unknown(error, given))
    }

    /// One layer of names.
    fn read_layer<'v, 'w: 'v, N: AsRef<str>>(
        &self,
        layer: impl IntoIterator<Item = (N, &'v Value<'w>)>,
        first: bool,
        row: &mut CheckedRow,
        violations: &mut Vec<Violation>,
    ) {
        let mut before = self.order.start();
        for (name, value) in layer {
            let Some(position) = self.position_after(before, name.as_ref()) else {
                row.ignored += usize::from(first);
                continue;
            };
            before = position;
            let input = &self.inputs[position];
            if std::mem::replace(&mut row.given[position], true) {
                if first {
                    push(violations, input, Problem::Duplicate);
                }
                continue;
            }
            match number(input, value) {
                Ok(x) => row.values[position] = x,
                Err(problem) => push(violations, input, problem),
            }
        }
    }

    /// Where a name stands that follows another: as in the row before, if it is there.
    fn position_after(&self, before: usize, name: &str) -> Option<usize> {
        let guess = self.order.after(before);
        if self.inputs.get(guess).is_some_and(|input| input.name == name) {
            return Some(guess);
        }
        let position = self.position(name)?;
        self.order.learn(before, position);
        Some(position)
    }

    /// The offences of a refused row, with the given names that the signature lacks, as far as [`MOST_UNKNOWN`] of them go: a
    /// typo is the likely cause.
    fn with_unknown<N: AsRef<str>>(&self, error: InvalidInput, given: &[(N, Value<'_>)]) -> InvalidInput {
        let InvalidInput::Violations { mut violations } = error else { return error };
        let unknown =
            given.iter().map(|(name, _)| name.as_ref()).filter(|name| self.position(name).is_none());
        violations.extend(
            unknown.take(MOST_UNKNOWN).map(|name| Violation {
                feature: name.chars().take(80).collect(),
                problem: Problem::Unknown,
            }),
        );
        InvalidInput::Violations { violations }
    }

    /// Reads a row given by position.
    ///
    /// # Errors
    /// [`InvalidInput::Length`] when the count differs, else as [`read_named`](Self::read_named).
    pub fn read_positional(&self, values: &[Value<'_>], row: &mut CheckedRow) -> Result<(), InvalidInput> {
        row.reset(self.len());
        self.check_length(values.len(), row)?;
        let mut violations = Vec::new();
        for ((input, value), x) in self.inputs.iter().zip(values).zip(&mut row.values) {
            match number(input, value) {
                Ok(number) => *x = number,
                Err(problem) => push(&mut violations, input, problem),
            }
        }
        self.finish(row, violations)
    }

    /// Reads a row of numbers in the signature's order; NaN means missing.
    ///
    /// # Errors
    /// As [`read_positional`](Self::read_positional).
    pub fn read_numbers(&self, values: &[f64], row: &mut CheckedRow) -> Result<(), InvalidInput> {
        row.reset(self.len());
        self.check_length(values.len(), row)?;
        row.values.copy_from_slice(values);
        self.finish(row, Vec::new())
    }

    fn check_length(&self, got: usize, row: &mut CheckedRow) -> Result<(), InvalidInput> {
        if got == self.len() {
            return Ok(());
        }
        row.reset(0);
        Err(InvalidInput::Length { expected: self.len(), got })
    }

    fn finish(&self, row: &mut CheckedRow, mut violations: Vec<Violation>) -> Result<(), InvalidInput> {
        self.admit(&mut row.values, &mut row.imputed, &mut violations);
        if violations.is_empty() {
            return Ok(());
        }
        // What was not admitted must not look like a row to whoever goes on with the buffer.
        row.reset(0);
        // Of several offences of one input the first is the cause; the sort is stable.
        violations.sort_by_cached_key(|violation| self.position(&violation.feature));
        violations.dedup_by(|later, first| later.feature == first.feature);
        Err(InvalidInput::Violations { violations })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Datatype, Input, MissingPolicy, Range, text_hash};
    use super::*;

    fn signature() -> Signature {
        let range = Some(Range { min: Some(0.0), max: Some(100.0) });
        let vocabulary = Some(vec!["red".to_owned(), "green".to_owned()]);
        Signature::new(vec![
            Input::number("a"),
            Input { range, ..Input::number("b") },
            Input { datatype: Datatype::Bytes, vocabulary, ..Input::number("colour") },
            Input { missing: MissingPolicy::Constant(7.0), ..Input::number("d") },
        ])
        .expect("valid")
    }

    #[test]
    fn of_a_flood_of_unknown_names_some_are_told() {
        let names: Vec<String> = (0..100_000).map(|at| format!("k{at}")).collect();
        let given: Vec<(&str, Value<'_>)> = names.iter().map(|name| (&**name, Value::Number(1.0))).collect();
        let mut row = CheckedRow::new();
        let Err(InvalidInput::Violations { violations }) = signature().read_named(&given, &mut row) else {
            unreachable!("the row lacks a, b and colour")
        };
        let unknown = violations.iter().filter(|violation| violation.problem == Problem::Unknown).count();
        assert_eq!(unknown, MOST_UNKNOWN);
    }

    #[test]
    fn names_are_put_in_order_and_missing_ones_filled() {
        let mut row = CheckedRow::new();
        let given = [
            ("colour", Value::Text("green".into())),
            ("extra", Value::Number(1.0)),
            ("b", Value::Number(50.0)),
            ("a", Value::Number(-1.0)),
        ];
        signature().read_named(&given, &mut row).expect("admitted");
        assert_eq!(row.values(), [-1.0, 50.0, 1.0, 7.0]);
        assert_eq!((row.imputed(), row.ignored()), (&[3][..], 1));
    }

    #[test]
    fn the_order_of_the_row_before_changes_no_row() {
        let signature = Signature::of_numbers(["a", "b", "c", "d"]).expect("valid");
        let orders = [["c", "a", "x", "d"], ["c", "a", "x", "d"], ["d", "c", "b", "a"], ["a", "b", "c", "d"]];
        for order in orders.iter().chain(orders.iter().rev()) {
            let given: Vec<_> =
                order.iter().map(|name| (*name, Value::from(f64::from(name.as_bytes()[0])))).collect();
            let mut row = CheckedRow::new();
            let read = signature.clone().read_named(&given, &mut row).map(|()| row.values().to_vec());
            let again = signature.read_named(&given, &mut row).map(|()| row.values().to_vec());
            assert_eq!(read, again);
            if !order.contains(&"x") {
                assert_eq!(again, Ok(vec![97.0, 98.0, 99.0, 100.0]));
            }
        }
    }

    #[test]
    fn every_offence_is_listed_at_once_in_order() {
        let mut row = CheckedRow::new();
        let given = [
            ("d", Value::Text("x".into())),
            ("A", Value::Number(1.0)),
            ("colour", Value::Text("blue".into())),
            ("b", Value::Number(101.0)),
        ];
        let error = signature().read_named(&given, &mut row).expect_err("refused");
        let told = match error {
            InvalidInput::Violations { violations } => violations.iter().map(ToString::to_string).collect(),
            other @ InvalidInput::Length { .. } => vec![other.to_string()],
        };
        assert_eq!(
            told,
            [
                "a: missing, and the model has no value to stand in",
                "b: expected 0 to 100, got 101",
                "colour: expected one of \"red\", \"green\", got \"blue\"",
                "d: expected a number, got text \"x\"",
                "A: not an input of the model",
            ]
        );
    }

    #[test]
    fn hashed_texts_have_the_code_of_their_hash_and_whole_numbers_are_texts() {
        let text_hashes = Some(["3", "red"].map(text_hash).to_vec());
        let hashed = Input { datatype: Datatype::Bytes, text_hashes, ..Input::number("c") };
        let signature = Signature::new(vec![hashed.clone()]).expect("valid");
        let mut row = CheckedRow::new();
        let mut code =
            |value: Value<'_>| signature.read_positional(&[value], &mut row).map(|()| row.values()[0]);
        assert_eq!(code(Value::Text("red".into())), Ok(1.0));
        assert_eq!(code(Value::Text("blue".into())), Ok(2.0));
        assert_eq!(code(Value::Number(3.0)), Ok(0.0));
        assert_eq!(code(Value::Number(-3.0)), Ok(2.0));
        assert!(code(Value::Number(0.5)).is_err() && code(Value::Missing).is_err());
        let twice = Input { vocabulary: Some(vec!["red".to_owned()]), ..hashed };
        assert!(Signature::new(vec![twice]).is_err());
    }

    #[test]
    fn an_earlier_layer_wins() {
        let signature = Signature::of_numbers(["a", "b"]).expect("valid");
        let request = [("b", Value::Number(9.0))];
        let stored = [("a", &Value::Number(1.0)), ("b", &Value::Number(2.0))];
        let mut row = CheckedRow::new();
        signature.read_mixed(&request, stored, &mut row).expect("admitted");
        assert_eq!(row.values(), [1.0, 9.0]);
    }

    #[test]
    fn a_name_given_twice_in_the_request_is_refused() {
        let signature = Signature::of_numbers(["a"]).expect("valid");
        let twice = [("a", Value::Number(1.0)), ("a", Value::Number(2.0))];
        let error = signature.read_named(&twice, &mut CheckedRow::new()).expect_err("refused");
        assert_eq!(error.to_string(), "invalid input: a: given twice");
    }

    #[test]
    fn infinities_pass_only_where_the_model_has_its_own_rule() {
        let lenient = Signature::new(vec![Input::number("a").missing(MissingPolicy::Nan)]).expect("valid");
        let mut row = CheckedRow::new();
        lenient.read_numbers(&[f64::INFINITY], &mut row).expect("admitted");
        let strict = Signature::of_numbers(["a"]).expect("valid");
        let error = strict.read_numbers(&[f64::INFINITY], &mut row).expect_err("refused");
        assert_eq!(error.to_string(), "invalid input: a: expected a finite number, got inf");
        assert!(matches!(
            strict.read_numbers(&[], &mut row),
            Err(InvalidInput::Length { expected: 1, got: 0 })
        ));
    }
}
