//! A CSV file as lines of named cells. The `csv` crate does the syntax; this adds line numbers that count comments, and one
//! width for all lines.

use std::io::{Chain, Read};

use csv::{Reader, ReaderBuilder, StringRecord, Terminator};

use super::FileError;

/// A newline after the input's end, so that the last line counts like the others.
type Ended<R> = Chain<R, &'static [u8]>;

/// A CSV file behind its header.
pub(super) struct Sheet<R> {
    reader: Reader<Ended<R>>,
    expected: &'static str,
    header: Line,
}

/// One line's cells.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) number: u64,
    cells: StringRecord,
}

impl<R: Read> Sheet<R> {
    /// Reads the header. `expected` names the columns in errors.
    pub(super) fn open(input: R, expected: &'static str) -> Result<Self, FileError> {
        let sheet = Self::plain(input, expected, Some(b'#'))?;
        sheet.check_header()?;
        Ok(sheet)
    }

    /// As [`open`](Self::open), whatever the header's names are.
    pub(super) fn plain(input: R, expected: &'static str, comment: Option<u8>) -> Result<Self, FileError> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(comment)
            // With the default, a carriage return ends the line and its newline counts for the next.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(input.chain(&b"\n"[..]));
        let mut sheet = Self { reader, expected, header: Line::default() };
        sheet.header = sheet.line()?.ok_or(FileError::Empty { expected })?;
        Ok(sheet)
    }

    /// The columns' names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.header.cells.iter().map(str::trim)
    }

    /// The header's line.
    pub(super) fn header_line(&self) -> u64 {
        self.header.number
    }

    /// The next line, with as many cells as the header.
    pub(super) fn next(&mut self) -> Result<Option<Line>, FileError> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let (expected, got) = (self.header.cells.len(), line.cells.len());
        if expected == got {
            Ok(Some(line))
        } else {
            Err(FileError::Width { line: line.number, expected, got })
        }
    }

    fn check_header(&self) -> Result<(), FileError> {
        let names: Vec<&str> = self.names().collect();
        let refuse = |problem, column: &str| FileError::HeaderHas {
            line: Some(self.header.number),
            problem,
            column: column.to_owned(),
            expected: self.expected,
        };
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(refuse("an unnamed", name));
            }
            if names[..i].contains(name) {
                return Err(refuse("a second", name));
            }
        }
        Ok(())
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<Line>, FileError> {
        let mut cells = StringRecord::new();
        loop {
            let before = self.reader.position().line();
            let read = self.reader.read_record(&mut cells);
            match read {
                Ok(false) => return Ok(None),
                Ok(true) => {}
                Err(error) => {
                    return Err(FileError::Read { line: before.saturating_sub(1), source: error.into() });
                }
            }
            let inside: usize = cells.iter().map(|cell| cell.matches('\n').count()).sum();
            without_return(&mut cells);
            if cells.len() > 1 || cells.get(0).is_some_and(|cell| !cell.is_empty()) {
                // The reader stands on the line after this one.
                let number = self.reader.position().line() - 1 - inside as u64;
                return Ok(Some(Line { number, cells }));
            }
        }
    }
}

impl Line {
    /// The cell as it is.
    pub(super) fn text(&self, column: usize) -> &str {
        &self.cells[column]
    }
}

/// Takes the carriage return of a CRLF off the last cell.
fn without_return(cells: &mut StringRecord) {
    if let Some(last) = cells.iter().next_back().and_then(|cell| cell.strip_suffix('\r')) {
        let mut trimmed = cells.clone();
        trimmed.truncate(cells.len() - 1);
        trimmed.push_field(last);
        *cells = trimmed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<(u64, String)>, String> {
        let mut sheet = Sheet::open(text.as_bytes(), "`a`, `b`").map_err(|error| error.to_string())?;
        let mut lines = Vec::new();
        while let Some(line) = sheet.next().map_err(|error| error.to_string())? {
            lines.push((line.number, format!("{}|{}", line.text(0).trim(), line.text(1))));
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_counted_with_comments_blank_lines_and_line_breaks_in_cells() {
        let expected = vec![(3, "1|x".to_owned()), (5, "2|y\nz".to_owned()), (8, "3|".to_owned())];
        for newline in ["\n", "\r\n"] {
            let text = "# about\na, b\n1 ,x\n# more\n2,\"y\nz\"\n\n3,".replace('\n', newline);
            let read = lines(&text).expect("is well formed");
            let read: Vec<_> =
                read.into_iter().map(|(line, cells)| (line, cells.replace('\r', ""))).collect();
            assert_eq!(read, expected, "{newline:?}");
        }
        assert_eq!(lines("\u{feff}a,b\n1,2"), Ok(vec![(2, "1|2".to_owned())]));
    }

    #[test]
    fn a_broken_shape_is_named() {
        for (text, message) in [
            ("", "the CSV is empty: expected a header with `a`, `b`"),
            ("# only a comment\n", "the CSV is empty: expected a header with `a`, `b`"),
            ("a,,b\n", "line 1: the header has an unnamed column ``: expected `a`, `b`"),
            ("a,b,a\n", "line 1: the header has a second column `a`: expected `a`, `b`"),
            ("a,b\n1,2\n#\n1,2,3\n", "line 4: expected 2 cells, as many as the header, got 3"),
            ("a,b\n\n1\n", "line 3: expected 2 cells, as many as the header, got 1"),
        ] {
            assert_eq!(lines(text), Err(message.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut sheet = Sheet::open(&b"a,b\n1,2\n3,\xff\n"[..], "`a`, `b`").expect("has a header");
        assert!(sheet.next().is_ok());
        assert!(matches!(sheet.next(), Err(FileError::Read { line: 2, .. })));
    }
}
