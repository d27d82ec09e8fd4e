//! The prediction service: resolves the model, gathers features, checks them, predicts. Adapters (HTTP today) translate
//! to and from it; programs compose it. Everything that has to hold for every protocol stands here, once.
//!
//! | module | concept |
//! |---|---|
//! | [`service`] | the service and what it is made of |
//! | [`auth`] | who may ask: keys, tokens, rates, and the audit trail |
//! | [`rate`] | how often somebody may ask |
//! | [`caller`] | who asks, and what they may |
//! | [`changes`] | who waits for new features |
//! | [`context`] | what goes with a request whatever it asks for |
//! | [`admission`] | who may go on, who waits, who is refused |
//! | [`request`] | what is asked, in no protocol's words |
//! | [`predict`] | one prediction, many, or one per feature set |
//! | [`prediction_cache`] | answers to rows that were asked before |
//! | [`gather`] | features from the request, stored or computed, with their age |
//! | [`features`] | feature sets, raw rows, and why there are no features |
//! | [`statistics`] | what each version was asked, and how long that took |
//! | [`striped`] | counts that many threads add to |
//! | [`metrics`] | what there is to tell a monitoring system |
//! | [`telemetry`] | spans of requests, for a collector |
//! | [`text`] | times and numbers as answers and the log have them |
//! | [`trace`] | where a request stands in a trace |
//! | [`admin`] | reload, promote, rollback |
//! | [`error`] | what can go wrong, whose fault it is, and whether a retry helps |
//! | [`exit`] | how programs end |
//! | [`poll`] | following the registry's folder |
//! | [`config`] | defaults, file, environment, flags |
//! | [`reload`] | noticing that the configuration changed, and what came of it |
//! | [`log`] | the log on standard error |
//! | [`payloads`] | bodies of some requests and answers, for those who look for a mistake |

pub mod admin;
pub mod admission;
pub mod auth;
pub mod caller;
pub mod changes;
pub mod config;
pub mod context;
pub mod error;
pub mod exit;
mod explained;
pub mod features;
pub mod gather;
mod guarded;
mod infer;
pub mod log;
pub mod metrics;
mod parts;
pub mod payloads;
pub mod poll;
pub mod predict;
pub mod prediction_cache;
pub mod rate;
pub mod reload;
pub mod request;
pub mod service;
pub mod statistics;
pub mod striped;
pub mod telemetry;
pub mod text;
pub mod trace;
mod unusable;
pub mod wall;
mod watch;
mod workers;
mod writing;

pub use admin::Author;
pub use admission::{Admission, LimitsConfig, Load, ModelLoad, ShareConfig};
pub use auth::{AuthConfig, AuthMode, Locks};
pub use caller::{Caller, Permission, Proof};
pub use config::{ConfigError, Layers, Mistake};
pub use context::{Context, Origin, Priority, Stage};
pub use error::{Code, Fault, ServiceError};
pub use exit::{Exit, ExitReason};
pub use gather::{Fetched, Gathered};
pub use predict::{Answered, Compared};
pub use prediction_cache::{CacheConfig, PredictionCache, PredictionCacheStats};
pub use rate::Rate;
pub use request::{Features, ModelQuery, PredictRequest};
pub use service::{Service, ServiceParts};
pub use statistics::Statistics;
