//! Scalers against scikit-learn 1.9.1: the transforms bit for bit, the fits to 1e-12.

use ndarray::Array2;
use serde_json::Value;
use serve_core::Scaler;
use serve_core::scaler::{Affine, MinMaxScaler};

use crate::reference::{
    assert_bits, assert_close, cases, matrix, number, optional_vector, sklearn, text, vector,
};

fn of(case: &Value) -> Scaler {
    let (fitted, params) = (&case["fitted"], &case["params"]);
    let clips = params["clip"].as_bool() == Some(true);
    let affine = |center: &str, clip| Affine {
        center: optional_vector(&fitted[center]),
        scale: optional_vector(&fitted["scale_"]),
        clip,
    };
    match text(case, "class") {
        "StandardScaler" => {
            // scikit-learn keeps the mean with `with_mean=False` and does not use it.
            let mut scaler = affine("mean_", None);
            scaler.center = scaler.center.filter(|_| params["with_mean"] == true);
            Scaler::Standard(scaler)
        }
        "MinMaxScaler" => Scaler::MinMax(MinMaxScaler {
            min: vector(&fitted["min_"]),
            scale: vector(&fitted["scale_"]),
            clip: clips.then(|| {
                let range = &params["feature_range"];
                (number(&range[0]), number(&range[1]))
            }),
        }),
        "RobustScaler" => Scaler::Robust(affine("center_", None)),
        "MaxAbsScaler" => Scaler::MaxAbs(affine("none", clips.then_some((-1.0, 1.0)))),
        other => unreachable!("{other} has no scaler here"),
    }
}

#[test]
fn transform_and_its_inverse_have_the_bits_of_scikit_learn() {
    let file = sklearn("scalers.json");
    let (rows, back) = (matrix(&file["rows"]), matrix(&file["inverse_rows"]));
    assert_eq!(cases(&file).len(), 16);
    for case in cases(&file) {
        let (scaler, what) = (of(case), format!("{} {}", case["class"], case["params"]));
        assert_eq!(scaler.validate(8), Ok(()), "{what}");
        for (row, expected) in rows.iter().zip(matrix(&case["transformed"])) {
            let mut got = row.clone();
            scaler.transform(&mut got);
            assert_bits(&what, &got, &expected);
        }
        for (row, expected) in back.iter().zip(matrix(&case["inverse_transformed"])) {
            let mut got = row.clone();
            scaler.inverse_transform(&mut got);
            assert_bits(&what, &got, &expected);
        }
    }
}

fn training_rows(file: &Value) -> Array2<f64> {
    let train = matrix(&file["train"]);
    Array2::from_shape_vec((train.len(), 8), train.concat()).expect("rectangular")
}

/// scikit-learn's parameters of the first case of a class: the one with default options.
fn fitted<'a>(file: &'a Value, class: &str) -> &'a Value {
    let case = cases(file).iter().find(|case| case["class"] == class);
    &case.expect("the class has a case")["fitted"]
}

fn assert_affine(what: &str, got: &Affine, center: Option<Vec<f64>>, scale: &[f64]) {
    if let Some(center) = center {
        assert_close(what, got.center.as_deref().expect("centred"), &center, 1e-12);
    }
    // Scales may be far below 1, so the error is relative throughout.
    let ratios: Vec<f64> =
        got.scale.as_deref().expect("scaled").iter().zip(scale).map(|(got, scale)| got / scale).collect();
    assert_close(what, &ratios, &vec![1.0; scale.len()], 1e-12);
}

#[test]
fn fits_are_those_of_scikit_learn() {
    let file = sklearn("scalers.json");
    let train = training_rows(&file);
    let expected = |class| {
        let fitted = fitted(&file, class);
        (optional_vector(&fitted["mean_"]).or(optional_vector(&fitted["center_"])), vector(&fitted["scale_"]))
    };
    for (class, got) in [
        ("StandardScaler", Scaler::fit_standard(train.view())),
        ("RobustScaler", Scaler::fit_robust(train.view())),
        ("MaxAbsScaler", Scaler::fit_max_abs(train.view())),
    ] {
        let (center, scale) = expected(class);
        match got {
            Scaler::Standard(got) | Scaler::Robust(got) | Scaler::MaxAbs(got) => {
                assert_affine(class, &got, center, &scale);
            }
            other => unreachable!("{other:?} is not affine"),
        }
    }
    let Scaler::MinMax(got) = Scaler::fit_min_max(train.view()) else {
        unreachable!("it is a min-max scaler")
    };
    let expected = fitted(&file, "MinMaxScaler");
    assert_close("min", &got.min, &vector(&expected["min_"]), 1e-12);
    assert_close("scale", &got.scale, &vector(&expected["scale_"]), 1e-12);
}

#[test]
fn a_spread_within_rounding_counts_as_none() {
    // 1000 values around 1e6 whose deviation, 2.3e-8, is far below count · mean · epsilon = 2.2e-7: scikit-learn's bound,
    // which a fixed multiple of epsilon would miss.
    let column: Vec<f64> = (0..1000).map(|i| 1e6 + f64::from(i % 2) * 1e6 * f64::EPSILON * 0.5).collect();
    assert!(column[0] < column[1]);
    let rows = Array2::from_shape_vec((1000, 1), column).expect("one column");
    let Scaler::Standard(got) = Scaler::fit_standard(rows.view()) else {
        unreachable!("it is a standard scaler")
    };
    assert_eq!(got.scale, Some(vec![1.0]));
}

#[test]
fn a_column_without_values_is_left_alone() {
    let rows = Array2::from_elem((3, 1), f64::NAN);
    for scaler in [
        Scaler::fit_standard(rows.view()),
        Scaler::fit_min_max(rows.view()),
        Scaler::fit_robust(rows.view()),
        Scaler::fit_max_abs(rows.view()),
    ] {
        assert_eq!(scaler.validate(1), Ok(()));
        let mut row = [2.5];
        scaler.transform(&mut row);
        assert_eq!(row, [2.5], "{scaler:?}");
    }
}

#[test]
fn parameters_that_cannot_be_used_are_named() {
    let told = |scaler: Scaler| scaler.validate(1).expect_err("refused").to_string();
    let affine = |center, scale, clip| Affine { center, scale, clip };
    assert_eq!(
        told(Scaler::Standard(affine(Some(vec![f64::NAN]), None, None))),
        "standard scaler: a parameter of column 0 is not finite"
    );
    assert_eq!(
        told(Scaler::Robust(affine(None, Some(vec![1.0, 2.0]), None))),
        "robust scaler: expected parameters for 1 columns, got 2"
    );
    assert_eq!(
        told(Scaler::MaxAbs(affine(None, None, Some((1.0, -1.0))))),
        "max-abs scaler: it holds values between 1 and -1"
    );
}
