//! The head that a connection sent last.

/// The last head that a body followed, and how long that was. A client's requests often have the same head, byte for byte, and
/// what was sound and known once is so again.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(super) head: Vec<u8>,
    /// Bytes of the body.
    pub(super) body: u64,
}

impl Known {
    /// Longer heads are not kept.
    const LONGEST: usize = 1 << 10;

    /// Whether `bytes` begin with it.
    pub(super) fn leads(&self, bytes: &[u8]) -> bool {
        !self.head.is_empty() && bytes.starts_with(&self.head)
    }

    /// Keeps a head, if it is short.
    pub(super) fn learn(&mut self, head: &[u8], body: u64) {
        self.head.clear();
        if head.len() <= Self::LONGEST {
            self.head.extend_from_slice(head);
        }
        self.body = body;
    }

    /// Gives its memory back.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
