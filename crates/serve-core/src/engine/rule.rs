//! Which kernel runs a model, and from how many rows on another does. What the limits were measured at stands in
//! `docs/engine.md`.

use super::codes::Codes;
use super::lower::Lowered;
use super::path::{Kernel, Simd};
use super::{block_walk, bottom_up, pointer_jumping};

/// Rows from which bottom-up, which works on 64 rows where there are fewer too, is faster than a walk: with AVX-512, and
/// with AVX2 than the walk, which is quick on shallow trees.
const MANY: usize = 20;
const MANY_AVX2: usize = 10;
const MANY_AVX2_SHALLOW: usize = 20;
/// Splits on the longest way through a tree that is shallow.
const SHALLOW: usize = 6;

/// The same beside the walk by blocks, for trees of up to 128 leaves and for larger ones.
const MANY_FOR_BLOCKS: usize = 48;
const MANY_FOR_LARGE_BLOCKS: usize = 128;
const LARGE: usize = 128;

/// Nodes of the walk that take as much memory as a block.
const NODES_OF_BLOCK: usize = 12;

/// The rule: the kernel for few rows, how many are many, and the kernel for those.
pub(super) fn pick(lowered: &Lowered, codes: Option<&Codes>, simd: Simd) -> (Kernel, usize, Kernel) {
    let runs = |kernel| can_run(kernel, lowered, codes).is_ok();
    let walk = (Kernel::Walk, 0, Kernel::Walk);
    // Trees that are far from full take more memory in blocks than in nodes of the walk.
    let in_blocks =
        runs(Kernel::BlockWalk) && block_walk::count(lowered) * NODES_OF_BLOCK <= lowered.nodes.len();
    match simd {
        Simd::Portable => walk,
        Simd::Avx2 if runs(Kernel::BottomUp) => {
            let shallow = lowered.most_depth() <= SHALLOW;
            (Kernel::Walk, if shallow { MANY_AVX2_SHALLOW } else { MANY_AVX2 }, Kernel::BottomUp)
        }
        Simd::Avx2 => walk,
        Simd::Avx512 => {
            let jumps = runs(Kernel::PointerJumping);
            let walk = if in_blocks { Kernel::BlockWalk } else { Kernel::Walk };
            let few = if jumps { Kernel::PointerJumping } else { walk };
            let many = if runs(Kernel::BottomUp) { Kernel::BottomUp } else { few };
            let limit = match few {
                Kernel::PointerJumping => many_for_jumps(lowered),
                Kernel::BlockWalk if lowered.most_leaves() > LARGE => MANY_FOR_LARGE_BLOCKS,
                Kernel::BlockWalk => MANY_FOR_BLOCKS,
                _ => MANY,
            };
            (few, limit, many)
        }
    }
}

/// Rows from which bottom-up, which takes 64 rows' time for fewer rows too, is faster than pointer jumping. Both take as
/// long as there are splits, beside what they take for any model; the figures are nanoseconds.
fn many_for_jumps(lowered: &Lowered) -> usize {
    let splits = (lowered.nodes.len() / 2) as f64;
    let (bottom_up, row) = (1_100.0 + 2.4 * splits, 112.0 + splits / 38.0);
    ((bottom_up / row) as usize).clamp(8, 64)
}

/// Whether a kernel can run a model, and why not.
pub(super) fn can_run(kernel: Kernel, lowered: &Lowered, codes: Option<&Codes>) -> Result<(), String> {
    let most = match kernel {
        Kernel::Walk => return Ok(()),
        Kernel::BlockWalk => return block_walk::can_run(lowered),
        Kernel::BottomUp => bottom_up::MOST_LEAVES,
        Kernel::PointerJumping => pointer_jumping::MOST_LEAVES,
    };
    if lowered.most_leaves() > most {
        return Err(format!("a tree has {} leaves, expected at most {most}", lowered.most_leaves()));
    }
    let columns =
        if kernel == Kernel::BottomUp { usize::from(u16::MAX) } else { pointer_jumping::MOST_COLUMNS };
    match codes {
        Some(codes) if codes.width <= columns => Ok(()),
        Some(codes) => Err(format!("it has {} columns, expected at most {columns}", codes.width)),
        None => Err(format!("it has more than {} columns", u16::MAX)),
    }
}
