//! The protocol's datatypes: which JSON values each takes, and how its elements lie in binary data (little-endian, packed).

use serde::{Deserialize, Serialize};
use serve_core::Value;
use utoipa::ToSchema;

/// The protocol's datatypes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Self; 13] = [
        Self::Fp64,
        Self::Fp32,
        Self::Bytes,
        Self::Bool,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Fp16,
    ];

    /// The one that is written so.
    pub(super) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.as_str() == text)
    }

    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes of one element; none where elements differ in length.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether a value in JSON is one of this datatype.
    pub(super) fn takes(self, value: &Value<'_>) -> bool {
        match value {
            Value::Missing => true,
            Value::Bool(_) => self == Self::Bool,
            Value::Text(_) => self == Self::Bytes,
            Value::Number(x) => match self {
                Self::Bytes => false,
                Self::Fp16 | Self::Fp32 | Self::Fp64 => true,
                _ => x.fract() == 0.0 && self.range().contains(x),
            },
            Value::Other(_) => false,
        }
    }

    /// From the least to the greatest whole number, as `f64`s: of 64 bits the one beyond, since the greatest rounds to it.
    fn range(self) -> std::ops::RangeInclusive<f64> {
        match self {
            Self::Uint8 => 0.0..=f64::from(u8::MAX),
            Self::Uint16 => 0.0..=f64::from(u16::MAX),
            Self::Uint32 => 0.0..=f64::from(u32::MAX),
            Self::Uint64 => 0.0..=u64::MAX as f64,
            Self::Int8 => f64::from(i8::MIN)..=f64::from(i8::MAX),
            Self::Int16 => f64::from(i16::MIN)..=f64::from(i16::MAX),
            Self::Int32 => f64::from(i32::MIN)..=f64::from(i32::MAX),
            Self::Int64 => i64::MIN as f64..=i64::MAX as f64,
            Self::Bool => 0.0..=1.0,
            Self::Fp16 | Self::Fp32 | Self::Fp64 | Self::Bytes => f64::NEG_INFINITY..=f64::INFINITY,
        }
    }

    /// Elements of a fixed size as the engine's numbers, in one pass; those that fill no element are left out. Whole numbers
    /// beyond 2^53 are rounded, as they are in JSON. `None` for [`Datatype::Bytes`].
    pub(super) fn numbers(self, bytes: &[u8]) -> Option<Vec<f64>> {
        /// Of `N` bytes each.
        fn read<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|element| number(*element)).collect()
        }
        Some(match self {
            Self::Bytes => return None,
            Self::Bool | Self::Uint8 => read(bytes, |[byte]| f64::from(byte)),
            Self::Int8 => read(bytes, |element| f64::from(i8::from_le_bytes(element))),
            Self::Uint16 => read(bytes, |element| f64::from(u16::from_le_bytes(element))),
            Self::Int16 => read(bytes, |element| f64::from(i16::from_le_bytes(element))),
            Self::Uint32 => read(bytes, |element| f64::from(u32::from_le_bytes(element))),
            Self::Int32 => read(bytes, |element| f64::from(i32::from_le_bytes(element))),
            Self::Uint64 => read(bytes, |element| u64::from_le_bytes(element) as f64),
            Self::Int64 => read(bytes, |element| i64::from_le_bytes(element) as f64),
            Self::Fp16 => read(bytes, |element| half(u16::from_le_bytes(element))),
            Self::Fp32 => read(bytes, |element| f64::from(f32::from_le_bytes(element))),
            Self::Fp64 => read(bytes, f64::from_le_bytes),
        })
    }
}

/// IEEE 754 binary16: sign, five bits of exponent with a bias of 15, ten bits of fraction. Every one is an `f64`.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_is_found_by_its_name() {
        for datatype in Datatype::ALL {
            let text = serde_json::to_string(&datatype).expect("a text");
            assert_eq!(Datatype::named(text.trim_matches('"')), Some(datatype));
        }
        assert_eq!(Datatype::named("fp64"), None);
    }

    #[test]
    fn half_floats_are_those_of_ieee_754() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x0400, 6.103_515_625e-5),
            (0x3555, 0.333_251_953_125),
            (0x3c00, 1.0),
            (0x3c01, 1.000_976_562_5),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), expected.to_bits(), "{bits:#06x}");
        }
        assert_eq!(half(0x8000).to_bits(), (-0.0_f64).to_bits());
        assert!(half(0x7e00).is_nan() && half(0xfc01).is_nan());
        assert!((0..0x7c00).all(|bits| half(bits) < half(bits + 1)));
    }

    #[test]
    fn json_numbers_are_those_that_the_datatype_holds() {
        let takes = |datatype: Datatype, x: f64| datatype.takes(&Value::Number(x));
        assert!(
            takes(Datatype::Uint8, 255.0) && !takes(Datatype::Uint8, 256.0) && !takes(Datatype::Uint8, -1.0)
        );
        assert!(
            takes(Datatype::Int64, -3.0) && !takes(Datatype::Int64, 0.5) && !takes(Datatype::Int64, 1e19)
        );
        assert!(takes(Datatype::Bool, 1.0) && !takes(Datatype::Bool, 2.0) && !takes(Datatype::Bytes, 1.0));
        assert!(takes(Datatype::Fp16, 1e300) && Datatype::Fp64.takes(&Value::Missing));
    }

    #[test]
    fn elements_are_little_endian_and_packed() {
        let check = |datatype: Datatype, bytes: &[u8], expected: &[f64]| {
            assert_eq!(datatype.numbers(bytes).as_deref(), Some(expected), "{datatype:?}");
        };
        check(Datatype::Bool, &[0, 1], &[0.0, 1.0]);
        check(Datatype::Uint8, &[255], &[255.0]);
        check(Datatype::Int8, &[255, 128], &[-1.0, -128.0]);
        check(Datatype::Uint16, &[1, 2], &[513.0]);
        check(Datatype::Int16, &[0, 0x80], &[-32_768.0]);
        check(Datatype::Uint32, &[0xff; 4], &[4_294_967_295.0]);
        check(Datatype::Int32, &[0xfe, 0xff, 0xff, 0xff], &[-2.0]);
        check(Datatype::Uint64, &[0xff; 8], &[18_446_744_073_709_551_616.0]);
        check(Datatype::Int64, &[0xff; 8], &[-1.0]);
        check(Datatype::Fp16, &[0, 0x3c], &[1.0]);
        check(Datatype::Fp32, &0.1_f32.to_le_bytes(), &[0.100_000_001_490_116_12]);
        check(Datatype::Fp64, &(-0.0_f64).to_le_bytes(), &[-0.0]);
        assert_eq!(Datatype::Bytes.numbers(&[0; 8]), None);
    }
}
