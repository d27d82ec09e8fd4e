//! Rows from CSV files. A file is read whole and checked before anything is stored: a bad line refuses it all, named with
//! its line, column and value. Lines that begin with `#` are comments; columns may stand in any order.

pub use error::CsvError;
pub use prices::read_prices;
pub use ready::read_features;
pub use sentiment::read_sentiment;

mod error;
mod prices;
mod ready;
mod sentiment;
mod sheet;
