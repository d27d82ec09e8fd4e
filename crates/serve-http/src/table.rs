//! A table of rows as MLflow's and TensorFlow Serving's clients send it, brought into the signature's order: the matrix that
//! the engine takes.
//!
//! Numbers stand in one vector and everything else beside it, so a cell costs eight bytes. How many rows there may be is
//! held against the limit while they are read, not after.

pub(crate) mod body;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod python;

use std::collections::HashSet;

use ndarray::Array2;
use serde_json::Value as Json;
use serve_core::{CheckedRow, Datatype, InvalidInput, MissingPolicy, Signature, Value};

use crate::failure::Failure;

/// Names of a message that lists them.
const LISTED: usize = 20;

/// Cells row by row, all rows as wide as the first. A missing cell is NaN.
#[derive(Debug, Default)]
pub(crate) struct Grid<'a> {
    width: usize,
    rows: usize,
    numbers: Vec<f64>,
    /// What is no number, and where it stands, in order.
    others: Vec<(usize, Value<'a>)>,
}

impl<'a> Grid<'a> {
    fn push(&mut self, value: Value<'a>) {
        match value {
            Value::Number(x) => self.numbers.push(x),
            Value::Missing => self.numbers.push(f64::NAN),
            other => {
                self.others.push((self.numbers.len(), other));
                self.numbers.push(f64::NAN);
            }
        }
    }

    /// Ends a row that began at `start`.
    fn end_row(&mut self, start: usize) -> Result<(), String> {
        let width = self.numbers.len() - start;
        if self.rows == 0 {
            self.width = width;
        } else if self.width != width {
            return Err(format!("row {} has {width} values, row 0 has {}", self.rows, self.width));
        }
        self.rows += 1;
        Ok(())
    }

    /// The columns at these places, in this order; where there is none, the cells are missing.
    fn select(mut self, places: &[Option<usize>]) -> Self {
        let mut grid = Self { width: places.len(), rows: self.rows, ..Self::default() };
        grid.numbers.reserve_exact(self.rows.saturating_mul(places.len()));
        for row in 0..self.rows {
            for place in places {
                let Some(place) = place else {
                    grid.numbers.push(f64::NAN);
                    continue;
                };
                let at = row * self.width + place;
                match self.others.binary_search_by_key(&at, |(at, _)| *at) {
                    Ok(found) => grid.push(std::mem::replace(&mut self.others[found].1, Value::Missing)),
                    Err(_) => grid.numbers.push(self.numbers[at]),
                }
            }
        }
        grid
    }

    /// The values of one row.
    fn row(&self, row: usize) -> Vec<Value<'a>> {
        let start = row * self.width;
        let mut values: Vec<Value<'a>> =
            self.numbers[start..start + self.width].iter().map(|x| Value::from(*x)).collect();
        let first = self.others.partition_point(|(at, _)| *at < start);
        for (at, value) in self.others[first..].iter().take_while(|(at, _)| *at < start + self.width) {
            values[at - start] = value.clone();
        }
        values
    }
}

/// Rows whose cells have names, in the signature's order.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    grid: Grid<'a>,
    /// Which inputs some row names.
    given: Vec<bool>,
    /// Names that the signature lacks, the first of them.
    unknown: Vec<String>,
}

impl Named<'_> {
    fn note_unknown(&mut self, name: &str) {
        if self.unknown.len() < LISTED && !self.unknown.iter().any(|known| known == name) {
            self.unknown.push(name.chars().take(80).collect());
        }
    }
}

/// A table as it came.
#[derive(Debug)]
pub(crate) enum Table<'a> {
    /// Rows by position. `scalars` says that each row came as one bare value.
    Rows { grid: Grid<'a>, scalars: bool },
    /// Rows as objects by name.
    Records(Named<'a>),
    /// Columns by name.
    Columns(Named<'a>),
}

impl<'a> Table<'a> {
    /// The table with these names for its columns. `0, 1, 2, …`, which pandas gives where nobody named them, are positions.
    pub(crate) fn with_columns(self, columns: &[String], signature: &Signature) -> Result<Self, Failure> {
        let Self::Rows { grid, scalars: false } = self else { return Ok(self) };
        if grid.rows > 0 && grid.width != columns.len() {
            let message = format!("there are {} columns, and rows of {} values", columns.len(), grid.width);
            return Err(Failure::invalid("invalid_shape", message));
        }
        let mut seen = HashSet::with_capacity(columns.len());
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            let twice: String = twice.chars().take(80).collect();
            return Err(Failure::invalid("duplicate_input", format!("column {twice:?} stands twice")));
        }
        let numbered = columns.iter().enumerate().all(|(at, name)| *name == at.to_string());
        if numbered && columns.iter().all(|name| signature.position(name).is_none()) {
            return Ok(Self::Rows { grid, scalars: false });
        }
        let mut named = Named { given: vec![false; signature.len()], ..Named::default() };
        let mut places = vec![None; signature.len()];
        for (at, name) in columns.iter().enumerate() {
            match signature.position(name) {
                Some(position) => (places[position], named.given[position]) = (Some(at), true),
                None => named.note_unknown(name),
            }
        }
        named.grid = grid.select(&places);
        Ok(Self::Columns(named))
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Rows { grid, .. } => grid.rows,
            Self::Records(named) | Self::Columns(named) => named.grid.rows,
        }
    }

    /// The first row, for a guard window: by name where names came.
    pub(crate) fn first_row(&self, signature: &Signature) -> Option<FirstRow> {
        let owned = |grid: &Grid<'a>| {
            (grid.rows > 0).then(|| grid.row(0).into_iter().map(Value::into_owned).collect::<Vec<_>>())
        };
        match self {
            Self::Rows { grid, .. } => owned(grid).map(FirstRow::Positional),
            Self::Records(named) | Self::Columns(named) => {
                let names = signature.names().map(str::to_owned);
                owned(&named.grid).map(|values| FirstRow::Named(names.zip(values).collect()))
            }
        }
    }

    /// The numbers of all rows, in the signature's order; NaN is missing.
    ///
    /// # Errors
    /// 422 when a column that the model cannot do without is in no row, or a row does not fit the signature.
    pub(crate) fn matrix(self, signature: &Signature) -> Result<Array2<f64>, Failure> {
        let grid = match self {
            Self::Rows { grid, .. } => grid,
            Self::Records(named) | Self::Columns(named) => {
                if named.grid.rows > 0 {
                    check_columns(signature, &named.given, &named.unknown)?;
                }
                named.grid
            }
        };
        let width = signature.len();
        if grid.rows == 0 {
            return shaped(0, width, Vec::new());
        }
        if grid.width != width {
            let message = format!("each row has {} values, the model takes {width}", grid.width);
            return Err(Failure::invalid("invalid_shape", message));
        }
        let texts = signature.inputs().iter().any(|input| input.datatype == Datatype::Bytes);
        if !texts && grid.others.is_empty() {
            return shaped(grid.rows, width, grid.numbers);
        }
        let mut numbers = Vec::with_capacity(grid.numbers.len());
        let mut row = CheckedRow::new();
        for at in 0..grid.rows {
            let mut values = grid.row(at);
            values.iter_mut().zip(signature.inputs()).for_each(|(value, input)| {
                python::read_infinity(value, input.datatype);
            });
            signature.read_positional(&values, &mut row).map_err(|error| refused_row(at, &error))?;
            numbers.extend_from_slice(row.values());
        }
        shaped(grid.rows, width, numbers)
    }
}

/// The first row of a table, kept.
#[derive(Debug)]
pub(crate) enum FirstRow {
    Positional(Vec<Value<'static>>),
    Named(Vec<(String, Value<'static>)>),
}

/// Refuses a table that lacks a column for which nothing can stand in. An answer of these protocols has no place to say that
/// a model's own rule for missing values stood in for a whole column, which most likely is misspelt.
fn check_columns(signature: &Signature, given: &[bool], unknown: &[String]) -> Result<(), Failure> {
    let stands_in = |missing: &MissingPolicy| !matches!(missing, MissingPolicy::Reject | MissingPolicy::Nan);
    let absent: Vec<&str> = signature
        .inputs()
        .iter()
        .zip(given)
        .filter(|(input, given)| !**given && !stands_in(&input.missing))
        .map(|(input, _)| input.name.as_str())
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let more = absent.len().saturating_sub(LISTED);
    let named = &absent[..absent.len() - more];
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    let extra =
        if unknown.is_empty() { String::new() } else { format!("; there were extra inputs {unknown:?}") };
    let message = format!("the model is missing inputs {named:?}{and}{extra}");
    Err(Failure::invalid("invalid_features", message))
}

/// A row that the signature refuses.
fn refused_row(at: usize, error: &InvalidInput) -> Failure {
    let details = serve_app::ServiceError::from(error.clone()).details.unwrap_or(Json::Null);
    Failure::invalid("invalid_features", format!("row {at}: {error}")).with_details(details)
}

fn shaped(rows: usize, columns: usize, numbers: Vec<f64>) -> Result<Array2<f64>, Failure> {
    Array2::from_shape_vec((rows, columns), numbers)
        .map_err(|error| Failure::invalid("invalid_shape", format!("the rows do not fit: {error}")))
}

/// A message about a table of too many rows.
fn too_many(most: usize) -> String {
    format!("the table has more than {most} rows, which is what limits.batch_rows allows")
}

#[cfg(test)]
mod tests {
    use serve_core::Input;

    use super::*;

    fn signature() -> Signature {
        let vocabulary = Some(vec!["red".to_owned(), "green".to_owned()]);
        Signature::new(vec![
            Input::number("a").missing(MissingPolicy::Nan),
            Input { datatype: Datatype::Bytes, vocabulary, ..Input::number("colour") },
            Input::number("c").missing(MissingPolicy::Constant(7.0)),
        ])
        .expect("valid")
    }

    fn read(json: &str) -> Result<Vec<f64>, String> {
        let told = |failure: Failure| failure.entry()["error"].as_str().unwrap_or_default().to_owned();
        let signature = signature();
        let table = json::table(json.as_bytes(), &signature, 3).map_err(|error| error.to_string())?;
        table.matrix(&signature).map(|matrix| matrix.iter().copied().collect()).map_err(told)
    }

    #[test]
    fn rows_records_and_columns_are_the_same_matrix() {
        let expected = Ok(vec![1.0, 1.0, 7.0, 2.5, 0.0, 3.0]);
        assert_eq!(read(r#"[[1, "green", null], [2.5, "red", 3]]"#), expected);
        assert_eq!(
            read(r#"[{"colour": "green", "x": 1, "a": 1}, {"a": 2.5, "c": 3, "colour": "red"}]"#),
            expected
        );
        assert_eq!(read(r#"{"colour": ["green", "red"], "c": [null, 3], "a": [[1], [2.5]]}"#), expected);
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, told) in [
            (r#"[[1, "green", 1], [1, "green"]]"#, "row 1 has 2 values, row 0 has 3"),
            (r#"[[1, "green"]]"#, "each row has 2 values, the model takes 3"),
            (r#"[[1, "blue", 1]]"#, "row 0: invalid input: colour: expected one of"),
            (r#"[{"aa": 1, "colour": "red"}]"#, r#"missing inputs ["a"]; there were extra inputs ["aa"]"#),
            (r#"[{"a": 1, "a": 2}]"#, r#"row 0: "a" stands twice"#),
            (r#"{"a": [1], "colour": ["red", "red"]}"#, r#""colour" has 2 values, "a" has 1"#),
            (r#"[[1, "red", 1], {"a": 1}]"#, "row 1 is an object, row 0 a list"),
            ("[1, 2, 3, 4]", "more than 3 rows"),
            (r#"{"a": [1, 2, 3, 4]}"#, "more than 3 rows"),
            (r#"[[[1], "red", 1]]"#, "a: expected a number, got a list"),
        ] {
            let error = read(json).expect_err("must be refused");
            assert!(error.contains(told), "{json}: {error}");
        }
    }

    #[test]
    fn named_columns_may_stand_in_any_order_and_numbered_ones_are_positions() {
        let signature = signature();
        let table = |json: &'static str| json::table(json.as_bytes(), &signature, 9).expect("reads");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let matrix = |table: Result<Table<'_>, Failure>| {
            table
                .and_then(|table| table.matrix(&signature))
                .expect("fits")
                .iter()
                .copied()
                .collect::<Vec<_>>()
        };
        let named = table(r#"[["red", 5, 1.5]]"#).with_columns(&names(&["colour", "x", "a"]), &signature);
        assert_eq!(matrix(named), [1.5, 0.0, 7.0]);
        let numbered = table(r#"[[1.5, "red", 2]]"#).with_columns(&names(&["0", "1", "2"]), &signature);
        assert_eq!(matrix(numbered), [1.5, 0.0, 2.0]);
        assert!(table("[[1, 2]]").with_columns(&names(&["a"]), &signature).is_err());
        assert!(table("[[1, 2]]").with_columns(&names(&["a", "a"]), &signature).is_err());
    }
}
