//! Arrow IPC, as a file or as a stream: a piece is a record batch. It is decoded under the lock, which takes little more than
//! reading its bytes.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, SchemaRef};

use super::{BATCH_ROWS, Batch, Binding, Header, Opened, Piece, Position, Reader};
use crate::error::{Cause, ScoreError};
use crate::format::Format;
use crate::location::{InputFile, Seekable};

const MAGIC: &[u8] = b"ARROW1";

fn wrong(location: &str, source: impl Into<Cause>) -> ScoreError {
    ScoreError::Input { location: location.to_owned(), format: Format::Arrow, source: source.into() }
}

enum Batches {
    File(FileReader<BufReader<Box<dyn Seekable>>>),
    Stream(StreamReader<BufReader<Box<dyn Seekable>>>),
}

impl Batches {
    fn open(input: &InputFile, columns: Option<Vec<usize>>) -> Result<Self, ScoreError> {
        let name = input.name();
        let mut file = input.open()?.seekable();
        let mut magic = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(|error| wrong(&name, error))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| wrong(&name, error))?;
        let file = BufReader::new(file);
        let opened = if magic == MAGIC {
            FileReader::try_new(file, columns).map(Self::File)
        } else {
            StreamReader::try_new(file, columns).map(Self::Stream)
        };
        opened.map_err(|error| wrong(&name, error))
    }

    fn schema(&self) -> SchemaRef {
        match self {
            Self::File(reader) => reader.schema(),
            Self::Stream(reader) => reader.schema(),
        }
    }

    fn next(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        match self {
            Self::File(reader) => reader.next(),
            Self::Stream(reader) => reader.next(),
        }
    }
}

pub(super) fn header(file: &InputFile) -> Result<Header, ScoreError> {
    let schema = Batches::open(file, None)?.schema();
    Ok(Header { schema, rows: None, begun: None })
}

/// One file.
pub(super) struct Blocks {
    name: Arc<str>,
    batches: Batches,
    binding: Arc<Binding>,
    bytes: u64,
    count: Arc<AtomicU64>,
}

impl Blocks {
    pub(super) fn open(opened: Opened, count: &Arc<AtomicU64>) -> Result<Self, ScoreError> {
        let Opened { file, binding, .. } = opened;
        let batches = Batches::open(&file, Some(binding.own.clone()))?;
        let bytes = file.bytes().unwrap_or(0);
        Ok(Self { name: file.name().into(), batches, binding, bytes, count: Arc::clone(count) })
    }
}

impl Reader for Blocks {
    fn next_piece(&mut self, position: &mut Position) -> Result<Option<Box<dyn Piece>>, ScoreError> {
        while let Some(batch) = self.batches.next() {
            let batch = batch.map_err(|error| wrong(&self.name, error))?;
            if let Some((first_row, at)) = position.pass(batch.num_rows()) {
                let binding = Arc::clone(&self.binding);
                return Ok(Some(Box::new(Rows { batch, binding, first_row, at })));
            }
        }
        self.count.fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
        Ok(None)
    }
}

/// A record batch.
struct Rows {
    batch: RecordBatch,
    binding: Arc<Binding>,
    first_row: u64,
    at: usize,
}

impl Piece for Rows {
    fn next_batch(&mut self) -> Result<Option<Batch>, ScoreError> {
        let rows = BATCH_ROWS.min(self.batch.num_rows() - self.at);
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch.slice(self.at, rows);
        let first_row = self.first_row + self.at as u64;
        self.at += rows;
        let columns = self.binding.columns(batch.columns(), rows);
        Ok(Some(Batch {
            first_row,
            offsets: None,
            read: rows as u64,
            rows,
            columns,
            texts: None,
            broken: Vec::new(),
        }))
    }
}
