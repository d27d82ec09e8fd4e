//! How good probabilities are. Each measure stands in a file of its own with its formula and source, and agrees with
//! scikit-learn to rounding.

mod accuracy;
mod brier;
mod log_loss;
mod roc_auc;

pub use accuracy::accuracy;
pub use brier::brier_score;
pub use log_loss::log_loss;
pub use roc_auc::roc_auc;
