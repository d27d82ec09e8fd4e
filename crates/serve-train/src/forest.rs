//! Random forest: smartcore's trees, each grown on a bootstrap sample and split on the best of a few random features.
//!
//! The forest's probability of a class is the share of trees that vote for it, so that the most probable class is what
//! smartcore's `predict()` answers; a tie goes to the earlier class in both. Its leaves hold one class and no counts, so
//! there is no finer probability to be had from it, and 0 and 1 are answers it gives: it is a sharp opinion, not a
//! calibrated chance. The bootstrap is drawn within each class. Source: `ensemble/random_forest_classifier.rs` of
//! smartcore 0.7.0; Breiman, Random Forests, Machine Learning 45, 2001.

use ::smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use ::smartcore::linalg::basic::matrix::DenseMatrix;
use ndarray::ArrayView2;
use serve_core::Estimator;

use crate::error::TrainError;
use crate::export::ForestFile;
use crate::fitted::{Fitted, Lesson, agree, first_greatest};
use crate::matrix;
use crate::settings::ForestSettings;
use crate::smartcore;

pub(crate) struct Forest {
    model: RandomForestClassifier<f64, u32, DenseMatrix<f64>, Vec<u32>>,
    exported: ForestFile,
    features: usize,
    classes: usize,
}

impl Forest {
    pub(crate) fn fit(settings: &ForestSettings, lesson: Lesson<'_>, seed: u64) -> Result<Self, TrainError> {
        // smartcore counts levels of nodes, so a tree of one split has depth 2.
        let parameters = RandomForestClassifierParameters::default()
            .with_n_trees(settings.trees)
            .with_max_depth(settings.depth + 1)
            .with_min_samples_leaf(settings.min_samples_leaf)
            .with_m(settings.features_per_split)
            .with_seed(seed);
        let rows = matrix::dense(lesson.rows)?;
        let model = RandomForestClassifier::fit(&rows, &lesson.labels.to_vec(), parameters)
            .map_err(|source| TrainError::Smartcore { step: "fit the forest", source })?;
        let exported = serde_json::from_value(serde_json::to_value(&model)?)?;
        Ok(Self { model, exported, features: lesson.features.len(), classes: lesson.classes })
    }

    fn votes(&self, row: &[f64]) -> Vec<f64> {
        let mut votes = vec![0.0; self.classes];
        for tree in &self.exported.trees {
            votes[tree.walk(row) as usize] += 1.0;
        }
        votes.iter().map(|votes| votes / self.exported.trees.len() as f64).collect()
    }
}

impl Fitted for Forest {
    fn estimator(&self) -> Result<Estimator, TrainError> {
        smartcore::votes(&self.exported.trees, self.features, self.classes)
    }

    fn answers(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError> {
        let labels = self.model.predict(&matrix::dense(rows)?);
        let labels = labels.map_err(|source| TrainError::Smartcore { step: "predict", source })?;
        let scores: Vec<_> = rows.rows().into_iter().map(|row| self.votes(&row.to_vec())).collect();
        agree(&labels, scores.iter().map(|scores| first_greatest(scores)))?;
        Ok(scores)
    }
}
