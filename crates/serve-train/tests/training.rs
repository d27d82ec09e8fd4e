//! Training from file to proven bundle, on data of known making.

#[path = "../src/synthetic.rs"]
mod synthetic;

use ndarray::s;
use serve_core::bundle::MODEL_FILE;
use serve_core::{Bundle, BundleError, EngineLoader, GoldenSource, Model, ModelLoader, ProofError, Scaler};
use serve_train::{
    Algorithm, Dataset, DatasetOptions, Fault, Hyperparameters, Identity, Metric, TrainError, TrainOptions,
    Trained, train,
};
use synthetic::{Random, csv};

const TWO: [&str; 2] = ["down", "up"];
const THREE: [&str; 3] = ["down", "flat", "up"];

fn read(csv: &str) -> Dataset {
    Dataset::from_csv(csv.as_bytes(), &DatasetOptions::new("y")).expect("reads")
}

fn trained(csv: &str, algorithm: Algorithm) -> Trained {
    train(&read(csv), &TrainOptions::new(algorithm)).expect("trains")
}

fn identity() -> Identity {
    Identity {
        name: "test-model".parse().expect("a name"),
        version: "20260102_030405".parse().expect("a version"),
        feature_set: Some("synthetic".to_owned()),
        created: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn bundle(trained: Trained) -> Bundle {
    trained.into_builder(identity()).build().expect("smartcore's answers are the engine's")
}

#[test]
fn every_algorithm_finds_the_signal_and_proves_itself_with_smartcores_answers() {
    for classes in [&TWO[..], &THREE[..]] {
        let csv = csv(1000, classes, 1.0, 1);
        for algorithm in Algorithm::ALL {
            let trained = trained(&csv, algorithm);
            let figures = trained.report().metrics.holdout.clone();
            assert!(figures["accuracy"] > figures["baseline_accuracy"] + 0.2, "{algorithm} {figures:?}");
            if algorithm != Algorithm::RandomForest {
                assert!(figures["log_loss"] < figures["baseline_log_loss"] - 0.2, "{algorithm} {figures:?}");
            }
            assert_eq!(figures.contains_key("roc_auc"), classes.len() == 2);
            let golden = bundle(trained).golden().expect("reads");
            assert_eq!((golden.source, golden.by.as_str()), (GoldenSource::Reference, "smartcore 0.7.0"));
            assert_eq!((golden.rows.len(), golden.scores[0].len()), (200, classes.len()));
        }
    }
}

#[test]
fn without_a_signal_there_is_nothing_but_the_baseline() {
    let csv = csv(1500, &TWO, 0.0, 2);
    for algorithm in Algorithm::ALL {
        let options = TrainOptions { holdout: 0.4, ..TrainOptions::new(algorithm) };
        let trained = train(&read(&csv), &options).expect("trains");
        let figures = &trained.report().metrics.holdout;
        // Four standard errors of a share of one half among 600 rows.
        for (name, figure) in [("accuracy", figures["accuracy"]), ("roc_auc", figures["roc_auc"])] {
            assert!((figure - 0.5).abs() < 0.082, "{algorithm} {name} {figure}");
        }
        assert!(figures["log_loss"] > figures["baseline_log_loss"] - 0.01, "{algorithm} {figures:?}");
    }
}

#[test]
fn two_trainings_give_the_same_bytes_and_another_seed_another_forest() {
    let csv = csv(400, &TWO, 1.0, 3);
    for algorithm in Algorithm::ALL {
        let [a, b] = [(); 2].map(|()| bundle(trained(&csv, algorithm)));
        assert_eq!(a.digest(), b.digest(), "{algorithm}");
    }
    let model = |seed| {
        let options = TrainOptions { seed, ..TrainOptions::new(Algorithm::RandomForest) };
        bundle(train(&read(&csv), &options).expect("trains")).file(MODEL_FILE).expect("is there").to_vec()
    };
    assert_ne!(model(0), model(1));
}

#[test]
fn the_split_is_by_time_whatever_the_files_order() {
    let ordered = csv(300, &TWO, 1.0, 4);
    let mut lines: Vec<&str> = ordered.lines().collect();
    let mut random = Random(9);
    for i in (2..lines.len()).rev() {
        lines.swap(i, 1 + random.next() as usize % i);
    }
    let (a, b) = (
        trained(&ordered, Algorithm::LogisticRegression),
        trained(&lines.join("\n"), Algorithm::LogisticRegression),
    );
    let (training, holdout) = (&b.report().training, &b.report().holdout);
    assert_eq!((training.rows, holdout.rows), (240, 60));
    let (last, first) = (
        training.window.as_ref().expect("times").1.as_str(),
        holdout.window.as_ref().expect("times").0.as_str(),
    );
    assert_eq!((last, first), ("2000-01-10T23:00:00Z", "2000-01-11T00:00:00Z"));
    assert_eq!(a.report(), b.report());
    assert_eq!(bundle(a).digest(), bundle(b).digest());
}

#[test]
fn nothing_held_out_moves_the_scaler_or_the_model() {
    let calm = csv(500, &TWO, 1.0, 5);
    let mut lines: Vec<String> = calm.lines().map(str::to_owned).collect();
    for line in &mut lines[401..] {
        let (time, y) = (line.split(',').next().expect("a time"), line.rsplit(',').next().expect("a class"));
        *line = format!("{time},1e6,-1e6,1e6,1e6,{y}");
    }
    for algorithm in Algorithm::ALL {
        let [calm, wild] = [&calm, &lines.join("\n")].map(|csv| bundle(trained(csv, algorithm)));
        assert_eq!(calm.manifest().scaler, wild.manifest().scaler);
        assert_eq!(calm.file(MODEL_FILE).expect("is there"), wild.file(MODEL_FILE).expect("is there"));
        assert_ne!(calm.manifest().metrics, wild.manifest().metrics);
        let expected = (algorithm == Algorithm::LogisticRegression)
            .then(|| Scaler::fit_standard(read(&lines.join("\n")).rows().slice(s![..400, ..])));
        assert_eq!(wild.manifest().scaler, expected);
    }
}

#[test]
fn the_manifest_says_how_it_was_made_and_measured() {
    let options = TrainOptions {
        hyperparameters: Hyperparameters { trees: Some(30), ..Hyperparameters::default() },
        seed: 5,
        primary: Metric::LogLoss,
        data: Some("hours.csv".to_owned()),
        ..TrainOptions::new(Algorithm::GradientBoosting)
    };
    let bundle = bundle(train(&read(&csv(480, &TWO, 1.0, 6)), &options).expect("trains"));
    let manifest = bundle.manifest();
    let settings = serde_json::json!({
        "trees": 30, "depth": 3, "min_samples_leaf": 20, "learning_rate": 0.05, "seed": 5, "holdout": 0.2
    });
    assert_eq!(serde_json::to_value(&manifest.hyperparameters).expect("serialises"), settings);
    assert_eq!(manifest.model_type.as_deref(), Some("gradient_boosting"));
    assert_eq!(manifest.feature_set.as_deref(), Some("synthetic"));
    assert_eq!(
        (manifest.source.library.as_str(), manifest.source.version.as_deref()),
        ("smartcore", Some("0.7.0"))
    );
    assert_eq!(manifest.training_date.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(manifest.metrics.primary.as_deref(), Some("log_loss"));
    assert_eq!(manifest.metrics.holdout_rows, Some(96));
    assert_eq!(
        manifest.metrics.data.as_deref(),
        Some("2000-01-17T00:00:00Z to 2000-01-20T23:00:00Z, the last 20 % of hours.csv")
    );
    assert_eq!(manifest.signature.names().collect::<Vec<_>>(), ["a", "b", "c", "noise"]);
    assert_eq!((manifest.target.name.as_str(), manifest.target.task.classes().len()), ("y", 2));
    let reference: serde_json::Value =
        serde_json::from_slice(bundle.file("reference.json").expect("is there")).expect("reads");
    assert_eq!(reference["rows"], 384);
    assert_eq!(reference["window"][1], "2000-01-16T23:00:00Z");
    assert_eq!(
        (&reference["features"][3]["name"], &reference["scores"][1]["name"]),
        (&"noise".into(), &"up".into())
    );
    let pipeline = EngineLoader.load(&bundle).expect("loads");
    let prediction = pipeline.predict(&[3.0, -30.0, 0.0, 0.0]).expect("answers");
    assert_eq!(pipeline.label(&prediction), Some("up"));
}

#[test]
fn a_model_that_is_not_the_one_trained_does_not_prove() {
    let csv = csv(400, &TWO, 1.0, 7);
    let mut builder = trained(&csv, Algorithm::RandomForest).into_builder(identity());
    let Model::Trees(trees) = &builder.estimator.model else { panic!("a forest is trees") };
    let fewer: Vec<_> = trees.trees().skip(1).collect();
    let fewer = serve_core::TreeEnsemble::new(trees.shape().clone(), &fewer).expect("valid");
    builder.estimator.model = Model::Trees(fewer);
    let error = builder.build().expect_err("refused");
    assert!(matches!(error, BundleError::Proof(ProofError::Differs { .. })), "{error:?}");
}

#[test]
fn what_cannot_be_trained_is_refused_with_its_reason() {
    let refused = |csv: &str, options: TrainOptions| {
        let error = train(&read(csv), &options).expect_err("refused");
        (error.fault(), error.to_string())
    };
    let new = TrainOptions::new;
    let logistic = Algorithm::LogisticRegression;
    let few = csv(20, &TWO, 1.0, 8);
    assert_eq!(
        refused(&few, new(logistic)),
        (Fault::Data, "the held-out part has 4 rows of 20, expected at least 5".to_owned())
    );
    let area = TrainOptions { primary: Metric::RocAuc, ..new(logistic) };
    assert_eq!(
        refused(&csv(200, &THREE, 1.0, 8), area),
        (
            Fault::Options,
            "metric: expected one that is defined for more than two classes, got roc_auc".to_owned()
        )
    );
    let share = TrainOptions { holdout: 1.0, ..new(logistic) };
    assert_eq!(
        refused(&few, share),
        (Fault::Options, "holdout: expected a share above 0 and below 1, got 1".to_owned())
    );
    let split = Hyperparameters { features_per_split: Some(5), ..Hyperparameters::default() };
    let split = TrainOptions { hyperparameters: split, ..new(Algorithm::RandomForest) };
    assert_eq!(
        refused(&few, split),
        (Fault::Options, "features_per_split: expected 1 to the number of features, got 5".to_owned())
    );
}

/// Columns that a scaler, a line search or a split could stumble over.
fn awkward(kind: u64, y: usize, row: usize, random: &mut Random) -> f64 {
    let x = random.uniform() - 0.5;
    match kind {
        0 => 7.0,
        1 => y as f64,
        2 => 1e15 + y as f64,
        3 => x * 1e-310,
        4 => x * 1e300,
        5 if row == 3 => 1e308,
        6 => (random.next() % 3) as f64,
        _ => x,
    }
}

#[test]
fn awkward_numbers_train_and_prove_or_are_refused_as_data() {
    let mut random = Random(10);
    let (mut proven, mut refused) = (0, 0);
    for case in 0..60 {
        let kinds: Vec<u64> = (0..=random.next() % 4).map(|_| random.next() % 8).collect();
        let mut csv = "p,q,r,s,".get(..2 * kinds.len()).expect("up to four").to_owned() + "y\n";
        for row in 0..60 {
            let y = row % (2 + case % 2);
            let cells = kinds.iter().map(|kind| format!("{:e},", awkward(*kind, y, row, &mut random)));
            csv += &(cells.collect::<String>() + &y.to_string() + "\n");
        }
        let l2 = Hyperparameters { l2: Some([0.0, 1.0][case / 2 % 2]), ..Hyperparameters::default() };
        let trees =
            Hyperparameters { trees: Some(10), min_samples_leaf: Some(1), ..Hyperparameters::default() };
        for (algorithm, hyperparameters) in Algorithm::ALL.into_iter().zip([l2, trees, trees]) {
            let options = TrainOptions { hyperparameters, ..TrainOptions::new(algorithm) };
            match train(&read(&csv), &options) {
                Ok(trained) => proven += usize::from(bundle(trained).len_bytes() > 0),
                Err(TrainError::TooLarge { feature }) => refused += usize::from(feature.len() == 1),
                Err(error) => panic!("{algorithm} {kinds:?}: {error}"),
            }
        }
    }
    assert!(proven + refused == 180 && refused > 5 && refused < 60, "{proven} {refused}");
}
