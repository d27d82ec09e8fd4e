//! Which kernel runs, in which instructions: the rule for it, and the switch that forces it.

use std::fmt;

use thiserror::Error;

/// A way to find the leaves of rows. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// From the root to a leaf, several rows or trees at once. Any tree.
    Walk,
    /// From the root to a leaf, four levels at once; inputs that count as `f32`, and up to 128 columns.
    BlockWalk,
    /// All nodes of a tree for 64 rows at once, from the leaves up. Trees of up to 256 leaves.
    BottomUp,
    /// All ways through a tree at once, by looking up a table of steps in itself; trees of up to 64 leaves.
    PointerJumping,
}

impl Kernel {
    /// All kernels.
    pub const ALL: [Self; 4] = [Self::Walk, Self::BlockWalk, Self::BottomUp, Self::PointerJumping];

    /// Whether it compares codes instead of numbers.
    pub(super) fn asks_codes(self) -> bool {
        !matches!(self, Self::Walk | Self::BlockWalk)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Walk => "walk",
            Self::BlockWalk => "walk by blocks",
            Self::BottomUp => "bottom-up",
            Self::PointerJumping => "pointer jumping",
        })
    }
}

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Simd {
    /// What every CPU of the target has.
    Portable,
    /// AVX2, on x86-64.
    Avx2,
    /// AVX-512 F, BW, CD, DQ, VL and VBMI, on x86-64.
    Avx512,
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        })
    }
}

impl Simd {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this CPU has them. The answer does not change while a program runs.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Portable => true,
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("popcnt")
                    && is_x86_feature_detected!("lzcnt")
            }
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    /// The widest that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|simd| simd.is_available()).unwrap_or(Self::Portable)
    }
}

/// A forced choice. What is `None` is chosen as ever: the kernel by the rule of [`TreeEngine`](super::TreeEngine), the
/// instructions by the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path {
    /// The kernel for every batch.
    pub kernel: Option<Kernel>,
    /// The instructions.
    pub simd: Option<Simd>,
}

impl Path {
    /// This kernel in these instructions, whatever the batch.
    #[must_use]
    pub fn of(kernel: Kernel, simd: Simd) -> Self {
        Self { kernel: Some(kernel), simd: Some(simd) }
    }
}

/// Why a path cannot be forced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// The CPU lacks the instructions.
    #[error("this CPU does not have {simd}")]
    Cpu {
        /// What was asked for.
        simd: Simd,
    },
    /// The model is not of a shape that the kernel can run.
    #[error("the kernel {kernel} cannot run this model: {problem}")]
    Shape {
        /// What was asked for.
        kernel: Kernel,
        /// What is in the way.
        problem: String,
    },
}
