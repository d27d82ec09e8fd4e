//! Tables in JSON, in one pass over the bytes: a list of rows (lists, objects, or bare values), or an object of columns.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serve_core::{Signature, Value};

use super::{Grid, Named, Table, too_many};
use crate::predict_body::{Cell, Text};

/// Reads a table.
///
/// # Errors
/// When it is no JSON, no table, or has more rows than `most`.
#[cfg(test)]
pub(crate) fn table<'a>(
    json: &'a [u8],
    signature: &Signature,
    most: usize,
) -> Result<Table<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let table = TableSeed { signature, most }.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| table)
}

/// What a table is read with: the signature that its names are looked up in, and the most rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableSeed<'s> {
    pub(crate) signature: &'s Signature,
    pub(crate) most: usize,
}

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = Table<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Table<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = Table<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, or an object of columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Table<'de>, A::Error> {
        let mut rows = RowsUnderWay {
            seed: self,
            form: None,
            table: Named { given: vec![false; self.signature.len()], ..Named::default() },
            seen: vec![false; self.signature.len()],
        };
        while seq.next_element_seed(&mut rows)?.is_some() {}
        Ok(match rows.form {
            Some(Form::Records) => Table::Records(rows.table),
            form => Table::Rows { grid: rows.table.grid, scalars: form == Some(Form::Scalars) },
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<'de>, A::Error> {
        let Self { signature, most } = self;
        let mut named = Named { given: vec![false; signature.len()], ..Named::default() };
        let mut columns: Vec<Option<Grid<'de>>> = Vec::new();
        columns.resize_with(signature.len(), || None);
        let mut first: Option<(String, usize)> = None;
        while let Some(Text(name)) = map.next_key()? {
            let Some(position) = signature.position(&name) else {
                named.note_unknown(&name);
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let column = map.next_value_seed(ColumnSeed { most })?;
            let rows = column.rows;
            match &first {
                Some((other, expected)) if *expected != rows => {
                    let message = format!("{name:?} has {rows} values, {other:?} has {expected}");
                    return Err(A::Error::custom(message));
                }
                Some(_) => {}
                None => first = Some((name.to_string(), rows)),
            }
            if columns[position].replace(column).is_some() {
                return Err(A::Error::custom(format!("{name:?} stands twice")));
            }
            named.given[position] = true;
        }
        if first.is_none() && named.unknown.is_empty() {
            return Err(A::Error::custom("expected columns by name, got an object without any"));
        }
        let rows = first.map_or(1, |(_, rows)| rows);
        named.grid = joined(columns, rows);
        Ok(Table::Columns(named))
    }
}

/// Columns side by side, row by row.
fn joined(columns: Vec<Option<Grid<'_>>>, rows: usize) -> Grid<'_> {
    let width = columns.len();
    let mut grid =
        Grid { width, rows, numbers: vec![f64::NAN; rows.saturating_mul(width)], others: Vec::new() };
    for (position, column) in columns.into_iter().enumerate() {
        let Some(column) = column else { continue };
        for (row, x) in column.numbers.into_iter().enumerate() {
            grid.numbers[row * width + position] = x;
        }
        grid.others.extend(column.others.into_iter().map(|(row, value)| (row * width + position, value)));
    }
    grid.others.sort_unstable_by_key(|(at, _)| *at);
    grid
}

/// How rows come: all in the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Scalars,
    Lists,
    Records,
}

impl Form {
    fn described(self) -> &'static str {
        match self {
            Self::Scalars => "a value",
            Self::Lists => "a list",
            Self::Records => "an object",
        }
    }
}

struct RowsUnderWay<'s, 'de> {
    seed: TableSeed<'s>,
    form: Option<Form>,
    table: Named<'de>,
    /// Which inputs the row under way has named.
    seen: Vec<bool>,
}

impl<'de> RowsUnderWay<'_, 'de> {
    /// Begins a row.
    fn begin<E: Error>(&mut self, form: Form) -> Result<usize, E> {
        let row = self.table.grid.rows;
        if row == self.seed.most {
            return Err(E::custom(too_many(row)));
        }
        match self.form.replace(form) {
            Some(first) if first != form => {
                Err(E::custom(format!("row {row} is {}, row 0 {}", form.described(), first.described())))
            }
            _ => Ok(self.table.grid.numbers.len()),
        }
    }

    fn scalar<E: Error>(&mut self, value: Value<'de>) -> Result<(), E> {
        let start = self.begin(Form::Scalars)?;
        self.table.grid.push(value);
        self.table.grid.end_row(start).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for &mut RowsUnderWay<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut RowsUnderWay<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: a list of values, an object of values by name, or one value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let start = self.begin(Form::Lists)?;
        while let Some(value) = seq.next_element::<Value<'de>>()? {
            self.table.grid.push(value);
        }
        self.table.grid.end_row(start).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let signature = self.seed.signature;
        let start = self.begin(Form::Records)?;
        let grid = &mut self.table.grid;
        grid.numbers.resize(start + signature.len(), f64::NAN);
        let first_other = grid.others.len();
        self.seen.fill(false);
        let mut next = 0;
        while let Some(Text(name)) = map.next_key()? {
            let expected = signature.inputs().get(next).is_some_and(|input| input.name == name);
            let Some(position) = (if expected { Some(next) } else { signature.position(&name) }) else {
                map.next_value::<IgnoredAny>()?;
                self.table.note_unknown(&name);
                continue;
            };
            next = position + 1;
            if std::mem::replace(&mut self.seen[position], true) {
                let message = format!("row {}: {name:?} stands twice", self.table.grid.rows);
                return Err(A::Error::custom(message));
            }
            self.table.given[position] = true;
            match map.next_value()? {
                Value::Number(x) => self.table.grid.numbers[start + position] = x,
                Value::Missing => {}
                other => self.table.grid.others.push((start + position, other)),
            }
        }
        self.table.grid.others[first_other..].sort_unstable_by_key(|(at, _)| *at);
        self.table.grid.end_row(start).map_err(A::Error::custom)
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<(), E> {
        self.scalar(Value::Number(x))
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<(), E> {
        self.scalar(Value::Number(x as f64))
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<(), E> {
        self.scalar(Value::Number(x as f64))
    }

    fn visit_bool<E: Error>(self, x: bool) -> Result<(), E> {
        self.scalar(Value::Bool(x))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.scalar(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(Value::Missing)
    }
}

/// One column: a list of values, each of which may stand in a list of its own (a tensor `[rows, 1]`), or one value.
struct ColumnSeed {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed {
    type Value = Grid<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Grid<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed {
    type Value = Grid<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column: a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Grid<'de>, A::Error> {
        let mut column = Grid::default();
        while let Some(cell) = seq.next_element::<Cell<'de>>()? {
            if column.rows == self.most {
                return Err(A::Error::custom(too_many(self.most)));
            }
            let value = match cell {
                Cell::Value(value) => value,
                Cell::Row(row) => match <[Value<'de>; 1]>::try_from(row) {
                    Ok([value]) => value,
                    Err(row) => {
                        let message =
                            format!("value {} is a list of {}; expected one value", column.rows, row.len());
                        return Err(A::Error::custom(message));
                    }
                },
            };
            column.push(value);
            column.rows += 1;
        }
        Ok(column)
    }
}
