//! `TensorProto`: constants in a file, in any of the ways that it can hold them.

use super::file::each;
use super::protobuf::Reader;
use crate::error::{ImportError, Place, shown};

/// `TensorProto`.
#[derive(Debug, Default)]
pub(super) struct TensorFile<'a> {
    pub(super) name: &'a str,
    pub(super) kind: i64,
    pub(super) dims: Vec<i64>,
    pub(super) offset: usize,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    ints: Vec<i64>,
    strings: Vec<&'a str>,
    raw: Option<Reader<'a>>,
    external: bool,
}

/// A tensor's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values<'a> {
    Numbers(Vec<f64>),
    Texts(Vec<&'a str>),
}

impl<'a> TensorFile<'a> {
    pub(super) fn read(reader: Reader<'a>) -> Result<Self, ImportError> {
        let mut tensor = Self { offset: reader.offset(), ..Self::default() };
        each(reader, |field| {
            match field.number {
                1 => field.ints(&mut tensor.dims)?,
                2 => tensor.kind = field.int()?,
                4 => field.floats(&mut tensor.floats)?,
                5 | 7 | 11 => field.ints(&mut tensor.ints)?,
                6 => tensor.strings.push(field.text()?),
                8 => tensor.name = field.text()?,
                9 => tensor.raw = Some(field.message()?),
                10 => field.doubles(&mut tensor.doubles)?,
                13 => tensor.external = true,
                14 => tensor.external |= field.int()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(tensor)
    }

    fn place(&self) -> Place {
        let name =
            if self.name.is_empty() { String::new() } else { format!(", tensor {}", shown(self.name)) };
        Place::Path(format!("byte {}{name}", self.offset))
    }

    /// Its dimensions, whose product is the number of its values.
    pub(super) fn shape(&self) -> Result<Vec<usize>, ImportError> {
        let shape: Option<Vec<usize>> = self.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let product = shape.iter().flatten().try_fold(1_usize, |all, &n| all.checked_mul(n));
        match (shape, product) {
            (Some(shape), Some(_)) => Ok(shape),
            _ => Err(ImportError::invalid(
                self.place(),
                "dimensions",
                format!("{:.60}", format!("{:?}", self.dims)),
            )),
        }
    }

    /// Its values, as many as its shape says.
    pub(super) fn values(&self) -> Result<Values<'a>, ImportError> {
        if self.external {
            let what = "external data".to_owned();
            let supported = "tensors whose values are in the file";
            return Err(ImportError::Unsupported { place: self.place(), what, supported });
        }
        let expected: usize = self.shape()?.iter().product();
        let values = match (self.kind, &self.raw) {
            (8, _) => Values::Texts(self.strings.clone()),
            (_, Some(raw)) => Values::Numbers(self.raw_values(raw.bytes(), expected)?),
            (1, None) => Values::Numbers(self.floats.iter().copied().map(f64::from).collect()),
            (11, None) => Values::Numbers(self.doubles.clone()),
            (2..=7 | 9 | 12 | 13, None) => Values::Numbers(self.ints.iter().map(|&x| x as f64).collect()),
            _ => return Err(self.unsupported()),
        };
        let got = match &values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Texts(texts) => texts.len(),
        };
        if got == expected {
            Ok(values)
        } else {
            Err(ImportError::invalid(self.place(), format!("{expected} values"), got.to_string()))
        }
    }

    fn raw_values(&self, raw: &[u8], expected: usize) -> Result<Vec<f64>, ImportError> {
        let size = match self.kind {
            2 | 3 | 9 => 1,
            4 | 5 => 2,
            1 | 6 | 12 => 4,
            7 | 11 | 13 => 8,
            _ => return Err(self.unsupported()),
        };
        if expected.checked_mul(size) != Some(raw.len()) {
            let expected = format!("{expected} values of {size} bytes");
            return Err(ImportError::invalid(self.place(), expected, format!("{} bytes", raw.len())));
        }
        let wide = |bytes: &[u8]| {
            let mut array = [0; 8];
            array[..size].copy_from_slice(bytes);
            u64::from_le_bytes(array)
        };
        let value = |bytes: &[u8]| {
            let bits = wide(bytes);
            match self.kind {
                1 => f64::from(f32::from_bits(bits as u32)),
                3 => f64::from((bits as u8).cast_signed()),
                5 => f64::from((bits as u16).cast_signed()),
                6 => f64::from((bits as u32).cast_signed()),
                7 => bits.cast_signed() as f64,
                11 => f64::from_bits(bits),
                _ => bits as f64,
            }
        };
        Ok(raw.chunks_exact(size).map(value).collect())
    }

    fn unsupported(&self) -> ImportError {
        let what = format!("the element type {}", kind_name(self.kind));
        ImportError::Unsupported { place: self.place(), what, supported: KINDS }
    }
}

/// The element types that are read.
pub(super) const KINDS: &str = "float, double, integers, bool and string";

/// An element type's name.
pub(super) fn kind_name(kind: i64) -> String {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    name.map_or_else(|| format!("number {kind}"), |name| (*name).to_owned())
}
