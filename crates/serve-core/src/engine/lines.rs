//! Lines of 64 bytes: what a register of AVX-512 holds.

use super::bottom_up::TEMPORARY;

/// Groups of rows that an operand has a line for.
pub(super) const GROUPS: usize = 4;

/// Operands: constants and temporaries; a power of two, so that a remainder is an index.
pub(super) const OPERANDS: usize = 512;

/// 64 bytes that do not straddle two lines of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// `count` numbers of `space` that start with a line of the cache: a register that straddles two takes twice the time.
pub(super) fn on_lines<T: Copy + Default>(space: &mut Vec<T>, count: usize) -> &mut [T] {
    let slack = size_of::<Line>() / size_of::<T>();
    space.resize(count + slack, T::default());
    let skip = space.as_ptr().align_offset(align_of::<Line>()).min(slack);
    &mut space[skip..skip + count]
}

/// The operands of bottom-up, a line per group of rows: leaf numbers, filled with themselves, then temporaries.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Box<[[Line; GROUPS]; OPERANDS]>);

#[allow(clippy::large_stack_arrays, reason = "made once a thread, and moved to the heap at once")]
impl Default for Lines {
    fn default() -> Self {
        let mut lines = Box::new([[Line([0; 64]); GROUPS]; OPERANDS]);
        for (number, lines) in lines.iter_mut().enumerate().take(TEMPORARY.into()) {
            *lines = [Line([number as u8; 64]); GROUPS];
        }
        Self(lines)
    }
}

impl Lines {
    /// The lines of an operand.
    #[inline]
    pub(super) fn of(&self, operand: u16) -> &[Line; GROUPS] {
        &self.0[usize::from(operand) % OPERANDS]
    }
}
