//! Parts of the whole that a gate lets in, each with bounds of its own. A share alone makes nobody wait: `gate` does.

use std::sync::Arc;

use super::primitives::{AtomicU64, Ordering};

/// How many may hold a permit, and how many may wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) most: u32,
    pub(crate) queue: u32,
}

impl Bounds {
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.queue) << 32 | u64::from(self.most)
    }

    pub(crate) fn unpack(packed: u64) -> Self {
        let low = u32::try_from(packed & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { most: low, queue: u32::try_from(packed >> 32).unwrap_or(u32::MAX) }
    }
}

/// A part of the whole with bounds of its own.
#[derive(Debug)]
pub(crate) struct Share {
    id: u64,
    bounds: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Share {
    /// A share; no two have the same `id`.
    pub(crate) fn new(id: u64, bounds: Bounds) -> Self {
        let zero = || AtomicU64::new(0);
        Self { id, bounds: AtomicU64::new(bounds.pack()), taken: zero(), refused: zero() }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::unpack(self.bounds.load(Ordering::Relaxed))
    }

    /// Other bounds; the gate has to look at its line then.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.bounds.store(bounds.pack(), Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Counts somebody who was refused because this share was full.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many hold a permit of this share.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many were refused because this share was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.taken.load(Ordering::Acquire) < u64::from(self.bounds().most)
    }

    /// Takes one, if there is room.
    pub(crate) fn take(&self) -> bool {
        let most = u64::from(self.bounds().most);
        let one_more = |taken: u64| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The shares that one permit is of: nearly always one.
#[derive(Debug, Clone)]
pub(crate) enum Shares {
    One(Arc<Share>),
    Several(Arc<[Arc<Share>]>),
}

impl Shares {
    pub(crate) fn as_slice(&self) -> &[Arc<Share>] {
        match self {
            Self::One(share) => std::slice::from_ref(share),
            Self::Several(shares) => shares,
        }
    }

    /// One of them that has no room.
    pub(crate) fn full(&self) -> Option<&Arc<Share>> {
        self.as_slice().iter().find(|share| !share.has_room())
    }
}
