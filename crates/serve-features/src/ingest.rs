//! Rows from CSV and Parquet files. A bad row is named with its line, column and value. Lines of a CSV that begin with `#`
//! are comments; columns may stand in any order.

pub use cells::CellReader;
pub use error::{FileError, Place};
pub use reader::{RowReader, read_features, read_raw};
pub use records::{Cell, is_parquet};
pub use rows::{ColumnKind, LabelRows, ReadyRows, Rows};

mod cells;
mod error;
#[cfg(feature = "parquet")]
mod parquet;
mod reader;
mod records;
mod rows;
mod sheet;
