//! From the JSON texts that a store has to the values of rows, with what was learnt from the rows before.

use std::sync::Arc;

use super::layout::{Layout, Layouts, Row};
use super::recent::Recent;
use crate::name::{Entity, FeatureSetName};
use crate::store::Cause;

/// What a store remembers of the rows that it decoded.
#[derive(Debug, Default)]
pub(crate) struct Decoders {
    layouts: Layouts,
    recent: Recent,
}

impl Decoders {
    /// For rows of one set that are read once, as a history is.
    pub(crate) fn of<'a>(&'a self, set: &'a FeatureSetName) -> Decoder<'a> {
        Decoder { of: self, set, layout: None, remembers: false }
    }

    /// For the newest rows of one set, each of which may be asked for again before it changes.
    pub(crate) fn of_newest<'a>(&'a self, set: &'a FeatureSetName) -> Decoder<'a> {
        Decoder { remembers: true, ..self.of(set) }
    }
}

/// Decodes rows of one set.
pub(crate) struct Decoder<'a> {
    of: &'a Decoders,
    set: &'a FeatureSetName,
    /// Looked up for the first row that is decoded.
    layout: Option<Arc<Layout>>,
    remembers: bool,
}

impl Decoder<'_> {
    /// The names and values of the JSON object that an entity's row is kept as, in its order.
    pub(crate) fn decode(&mut self, entity: &Entity, json: &[u8]) -> Result<Row, Cause> {
        if !self.remembers {
            return self.anew(json);
        }
        let recent = &self.of.recent;
        let place = recent.place(self.set, entity);
        if let Some(row) = recent.get(place, json) {
            return Ok(row);
        }
        let row = self.anew(json)?;
        recent.keep(place, json, &row);
        Ok(row)
    }

    fn anew(&mut self, json: &[u8]) -> Result<Row, Cause> {
        let layout = self.layout.get_or_insert_with(|| self.of.layouts.of(self.set));
        Ok(self.of.layouts.decode(self.set, layout, std::str::from_utf8(json)?)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serve_core::Value;

    use super::*;
    use crate::stored::{self, Features};

    fn set() -> FeatureSetName {
        "vader".parse().expect("is a set's name")
    }

    fn entity(name: &str) -> Entity {
        name.parse().expect("is an entity")
    }

    #[test]
    fn a_row_that_is_asked_again_shares_its_values() {
        let (decoders, set, json) = (Decoders::default(), set(), br#"{"a":1.5,"b":null}"#);
        let newest = |json: &[u8]| decoders.of_newest(&set).decode(&entity("e"), json).expect("decodes");
        let first = newest(json);
        assert!(Arc::ptr_eq(&first.1, &newest(json).1), "asked again");
        let past = decoders.of(&set).decode(&entity("e"), br#"{"a":2,"b":3}"#).expect("decodes");
        assert!(Arc::ptr_eq(&first.1, &newest(json).1), "a past row puts out none");
        let changed = newest(br#"{"a":1.5,"b":0}"#);
        assert_eq!(*changed.1, [Value::Number(1.5), Value::Number(0.0)]);
        assert!(Arc::ptr_eq(&first.0, &changed.0) && Arc::ptr_eq(&first.0, &past.0), "names are shared");
        assert!(!Arc::ptr_eq(&first.1, &newest(json).1), "changed and changed back");
    }

    #[test]
    fn what_is_no_row_is_refused_each_time() {
        let (decoders, set) = (Decoders::default(), set());
        for bad in [&b"\xff"[..], b"{\"a\":\"\xff\"}", b"[1]", b"{\"a\":1", b""] {
            for _ in 0..2 {
                assert!(decoders.of_newest(&set).decode(&entity("e"), bad).is_err(), "{bad:?}");
            }
        }
    }

    proptest! {
        /// Few entities, names and values, so that rows come again, change, and change back.
        #[test]
        fn remembered_rows_are_those_that_fresh_decoding_gives(
            asked in proptest::collection::vec((0..3_usize, 0..3_usize, 0..4_usize), 1..40),
        ) {
            let (decoders, set) = (Decoders::default(), set());
            let values = [Value::Number(-0.0), Value::Number(0.0), Value::Missing, Value::Text("\"é".into())];
            for (who, name, value) in asked {
                let name = ["a", "b", "é \"q\""][name];
                let features: Features = vec![("x".into(), 1.0.into()), (name.into(), values[value].clone())];
                let json = stored::encode(stored::pairs(&features)).expect("encodes");
                let row = decoders.of_newest(&set).decode(&entity(&format!("e{who}")), json.as_bytes());
                let fresh = Decoders::default().of(&set).decode(&entity("f"), json.as_bytes());
                // Bits too: `-0.0` is not `0.0`.
                prop_assert_eq!(format!("{:?}", row.expect("decodes")), format!("{:?}", fresh.expect("decodes")));
            }
        }
    }
}
