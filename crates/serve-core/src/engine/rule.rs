//! Which kernel runs a model, and from how many rows on another does. What the limits were measured at stands in
//! `docs/engine.md`.

use super::codes::Codes;
use super::lower::Lowered;
use super::path::{Kernel, Simd};
use super::{bottom_up, pointer_jumping};

/// Rows from which bottom-up, which works on 64 rows where there are fewer too, is faster than the walk: with AVX-512, and
/// with AVX2.
const MANY: usize = 20;
const MANY_AVX2: usize = 16;

/// The rule: the kernel for few rows, how many are many, and the kernel for those.
pub(super) fn pick(lowered: &Lowered, codes: Option<&Codes>, simd: Simd) -> (Kernel, usize, Kernel) {
    let runs = |kernel| can_run(kernel, lowered, codes).is_ok();
    let walk = (Kernel::Walk, 0, Kernel::Walk);
    match simd {
        Simd::Portable => walk,
        Simd::Avx2 if runs(Kernel::BottomUp) => (Kernel::Walk, MANY_AVX2, Kernel::BottomUp),
        Simd::Avx2 => walk,
        Simd::Avx512 => {
            let jumps = runs(Kernel::PointerJumping);
            let few = if jumps { Kernel::PointerJumping } else { Kernel::Walk };
            let many = if runs(Kernel::BottomUp) { Kernel::BottomUp } else { few };
            (few, if jumps { many_for_jumps(lowered) } else { MANY }, many)
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
