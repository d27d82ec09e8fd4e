//! Whose fault an error is, so that each adapter can turn it into its own kind of refusal in one place.

/// Who has to change something before a failed training can succeed. None of them is helped by trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The options: a column that is not there, a setting out of range.
    Options,
    /// The data: a cell that is no number, too few rows.
    Data,
    /// This crate or smartcore.
    Ours,
}
