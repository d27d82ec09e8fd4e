//! Lines of 64 bytes: what a register of AVX-512 holds.

use super::bottom_up::TEMPORARY;

/// Most groups of rows that bottom-up works on at once.
pub(super) const GROUPS: usize = 8;

/// Room for the constants, and for up to [`GROUPS`] lines of each temporary; a power of two, so that a remainder is an
/// index.
const ROOM: usize = 1024;

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

/// How many groups kernels work on where there are `groups`. Codes and operands of fewer groups stand closer together:
/// spread out, they would fight for the same places in the cache.
pub(super) const fn abreast(groups: usize) -> usize {
    match groups {
        0 | 1 => 1,
        2..=4 => groups,
        _ => GROUPS,
    }
}

/// The operands of bottom-up: the leaves' numbers, a line each that is filled with them, then the temporaries, for `G`
/// groups of rows `G` lines each.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Box<[Line; ROOM + GROUPS]>);

#[allow(clippy::large_stack_arrays, reason = "made once a thread, and moved to the heap at once")]
impl Default for Lines {
    fn default() -> Self {
        let mut lines = Box::new([Line([0; 64]); ROOM + GROUPS]);
        for (number, line) in lines.iter_mut().enumerate().take(TEMPORARY.into()) {
            *line = Line([number as u8; 64]);
        }
        Self(lines)
    }
}

/// What trees of one leaf find.
static FIRST_LEAF: [Line; GROUPS] = [Line([0; 64]); GROUPS];

impl Lines {
    /// Where the lines of a temporary stand, one per group; of one group, that of a constant too. Below [`ROOM`], after
    /// which there is room for a last temporary, so that a group's line needs no check of its own.
    #[inline]
    pub(super) fn place<const G: usize>(operand: u16) -> usize {
        (usize::from(operand) * G).wrapping_sub(usize::from(TEMPORARY) * (G - 1)) % ROOM
    }

    /// The lines of a program's result.
    #[inline]
    pub(super) fn result<const G: usize>(&self, operand: u16) -> &[Line] {
        // A tree without splits has one leaf, its first.
        if operand < TEMPORARY { &FIRST_LEAF[..G] } else { &self.0[Self::place::<G>(operand)..][..G] }
    }
}
