//! What is read back is hostile: everything that the engine relies on is checked here, without recursion.

use super::{Aggregation, CATEGORICAL, InvalidTrees, LEAF, Leaves, Packed, Shape, node_error, shape_error};

/// Widest ensemble: the engine keeps a node's flags beside its feature in 32 bits.
const MAX_INPUTS: u32 = 1 << 24;

/// An ensemble has at most this many outputs, or one for every number it stores: what memory outputs take is then a small
/// multiple of the file.
const FREE_OUTPUTS: usize = 64;

/// Deepest tree. LightGBM's limit of 131,072 leaves lies below; what is deeper takes seconds a row to prove and to serve.
const MAX_DEPTH: u32 = 1 << 18;

impl Packed {
    /// Holds the invariant of [`TreeEnsemble`](crate::tree::TreeEnsemble).
    pub(super) fn check(&self) -> Result<(), InvalidTrees> {
        self.check_shape()?;
        self.check_lengths()?;
        let mut reached = Vec::new();
        for tree in 0..self.start.len() {
            self.check_tree(tree, &mut reached)?;
        }
        Ok(())
    }

    fn check_shape(&self) -> Result<(), InvalidTrees> {
        let Shape { inputs, outputs, aggregation, base, .. } = &self.shape;
        if *inputs == 0 || *inputs > MAX_INPUTS || *outputs == 0 {
            return Err(shape_error(format!(
                "expected 1 to {MAX_INPUTS} inputs and at least 1 output, got {inputs} and {outputs}"
            )));
        }
        let most = FREE_OUTPUTS.max(self.values.len()).max(base.len());
        if *outputs as usize > most {
            return Err(shape_error(format!(
                "expected at most {most} outputs for its leaf values, got {outputs}"
            )));
        }
        if !base.is_empty() && base.len() != *outputs as usize {
            return Err(shape_error(format!("expected {outputs} base values, got {}", base.len())));
        }
        if *aggregation != Aggregation::Sum && base.iter().any(|&b| b != 0.0) {
            return Err(shape_error("base values belong to sums only"));
        }
        if *aggregation == Aggregation::Vote && self.leaves != Leaves::Scalar {
            return Err(shape_error("a vote's leaves name one class each"));
        }
        match base.iter().position(|b| !b.is_finite()) {
            Some(output) => Err(shape_error(format!("base value {output} is not finite"))),
            None => Ok(()),
        }
    }

    fn check_lengths(&self) -> Result<(), InvalidTrees> {
        let nodes = self.flags.len();
        let leaves = self.flags.iter().filter(|&flags| flags & LEAF != 0).count();
        let per_node = [self.feature.len(), self.threshold.len(), self.left.len(), self.right.len()];
        let ascending = |list: &[u32], end: usize, strict: bool| {
            list.windows(2).all(|w| w[0] < w[1] || (!strict && w[0] == w[1]))
                && list.last().is_none_or(|&last| (last as usize) < end + usize::from(!strict))
        };
        let sound = per_node.iter().all(|&length| length == nodes)
            // Each leaf has values of its own: shared ones would let a small file ask for much memory.
            && leaves.checked_mul(self.stride()) == Some(self.values.len())
            && self.output.len() == self.start.len()
            && self.start.first().is_none_or(|&first| first == 0)
            && (!self.start.is_empty() || nodes == 0)
            && ascending(&self.start, nodes, false)
            && self.set_nodes.len() == self.set_starts.len()
            && self.set_starts.first().is_none_or(|&first| first == 0)
            && ascending(&self.set_nodes, nodes, true)
            && ascending(&self.set_starts, self.set_words.len(), false)
            && self.constants.len() == if self.leaves == Leaves::Linear { leaves } else { 0 }
            && self.term_starts.len() == self.constants.len()
            && self.term_starts.first().is_none_or(|&first| first == 0)
            && ascending(&self.term_starts, self.terms.len(), false)
            && self.terms.len() == self.coefficients.len()
            && (!self.constants.is_empty() || self.terms.is_empty())
            && [&self.cover, &self.gain].iter().all(|list| list.is_empty() || list.len() == nodes);
        if sound { Ok(()) } else { Err(shape_error("its arrays do not fit together")) }
    }

    /// Walks the tree without recursion and checks that each node is reached exactly once.
    fn check_tree(&self, tree: usize, reached: &mut Vec<bool>) -> Result<(), InvalidTrees> {
        let nodes = self.nodes_of(tree);
        if nodes.is_empty() {
            return Err(InvalidTrees::Tree { tree, problem: "it has no nodes".to_owned() });
        }
        if self.output[tree] >= self.shape.outputs {
            let problem =
                format!("output {} is out of range ({} outputs)", self.output[tree], self.shape.outputs);
            return Err(InvalidTrees::Tree { tree, problem });
        }
        reached.clear();
        reached.resize(nodes.len(), false);
        let mut stack = vec![(0_usize, 0_u32)];
        while let Some((place, depth)) = stack.pop() {
            if std::mem::replace(&mut reached[place], true) {
                return Err(node_error(tree, place, "reached twice"));
            }
            if depth > MAX_DEPTH {
                return Err(node_error(tree, place, format!("deeper than {MAX_DEPTH} splits")));
            }
            let node = nodes.start + place;
            self.check_node(node).map_err(|problem| node_error(tree, place, problem))?;
            if self.flags[node] & LEAF == 0 {
                for child in [self.right[node], self.left[node]] {
                    if child as usize >= nodes.len() {
                        let problem = format!("child {child} is out of range ({} nodes)", nodes.len());
                        return Err(node_error(tree, place, problem));
                    }
                    stack.push((child as usize, depth + 1));
                }
            }
        }
        match reached.iter().position(|&reached| !reached) {
            Some(place) => Err(node_error(tree, place, "never reached")),
            None => Ok(()),
        }
    }

    fn check_node(&self, node: usize) -> Result<(), String> {
        let flags = self.flags[node];
        if self.cover.get(node).is_some_and(|cover| cover.is_nan() || *cover < 0.0) {
            return Err(format!("its cover is {}, expected 0 or more", self.cover[node]));
        }
        if flags & LEAF != 0 {
            return self.check_leaf(self.left[node] as usize);
        }
        if self.feature[node] >= self.shape.inputs {
            return Err(format!(
                "feature {} is out of range ({} inputs)",
                self.feature[node], self.shape.inputs
            ));
        }
        if flags & CATEGORICAL != 0 && self.set_nodes.binary_search(&(node as u32)).is_err() {
            return Err("it is categorical and has no set".to_owned());
        }
        if self.threshold[node].is_nan() {
            return Err("its threshold is not a number".to_owned());
        }
        Ok(())
    }

    fn check_leaf(&self, number: usize) -> Result<(), String> {
        let stride = self.stride();
        let first = number.saturating_mul(stride);
        let Some(values) = self.values.get(first..first.saturating_add(stride)) else {
            return Err(format!("leaf value {number} is out of range"));
        };
        if values.iter().any(|value| value.is_nan()) {
            return Err("its leaf value is not a number".to_owned());
        }
        if self.leaves == Leaves::Linear {
            self.check_terms(number)?;
        }
        let classes = f64::from(self.shape.outputs);
        if self.shape.aggregation == Aggregation::Vote
            && !values.iter().all(|v| v.fract() == 0.0 && (0.0..classes).contains(v))
        {
            return Err(format!("its leaf votes for class {}, of {classes}", values[0]));
        }
        Ok(())
    }

    fn check_terms(&self, leaf: usize) -> Result<(), String> {
        let terms = self.terms_of(leaf);
        if let Some(feature) = self.terms[terms.clone()].iter().find(|&&term| term >= self.shape.inputs) {
            return Err(format!("feature {feature} is out of range ({} inputs)", self.shape.inputs));
        }
        let numbers = self.coefficients[terms].iter().chain(self.constants.get(leaf));
        if numbers.copied().all(f64::is_finite) {
            Ok(())
        } else {
            Err("its linear model has a number that is not finite".to_owned())
        }
    }
}
