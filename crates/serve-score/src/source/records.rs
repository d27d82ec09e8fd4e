//! The records of a text as batches, whatever they are written in: one that cannot be read is a reject, and the others go on.

use std::sync::Arc;

use arrow_array::ArrayRef;

use super::lines::Block;
use super::{BATCH_ROWS, Batch, Binding, Piece, Texts};
use crate::error::ScoreError;
use crate::reject::Reject;

/// The columns of a batch while its records are read.
pub(super) trait Columns: Send {
    /// Appends a record; or says which column is at fault and why, and has appended nothing.
    fn read(&mut self, record: &[u8]) -> Result<(), (String, String)>;

    /// What was appended since the last time.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// A block of records.
pub(super) struct Records<C> {
    block: Block,
    binding: Arc<Binding>,
    columns: C,
    first_row: u64,
    at: usize,
}

impl<C: Columns> Records<C> {
    /// The records of a block, with the number of its first and how many are left out.
    pub(super) fn new(block: Block, binding: &Arc<Binding>, columns: C, rows: (u64, usize)) -> Self {
        let (first_row, at) = rows;
        Self { block, binding: Arc::clone(binding), columns, first_row, at }
    }
}

impl<C: Columns> Piece for Records<C> {
    fn next_batch(&mut self) -> Result<Option<Batch>, ScoreError> {
        if self.at >= self.block.records.len() {
            return Ok(None);
        }
        let start = self.at;
        self.at = self.block.records.len().min(start + BATCH_ROWS);
        let first_row = self.first_row + start as u64;
        let (mut broken, mut offsets, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, record) in (0..).zip(self.block.records[start..self.at].iter().cloned()) {
            let text = &self.block.bytes[record.clone()];
            match self.columns.read(text) {
                Ok(()) => {
                    offsets.push(offset);
                    places.push(record);
                }
                Err((column, reason)) => broken.push(Reject {
                    row: first_row + u64::from(offset),
                    column,
                    reason,
                    input: String::from_utf8_lossy(text).into_owned(),
                }),
            }
        }
        let (rows, own) = (offsets.len(), self.columns.finish());
        debug_assert!(own.iter().all(|column| column.len() == rows));
        Ok(Some(Batch {
            first_row,
            read: (self.at - start) as u64,
            rows,
            columns: self.binding.columns(&own, rows),
            offsets: (!broken.is_empty()).then_some(offsets),
            texts: Some(Texts { bytes: self.block.bytes.clone(), places }),
            broken,
        }))
    }
}
