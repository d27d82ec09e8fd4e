//! A node's attributes by name, with their defaults.

use super::file::{AttributeFile, NodeFile};
use super::lower::Fault;

impl<'a> NodeFile<'a> {
    pub(super) fn attribute(&self, name: &str) -> Option<&AttributeFile<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.int).unwrap_or(otherwise)
    }

    pub(super) fn float(&self, name: &str, otherwise: f32) -> f64 {
        f64::from(self.attribute(name).and_then(|attribute| attribute.float).unwrap_or(otherwise))
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        self.attribute(name)
            .map_or_else(Vec::new, |attribute| attribute.floats.iter().map(|&x| x.into()).collect())
    }

    pub(super) fn strings(&self, name: &str) -> &[&'a str] {
        self.attribute(name).map_or(&[], |attribute| &attribute.strings)
    }

    /// A text, where it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let text = self.attribute(name).and_then(|attribute| attribute.text);
        text.map(|text| text.text()).transpose().map_err(Fault::from)
    }

    /// An axis of a tensor with so many dimensions, from its end where it is negative.
    pub(super) fn axis(&self, otherwise: i64, rank: usize) -> Result<usize, Fault> {
        axis(self.int("axis", otherwise), rank)
    }
}

/// A size as ONNX has it.
pub(super) fn signed(size: usize) -> i64 {
    (size as u64).cast_signed()
}

/// An axis, from the end where it is negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Fault> {
    let place = if axis < 0 { axis.saturating_add(signed(rank)) } else { axis };
    let found = usize::try_from(place).ok().filter(|&place| place < rank);
    found.ok_or_else(|| Fault::invalid(format!("an axis of {rank} dimensions"), axis.to_string()))
}
