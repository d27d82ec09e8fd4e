//! A file that models learn from: CSV as it is, and Parquet as the CSV of the same rows, so that both are read by one reader. Numbers
//! are written with the digits that read back to the same bits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use csv::{Writer, WriterBuilder};
use serve_app::{Exit, ExitReason};
use serve_features::{Cell, CellReader, FileError, is_parquet};

/// Opens a file, Parquet if it begins like one, else CSV.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, Exit> {
    opened(path).map_err(|error| {
        let broken = error.kind() == io::ErrorKind::InvalidData;
        let reason = if broken { ExitReason::Data } else { ExitReason::NoInput };
        Exit::told(reason, format!("{} cannot be read: {error}", path.display()))
    })
}

fn opened(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    if !is_parquet(&mut file)? {
        return Ok(Box::new(BufReader::new(file)));
    }
    let cells = CellReader::parquet_file(file).map_err(broken)?;
    let header = row(cells.columns().iter().map(String::as_str).map(str::to_owned))?;
    Ok(Box::new(AsCsv { cells, line: header, at: 0 }))
}

fn broken(error: FileError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Parquet on its way to be read as CSV.
struct AsCsv {
    cells: CellReader<'static>,
    line: Vec<u8>,
    at: usize,
}

impl Read for AsCsv {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            if !self.cells.advance().map_err(broken)? {
                return Ok(0);
            }
            self.line = row((0..self.cells.columns().len()).map(|column| text(self.cells.cell(column))))?;
            self.at = 0;
        }
        let some = into.len().min(self.line.len() - self.at);
        into[..some].copy_from_slice(&self.line[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}

fn row(cells: impl Iterator<Item = String>) -> io::Result<Vec<u8>> {
    // A text that begins like a comment is quoted, so that it is none.
    let mut writer: Writer<Vec<u8>> = WriterBuilder::new().comment(Some(b'#')).from_writer(Vec::new());
    writer.write_record(cells.map(String::into_bytes))?;
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

fn text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Number(x) if x.is_nan() => String::new(),
        Cell::Number(x) => x.to_string(),
        Cell::Bool(x) => if x { "True" } else { "False" }.to_owned(),
        Cell::Raw(text) | Cell::Text(text) => text.to_owned(),
        Cell::Moment(moment) => moment.to_string(),
    }
}
