//! Estimators compiled for speed.

mod bit_walk;
mod bottom_up;
mod codes;
mod estimator;
mod kernels;
mod leaves;
mod lines;
mod lower;
mod path;
mod pool;
mod quick_scorer;
mod rows;
mod trees;
mod walk;

pub use estimator::InvalidEstimator;
pub(crate) use estimator::{Compiled, Workspace};
pub use path::{InvalidPath, Kernel, Path, Simd};
pub use pool::{Pool, PoolError};
pub use rows::Rows;
pub use trees::{InvalidRows, TreeEngine};
