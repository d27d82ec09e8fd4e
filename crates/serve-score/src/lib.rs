//! Offline scoring: a registered model over files of any length, with the server's answers bit for bit, since both run the
//! same [`Pipeline`](serve_core::Pipeline) over the same bundle.
//!
//! | module | concept |
//! |---|---|
//! | [`model`] | a reference resolved once to a version and its digest |
//! | [`location`], [`format`](mod@format) | where bytes lie, and what they are |
//! | [`source`] | files as pieces of rows, in order and numbered |
//! | [`part`] | finished parts of a job, which outlive it |
//! | [`plan`] | the model's inputs matched to columns, and the output's columns |
//! | [`convert`] | columns of Arrow to the engine's columns |
//! | [`scorer`] | a batch of rows to a batch of answers and rejects |
//! | [`reject`] | rows that got no answer |
//! | [`tally`] | what is counted of rows, for reports |
//! | [`log`], [`replay`](mod@replay) | logged predictions; them scored once more by another version |
//! | [`report`], [`digest`](mod@digest) | what a job came to, as JSON and as a page; of which files |
//! | [`sink`] | output files that appear when they are whole |
//! | [`spread`] | shares of a job that other processes score |
//! | [`job`] | all of it on threads, with bounded memory |
//! | [`sql`] | models as functions of DataFusion's queries |

pub mod convert;
pub mod digest;
pub mod error;
pub mod format;
pub mod job;
pub mod location;
pub mod log;
pub mod model;
pub mod part;
pub mod plan;
pub mod reject;
pub mod replay;
pub mod report;
pub mod scorer;
pub mod sink;
pub mod source;
pub mod spread;
pub mod sql;
pub mod tally;

pub use error::{Fault, ScoreError};
pub use format::Format;
pub use job::{Job, Progress, RunOptions, Summary};
pub use location::InputFile;
pub use model::PinnedModel;
pub use plan::{Keep, Plan, PlanOptions};
pub use reject::{MaxRejects, Reject};
pub use report::{Report, ReportFile};
pub use scorer::{Scored, Scorer};
pub use sink::{Output, Sink};
pub use source::Source;
pub use sql::{Models, register};
pub use tally::{Gauge, Tally};
