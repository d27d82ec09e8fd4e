//! JSON lines: one object a line. Columns that are kept have the types that the first lines have; a line that differs is one
//! reject. What the model takes is read as the signature says.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_schema::{DataType, Field, Schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serve_core::signature::exact_integer;

use super::binding::{WORDS, WORDS_OR_WHOLE};
use super::bytes::{self, Begun};
use super::lines::{Blocks, line_end};
use super::records::{Columns, Records};
use super::{Binding, Header, Opened, Piece, Position, Reader};
use crate::error::{Cause, ScoreError};
use crate::format::Format;
use crate::location::InputFile;

/// Lines that tell the columns and their types.
const SAMPLE: usize = 1000;

fn wrong(location: &str, source: impl Into<Cause>) -> ScoreError {
    ScoreError::Input { location: location.to_owned(), format: Format::Json, source: source.into() }
}

fn begin(file: &InputFile, count: &Arc<AtomicU64>) -> Result<Blocks, ScoreError> {
    Ok(Blocks::new(Vec::new(), bytes::open(file, count)?, line_end))
}

pub(super) fn header(file: &InputFile) -> Result<Header, ScoreError> {
    let (name, count) = (file.name(), Arc::default());
    let mut blocks = begin(file, &count)?;
    let block = blocks.next().map_err(|error| wrong(&name, error))?.unwrap_or_default();
    if block.records.is_empty() {
        return Err(wrong(&name, "it is empty: expected one object a line"));
    }
    let mut fields: Vec<(String, DataType)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut objects, mut error) = (0, None);
    for record in block.records.iter().take(SAMPLE) {
        let members = match members(&block.bytes[record.clone()]) {
            Ok(members) => members,
            Err(found) => {
                error.get_or_insert(found);
                continue;
            }
        };
        objects += 1;
        for (key, value) in members {
            let datatype = datatype(value.get());
            match known.get(&*key) {
                Some(&at) => fields[at].1 = joined(&fields[at].1, datatype),
                None => {
                    known.insert(key.clone().into_owned(), fields.len());
                    fields.push((key.into_owned(), datatype));
                }
            }
        }
    }
    if let Some(error) = error.filter(|_| objects == 0) {
        return Err(wrong(&name, error));
    }
    let text = |datatype: DataType| if datatype == DataType::Null { DataType::Utf8 } else { datatype };
    let fields: Vec<Field> =
        fields.into_iter().map(|(name, datatype)| Field::new(name, text(datatype), true)).collect();
    let begun = file.is_pipe().then(|| {
        let (rest, reader) = blocks.into_rest();
        let mut head = block.bytes.to_vec();
        head.extend_from_slice(&rest);
        Begun { head, rest: reader }
    });
    Ok(Header { schema: Arc::new(Schema::new(fields)), rows: None, begun })
}

/// An object's members, in order.
fn members(line: &[u8]) -> Result<Vec<(Cow<'_, str>, &RawValue)>, serde_json::Error> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Key(key)) = map.next_key()? {
                members.push((key, map.next_value()?));
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let members = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(members)
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The type of a value's text.
fn datatype(json: &str) -> DataType {
    match json.as_bytes().first() {
        Some(b'n') => DataType::Null,
        Some(b't' | b'f') => DataType::Boolean,
        Some(b'-' | b'0'..=b'9') if json.parse::<i64>().is_ok() => DataType::Int64,
        Some(b'-' | b'0'..=b'9') => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// The type that holds values of both.
fn joined(one: &DataType, other: DataType) -> DataType {
    match (one, other) {
        (DataType::Null, other) => other,
        (one, DataType::Null) => one.clone(),
        (one, other) if *one == other => other,
        (DataType::Int64 | DataType::Float64, DataType::Int64 | DataType::Float64) => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// One file.
pub(super) struct Objects {
    name: Arc<str>,
    blocks: Blocks,
    binding: Arc<Binding>,
    fields: Arc<[(DataType, String)]>,
    positions: Arc<HashMap<String, usize>>,
}

impl Objects {
    pub(super) fn open(opened: Opened, count: &Arc<AtomicU64>) -> Result<Self, ScoreError> {
        let Opened { file, header, binding } = opened;
        let blocks = match header.begun {
            Some(begun) => Blocks::new(begun.head, begun.rest, line_end),
            None => begin(&file, count)?,
        };
        let field = |(own, datatype): (&usize, &DataType)| (datatype.clone(), binding.own_name(*own));
        let fields: Arc<[_]> = binding.own.iter().zip(&binding.own_types).map(field).collect();
        let positions = fields.iter().enumerate().map(|(at, (_, name))| (name.clone(), at)).collect();
        Ok(Self { name: file.name().into(), blocks, binding, fields, positions: Arc::new(positions) })
    }
}

impl Reader for Objects {
    fn next_piece(&mut self, position: &mut Position) -> Result<Option<Box<dyn Piece>>, ScoreError> {
        let wanted = self.blocks.next_wanted(position).map_err(|error| wrong(&self.name, error))?;
        let Some((block, rows)) = wanted else { return Ok(None) };
        let columns = self.fields.iter().map(|(datatype, _)| Column::of(datatype)).collect();
        let (fields, positions) = (Arc::clone(&self.fields), Arc::clone(&self.positions));
        let columns = Rows { fields, positions, columns };
        Ok(Some(Box::new(Records::new(block, &self.binding, columns, rows))))
    }
}

/// Columns of values.
struct Rows {
    fields: Arc<[(DataType, String)]>,
    positions: Arc<HashMap<String, usize>>,
    columns: Vec<Column>,
}

impl Columns for Rows {
    fn read(&mut self, record: &[u8]) -> Result<(), (String, String)> {
        let cells = self.cells(record)?;
        self.columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        Ok(())
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

/// A value of a line, as its column has it.
#[derive(Debug)]
enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl Rows {
    /// The cells of a line, one a column, or the column at fault and why.
    fn cells<'t>(&self, line: &'t [u8]) -> Result<Vec<Cell<'t>>, (String, String)> {
        let members = members(line)
            .map_err(|error| (String::new(), format!("not a JSON object: {}", in_line(&error))))?;
        let mut cells: Vec<Option<Cell<'t>>> = Vec::new();
        cells.resize_with(self.fields.len(), || None);
        for (key, value) in members {
            let Some(&at) = self.positions.get(&*key) else { continue };
            let (datatype, name) = &self.fields[at];
            let cell = cell(value, datatype).map_err(|reason| (name.clone(), reason))?;
            if cells[at].replace(cell).is_some() {
                return Err((name.clone(), "given twice".to_owned()));
            }
        }
        Ok(cells.into_iter().map(|cell| cell.unwrap_or(Cell::Null)).collect())
    }
}

/// A mistake in a line, which is always its first.
fn in_line(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.split_once(" at line ") {
        Some((told, _)) => format!("{told} at column {}", error.column()),
        None => told,
    }
}

fn cell<'a>(value: &'a RawValue, datatype: &DataType) -> Result<Cell<'a>, String> {
    let text = value.get();
    let shown = || text.chars().take(80).collect::<String>();
    match (datatype, text.as_bytes().first()) {
        (_, Some(b'n')) => Ok(Cell::Null),
        (DataType::Boolean, Some(b't' | b'f')) => Ok(Cell::Bool(text == "true")),
        (DataType::Int64, _) => {
            text.parse().map(Cell::Int).map_err(|_| format!("expected a whole number, got {}", shown()))
        }
        (DataType::Float64, Some(b'-' | b'0'..=b'9')) => {
            text.parse().map(Cell::Float).map_err(|_| format!("expected a number, got {}", shown()))
        }
        (DataType::Utf8 | &WORDS | &WORDS_OR_WHOLE, Some(b'"')) => {
            let Key(text) = serde_json::from_str(text).map_err(|error| in_line(&error))?;
            Ok(Cell::Text(text))
        }
        (DataType::Utf8, _) => Ok(Cell::Text(Cow::Borrowed(text))),
        // However it is written, the signature takes a whole number for its digits.
        (&WORDS_OR_WHOLE, Some(b'-' | b'0'..=b'9'))
            if let Some(whole) = text.parse().ok().and_then(exact_integer) =>
        {
            Ok(Cell::Text(whole.to_string().into()))
        }
        (expected, _) => {
            let expected = match *expected {
                DataType::Boolean => "true or false",
                WORDS | WORDS_OR_WHOLE => "text",
                _ => "a number",
            };
            Err(format!("expected {expected}, got {}", shown()))
        }
    }
}

/// A column under way.
enum Column {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl Column {
    fn of(datatype: &DataType) -> Self {
        match datatype {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Bool(column), Cell::Bool(x)) => column.append_value(x),
            (Self::Int(column), Cell::Int(x)) => column.append_value(x),
            (Self::Float(column), Cell::Float(x)) => column.append_value(x),
            (Self::Text(column), Cell::Text(x)) => column.append_value(x),
            (Self::Bool(column), _) => column.append_null(),
            (Self::Int(column), _) => column.append_null(),
            (Self::Float(column), _) => column.append_null(),
            (Self::Text(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, datatype: &DataType) -> Result<String, String> {
        let value: &RawValue = serde_json::from_str(json).expect("is JSON");
        cell(value, datatype).map(|cell| match cell {
            Cell::Text(text) => text.into_owned(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn an_input_that_is_text_takes_no_other_values_but_whole_numbers_where_it_has_hashes() {
        assert_eq!(read("\"2.0\"", &WORDS).as_deref(), Ok("2.0"));
        for (json, shown) in [("7", "7"), ("true", "true"), ("[1]", "[1]")] {
            assert_eq!(read(json, &WORDS), Err(format!("expected text, got {shown}")));
        }
        for (json, digits) in [("2.0", "2"), ("-1", "-1"), ("1e3", "1000"), ("-0.0", "0")] {
            assert_eq!(read(json, &WORDS_OR_WHOLE).as_deref(), Ok(digits));
        }
        for json in ["0.5", "true", "9007199254740992", "1e400"] {
            assert!(read(json, &WORDS_OR_WHOLE).is_err(), "{json}");
        }
    }
}
