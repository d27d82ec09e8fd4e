//! The bytes of a Parquet file where its reader wants them: a file page by page as they are needed, an object's columns of one row group
//! at once. A place is read by its position and no cursor moves, so pieces on several threads share one open file.

use std::fs::File;
use std::io::{self, BufReader};
#[cfg(feature = "s3")]
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[cfg(feature = "s3")]
use bytes::Buf;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

#[cfg(feature = "s3")]
use crate::location::Object;
use crate::location::Opened;

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Chunks {
    File(Arc<File>),
    #[cfg(feature = "s3")]
    Object(Object, Arc<Vec<(u64, Bytes)>>),
}

impl Chunks {
    pub(super) fn of(opened: Opened) -> Self {
        match opened {
            Opened::File(file) => Self::File(Arc::new(file)),
            #[cfg(feature = "s3")]
            Opened::Object(object) => Self::Object(object, Arc::default()),
        }
    }

    /// Fetches ranges of an object that will be read; those of the row group before are let go.
    #[cfg(feature = "s3")]
    pub(super) fn fetch(&mut self, ranges: Vec<Range<u64>>) -> io::Result<()> {
        if let Self::Object(object, fetched) = self {
            *fetched = Arc::default();
            let bytes = object.ranges(&ranges)?;
            *fetched = Arc::new(ranges.into_iter().map(|range| range.start).zip(bytes).collect());
        }
        Ok(())
    }
}

#[cfg(feature = "s3")]
fn of_object(object: &Object, fetched: &[(u64, Bytes)], range: Range<u64>) -> Result<Bytes> {
    let within = fetched
        .iter()
        .find(|(start, bytes)| *start <= range.start && range.end <= start + bytes.len() as u64);
    match within {
        Some((start, bytes)) => Ok(bytes.slice((range.start - start) as usize..(range.end - start) as usize)),
        None => object.range(range).map_err(|error| ParquetError::External(error.into())),
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            #[cfg(feature = "s3")]
            Self::Object(object, _) => object.len(),
        }
    }
}

/// A place in a file.
pub(super) struct At {
    file: Arc<File>,
    at: u64,
}

impl io::Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What reads on from a place.
pub(super) enum From {
    File(BufReader<At>),
    #[cfg(feature = "s3")]
    Bytes(bytes::buf::Reader<Bytes>),
}

impl io::Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            #[cfg(feature = "s3")]
            Self::Bytes(bytes) => bytes.read(into),
        }
    }
}

impl ChunkReader for Chunks {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From> {
        match self {
            Self::File(file) => Ok(From::File(BufReader::new(At { file: Arc::clone(file), at: start }))),
            #[cfg(feature = "s3")]
            Self::Object(object, fetched) => {
                let within =
                    fetched.iter().find(|(at, bytes)| (*at..at + bytes.len() as u64).contains(&start));
                let end = within.map_or(object.len(), |(at, bytes)| at + bytes.len() as u64);
                Ok(From::Bytes(of_object(object, fetched, start..end)?.reader()))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::File(file) => {
                // Lengths come from the file's end and may say anything; more than the file has is not allocated.
                let left = file.metadata()?.len().saturating_sub(start);
                if length as u64 > left {
                    return Err(ParquetError::EOF(format!(
                        "{length} bytes at {start}, where {left} are left"
                    )));
                }
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
            #[cfg(feature = "s3")]
            Self::Object(object, fetched) => {
                of_object(object, fetched, start..start.saturating_add(length as u64))
            }
        }
    }
}
