//! Models compiled for speed. [`TreeEngine`] is the bare engine: raw scores of a tree ensemble; pipelines run on it.
//!
//! Every ensemble is lowered to one question per split, whether the *rank* of a value among a column's thresholds is at
//! most a number, and four [kernels](Kernel) answer it, each in portable code, AVX2 and AVX-512. All give the same bits:
//! comparisons are exact, and sums run per row, in the order of the trees, in the model's precision. Flush-to-zero modes
//! are never set. `docs/engine.md` tells how they work and what was measured.

mod block_walk;
mod bottom_up;
mod codes;
mod coding;
mod columns;
mod cost;
mod estimator;
mod kernels;
mod leaves;
mod lines;
mod lower;
mod path;
mod plain_walk;
mod pointer_jumping;
mod pool;
mod rows;
mod rule;
mod trees;
mod walk;

pub use estimator::InvalidEstimator;
pub(crate) use estimator::{Compiled, Workspace};
pub use path::{InvalidPath, Kernel, Path, Simd};
pub use pool::{Pool, PoolError};
pub use rows::Rows;
pub use trees::{InvalidRows, TreeEngine};
