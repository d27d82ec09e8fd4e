//! The library through its public parts: files in, files out, answers held against `Pipeline::predict` bit for bit.

mod conversions;
mod fixture;
mod formats;
mod outputs;
mod plans;
mod queries;
mod rejects;
mod replay;
mod reports;
mod resume;
mod spread;
mod tallies;
