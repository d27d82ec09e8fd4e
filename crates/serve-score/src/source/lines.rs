//! Text as blocks of whole records. Finding where records end is all that is done in order; reading them is for the thread that
//! takes the block.

use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;

use super::Position;

/// Bytes of a block: a few thousand rows of a wide table.
const BLOCK: usize = 1 << 21;

/// A record may be no longer.
const LONGEST: usize = 1 << 26;

/// Finds the end of the record that begins at 0, its newline included; none where more bytes are needed to know it.
pub(super) type RecordEnd = fn(&[u8]) -> Option<usize>;

/// Whole records.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    /// Where each record lies, without the end of its line. Empty lines are none.
    pub(super) records: Vec<Range<usize>>,
}

/// A text that is cut into blocks.
pub(super) struct Blocks {
    reader: Box<dyn Read + Send>,
    record_end: RecordEnd,
    /// What was read behind the last whole record.
    rest: Vec<u8>,
    ended: bool,
}

impl Blocks {
    /// A text, of which `head` was read before.
    pub(super) fn new(head: Vec<u8>, reader: Box<dyn Read + Send>, record_end: RecordEnd) -> Self {
        Self { reader, record_end, rest: head, ended: false }
    }

    /// What was not handed out, and what it would be read from.
    pub(super) fn into_rest(self) -> (Vec<u8>, Box<dyn Read + Send>) {
        (self.rest, self.reader)
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// When it cannot be read, or a record has no end in sight.
    pub(super) fn next(&mut self) -> io::Result<Option<Block>> {
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            self.fill(&mut bytes)?;
            let (records, end) = self.records(&bytes);
            if end == 0 && !self.ended {
                if bytes.len() > LONGEST {
                    return Err(io::Error::other(format!("a record is longer than {} MiB", LONGEST >> 20)));
                }
                continue;
            }
            self.rest = bytes.split_off(end);
            if !records.is_empty() {
                return Ok(Some(Block { bytes: bytes.into(), records }));
            }
            if self.ended && self.rest.is_empty() {
                return Ok(None);
            }
            bytes = std::mem::take(&mut self.rest);
        }
    }

    /// The next block with a record that is wanted, with the number of its first and how many are not.
    pub(super) fn next_wanted(
        &mut self,
        position: &mut Position,
    ) -> io::Result<Option<(Block, (u64, usize))>> {
        while let Some(block) = self.next()? {
            if let Some(rows) = position.pass(block.records.len()) {
                return Ok(Some((block, rows)));
            }
        }
        Ok(None)
    }

    /// Reads a block's worth more.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let goal = if bytes.len() < BLOCK { BLOCK } else { 2 * bytes.len() };
        bytes.reserve(goal - bytes.len());
        while !self.ended && bytes.len() < goal {
            let missing = (goal - bytes.len()) as u64;
            let read = (&mut self.reader).take(missing).read_to_end(bytes)?;
            self.ended = (read as u64) < missing;
        }
        Ok(())
    }

    /// The whole records, and where the last of them ends. At the end of the text the last record may lack its newline.
    fn records(&self, bytes: &[u8]) -> (Vec<Range<usize>>, usize) {
        let (mut records, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            let end = match (self.record_end)(&bytes[start..]) {
                Some(length) => start + length,
                // What does not end as a record ends as a line, so that what follows is not lost with it.
                None if self.ended => line_end(&bytes[start..]).map_or(bytes.len(), |length| start + length),
                None => break,
            };
            let record = trimmed(bytes, start..end);
            if !record.is_empty() {
                records.push(record);
            }
            start = end;
        }
        (records, start)
    }
}

/// Without the end of the line.
fn trimmed(bytes: &[u8], record: Range<usize>) -> Range<usize> {
    let mut end = record.end;
    while end > record.start && matches!(bytes[end - 1], b'\n' | b'\r') {
        end -= 1;
    }
    record.start..end
}

/// The end of a line.
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &'static str) -> Vec<String> {
        let mut blocks = Blocks::new(Vec::new(), Box::new(text.as_bytes()), line_end);
        let mut all = Vec::new();
        while let Some(block) = blocks.next().expect("reads") {
            let text =
                |record: &Range<usize>| String::from_utf8_lossy(&block.bytes[record.clone()]).into_owned();
            all.extend(block.records.iter().map(text));
        }
        all
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        assert_eq!(blocks("a\r\n\n\nb\nc"), ["a", "b", "c"]);
        assert!(blocks("").is_empty() && blocks("\n\r\n").is_empty());
    }

    #[test]
    fn a_block_ends_with_a_record() {
        let lines: Vec<String> = (0..400_000).map(|n| format!("line {n}\n")).collect();
        let text = lines.concat();
        let expected: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(blocks(text.leak()), expected);
    }
}
