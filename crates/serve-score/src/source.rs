//! Files as pieces of rows. A piece is a stretch of rows that one thread reads alone, in batches; pieces come in the order of the
//! input, and the number of every row is known without reading those before it again.
//!
//! Where a piece begins depends on the files alone and not on threads, so a job that goes on after an end cuts as before.

mod arrow;
mod binding;
mod bytes;
mod chunks;
mod csv;
mod json;
mod lines;
mod parquet;
mod records;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::bytes::Bytes;
use arrow_array::ArrayRef;
use arrow_schema::Schema;

use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::reject::Reject;

pub(crate) use binding::{Binding, NULL_FOLDER, Unbound, all_columns};

/// Rows of a batch, at most.
pub const BATCH_ROWS: usize = 8192;

/// Rows that belong together, with the columns that were asked for, in that order.
#[derive(Debug)]
pub struct Batch {
    /// The number of the first row that was read, from 1 over all files.
    pub first_row: u64,
    /// For each row of the columns how far it is from the first; none where each follows the one before.
    pub offsets: Option<Vec<u32>>,
    /// How many rows were read, those that are broken included.
    pub read: u64,
    /// How many rows the columns have.
    pub rows: usize,
    /// The columns.
    pub columns: Vec<ArrayRef>,
    /// The rows' own text, where they had any.
    pub texts: Option<Texts>,
    /// Rows that are no rows.
    pub broken: Vec<Reject>,
}

impl Batch {
    /// The number of a row of the columns.
    #[must_use]
    pub fn number(&self, row: usize) -> u64 {
        let offset = self.offsets.as_ref().map_or(row as u64, |offsets| u64::from(offsets[row]));
        self.first_row + offset
    }
}

/// The text of each row.
#[derive(Debug)]
pub struct Texts {
    /// All of it.
    pub bytes: Bytes,
    /// Where each row of the columns lies in it.
    pub places: Vec<std::ops::Range<usize>>,
}

impl Texts {
    /// The text of a row; what is no UTF-8 is replaced.
    #[must_use]
    pub fn get(&self, row: usize) -> String {
        String::from_utf8_lossy(&self.bytes[self.places[row].clone()]).into_owned()
    }
}

/// A stretch of rows.
pub trait Piece: Send {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// When the file is broken. No row follows then.
    fn next_batch(&mut self) -> Result<Option<Batch>, ScoreError>;
}

/// What cuts one file into pieces.
trait Reader: Send {
    /// The next piece with a row that is wanted; none at the end.
    fn next_piece(&mut self, position: &mut Position) -> Result<Option<Box<dyn Piece>>, ScoreError>;
}

/// Where reading is. Rows are numbered whether they are wanted or not.
#[derive(Debug)]
struct Position {
    /// The number of the next row.
    next_row: u64,
    /// The number of the first row that is wanted.
    wanted: u64,
}

impl Position {
    /// Passes some rows that belong together; gives the number of the first and how many of them are not wanted, or nothing where none
    /// is wanted.
    fn pass(&mut self, rows: usize) -> Option<(u64, usize)> {
        let first = self.next_row;
        self.next_row += rows as u64;
        let unwanted = self.wanted.saturating_sub(first);
        (unwanted < rows as u64).then_some((first, unwanted as usize))
    }
}

/// Files of one format, before it is said which columns are read.
#[derive(Debug)]
pub struct Source {
    files: Vec<InputFile>,
    format: Format,
    /// Per file, what it has; one where all come from one pipe.
    headers: Vec<Header>,
}

/// What a file has, by its beginning or its end.
#[derive(Debug)]
pub(crate) struct Header {
    /// Its columns, without those of its folders.
    pub(crate) schema: Arc<Schema>,
    /// Its rows, where it tells.
    pub(crate) rows: Option<u64>,
    /// What was read of a pipe and cannot be read again.
    pub(crate) begun: Option<bytes::Begun>,
}

impl Source {
    /// Opens files and reads what they say about their columns.
    ///
    /// # Errors
    /// When a file cannot be opened, is not of the format, or its columns cannot be told.
    pub fn open(files: Vec<InputFile>, format: Option<Format>) -> Result<Self, ScoreError> {
        let format = match format {
            Some(format) => format,
            None => common_format(&files)?,
        };
        let header = |file: &InputFile| match format {
            Format::Parquet => parquet::header(file),
            Format::Csv => csv::header(file),
            Format::Json => json::header(file),
            Format::Arrow => arrow::header(file),
        };
        let header = |file: &InputFile| header(file).map_err(|error| file.cause(error));
        let headers = files.iter().map(header).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { files, format, headers })
    }

    /// Their format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The files, in order.
    #[must_use]
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// How many rows they have, where they tell.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        self.headers.iter().map(|header| header.rows).sum()
    }

    /// How many bytes they have, where that is known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(InputFile::bytes).sum()
    }

    pub(crate) fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The rows, of which these columns are read; `bytes_read` is counted up where reading is by bytes.
    pub(crate) fn read(self, bindings: Vec<Binding>, bytes_read: Arc<AtomicU64>) -> Pieces {
        let Self { files, format, headers } = self;
        let opened = files.into_iter().zip(headers).zip(bindings).map(|((file, header), binding)| Opened {
            file,
            header,
            binding: Arc::new(binding),
        });
        Pieces {
            format,
            files: opened.collect::<Vec<_>>().into_iter(),
            current: None,
            position: Position { next_row: 1, wanted: 1 },
            bytes_read,
        }
    }
}

fn common_format(files: &[InputFile]) -> Result<Format, ScoreError> {
    let mut formats = files.iter().map(|file| (file, file.format()));
    let untold = |file: &InputFile| {
        ScoreError::usage(if file.is_pipe() {
            "--input - needs --input-format csv or json".to_owned()
        } else {
            format!("{}: its name does not tell its format; say --input-format", file.name())
        })
    };
    let Some((first, format)) = formats.next() else { return Err(ScoreError::plan("there is no input")) };
    let format = format.ok_or_else(|| untold(first))?;
    for (file, other) in formats {
        let other = other.ok_or_else(|| untold(file))?;
        if other != format {
            let (first, file) = (first.name(), file.name());
            return Err(ScoreError::plan(format!(
                "{first} is {format}, {file} is {other}: expected one format"
            )));
        }
    }
    Ok(format)
}

/// A file with the columns that are read of it.
pub(crate) struct Opened {
    pub(crate) file: InputFile,
    pub(crate) header: Header,
    pub(crate) binding: Arc<Binding>,
}

/// All pieces, in order.
pub struct Pieces {
    format: Format,
    files: std::vec::IntoIter<Opened>,
    current: Option<Box<dyn Reader>>,
    position: Position,
    bytes_read: Arc<AtomicU64>,
}

impl Pieces {
    /// Leaves out the rows before the one of this number. They are not read where a file says how many it has; of text only the ends of
    /// its lines are looked for.
    pub fn skip_to(&mut self, row: u64) {
        self.position.wanted = self.position.wanted.max(row);
    }

    /// The numbers of the rows that the next piece begins with at the least.
    #[must_use]
    pub fn next_row(&self) -> u64 {
        self.position.next_row.max(self.position.wanted)
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// When a file cannot be opened or is broken.
    pub fn next_piece(&mut self) -> Result<Option<Box<dyn Piece>>, ScoreError> {
        loop {
            if let Some(reader) = &mut self.current
                && let Some(piece) = reader.next_piece(&mut self.position)?
            {
                return Ok(Some(piece));
            }
            let Some(opened) = self.files.next() else { return Ok(None) };
            if let Some(rows) = opened.header.rows
                && self.position.next_row + rows <= self.position.wanted
            {
                self.position.next_row += rows;
                continue;
            }
            let count = &self.bytes_read;
            self.current = Some(match self.format {
                Format::Parquet => Box::new(parquet::RowGroups::open(opened)?),
                Format::Csv => Box::new(csv::Sheet::open(opened, count)?),
                Format::Json => Box::new(json::Objects::open(opened, count)?),
                Format::Arrow => Box::new(arrow::Blocks::open(opened, count)?),
            });
        }
    }
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces")
            .field("format", &self.format)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
