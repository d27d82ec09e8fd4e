//! How moments and JSON travel in PostgreSQL's binary format: as they are, without a detour over text or another library's
//! type.

use bytes::{BufMut, BytesMut};
use jiff::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::Cause;
use crate::timestamp::to_micros;

/// 2000-01-01, from which PostgreSQL counts, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;
/// The first moment that PostgreSQL has, 4714-11-24 BC.
const FIRST: i64 = -211_813_488_000_000_000;

/// A `timestamptz`: microseconds since 2000; the least and the greatest are PostgreSQL's infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// Later than every moment.
    pub(super) const END: Self = Self(i64::MAX);

    /// A row's moment.
    pub(super) fn of(timestamp: Timestamp) -> Self {
        Self(to_micros(timestamp).as_microsecond() - EPOCH)
    }

    /// A bound of rows' moments, which may be earlier than any that PostgreSQL has.
    pub(super) fn bound(timestamp: Timestamp) -> Self {
        match Self::of(timestamp) {
            Self(micros) if micros < FIRST => Self(i64::MIN),
            moment => moment,
        }
    }

    /// Since 2000.
    pub(super) fn micros(self) -> i64 {
        self.0
    }

    /// As a timestamp; an infinity is none.
    pub(super) fn timestamp(self) -> Result<Timestamp, Cause> {
        let micros = self.0.checked_add(EPOCH).ok_or("the timestamp is infinite")?;
        Ok(Timestamp::from_microsecond(micros)?)
    }
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }
}

impl ToSql for Moment {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// The version of `jsonb`'s binary form that every PostgreSQL speaks.
const JSONB: u8 = 1;

/// JSON's text as it came, to be read where it lies. That it is UTF-8 is for the reader to see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Json<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        match raw.split_first() {
            Some((&JSONB, json)) => Ok(Self(json)),
            _ => Err("a jsonb of another version than 1".into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }
}

/// JSON's text to be stored.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) String);

impl ToSql for JsonText {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        out.put_u8(JSONB);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_travel_as_microseconds_since_2000() {
        let at = |text: &str| text.parse::<Timestamp>().expect("is a timestamp");
        assert_eq!(Moment::of(at("2000-01-01T00:00:00.000001Z")), Moment(1));
        assert_eq!(Moment(-EPOCH - 1).timestamp().ok(), Some(at("1969-12-31T23:59:59.999999Z")));
        assert_eq!(Moment::bound(Timestamp::MIN), Moment(i64::MIN));
        let late = at("9999-12-30T22:00:00Z");
        assert_eq!(Moment::bound(late).timestamp().ok(), Some(late));
        assert!(Moment::END.timestamp().is_err() && Moment(i64::MIN).timestamp().is_err());
    }
}
