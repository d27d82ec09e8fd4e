//! How many training rows reach each node of a trained model's trees. smartcore does not keep it for every kind of tree,
//! and explanations need it, so the rows are sent through the trees once more.

use ndarray::ArrayView2;
use serve_core::tree::{Node, Statistics, Test, Tree};
use serve_core::{Estimator, Model, TreeEnsemble};

use crate::error::TrainError;

/// The same estimator, whose trees know their covers. `O(rows · depth)` for each tree.
pub(crate) fn counted(estimator: Estimator, rows: ArrayView2<'_, f64>) -> Result<Estimator, TrainError> {
    let Model::Trees(ensemble) = &estimator.model else { return Ok(estimator) };
    let trees: Vec<Tree> = ensemble.trees().map(|tree| with_cover(tree, rows)).collect();
    let model = Model::Trees(TreeEnsemble::new(ensemble.shape().clone(), &trees)?);
    Ok(Estimator { model, ..estimator })
}

fn with_cover(tree: Tree, rows: ArrayView2<'_, f64>) -> Tree {
    let mut cover = vec![0.0; tree.nodes.len()];
    for row in rows.rows() {
        let mut at = 0;
        cover[at] += 1.0;
        // smartcore's splits all ask for a number, and rows with missing values are not trained on.
        while let Node::Split { feature, test: Test::AtMost(threshold), left, right, .. } = &tree.nodes[at] {
            at = if row[*feature as usize] <= *threshold { *left } else { *right } as usize;
            cover[at] += 1.0;
        }
    }
    Tree { statistics: Statistics { cover, gain: Vec::new() }, ..tree }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use serve_core::Link;
    use serve_core::tree::{Leaf, Missing, Shape};

    use super::*;

    #[test]
    fn every_row_counts_at_each_node_of_its_path() {
        let leaf = |value| Node::Leaf(Leaf::Scalar(value));
        let split = |feature, threshold, left, right| {
            let (test, missing) = (Test::AtMost(threshold), Missing::default());
            Node::Split { feature, test, missing, left, right }
        };
        let nodes = vec![split(0, 1.0, 1, 2), leaf(1.0), split(1, 0.0, 3, 4), leaf(2.0), leaf(3.0)];
        let shape = Shape { inputs: 2, outputs: 1, ..Shape::default() };
        let trees = TreeEnsemble::new(shape, &[Tree { nodes, ..Tree::default() }]).expect("a tree");
        let rows = array![[1.0, 5.0], [2.0, 0.0], [2.0, 1.0], [3.0, -1.0]];
        let counted =
            counted(Estimator::of(Model::Trees(trees), Link::IDENTITY), rows.view()).expect("counted");
        let Model::Trees(trees) = counted.model else { panic!("it has trees") };
        let covers: Vec<_> = trees.trees().map(|tree| tree.statistics.cover).collect();
        assert_eq!(covers, [[4.0, 1.0, 3.0, 2.0, 1.0]]);
    }
}
