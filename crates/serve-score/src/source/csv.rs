//! CSV: RFC 4180 with a header, quotes doubled inside quotes, records over several lines, any newline. All cells are text until the
//! signature says what they are. A line that has another number of cells, or none that can be read, is one reject and no more.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, Field, Schema};
use csv_core::{ReadRecordResult, ReaderBuilder};

use super::bytes::{self, Begun};
use super::lines::{Blocks, line_end};
use super::records::{Columns, Records};
use super::{Binding, Header, Opened, Piece, Position, Reader};
use crate::error::{Cause, ScoreError};
use crate::format::Format;
use crate::location::InputFile;

/// A byte order mark, which some programs write in front.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn wrong(location: &str, source: impl Into<Cause>) -> ScoreError {
    ScoreError::Input { location: location.to_owned(), format: Format::Csv, source: source.into() }
}

/// The end of a record: that of its line, unless the line ends inside of quotes.
fn record_end(bytes: &[u8]) -> Option<usize> {
    let line = line_end(bytes);
    if memchr::memchr(b'"', &bytes[..line.unwrap_or(bytes.len())]).is_none() {
        return line;
    }
    let mut at = 0;
    loop {
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                at += memchr::memchr(b'"', bytes.get(at..)?)? + 1;
                match bytes.get(at) {
                    Some(b'"') => at += 1,
                    _ => break,
                }
            }
        }
        at += memchr::memchr2(b',', b'\n', bytes.get(at..)?)? + 1;
        if bytes[at - 1] == b'\n' {
            return Some(at);
        }
    }
}

/// The cells of one record.
#[derive(Debug)]
struct Cells {
    reader: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Cells {
    fn new() -> Self {
        Self { reader: ReaderBuilder::new().build(), bytes: vec![0; 4096], ends: vec![0; 256], count: 0 }
    }

    fn read(&mut self, mut record: &[u8]) {
        self.reader.reset();
        (self.count, _) = (0, 0);
        let mut written = 0;
        loop {
            let (result, read, wrote, ends) =
                self.reader.read_record(record, &mut self.bytes[written..], &mut self.ends[self.count..]);
            record = &record[read..];
            (written, self.count) = (written + wrote, self.count + ends);
            match result {
                // After the record's bytes, none at all says that they end.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.bytes.resize(2 * self.bytes.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record | ReadRecordResult::End => return,
            }
        }
    }

    fn range(&self, cell: usize) -> Range<usize> {
        let start = if cell == 0 { 0 } else { self.ends[cell - 1] };
        start..self.ends[cell]
    }

    fn get(&self, cell: usize) -> &[u8] {
        &self.bytes[self.range(cell)]
    }
}

/// Reads the header and says what follows it.
fn begin(file: &InputFile, count: &Arc<AtomicU64>) -> Result<(Vec<String>, Begun), ScoreError> {
    let name = file.name();
    let mut reader = bytes::open(file, count)?;
    let (mut head, mut ended) = (Vec::new(), false);
    let length = loop {
        let before = head.len();
        io::Read::read_to_end(&mut io::Read::take(&mut reader, 1 << 16), &mut head)
            .map_err(|error| wrong(&name, error))?;
        ended |= head.len() - before < 1 << 16;
        let start = if head.starts_with(MARK) { MARK.len() } else { 0 };
        let blank = head[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        head.drain(..start + blank);
        match record_end(&head) {
            Some(length) => break length,
            None if ended && head.is_empty() => return Err(wrong(&name, "it is empty: expected a header")),
            None if ended => break head.len(),
            None if head.len() > 1 << 24 => return Err(wrong(&name, "the header is longer than 16 MiB")),
            None => {}
        }
    };
    let rest = head.split_off(length);
    let mut cells = Cells::new();
    cells.read(&head);
    let names =
        (0..cells.count).map(|cell| std::str::from_utf8(cells.get(cell)).map(|name| name.trim().to_owned()));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|_| wrong(&name, "the header is not UTF-8"))?;
    if names.iter().any(|name| name.contains('\0')) {
        return Err(wrong(&name, "the header holds zero bytes: expected UTF-8 text"));
    }
    Ok((names, Begun { head: rest, rest: reader }))
}

pub(super) fn header(file: &InputFile) -> Result<Header, ScoreError> {
    let (names, begun) = begin(file, &Arc::default())?;
    let fields: Vec<Field> = names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let begun = file.is_pipe().then_some(begun);
    Ok(Header { schema: Arc::new(Schema::new(fields)), rows: None, begun })
}

/// One file.
pub(super) struct Sheet {
    name: Arc<str>,
    blocks: Blocks,
    width: usize,
    binding: Arc<Binding>,
}

impl Sheet {
    pub(super) fn open(opened: Opened, count: &Arc<AtomicU64>) -> Result<Self, ScoreError> {
        let Opened { file, header, binding } = opened;
        let begun = match header.begun {
            Some(begun) => begun,
            None => begin(&file, count)?.1,
        };
        let blocks = Blocks::new(begun.head, begun.rest, record_end);
        Ok(Self { name: file.name().into(), blocks, width: header.schema.fields().len(), binding })
    }
}

impl Reader for Sheet {
    fn next_piece(&mut self, position: &mut Position) -> Result<Option<Box<dyn Piece>>, ScoreError> {
        let wanted = self.blocks.next_wanted(position).map_err(|error| wrong(&self.name, error))?;
        let Some((block, rows)) = wanted else { return Ok(None) };
        let columns = self.binding.own.iter().map(|_| StringBuilder::new()).collect();
        let binding = Arc::clone(&self.binding);
        let columns = Rows { binding, width: self.width, cells: Cells::new(), columns };
        Ok(Some(Box::new(Records::new(block, &self.binding, columns, rows))))
    }
}

/// Columns of text.
struct Rows {
    binding: Arc<Binding>,
    width: usize,
    cells: Cells,
    columns: Vec<StringBuilder>,
}

impl Columns for Rows {
    fn read(&mut self, record: &[u8]) -> Result<(), (String, String)> {
        self.cells.read(record);
        check(&self.cells, self.width, &self.binding)?;
        for (column, cell) in self.columns.iter_mut().zip(&self.binding.own) {
            // Checked above.
            column.append_value(std::str::from_utf8(self.cells.get(*cell)).unwrap_or_default());
        }
        Ok(())
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect()
    }
}

/// Whether a record has as many cells as the header, and those that are read are UTF-8.
fn check(cells: &Cells, width: usize, binding: &Binding) -> Result<(), (String, String)> {
    if cells.count != width {
        return Err((String::new(), format!("expected {width} cells, got {}", cells.count)));
    }
    let end = cells.ends[..cells.count].last().copied().unwrap_or(0);
    if std::str::from_utf8(&cells.bytes[..end]).is_ok() {
        return Ok(());
    }
    match binding.own.iter().find(|cell| std::str::from_utf8(cells.get(**cell)).is_err()) {
        None => Ok(()),
        Some(cell) => Err((binding.own_name(*cell), "expected UTF-8 text, got other bytes".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_outside_of_quotes() {
        for (text, end) in [
            ("a,b\nc", Some(4)),
            ("a,\"b\nc\",d\ne", Some(10)),
            ("\"a\"\"\n\",b\n", Some(9)),
            ("5\",b\n6\n", Some(5)),
            ("\"a\" b,c\nd", Some(8)),
            ("a,b", None),
            ("\"a\nb\n", None),
        ] {
            assert_eq!(record_end(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn cells_of_a_record_are_unquoted() {
        let mut cells = Cells::new();
        for (record, expected) in [
            ("a,b", vec!["a", "b"]),
            ("\"a,1\",\"b \"\"x\"\"\",", vec!["a,1", "b \"x\"", ""]),
            ("", vec![]),
            ("\"open", vec!["open"]),
        ] {
            cells.read(record.as_bytes());
            let got: Vec<_> =
                (0..cells.count).map(|cell| String::from_utf8_lossy(cells.get(cell)).into_owned()).collect();
            assert_eq!(got, expected, "{record:?}");
        }
    }
}
