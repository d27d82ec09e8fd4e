//! What is known of one entity: the rows of each source, when each became visible, and which of them the rows of the first
//! source see.

use jiff::Timestamp;

use crate::declaration::Source;
use crate::frame::Frame;
use crate::join;

/// One source's rows, as far as they were read.
pub(super) struct SourceRows<'a> {
    pub(super) source: &'a Source,
    pub(super) frame: &'a Frame,
    /// When each row becomes visible; rows that none of the first source's sees, or that never do, are left off.
    pub(super) visible: Vec<Timestamp>,
    /// No older row was left unread.
    pub(super) complete: bool,
}

impl SourceRows<'_> {
    pub(super) fn len(&self) -> usize {
        self.visible.len()
    }

    pub(super) fn timestamps(&self) -> &[Timestamp] {
        &self.frame.timestamps()[..self.visible.len()]
    }

    /// How many rows were visible at a moment.
    pub(super) fn until(&self, moment: Timestamp) -> usize {
        self.visible.partition_point(|visible| *visible <= moment)
    }
}

/// The rows of a set's sources, aligned.
pub(super) struct Known<'a> {
    pub(super) sources: Vec<SourceRows<'a>>,
    /// For each source and each row of the first: how many rows of the source are visible then. Empty for the first.
    pub(super) seen: Vec<Vec<usize>>,
}

impl<'a> Known<'a> {
    /// What was visible at `as_of`, or ever. Each source comes with its frame, and whether that is its whole history.
    pub(super) fn new(
        sources: impl IntoIterator<Item = (&'a Source, &'a Frame, bool)>,
        as_of: Option<Timestamp>,
    ) -> Self {
        let mut known = Self { sources: Vec::new(), seen: Vec::new() };
        for (source, frame, complete) in sources {
            let mut visible = join::visible(frame.timestamps(), source.delay);
            let mut seen = Vec::new();
            if let Some(first) = known.sources.first() {
                seen = join::seen(&first.visible, &visible);
                visible.truncate(seen.last().copied().unwrap_or(0));
            } else if let Some(as_of) = as_of {
                visible.truncate(visible.partition_point(|visible| *visible <= as_of));
            }
            known.sources.push(SourceRows { source, frame, visible, complete });
            known.seen.push(seen);
        }
        known
    }

    /// The rows of a source; 0 of one that is not there.
    pub(super) fn len(&self, source: usize) -> usize {
        self.sources.get(source).map_or(0, SourceRows::len)
    }
}
