//! The category sets of one tree: `categories_nodes` names the nodes that have one, `categories_segments` and
//! `categories_sizes` where it stands in `categories`.

use super::file::FileTree;
use super::tree::Site;
use crate::error::ImportError;

/// XGBoost takes nothing from here on for a category.
const MAX_CATEGORY: i64 = 1 << 24;
/// All category sets of a model together, in words of 32 categories: 128 MiB. A few digits in a file could else claim
/// two megabytes each.
const MAX_SET_WORDS: usize = 1 << 25;

pub(super) struct CategorySets<'a> {
    categories: &'a [i64],
    /// Per node its place in `categories`, where it has one.
    places: Vec<Option<(usize, usize)>>,
    /// What the sets of this tree and of those before it take.
    pub(super) words: usize,
}

impl<'a> CategorySets<'a> {
    pub(super) fn find(tree: &'a FileTree, site: &Site, words: usize) -> Result<Self, ImportError> {
        let FileTree { categories, categories_nodes: at, .. } = tree;
        let (starts, sizes) = (&tree.categories_segments, &tree.categories_sizes);
        if starts.len() != at.len() || sizes.len() != at.len() {
            let got = format!("{} and {}", starts.len(), sizes.len());
            let expected = format!("{} values in it and in categories_sizes", at.len());
            return Err(site.invalid("categories_segments", expected, got));
        }
        let total: usize = sizes.iter().fold(0, |sum, &size| sum.saturating_add(size));
        if total > categories.len() {
            let expected = format!("at most {} altogether, the categories", categories.len());
            return Err(site.invalid("categories_sizes", expected, total.to_string()));
        }
        let nodes = if at.is_empty() { 0 } else { tree.left_children.len() };
        let mut places = vec![None; nodes];
        for (number, &node) in at.iter().enumerate() {
            let (start, size) = (starts[number], sizes[number]);
            let end = start.checked_add(size).filter(|&end| end <= categories.len());
            let slot = usize::try_from(node).ok().and_then(|node| places.get_mut(node));
            match (slot, end) {
                (Some(slot @ None), Some(end)) => *slot = Some((start, end)),
                (Some(_), None) => {
                    let key = format!("categories_segments[{number}]");
                    let expected = format!("a place in the {} categories", categories.len());
                    return Err(site.invalid(&key, expected, format!("{start}, and {size} from there")));
                }
                _ => {
                    let key = format!("categories_nodes[{number}]");
                    return Err(site.invalid(&key, "a node that has no set yet", node.to_string()));
                }
            }
        }
        Ok(Self { categories, places, words })
    }

    /// A node's set as bits.
    pub(super) fn bits(&mut self, node: usize, site: &Site) -> Result<Vec<u32>, ImportError> {
        let Some((start, end)) = self.places.get(node).copied().flatten() else {
            return Err(site.graph(node, "it is a categorical split without a set of categories"));
        };
        let members = &self.categories[start..end];
        if let Some(place) = members.iter().position(|member| !(0..MAX_CATEGORY).contains(member)) {
            let key = format!("categories[{}]", start + place);
            let expected = format!("0 to {}", MAX_CATEGORY - 1);
            return Err(site.invalid(&key, expected, members[place].to_string()));
        }
        let words = members.iter().max().map_or(0, |&last| last as usize / 32 + 1);
        self.words += words;
        if self.words > MAX_SET_WORDS {
            let expected =
                format!("sets of at most {MAX_SET_WORDS} words of 32 categories in the whole model");
            return Err(site.invalid("categories", expected, "more"));
        }
        let mut set = vec![0_u32; words];
        for &member in members {
            set[member as usize / 32] |= 1 << (member % 32);
        }
        Ok(set)
    }
}
