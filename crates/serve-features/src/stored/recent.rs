//! The rows that were decoded last, beside the texts that they were decoded from. A row changes seldom and is asked for often:
//! where the database gives the same bytes again, the values are shared instead of decoded anew.
//!
//! A text alone says what its values are, so the same bytes are all that is asked, and nothing here goes out of date: a row that
//! was written anew has another text, or the same values. Whose row it is only says where to look. The memory is bounded by
//! constants, whoever names the entities and writes the rows; what was not asked for longest goes first.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::{DefaultHasher, LruCache};
use serve_core::Value;

use super::layout::Row;
use crate::name::{Entity, FeatureSetName};

/// Parts with a lock each, so that threads seldom meet.
const SHARDS: usize = 16;
/// What the rows of one part take at most, in bytes: 16 MiB in all, which is two thousand rows of 56 numbers.
const SHARD_BYTES: usize = 1024 * 1024;
/// Longer rows are not kept, as each would put out many.
const ROW_BYTES: usize = SHARD_BYTES / 4;

/// Where a row of an entity is looked for. Two entities may share one, and then take turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u64);

/// Rows by place.
#[derive(Debug)]
pub(super) struct Recent {
    /// Fast rather than strong: entities that are chosen to share a place cost each other a decoding, and nobody else anything.
    hasher: DefaultHasher,
    /// Held for one look-up or one insertion; a panic leaves whole rows, so a poisoned lock is used on.
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug)]
struct Shard {
    rows: LruCache<u64, Kept>,
    /// What they take together.
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    text: Box<[u8]>,
    row: Row,
}

impl Default for Recent {
    fn default() -> Self {
        let shard = |_| Mutex::new(Shard { rows: LruCache::unbounded(), bytes: 0 });
        Self { hasher: DefaultHasher::default(), shards: std::array::from_fn(shard) }
    }
}

impl Recent {
    pub(super) fn place(&self, set: &FeatureSetName, entity: &Entity) -> Place {
        Place(self.hasher.hash_one((set, entity)))
    }

    /// What these bytes were decoded to, where they are those that came last.
    pub(super) fn get(&self, place: Place, text: &[u8]) -> Option<Row> {
        let mut shard = self.shard(place);
        let kept = shard.rows.get(&place.0).filter(|kept| *kept.text == *text)?;
        Some((Arc::clone(&kept.row.0), Arc::clone(&kept.row.1)))
    }

    /// Keeps what `text` was decoded to, instead of what was at this place.
    pub(super) fn keep(&self, place: Place, text: &[u8], row: &Row) {
        let bytes = bytes(text.len(), row);
        if bytes > ROW_BYTES {
            return;
        }
        let kept = Kept { text: text.into(), row: (Arc::clone(&row.0), Arc::clone(&row.1)) };
        let mut shard = self.shard(place);
        shard.bytes += bytes;
        let replaced = shard.rows.put(place.0, kept);
        shard.bytes -= replaced.map_or(0, |old| self::bytes(old.text.len(), &old.row));
        while shard.bytes > SHARD_BYTES
            && let Some((_, oldest)) = shard.rows.pop_lru()
        {
            shard.bytes -= self::bytes(oldest.text.len(), &oldest.row);
        }
    }

    fn shard(&self, Place(place): Place) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[(place % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most that a row takes: its text, once more for the names and texts that are cut out of it, and what belongs to each name
/// and value beside them, as if no other row shared the names.
fn bytes(text: usize, (names, _): &Row) -> usize {
    /// Counters, padding and the allocator's part of a block of memory.
    const BLOCK: usize = 40;
    let each = size_of::<Arc<str>>() + BLOCK + size_of::<Value<'_>>();
    2 * text + names.len() * each + size_of::<Kept>() + 4 * BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(recent: &Recent, entity: &str) -> Place {
        let set = "vader".parse().expect("is a set's name");
        recent.place(&set, &entity.parse().expect("is an entity"))
    }

    fn row(features: usize, x: f64) -> Row {
        let names: Vec<Arc<str>> = (0..features).map(|i| format!("n{i}").into()).collect();
        (names.into(), vec![Value::Number(x); features].into())
    }

    #[test]
    fn only_the_same_bytes_are_the_same_row() {
        let recent = Recent::default();
        let (a, b) = (place(&recent, "a"), place(&recent, "b"));
        recent.keep(a, b"text", &row(1, 1.0));
        assert_eq!(recent.get(a, b"text"), Some(row(1, 1.0)));
        assert_eq!(
            (recent.get(a, b"texT"), recent.get(a, b"tex"), recent.get(b, b"text")),
            (None, None, None)
        );
        recent.keep(a, b"texT", &row(1, 2.0));
        assert_eq!((recent.get(a, b"text"), recent.get(a, b"texT")), (None, Some(row(1, 2.0))));
    }

    #[test]
    fn what_was_asked_last_stays_within_the_bound() {
        let (recent, text, row) = (Recent::default(), vec![b'x'; 1700], row(56, 1.0));
        let asked = place(&recent, "asked");
        recent.keep(asked, &text, &row);
        for i in 0..10_000 {
            recent.keep(place(&recent, &format!("e{i}")), &text, &row);
            assert!(recent.get(asked, &text).is_some(), "{i}");
        }
        for shard in &recent.shards {
            let shard = shard.lock().expect("is not poisoned");
            assert_eq!(shard.bytes, shard.rows.len() * bytes(text.len(), &row));
            assert!((100..=130).contains(&shard.rows.len()) && shard.bytes <= SHARD_BYTES, "{}", shard.bytes);
        }
    }

    #[test]
    fn a_place_takes_the_bytes_of_one_row() {
        let recent = Recent::default();
        let a = place(&recent, "a");
        for length in (0..5000).rev() {
            recent.keep(a, &vec![b'x'; length], &row(1, 1.0));
        }
        assert_eq!(recent.shard(a).bytes, bytes(0, &row(1, 1.0)));
    }

    #[test]
    fn a_row_that_would_put_out_many_is_not_kept() {
        let recent = Recent::default();
        let (a, many) = (place(&recent, "a"), row(4096, 1.0));
        recent.keep(a, b"many", &many);
        recent.keep(a, &vec![b'x'; ROW_BYTES / 2], &row(1, 1.0));
        assert_eq!((recent.get(a, b"many"), recent.shard(a).bytes), (None, 0));
    }
}
