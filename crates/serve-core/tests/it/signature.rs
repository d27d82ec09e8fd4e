//! Every way into a model asks the same of a row and tells the same of a bad one.

use serve_core::{
    CheckedRow, Datatype, DecisionPolicy, Estimator, Input, InvalidInput, Link, MissingPolicy, Pipeline,
    PredictError, Range, Signature, Value,
};

use crate::models::{linear, regression};

fn input(name: &str, datatype: Datatype) -> Input {
    Input { datatype, ..Input::number(name) }
}

fn typed() -> Signature {
    let range = Some(Range { min: Some(0.0), max: Some(10.0) });
    Signature::new(vec![
        input("count", Datatype::Int64),
        input("flag", Datatype::Bool),
        Input { range, ..Input::number("share") },
    ])
    .expect("valid")
}

fn told(result: Result<(), InvalidInput>) -> Vec<String> {
    match result.expect_err("refused") {
        InvalidInput::Violations { violations } => violations.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    }
}

#[test]
fn a_bad_row_is_told_the_same_by_name_by_position_and_as_numbers() {
    let (signature, mut row) = (typed(), CheckedRow::new());
    let numbers = [1.5, 2.0, 11.0];
    let values = numbers.map(Value::Number);
    let names = ["share", "flag", "count"];
    let named: Vec<_> = names.iter().zip([2, 1, 0]).map(|(name, at)| (*name, values[at].clone())).collect();
    let expected = [
        "count: expected a whole number, got 1.5",
        "flag: expected true or false, got 2",
        "share: expected 0 to 10, got 11",
    ];
    assert_eq!(told(signature.read_numbers(&numbers, &mut row)), expected);
    assert_eq!(told(signature.read_positional(&values, &mut row)), expected);
    assert_eq!(told(signature.read_named(&named, &mut row)), expected);
}

#[test]
fn types_hold_where_missing_values_are_the_models_own_business() {
    let lenient = Input { missing: MissingPolicy::Nan, ..input("count", Datatype::Int64) };
    let (signature, mut row) = (Signature::new(vec![lenient]).expect("valid"), CheckedRow::new());
    assert_eq!(
        told(signature.read_numbers(&[0.5], &mut row)),
        told(signature.read_named(&[("count", Value::Number(0.5))], &mut row)),
    );
    signature.read_numbers(&[f64::NAN], &mut row).expect("missing is admitted");
    assert!(row.values()[0].is_nan());
}

#[test]
fn what_is_missing_is_told_whether_or_not_a_value_stands_in() {
    let nan = |name| Input::number(name).missing(MissingPolicy::Nan);
    let filled = Input::number("d").missing(MissingPolicy::Constant(7.0));
    let own_rule = Signature::new(vec![nan("a"), nan("b"), nan("c")]).expect("valid");
    let mixed = Signature::new(vec![nan("a"), nan("b"), filled, nan("c")]).expect("valid");
    let named = [("c", Value::Missing), ("a", Value::Number(1.0))];
    let mut row = CheckedRow::new();
    own_rule.read_named(&named, &mut row).expect("admitted");
    assert_eq!(row.imputed(), [1, 2], "one is absent, one is null");
    assert!(row.values()[1].is_nan() && row.values()[2].is_nan());
    own_rule
        .read_mixed(&[("c", Value::Missing)], named.iter().map(|(name, value)| (*name, value)), &mut row)
        .expect("admitted");
    assert_eq!(row.imputed(), [1, 2], "a stored value does not show through a null");
    mixed.read_named(&named, &mut row).expect("admitted");
    assert_eq!((row.imputed(), row.values()[2]), (&[1, 2, 3][..], 7.0));
    own_rule
        .read_positional(&[Value::Missing, Value::Number(0.0), Value::Missing], &mut row)
        .expect("admitted");
    assert_eq!(row.imputed(), [0, 2]);
    own_rule.read_numbers(&[0.0, f64::NAN, f64::INFINITY], &mut row).expect("admitted");
    assert_eq!(row.imputed(), [1]);
    own_rule.read_numbers(&[0.0; 3], &mut row).expect("admitted");
    assert_eq!(row.imputed(), [0; 0]);
}

#[test]
fn an_input_offends_once_and_a_thousand_are_listed_in_order() {
    let names: Vec<String> = (0..1000).map(|i| format!("x{i}")).collect();
    let signature = Signature::of_numbers(names.clone()).expect("valid");
    // The last is of the wrong type, and would be missing too.
    let wrong = [("x999", Value::Text("7".into()))];
    let told = told(signature.read_named(&wrong, &mut CheckedRow::new()));
    assert_eq!(told.len(), 1000);
    assert_eq!(told[998], "x998: missing, and the model has no value to stand in");
    assert_eq!(told[999], "x999: expected a number, got text \"7\"");
}

#[test]
fn a_refused_row_cannot_be_predicted_from_its_buffer() {
    let signature = Signature::of_numbers(["a", "b"]).expect("valid");
    let estimator = Estimator::of(linear(&[vec![1.0, 1.0]], vec![0.0]), Link::default());
    let pipeline = Pipeline::new(signature, &estimator, regression(), DecisionPolicy::Argmax).expect("fits");
    let mut row = CheckedRow::new();
    let refused = PredictError::Input(InvalidInput::Length { expected: 2, got: 0 });
    for bad in [&[1.0, f64::NAN][..], &[1.0][..]] {
        pipeline.signature().read_numbers(&[1.0, 2.0], &mut row).expect("admitted");
        assert_eq!(pipeline.predict_checked(&row).expect("answered").value(), Some(3.0));
        pipeline.signature().read_numbers(bad, &mut row).expect_err("refused");
        assert_eq!(pipeline.predict_checked(&row).expect_err("refused"), refused);
    }
}

#[test]
fn an_end_of_a_range_is_a_number() {
    let range = Some(Range { min: Some(f64::NAN), max: None });
    let error = Signature::new(vec![Input { range, ..Input::number("a") }]).expect_err("refused");
    assert_eq!(error.to_string(), "input \"a\": an end of the range is not a number");
}
