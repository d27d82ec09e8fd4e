//! The paths of one tree, followed once without recursion: at every split, which earlier split of the path asked the same
//! feature, and which share of the data passed there.

use std::collections::HashMap;

use super::layout::{CATEGORICAL, MISSING_LEFT, Split, ZERO_IS_MISSING};
use crate::tree::{Leaf, Missing, Node, Test, Tree};

/// A child that is a leaf, until it is known how many splits there are.
const LEAF: u32 = 1 << 31;

/// The last edge of a path that left a split of some feature: its number, and the share of the data that passed all the
/// path's splits of that feature.
type Passed = (u32, f64);

enum Step {
    Enter { node: u32, parent: Option<(usize, bool)>, weight: f64 },
    Leave { feature: u32, before: Option<Passed> },
}

/// What following all paths of a tree gives.
pub(super) struct Paths<'a> {
    /// Parents first.
    pub(super) splits: Vec<Split>,
    /// Leaves with the share of the data that reaches them.
    pub(super) leaves: Vec<(&'a Leaf, f64)>,
    /// Shares of the edges that later splits of the same feature refer to, after 1.
    pub(super) shares: Vec<f64>,
    /// The most features that one path asks.
    pub(super) most_features: usize,
}

struct Follower<'a, 's> {
    tree: &'a Tree,
    labels: &'s [u32],
    sets: &'s mut Vec<Box<[u32]>>,
    paths: Paths<'a>,
    /// By feature, on the path to the node at hand.
    passed: HashMap<u32, Passed>,
    /// Places in the list of shares, by edge.
    places: HashMap<u32, u32>,
    steps: Vec<Step>,
}

impl<'a> Paths<'a> {
    /// The paths of a tree that knows its covers. Category sets are appended to `sets`. `O(nodes)`.
    pub(super) fn of(tree: &'a Tree, labels: &[u32], sets: &mut Vec<Box<[u32]>>) -> Self {
        let paths = Self { splits: Vec::new(), leaves: Vec::new(), shares: vec![1.0], most_features: 0 };
        let (passed, places) = (HashMap::new(), HashMap::new());
        let steps = vec![Step::Enter { node: 0, parent: None, weight: 1.0 }];
        let mut follower = Follower { tree, labels, sets, paths, passed, places, steps };
        while let Some(step) = follower.steps.pop() {
            follower.take(&step);
        }
        let mut paths = follower.paths;
        let splits = paths.splits.len() as u32;
        for split in &mut paths.splits {
            for child in [&mut split.left, &mut split.right] {
                if *child & LEAF != 0 {
                    *child = (*child & !LEAF) + splits;
                }
            }
        }
        paths
    }
}

impl<'a> Follower<'a, '_> {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Leave { feature, before: Some(before) } => {
                self.passed.insert(feature, before);
            }
            Step::Leave { feature, before: None } => {
                self.passed.remove(&feature);
            }
            Step::Enter { node, parent, weight } => {
                if let Some((split, left)) = parent {
                    self.pass(split, left);
                }
                match &self.tree.nodes[node as usize] {
                    Node::Leaf(leaf) => self.leaf(leaf, parent, weight),
                    Node::Split { feature, test, missing, left, right } => {
                        let split = self.split(node, *feature, test, *missing, [*left, *right]);
                        self.enter(split, parent, [*left, *right], weight);
                    }
                }
            }
        }
    }

    /// Leaves a split by one of its edges.
    fn pass(&mut self, split: usize, left: bool) {
        let at = &self.paths.splits[split];
        let (feature, share) = (at.feature, at.share * if left { at.left_share } else { at.right_share });
        let edge = 1 + 2 * split as u32 + u32::from(!left);
        let before = self.passed.insert(feature, (edge, share));
        self.steps.push(Step::Leave { feature, before });
        self.paths.most_features = self.paths.most_features.max(self.passed.len());
    }

    fn leaf(&mut self, leaf: &'a Leaf, parent: Option<(usize, bool)>, weight: f64) {
        self.link(parent, self.paths.leaves.len() as u32 | LEAF);
        self.paths.leaves.push((leaf, weight));
    }

    fn enter(&mut self, split: Split, parent: Option<(usize, bool)>, children: [u32; 2], weight: f64) {
        let number = self.paths.splits.len();
        self.link(parent, number as u32);
        for (child, left) in [(children[1], false), (children[0], true)] {
            let share = if left { split.left_share } else { split.right_share };
            let parent = Some((number, left));
            self.steps.push(Step::Enter { node: child, parent, weight: weight * share });
        }
        self.paths.splits.push(split);
    }

    fn link(&mut self, parent: Option<(usize, bool)>, slot: u32) {
        match parent {
            Some((split, true)) => self.paths.splits[split].left = slot,
            Some((split, false)) => self.paths.splits[split].right = slot,
            None => {}
        }
    }

    fn split(&mut self, node: u32, feature: u32, test: &Test, missing: Missing, children: [u32; 2]) -> Split {
        let mut flags = if missing.left { MISSING_LEFT } else { 0 };
        let threshold = match test {
            Test::AtMost(threshold) => {
                flags |= if missing.zero { ZERO_IS_MISSING } else { 0 };
                *threshold
            }
            Test::InSet(words) => {
                flags |= CATEGORICAL;
                self.sets.push(words.as_slice().into());
                (self.sets.len() - 1) as f64
            }
        };
        let (before, share) = self.passed.get(&feature).copied().unwrap_or((0, 1.0));
        let [left_share, right_share] = children.map(|child| self.share(node, child));
        let (label, earlier) = (self.labels[feature as usize], self.earlier(before, share));
        let (left, right) = (0, 0);
        Split {
            threshold,
            share,
            left_share,
            right_share,
            feature,
            label,
            before,
            earlier,
            left,
            right,
            flags,
        }
    }

    /// The share of a node's training data that goes to one of its children. Where no data came, nobody knows, and both
    /// count alike.
    fn share(&self, node: u32, child: u32) -> f64 {
        let cover = &self.tree.statistics.cover;
        let share = cover[child as usize] / cover[node as usize];
        if share.is_finite() { share } else { 0.5 }
    }

    fn earlier(&mut self, edge: u32, share: f64) -> u32 {
        if edge == 0 {
            return 0;
        }
        *self.places.entry(edge).or_insert_with(|| {
            self.paths.shares.push(share);
            (self.paths.shares.len() - 1) as u32
        })
    }
}
