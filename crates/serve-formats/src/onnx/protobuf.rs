//! Protocol Buffers' wire format, as much of it as ONNX files use (<https://protobuf.dev/programming-guides/encoding/>).
//! A reader borrows the file; lengths are held against it, so nothing is allocated that the file does not bear out.

use crate::error::{ImportError, Place};

/// A message, or what is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where in the file the rest begins.
    offset: usize,
}

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(Reader<'a>),
}

/// A field with its number and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Wire<'a>,
    pub(super) offset: usize,
}

/// A place in a binary file.
pub(super) fn byte(offset: usize) -> Place {
    Place::Path(format!("byte {offset}"))
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        std::str::from_utf8(self.bytes).map_err(|error| {
            ImportError::invalid(byte(self.offset + error.valid_up_to()), "UTF-8 text", "other bytes")
        })
    }

    /// The next field; `None` at the message's end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, ImportError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.split(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            other => {
                let expected = "a field of wire type 0, 1, 2 or 5";
                return Err(ImportError::invalid(byte(offset), expected, format!("type {other}")));
            }
        };
        match tag >> 3 {
            0 => Err(ImportError::invalid(byte(offset), "a field number above 0", "0")),
            number => Ok(Some(Field { number, value, offset })),
        }
    }

    fn split(&mut self, length: u64) -> Result<Self, ImportError> {
        let whole = usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length));
        let Some((own, rest)) = whole else {
            let left = format!("{} bytes to the end", self.bytes.len());
            return Err(ImportError::invalid(byte(self.offset), format!("{length} bytes"), left));
        };
        let message = Self { bytes: own, offset: self.offset };
        self.bytes = rest;
        self.offset += own.len();
        Ok(message)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let own = self.split(N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(own.bytes);
        Ok(array)
    }

    fn varint(&mut self) -> Result<u64, ImportError> {
        let mut value = 0_u64;
        for (place, &byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[place + 1..];
                self.offset += place + 1;
                return Ok(value);
            }
        }
        let got = if self.bytes.len() < 10 { "the end" } else { "more" };
        Err(ImportError::invalid(byte(self.offset), "a varint of at most 10 bytes", got))
    }
}

impl<'a> Field<'a> {
    fn wrong(&self, expected: &str) -> ImportError {
        let got = match self.value {
            Wire::Varint(_) => "a varint",
            Wire::Fixed32(_) => "four bytes",
            Wire::Fixed64(_) => "eight bytes",
            Wire::Bytes(_) => "a length and bytes",
        };
        let expected = format!("{expected} in field {}", self.number);
        ImportError::invalid(byte(self.offset), expected, got)
    }

    pub(super) fn message(&self) -> Result<Reader<'a>, ImportError> {
        match self.value {
            Wire::Bytes(reader) => Ok(reader),
            _ => Err(self.wrong("a message")),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        self.message()?.text()
    }

    pub(super) fn int(&self) -> Result<i64, ImportError> {
        match self.value {
            Wire::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.wrong("a whole number")),
        }
    }

    pub(super) fn float(&self) -> Result<f32, ImportError> {
        match self.value {
            Wire::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.wrong("a float")),
        }
    }

    /// One whole number, or many packed.
    pub(super) fn ints(&self, into: &mut Vec<i64>) -> Result<(), ImportError> {
        let Wire::Bytes(mut packed) = self.value else {
            into.push(self.int()?);
            return Ok(());
        };
        while !packed.bytes.is_empty() {
            into.push(packed.varint()?.cast_signed());
        }
        Ok(())
    }

    /// One `f32`, or many packed.
    pub(super) fn floats(&self, into: &mut Vec<f32>) -> Result<(), ImportError> {
        let Wire::Bytes(mut packed) = self.value else {
            into.push(self.float()?);
            return Ok(());
        };
        while !packed.bytes.is_empty() {
            into.push(f32::from_le_bytes(packed.array()?));
        }
        Ok(())
    }

    /// One `f64`, or many packed.
    pub(super) fn doubles(&self, into: &mut Vec<f64>) -> Result<(), ImportError> {
        let mut packed = match self.value {
            Wire::Bytes(packed) => packed,
            Wire::Fixed64(bits) => {
                into.push(f64::from_bits(bits));
                return Ok(());
            }
            _ => return Err(self.wrong("a double")),
        };
        while !packed.bytes.is_empty() {
            into.push(f64::from_le_bytes(packed.array()?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<u64>, String> {
        let mut reader = Reader::new(bytes);
        let mut numbers = Vec::new();
        while let Some(field) = reader.next().map_err(|error| error.to_string())? {
            numbers.push(field.number);
        }
        Ok(numbers)
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        let bytes =
            [0x08, 0x96, 0x01, 0x12, 0x01, b'x', 0x1d, 0, 0, 0x80, 0x3f, 0x21, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(fields(&bytes), Ok(vec![1, 2, 3, 4]));
    }

    #[test]
    fn damage_is_told_with_its_byte() {
        let error = |bytes: &[u8]| fields(bytes).expect_err("refused");
        assert_eq!(error(&[0x12, 0x05, b'x']), "byte 2: expected 5 bytes, got 1 bytes to the end");
        assert_eq!(error(&[0x08]), "byte 1: expected a varint of at most 10 bytes, got the end");
        assert_eq!(error(&[0x0b]), "byte 0: expected a field of wire type 0, 1, 2 or 5, got type 3");
        assert_eq!(error(&[0x00, 0x00]), "byte 0: expected a field number above 0, got 0");
        let endless = [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(error(&endless), "byte 11: expected 18446744073709551615 bytes, got 0 bytes to the end");
    }
}
