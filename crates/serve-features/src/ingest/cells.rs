//! A table in memory as cells, for whoever wants neither entities nor moments: a data frame that somebody sends.

use super::FileError;
use super::records::{Cell, Records};

/// A table's records, one after the other. It begins before the first.
pub struct CellReader<'b> {
    records: Records<'b>,
}

impl<'b> CellReader<'b> {
    /// A CSV with a header. No line is a comment, a column may have no name, and names may stand twice.
    ///
    /// # Errors
    /// [`FileError`]: no header, or no UTF-8.
    ///
    /// ```
    /// use serve_features::{Cell, CellReader};
    /// let mut table = CellReader::csv(b"a,b\n1,#x\n")?;
    /// assert!(table.columns() == ["a", "b"] && table.advance()?);
    /// assert_eq!(table.cell(1), Cell::Raw("#x"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn csv(bytes: &'b [u8]) -> Result<Self, FileError> {
        Records::plain_csv(Box::new(bytes)).map(|records| Self { records })
    }

    /// A Parquet file of one's own, whose claims are believed.
    ///
    /// # Errors
    /// [`FileError`]: no such file, or columns that are none of numbers, booleans, texts and moments.
    #[cfg(feature = "parquet")]
    pub fn parquet_file(file: std::fs::File) -> Result<CellReader<'static>, FileError> {
        Records::parquet(file, "the columns' names").map(|records| CellReader { records })
    }

    /// A Parquet file of at most `most` rows, whose lengths and sizes are checked before anything is decoded.
    ///
    /// # Errors
    /// [`FileError`]: no such file, or one that claims more than it has.
    #[cfg(feature = "parquet")]
    pub fn parquet(bytes: bytes::Bytes, most: u64) -> Result<CellReader<'static>, FileError> {
        Records::parquet_bytes(bytes, most).map(|records| CellReader { records })
    }

    /// The columns' names, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        self.records.names()
    }

    /// Goes to the next record; false at the end.
    ///
    /// # Errors
    /// [`FileError`] where the table is broken.
    pub fn advance(&mut self) -> Result<bool, FileError> {
        self.records.advance()
    }

    /// A cell of the record.
    ///
    /// # Panics
    /// Before the first record, and when there is no such column.
    #[must_use]
    pub fn cell(&self, column: usize) -> Cell<'_> {
        self.records.cell(column)
    }

    /// An error about a cell that is not what it should be.
    #[must_use]
    pub fn wrong(&self, column: usize, expected: &'static str) -> FileError {
        self.records.wrong(column, expected)
    }
}

impl std::fmt::Debug for CellReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellReader").field("columns", &self.columns()).finish_non_exhaustive()
    }
}
