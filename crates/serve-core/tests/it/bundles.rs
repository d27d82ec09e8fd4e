//! What is built is proven, and what is opened is whole.

use serve_core::doctest::logistic;
use serve_core::scaler::Affine;
use serve_core::{
    Bundle, BundleBuilder, BundleError, EngineLoader, Estimator, Link, Member, ModelLoader, ProofError,
    Scaler, Transform,
};

use crate::ensembles::ensemble;
use crate::models::{linear, logistic as sigmoid};

#[test]
fn a_bundle_is_built_only_if_its_golden_rows_are_answered() {
    let error = |change: fn(&mut BundleBuilder)| {
        let mut builder = logistic("a", "v1", 0.0);
        change(&mut builder);
        match builder.build().expect_err("refused") {
            BundleError::Proof(error) => error,
            other => unreachable!("{other}"),
        }
    };
    let differs = error(|builder| builder.golden.scores[1][0] = 0.25);
    assert!(
        matches!(differs, ProofError::Differs { row: 1, output: 0, expected, .. } if expected == 0.25),
        "{differs}"
    );
    assert_eq!(error(|builder| builder.golden.rows.clear()), ProofError::Empty);
    assert_eq!(error(|builder| drop(builder.golden.scores.pop())), ProofError::Counts { rows: 2, scores: 1 });
    assert_eq!(
        error(|builder| builder.golden.scores[0].truncate(1)),
        ProofError::Width { row: 0, expected: 1, got: 2 }
    );
    assert!(matches!(
        error(|builder| builder.golden.rows[1][0] = f64::NAN),
        ProofError::Failed { row: 1, .. }
    ));
    assert!(matches!(error(|builder| builder.golden.rows[1].push(0.0)), ProofError::Shape(_)));
}

/// Ensembles are stored with their members' transforms and scalers, which the manifest does not hold.
#[test]
fn an_ensemble_of_prepared_members_is_loaded_as_it_was_built() {
    let mut builder = logistic("a", "v1", 0.0);
    let member = Estimator {
        transforms: vec![Transform::Ratio { numerator: "a".into(), denominator: "b".into() }],
        scaler: Some(Scaler::MaxAbs(Affine { scale: Some(vec![2.0; 3]), ..Affine::default() })),
        ..Estimator::of(linear(&[vec![1.0, 2.0, 3.0]], vec![0.5]), sigmoid(1.0))
    };
    let weighted = |weight| Member { weight, estimator: member.clone() };
    builder.estimator = Estimator { link: Link::default(), ..ensemble(vec![weighted(1.0), weighted(3.0)]) };
    let names = ["a".to_owned(), "b".to_owned()];
    let scores =
        |row: &Vec<f64>| serve_core::naive::scores(&builder.estimator, &names, row).expect("applies");
    builder.golden.scores = builder.golden.rows.iter().map(scores).collect();
    let expected = builder.golden.scores[0].clone();
    let bundle = builder.build().expect("it proves after it was read back");
    let pipeline = EngineLoader.load(&bundle).expect("loads");
    assert_eq!(pipeline.predict(&[0.5, 1.0]).expect("answered").scores(), expected);
}

#[test]
fn files_are_held_against_the_manifest() {
    let bundle = logistic("a", "v1", 0.0).build().expect("proves");
    let open = |change: fn(&str, Vec<u8>) -> Result<Vec<u8>, BundleError>| {
        Bundle::open(bundle.manifest_bytes().to_vec(), |name, _| change(name, bundle.file(name)?.to_vec()))
            .expect_err("refused")
            .to_string()
    };
    let lengthened = open(|_, bytes| Ok([bytes, vec![0]].concat()));
    let listed = bundle.manifest().files["golden.json"].bytes;
    assert_eq!(lengthened, format!("golden.json has {} bytes, the manifest says {listed}", listed + 1));
    let lost = open(|name, _| Err(BundleError::Missing { name: name.to_owned() }));
    assert_eq!(lost, "golden.json is missing");
}
