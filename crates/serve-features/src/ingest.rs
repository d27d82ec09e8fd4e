//! Rows from CSV files. A file is read whole and checked before anything is stored: a bad line refuses it all, named with
//! its line, column and value. Lines that begin with `#` are comments; columns may stand in any order.

pub use error::CsvError;
pub use raw::read_raw;
pub use ready::read_features;

mod error;
mod raw;
mod ready;
mod sheet;
