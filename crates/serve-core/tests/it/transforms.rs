//! Transforms against scikit-learn 1.9.1 and numpy 2.4.6.

use serve_core::Transform;
use serve_core::transform::{apply, output_names};

use crate::reference::{assert_bits, assert_ulps, matrix, optional_vector, sklearn, texts, vector};

#[test]
fn polynomials_have_the_names_and_the_bits_of_scikit_learn() {
    let file = sklearn("transforms.json");
    let (rows, names) = (matrix(&file["polynomial_rows"]), texts(&file["polynomial_input_names"]));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cases = file["polynomial"].as_array().expect("cases");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let params = &case["params"];
        let transform = [Transform::Polynomial {
            columns: names.iter().map(|&name| name.to_owned()).collect(),
            degree: params["degree"].as_u64().expect("a degree") as u32,
            interaction_only: params["interaction_only"] == true,
            include_bias: params["include_bias"] == true,
        }];
        let got = output_names(names.iter().copied(), &transform).expect("valid");
        assert_eq!(got, texts(&case["names"]), "{params}");
        for (row, expected) in rows.iter().zip(matrix(&case["transformed"])) {
            let got = apply(names.iter().copied(), &transform, row).expect("valid");
            assert_bits(&params.to_string(), &got, &expected);
        }
    }
}

/// scikit-learn writes a whole category as `w_1.0` where its column is of floats; the manifest says `w_1`.
fn our_name(name: &str) -> String {
    name.strip_suffix(".0").unwrap_or(name).to_owned()
}

#[test]
fn one_hot_columns_are_those_of_scikit_learn() {
    let file = sklearn("transforms.json");
    let mut unknown = 0;
    let of_numbers = |case: &&serde_json::Value| case["categories"].as_array().is_some_and(|c| c.len() == 4);
    let cases: Vec<_> = file["onehot"].as_array().expect("cases").iter().filter(of_numbers).collect();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let dropped = |column: usize| case["drop_idx"].get(column).is_some_and(serde_json::Value::is_u64);
        let transforms: Vec<_> = ["w", "x", "y", "z"]
            .iter()
            .enumerate()
            .map(|(i, column)| Transform::OneHot {
                column: (*column).to_owned(),
                categories: vector(&case["categories"][i]),
                drop_first: dropped(i),
            })
            .collect();
        let what = case["params"].to_string();
        let expected: Vec<String> = texts(&case["names"]).iter().map(|name| our_name(name)).collect();
        assert_eq!(output_names(["w", "x", "y", "z"], &transforms).expect("valid"), expected, "{what}");
        let rows = matrix(&case["rows"]);
        unknown += rows.len() - 8;
        for (row, expected) in rows.iter().zip(matrix(&case["transformed"])) {
            let got = apply(["w", "x", "y", "z"], &transforms, row).expect("valid");
            assert_bits(&what, &got, &expected);
        }
    }
    assert_eq!(unknown, 15, "three cases have five rows with categories that the encoder does not know");
}

#[test]
fn a_missing_category_is_refused_since_a_manifest_cannot_hold_one() {
    let transform =
        Transform::OneHot { column: "w".into(), categories: vec![1.0, f64::NAN], drop_first: false };
    let error = output_names(["w"], &[transform]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "transform 0 (one_hot): a category is not a number; a missing value is in no category"
    );
}

#[test]
fn log1p_is_numpys_within_one_ulp() {
    let file = sklearn("transforms.json");
    let (x, expected) = (vector(&file["log1p"]["x"]), vector(&file["log1p"]["y"]));
    let transform = [Transform::Log1p { columns: vec!["x".into()] }];
    let got: Vec<f64> = x.iter().map(|x| apply(["x"], &transform, &[*x]).expect("valid")[0]).collect();
    assert_ulps("log1p", &got, &expected, 1);
    // -0.0 keeps its sign, as in numpy.
    assert!(got[11].is_sign_negative());
}

#[test]
fn clip_is_numpys_bit_for_bit() {
    let file = sklearn("transforms.json");
    for case in file["clip"].as_array().expect("cases") {
        let (min, max) = (case["min"].as_f64(), case["max"].as_f64());
        let transform = [Transform::Clip { columns: vec!["x".into()], min, max }];
        let x = optional_vector(&case["x"]).expect("numbers");
        let got: Vec<f64> = x.iter().map(|x| apply(["x"], &transform, &[*x]).expect("valid")[0]).collect();
        assert_bits(&format!("clip to {min:?} … {max:?}"), &got, &vector(&case["y"]));
    }
}

#[test]
fn interaction_ratio_and_select_follow_ieee_754() {
    let transforms = [
        Transform::Interaction { left: "a".into(), right: "b".into() },
        Transform::Ratio { numerator: "a".into(), denominator: "b".into() },
        Transform::Select { columns: vec!["a / b".into(), "a b".into()] },
    ];
    let row = |a: f64, b: f64| apply(["a", "b"], &transforms, &[a, b]).expect("valid");
    assert_eq!(row(3.0, -2.0), [-1.5, -6.0]);
    assert_eq!(row(-1.0, 0.0), [f64::NEG_INFINITY, 0.0]);
    assert!(row(0.0, 0.0)[0].is_nan());
    assert!(row(f64::NAN, 1.0).iter().all(|x| x.is_nan()));
}

#[test]
fn in_place_transforms_act_on_what_stood_there_before() {
    let clip = |min, max| Transform::Clip { columns: vec!["a".into()], min, max };
    let twice =
        [clip(Some(1.0), None), clip(None, Some(2.0)), Transform::Log1p { columns: vec!["a".into()] }];
    assert_eq!(output_names(["a", "b"], &twice).expect("valid"), ["a", "b"]);
    assert_eq!(apply(["a", "b"], &twice, &[-5.0, 7.0]).expect("valid"), [std::f64::consts::LN_2, 7.0]);
}
