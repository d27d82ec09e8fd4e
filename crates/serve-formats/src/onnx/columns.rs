//! Scores in one output per class, as skl2onnx writes them with `zipmap="columns"`: every output is one column of one
//! tensor, cut out and flattened. The tensor is the scores, in class order however the outputs stand.

use std::collections::HashMap;

use serve_core::graph::Tensor;

use super::file::{NodeFile, ValueFile};
use super::lower::{Fault, Lowering};
use crate::error::shown;

/// Outputs that are columns of one tensor.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    /// The tensor's name.
    pub(super) source: &'a str,
    slices: Vec<&'a NodeFile<'a>>,
}

impl<'a> Columns<'a> {
    /// Of outputs that are all cut out of the same tensor, at least two.
    pub(super) fn find(
        producers: &HashMap<&'a str, &'a NodeFile<'a>>,
        outputs: &[&'a ValueFile<'a>],
    ) -> Option<Self> {
        let slice = |output: &&'a ValueFile<'a>| {
            let mut node = producers.get(output.name)?;
            // One Reshape stands behind each slice; a few more nodes change nothing.
            for _ in 0..8 {
                if node.op == "Slice" {
                    return Some(*node);
                }
                if !matches!(node.op, "Reshape" | "Identity" | "Squeeze" | "Flatten") {
                    return None;
                }
                node = producers.get(node.inputs.first()?)?;
            }
            None
        };
        let slices = outputs.iter().map(slice).collect::<Option<Vec<_>>>()?;
        let source = *slices.first()?.inputs.first()?;
        let same = slices.iter().all(|slice| slice.inputs.first() == Some(&source));
        (slices.len() > 1 && same).then_some(Self { source, slices })
    }

    /// Whether the outputs are all columns of the tensor, each once.
    pub(super) fn check(&self, low: &mut Lowering<'a>, source: Tensor) -> Result<(), Fault> {
        let &[1, width] = low.graph.shape(source) else {
            return Err(Fault::invalid(
                "columns of rows of scores",
                format!("{:?}", low.graph.shape(source)),
            ));
        };
        if width != self.slices.len() {
            let expected = format!("an output for each of the {width} columns of {}", shown(self.source));
            return Err(Fault::invalid(expected, self.slices.len().to_string()));
        }
        let mut seen = vec![false; width];
        for slice in &self.slices {
            let column = column(slice, low)?.filter(|&column| column < width);
            if column.is_none_or(|column| std::mem::replace(&mut seen[column], true)) {
                let expected = format!("each column of {} once", shown(self.source));
                return Err(Fault::invalid(expected, format!("the slice {}", slice.place())));
            }
        }
        Ok(())
    }
}

/// The one column that a slice cuts out.
fn column<'a>(slice: &'a NodeFile<'a>, low: &mut Lowering<'a>) -> Result<Option<usize>, Fault> {
    let mut list = |operand: usize, attribute: &str| match slice.inputs.len() {
        1 => Ok(Some(slice.ints(attribute).iter().map(|&value| value as f64).collect::<Vec<_>>())),
        _ => low.constant(slice, operand),
    };
    let (starts, ends) = (list(1, "starts")?.unwrap_or_default(), list(2, "ends")?.unwrap_or_default());
    let axes = list(3, "axes")?.unwrap_or_default();
    let steps = list(4, "steps")?.filter(|steps| !steps.is_empty()).unwrap_or_else(|| vec![1.0]);
    Ok(match (&starts[..], &ends[..], &axes[..], &steps[..]) {
        (&[start], &[end], &[1.0 | -1.0], &[1.0]) if start >= 0.0 && end == start + 1.0 => {
            Some(start as usize)
        }
        _ => None,
    })
}
