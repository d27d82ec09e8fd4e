//! What a Parquet file of a stranger claims, before anything is allocated for it. The `parquet` crate trusts sizes that stand
//! in the file: lengths of lists, sizes of pages, children of children. Here the file is walked once, in the Thrift compact
//! protocol that its footer and its pages' headers are written in, and every such claim is held against the bytes that are
//! there and against the limits.
//!
//! Source: the format's `parquet.thrift` and the Thrift compact protocol's specification.

use std::fmt;

/// A footer, in bytes. Of a thousand columns it takes some 200 KiB.
const FOOTER: usize = 1 << 20;
/// What all pages together may hold once they are decompressed, in bytes.
const PAGES: u64 = 256 << 20;
/// Structs in structs. The format's own are six deep.
const DEPTH: u8 = 24;

/// Why a file is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsound(String);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsound {}

fn unsound(what: impl Into<String>) -> Unsound {
    Unsound(what.into())
}

/// One column's part of a row group.
#[derive(Debug, Default)]
struct Chunk {
    codec: i64,
    compressed: i64,
    data: i64,
    dictionary: Option<i64>,
}

/// Walks a whole file of at most `most` rows.
///
/// # Errors
/// [`Unsound`] at the first claim that does not hold.
pub(super) fn check(file: &[u8], most: u64) -> Result<(), Unsound> {
    let footer = footer(file)?;
    let (rows, chunks) = metadata(footer)?;
    if rows > most {
        return Err(unsound(format!("it has {rows} rows, at most {most} are read")));
    }
    let mut total = 0;
    for chunk in &chunks {
        if !matches!(chunk.codec, 0 | 1 | 6) {
            return Err(unsound("its compression is not bounded: expected Snappy, Zstandard or none"));
        }
        total = pages(file, chunk, most, total)?;
    }
    Ok(())
}

/// The bytes of the file's metadata.
fn footer(file: &[u8]) -> Result<&[u8], Unsound> {
    let body = file.strip_prefix(b"PAR1").and_then(|rest| rest.strip_suffix(b"PAR1"));
    let body = body.ok_or_else(|| unsound("it does not begin and end as a Parquet file"))?;
    let (body, length) =
        body.split_last_chunk::<4>().ok_or_else(|| unsound("it is too short for a Parquet file"))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > FOOTER {
        return Err(unsound(format!("its footer of {length} bytes is over the limit of {FOOTER}")));
    }
    let start = body.len().checked_sub(length);
    start.map(|start| &body[start..]).ok_or_else(|| unsound("its footer is longer than the file"))
}

/// How many rows the file says it has, and where its columns' pages are.
fn metadata(footer: &[u8]) -> Result<(u64, Vec<Chunk>), Unsound> {
    let (mut rows, mut chunks) = (0, Vec::new());
    let mut walker = Walker { bytes: footer };
    walker.fields(0, |walker, id, kind| match id {
        2 => {
            let mut first = true;
            walker.list(kind, |walker, kind| {
                let root = std::mem::take(&mut first);
                let nested = walker.children(kind)? && !root;
                if nested { Err(unsound("it has nested columns")) } else { Ok(()) }
            })
        }
        3 => {
            rows = u64::try_from(walker.integer(kind)?)
                .map_err(|_| unsound("its number of rows is negative"))?;
            Ok(())
        }
        4 => walker.list(kind, |walker, kind| walker.row_group(kind, &mut chunks)),
        _ => walker.skip(kind, 1),
    })?;
    Ok((rows, chunks))
}

/// Walks the headers of one column's pages; what all pages so far hold.
fn pages(file: &[u8], chunk: &Chunk, most: u64, mut total: u64) -> Result<u64, Unsound> {
    let outside = || unsound("a column lies outside of the file");
    let start = chunk.dictionary.filter(|offset| *offset > 0).unwrap_or(chunk.data);
    let start = usize::try_from(start).map_err(|_| outside())?;
    let length = usize::try_from(chunk.compressed).map_err(|_| outside())?;
    let end = start.checked_add(length).ok_or_else(outside)?;
    let mut walker = Walker { bytes: file.get(start..end).ok_or_else(outside)? };
    while !walker.bytes.is_empty() {
        let (mut holds, mut takes) = (0, 0);
        walker.fields(0, |walker, id, kind| match id {
            2 => {
                holds = holds.max(walker.size(kind)?);
                Ok(())
            }
            3 => {
                takes = walker.size(kind)?;
                Ok(())
            }
            5 | 8 => walker.values(kind, most),
            7 => walker.values(kind, holds),
            _ => walker.skip(kind, 1),
        })?;
        total += holds;
        if total > PAGES {
            return Err(unsound(format!("its pages hold more than {} MiB", PAGES >> 20)));
        }
        let takes = usize::try_from(takes).unwrap_or(usize::MAX);
        walker.bytes = walker.bytes.get(takes..).ok_or_else(|| unsound("a page is cut off"))?;
    }
    Ok(total)
}

/// The rest of the bytes, read in the compact protocol.
struct Walker<'b> {
    bytes: &'b [u8],
}

const I32: u8 = 5;
const I64: u8 = 6;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Walker<'_> {
    fn byte(&mut self) -> Result<u8, Unsound> {
        let (first, rest) = self.bytes.split_first().ok_or_else(|| unsound("its metadata is cut off"))?;
        self.bytes = rest;
        Ok(*first)
    }

    fn over(&mut self, count: u64) -> Result<(), Unsound> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.bytes = self.bytes.get(count..).ok_or_else(|| unsound("its metadata is cut off"))?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Unsound> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(unsound("its metadata has a number of more than 64 bits"))
    }

    fn integer(&mut self, kind: u8) -> Result<i64, Unsound> {
        if !matches!(kind, I32 | I64) {
            return Err(unsound("its metadata has another type where a number belongs"));
        }
        let coded = self.varint()?;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    fn size(&mut self, kind: u8) -> Result<u64, Unsound> {
        u64::try_from(self.integer(kind)?).map_err(|_| unsound("a page has a negative size"))
    }

    /// The fields of a struct; `field` has to read each to its end.
    fn fields(
        &mut self,
        depth: u8,
        mut field: impl FnMut(&mut Self, i64, u8) -> Result<(), Unsound>,
    ) -> Result<(), Unsound> {
        if depth > DEPTH {
            return Err(unsound("its metadata is nested too deep"));
        }
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.integer(I32)?,
                delta => id.saturating_add(i64::from(delta)),
            };
            field(self, id, head & 0x0f)?;
        }
    }

    /// How many elements a list has, and of what kind. Each takes a byte at least.
    fn length(&mut self) -> Result<(u64, u8), Unsound> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if length > self.bytes.len() as u64 {
            return Err(unsound("its metadata has a list that is longer than the file"));
        }
        Ok((length, head & 0x0f))
    }

    fn list(
        &mut self,
        kind: u8,
        mut element: impl FnMut(&mut Self, u8) -> Result<(), Unsound>,
    ) -> Result<(), Unsound> {
        if kind != LIST {
            return Err(unsound("its metadata has another type where a list belongs"));
        }
        let (length, kind) = self.length()?;
        (0..length).try_for_each(|_| element(self, kind))
    }

    /// The fields of a struct that must be one.
    fn inside(
        &mut self,
        kind: u8,
        field: impl FnMut(&mut Self, i64, u8) -> Result<(), Unsound>,
    ) -> Result<(), Unsound> {
        if kind == STRUCT {
            return self.fields(1, field);
        }
        Err(unsound("its metadata has another type where a struct belongs"))
    }

    /// Whether a column has columns of its own.
    fn children(&mut self, kind: u8) -> Result<bool, Unsound> {
        let mut children = 0;
        self.inside(kind, |walker, id, kind| match id {
            5 => {
                children = walker.integer(kind)?;
                Ok(())
            }
            _ => walker.skip(kind, 2),
        })?;
        Ok(children != 0)
    }

    fn row_group(&mut self, kind: u8, chunks: &mut Vec<Chunk>) -> Result<(), Unsound> {
        self.inside(kind, |walker, id, kind| match id {
            1 => walker.list(kind, |walker, kind| {
                let mut chunk = Chunk::default();
                walker.inside(kind, |walker, id, kind| match id {
                    3 => walker.column(kind, &mut chunk),
                    _ => walker.skip(kind, 2),
                })?;
                chunks.push(chunk);
                Ok(())
            }),
            _ => walker.skip(kind, 2),
        })
    }

    fn column(&mut self, kind: u8, chunk: &mut Chunk) -> Result<(), Unsound> {
        self.inside(kind, |walker, id, kind| {
            match id {
                4 => chunk.codec = walker.integer(kind)?,
                7 => chunk.compressed = walker.integer(kind)?,
                9 => chunk.data = walker.integer(kind)?,
                11 => chunk.dictionary = Some(walker.integer(kind)?),
                _ => walker.skip(kind, 2)?,
            }
            Ok(())
        })
    }

    /// A page's own header, whose first field is how many values it has.
    fn values(&mut self, kind: u8, most: u64) -> Result<(), Unsound> {
        self.inside(kind, |walker, id, kind| match id {
            1 if walker.size(kind)? > most => Err(unsound("a page has more values than the file can have")),
            1 => Ok(()),
            _ => walker.skip(kind, 2),
        })
    }

    /// Goes over a field's value.
    fn skip(&mut self, kind: u8, depth: u8) -> Result<(), Unsound> {
        match kind {
            1 | 2 => Ok(()),
            3 => self.over(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.over(8),
            8 => {
                let length = self.varint()?;
                self.over(length)
            }
            9 | 10 => {
                let (length, kind) = self.length()?;
                (0..length).try_for_each(|_| self.skip_element(kind, depth))
            }
            11 => {
                let length = self.varint()?;
                if length > self.bytes.len() as u64 {
                    return Err(unsound("its metadata has a map that is longer than the file"));
                }
                let kinds = if length == 0 { 0 } else { self.byte()? };
                (0..length).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)
                })
            }
            STRUCT => self.fields(depth, |walker, _, kind| walker.skip(kind, depth + 1)),
            _ => Err(unsound("its metadata has a type that there is not")),
        }
    }

    /// In a list, a boolean takes a byte.
    fn skip_element(&mut self, kind: u8, depth: u8) -> Result<(), Unsound> {
        match kind {
            1 | 2 => self.over(1),
            LIST | 10 | 11 if depth > DEPTH => Err(unsound("its metadata is nested too deep")),
            kind => self.skip(kind, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(footer: &[u8]) -> Vec<u8> {
        let length = u32::try_from(footer.len()).expect("is short").to_le_bytes();
        [b"PAR1", footer, &length, b"PAR1"].concat()
    }

    fn told(file: &[u8]) -> String {
        check(file, 10).expect_err("must be refused").to_string()
    }

    #[test]
    fn claims_are_held_against_the_bytes() {
        assert_eq!(check(&file(&[0]), 10), Ok(()));
        assert!(told(b"PAR1").contains("begin and end"));
        assert!(told(b"PAR1\xff\xff\xff\x7fPAR1").contains("over the limit"));
        assert!(told(b"PAR1\x20\x00\x00\x00PAR1").contains("longer than the file"));
        // Field 2, a list of 2^31 - 1 structs.
        assert!(told(&file(b"\x29\xfc\xff\xff\xff\xff\x07\x00")).contains("list that is longer"));
        // Field 3: 11 rows.
        assert!(told(&file(b"\x36\x16\x00")).contains("11 rows"));
        // Two columns, of which the second has a child: field 5 is 1.
        assert!(told(&file(b"\x29\x2c\x00\x55\x02\x00\x00")).contains("nested columns"));
        assert!(told(&file(&[0x1c; 200])).contains("nested too deep"));
        assert!(told(&file(&[0x19; 200])).contains("nested too deep"));
        assert!(told(&file(b"\x1d\x00")).contains("a type that there is not"));
    }

    #[test]
    fn pages_may_not_hold_more_than_the_limit() {
        // A page that says it holds 1 GiB and takes nothing: fields 2 and 3.
        let page = b"\x25\x80\x80\x80\x80\x08\x15\x00\x00";
        let chunk = Chunk { codec: 6, compressed: 9, data: 0, dictionary: None };
        assert!(pages(page, &chunk, 10, 0).expect_err("refused").to_string().contains("256 MiB"));
        let cut = Chunk { compressed: 90, ..chunk };
        assert!(pages(page, &cut, 10, 0).expect_err("refused").to_string().contains("outside"));
        // A data page of 2^30 values: field 5, whose field 1 is the number.
        let values = b"\x5c\x15\x80\x80\x80\x80\x08\x00\x00";
        let chunk = Chunk { codec: 0, compressed: 9, data: 0, dictionary: None };
        assert!(pages(values, &chunk, 10, 0).expect_err("refused").to_string().contains("more values"));
    }
}
