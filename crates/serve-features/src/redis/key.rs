//! Keys, and rows as Redis holds them.
//!
//! A key is `prefix:kind:set:entity`. Neither a prefix nor a set's name has a `:`, so two entities never share a key
//! whatever is in their names.
//!
//! A row is 16 hexadecimal digits and the JSON of its features; between them stand, of a row that was computed, 16 more that
//! name the declaration. The first digits order as moments do, to the microsecond over all
//! of time; a score, which is an `f64`, would round from the year 2255 on. Members of one sorted set begin with different
//! digits, so the order of its members is that of time.

use jiff::Timestamp;

use crate::declaration::{DIGITS, DeclarationDigest};
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::{Cause, Unreadable};
use crate::stored::{self, Decoder};
use crate::timestamp::to_micros;

/// How many digits name a moment.
const STAMP: usize = 16;
/// Turns the order of `i64` into that of `u64`.
const SIGN: u64 = 1 << 63;

/// All rows of an entity.
pub(super) fn rows(prefix: &str, set: &FeatureSetName, entity: &Entity) -> String {
    [prefix, ":s:", set.as_str(), ":", entity.as_str()].concat()
}

/// The entities of a set.
pub(super) fn entities(prefix: &str, set: &FeatureSetName) -> String {
    format!("{prefix}:e:{set}")
}

/// An entity's newest row, of another store.
pub(super) fn cached(prefix: &str, set: &FeatureSetName, entity: &Entity) -> String {
    [prefix, ":c:", set.as_str(), ":", entity.as_str()].concat()
}

/// A moment in digits that order as moments do, `after` microseconds later.
pub(super) fn stamp(at: Timestamp, after: i64) -> String {
    let micros = to_micros(at).as_microsecond().saturating_add(after);
    format!("{:016x}", micros.cast_unsigned() ^ SIGN)
}

/// A row as bytes.
pub(super) fn encode(row: &FeatureRow) -> serde_json::Result<String> {
    let declaration = row.declaration().map(|declaration| declaration.to_string()).unwrap_or_default();
    Ok(stamp(row.timestamp(), 0) + &declaration + &stored::encode(row.features())?)
}

/// The row of such bytes.
pub(super) fn decode(
    bytes: &[u8],
    set: &FeatureSetName,
    entity: &Entity,
    decoder: &mut Decoder<'_>,
) -> Result<FeatureRow, Unreadable> {
    let unreadable = |source: Cause| Unreadable::new(set.as_str(), entity, source);
    let (at, declaration, json) = split(bytes).map_err(unreadable)?;
    let (names, values) = decoder.decode(entity, json).map_err(unreadable)?;
    Ok(FeatureRow::of(entity.clone(), at, names, values).computed_by(declaration))
}

fn split(bytes: &[u8]) -> Result<(Timestamp, Option<DeclarationDigest>, &[u8]), Cause> {
    let (stamp, json) = bytes.split_at_checked(STAMP).ok_or("it is shorter than a timestamp")?;
    if !stamp.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)) {
        return Err("it does not begin with a timestamp".into());
    }
    let micros = (u64::from_str_radix(std::str::from_utf8(stamp)?, 16)? ^ SIGN).cast_signed();
    let at = Timestamp::from_microsecond(micros)?;
    let declared = |(digits, json)| {
        let digits = std::str::from_utf8(digits).ok()?;
        Some((DeclarationDigest::parse(digits).ok()?, json))
    };
    match json.split_at_checked(DIGITS).and_then(declared) {
        Some((declaration, json)) => Ok((at, Some(declaration), json)),
        // It begins with `{`, which is no digit.
        None => Ok((at, None, json)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(at: i64) -> Timestamp {
        Timestamp::from_microsecond(at).expect("is in range")
    }

    proptest! {
        #[test]
        fn stamps_order_as_moments_do(a in any::<i64>(), b in any::<i64>()) {
            let range = Timestamp::MAX.as_microsecond();
            let (a, b) = (micros(a % range), micros(b % range));
            prop_assert_eq!(stamp(a, 0).cmp(&stamp(b, 0)), a.cmp(&b));
            prop_assert!(stamp(a, 0) < stamp(a, 1));
            let text = stamp(a, 0);
            prop_assert_eq!(split(text.as_bytes()).expect("reads"), (a, None, &b""[..]));
        }
    }

    #[test]
    fn neighbours_beyond_the_range_of_a_float_are_told_apart() {
        let late = micros(9_007_199_254_740_993);
        assert!(stamp(late, 0) > stamp(micros(9_007_199_254_740_992), 0));
        assert_eq!(stamp(Timestamp::MIN, 0).len(), STAMP);
        assert!(stamp(Timestamp::MIN, 0) < stamp(Timestamp::MAX, 0));
    }

    #[test]
    fn a_computed_row_keeps_the_name_of_its_declaration() {
        let declaration = DeclarationDigest::parse("00ff00ff00ff00ff").expect("is a digest");
        let row = |by| {
            FeatureRow::new("e".parse().expect("is an entity"), micros(7), [("a".into(), 1.0.into())])
                .computed_by(by)
        };
        let decoders = crate::stored::Decoders::default();
        let (set, entity) = ("s".parse().expect("is a set's name"), "e".parse().expect("is an entity"));
        for row in [row(Some(declaration)), row(None)] {
            let text = encode(&row).expect("encodes");
            let read = decode(text.as_bytes(), &set, &entity, &mut decoders.of(&set));
            assert_eq!(read.expect("decodes"), row, "{text}");
        }
    }

    #[test]
    fn no_two_entities_share_a_key() {
        let set = |name: &str| name.parse::<FeatureSetName>().expect("is a set's name");
        let entity = |name: &str| name.parse::<Entity>().expect("is an entity");
        assert_ne!(rows("p", &set("a"), &entity("b:c")), rows("p", &set("a.b"), &entity("c")));
        assert_ne!(rows("p", &set("a"), &entity("x")), cached("p", &set("a"), &entity("x")));
        assert_ne!(rows("p", &set("s"), &entity("s:x")), rows("p:s", &set("s"), &entity("x")) + "x");
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for bad in ["", "{}", "80000000000000{}", "ffffffffffffffff{}", "+0000000000000ff{}", "ééééééééé{}"]
        {
            assert!(split(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(split(b"\xff800000000000000{}").is_err());
    }
}
