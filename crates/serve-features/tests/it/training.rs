//! Labels with the features known at their moments, against a search of all rows.

use jiff::Timestamp;
use proptest::prelude::*;
use serve_features::{FeatureRow, FeatureStore, Label, MaxAge, MemoryStore, known_rows};

use super::{block_on, entity, set};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("is in range")
}

fn rows(moments: &[(bool, i64)]) -> Vec<FeatureRow> {
    let row = |(i, (first, at)): (usize, &(bool, i64))| {
        let name = if *first { "A" } else { "B" };
        FeatureRow::new(entity(name), second(*at), [("x".into(), (i as f64).into())])
    };
    moments.iter().enumerate().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_label_sees_the_newest_row_of_its_entity_that_is_not_later(
        moments in prop::collection::hash_set((any::<bool>(), 0..60i64), 0..40),
        labels in prop::collection::vec((any::<bool>(), -5..80i64), 0..40),
        limit in 0..30u64,
    ) {
        let moments: Vec<(bool, i64)> = moments.into_iter().collect();
        let stored = rows(&moments);
        let store = MemoryStore::new();
        block_on(store.write(set("s"), stored.clone())).expect("writes");
        let labels: Vec<Label> = labels.into_iter().map(|(first, at)| Label {
            entity: entity(if first { "A" } else { "B" }),
            timestamp: second(at),
        }).collect();
        let limit = MaxAge::Limit(std::time::Duration::from_secs(limit));
        let sets = [(set("s"), None), (set("s"), Some(limit)), (set("none"), None)];
        let known = block_on(known_rows(&store, &sets, &labels)).expect("reads");
        prop_assert_eq!(known.len(), labels.len());
        for (label, known) in labels.iter().zip(&known) {
            let mut seen: Vec<&FeatureRow> = stored
                .iter()
                .filter(|row| *row.entity() == label.entity && row.timestamp() <= label.timestamp)
                .collect();
            seen.sort_by_key(|row| row.timestamp());
            let newest = seen.pop();
            let MaxAge::Limit(limit) = limit else { unreachable!("is one") };
            let fresh = newest.filter(|row| {
                label.timestamp.duration_since(row.timestamp()).unsigned_abs() <= limit
            });
            prop_assert_eq!(&known[..], &[newest.cloned(), fresh.cloned(), None][..]);
        }
    }
}

#[test]
fn a_history_longer_than_a_page_is_read_to_the_label() {
    let store = MemoryStore::new();
    let row = |i: i64| FeatureRow::new(entity("A"), second(i), [("x".into(), (i as f64).into())]);
    block_on(store.write(set("s"), (0..25_000).map(row).collect())).expect("writes");
    let at = [24_999, 3, 10_000, 9_999, 30_000];
    let labels = at.map(|i| Label { entity: entity("A"), timestamp: second(i) });
    let known = block_on(known_rows(&store, &[(set("s"), None)], &labels)).expect("reads");
    let seen: Vec<i64> =
        known.iter().map(|row| row[0].as_ref().expect("is known").timestamp().as_second()).collect();
    assert_eq!(seen, [24_999, 3, 10_000, 9_999, 24_999]);
}
