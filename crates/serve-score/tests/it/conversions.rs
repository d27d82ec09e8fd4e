//! Columns of every type against the values that they stand for, as serving takes them.

use std::sync::Arc;

use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, NullArray, PrimitiveArray, StringArray, StringViewArray,
    UInt64Array,
};
use serve_core::{Datatype, Input, MissingPolicy, Signature};
use serve_score::convert::{Matrix, Texts, check};

/// The numbers that a column comes to, and what is wrong with it.
fn numbers(input: Input, column: ArrayRef, texts: Texts) -> Vec<String> {
    check(column.data_type(), &input).expect("the type fits");
    let signature = Signature::new(vec![input]).expect("valid");
    let (mut matrix, mut wrong) = (Matrix::default(), Vec::new());
    matrix.read(&signature, &[column], texts, &mut wrong);
    let mut told: Vec<String> = (0..matrix.len()).map(|row| matrix.at(row, 0).to_string()).collect();
    for wrong in wrong {
        let told_of = format!("{:?}", wrong.problem);
        told_of.split([' ', '{']).next().unwrap_or_default().clone_into(&mut told[wrong.row]);
    }
    told
}

fn number(column: impl arrow_array::Array + 'static) -> Vec<String> {
    numbers(Input::number("x").missing(MissingPolicy::Nan), Arc::new(column), Texts::Values)
}

fn city(column: impl arrow_array::Array + 'static, texts: Texts) -> Vec<String> {
    let vocabulary = Some(vec!["Bern".to_owned(), "Genf".to_owned(), "2024-02-29".to_owned()]);
    let input = Input { datatype: Datatype::Bytes, vocabulary, ..Input::number("city") };
    numbers(input, Arc::new(column), texts)
}

#[test]
fn numbers_keep_their_value() {
    assert_eq!(number(Float64Array::from(vec![Some(0.1), None, Some(-0.0)])), ["0.1", "NaN", "-0"]);
    assert_eq!(
        number(Float32Array::from(vec![Some(0.1_f32), None])),
        [f64::from(0.1_f32).to_string(), "NaN".into()]
    );
    assert_eq!(number(Int8Array::from(vec![Some(-128), None])), ["-128", "NaN"]);
    assert_eq!(
        number(Int64Array::from(vec![i64::MAX, 9_007_199_254_740_993])),
        ["9223372036854775807", "9007199254740992"]
            .map(|digits| digits.parse::<f64>().expect("a number").to_string())
    );
    assert_eq!(number(UInt64Array::from(vec![u64::MAX])), [(u64::MAX as f64).to_string()]);
    assert_eq!(number(BooleanArray::from(vec![Some(true), Some(false), None])), ["1", "0", "NaN"]);
    assert_eq!(number(NullArray::new(2)), ["NaN", "NaN"]);
}

#[test]
fn decimals_are_the_nearest_numbers() {
    let decimal = |values: Vec<i128>, scale| {
        Decimal128Array::from(values).with_precision_and_scale(38, scale).expect("fits")
    };
    assert_eq!(number(decimal(vec![11, -5], 1)), ["1.1", "-0.5"]);
    let long = 123_456_789_012_345_678_901_234_567_i128;
    assert_eq!(
        number(decimal(vec![long], 25)),
        ["12.3456789012345678901234567".parse::<f64>().expect("a number").to_string()]
    );
}

#[test]
fn dates_and_moments_count_from_1970() {
    assert_eq!(number(Date32Array::from(vec![Some(19_782), None])), ["19782", "NaN"]);
    let moments = PrimitiveArray::<TimestampMillisecondType>::from(vec![1_500]);
    assert_eq!(number(moments), ["1.5"]);
    assert_eq!(city(Date32Array::from(vec![19_782]), Texts::Values), ["2"]);
}

#[test]
fn text_is_read_where_a_number_is_expected() {
    let texts = vec![Some("1e3"), Some(" 7 "), Some("NA"), Some("true"), Some("red"), None];
    let expected = ["1000", "7", "NaN", "1", "WrongType", "NaN"];
    assert_eq!(number(StringArray::from(texts.clone())), expected);
    assert_eq!(number(LargeStringArray::from(texts.clone())), expected);
    assert_eq!(number(StringViewArray::from(texts)), expected);
}

#[test]
fn dictionaries_are_what_their_values_are() {
    let words: DictionaryArray<Int32Type> =
        vec![Some("Genf"), None, Some("Basel"), Some("Bern")].into_iter().collect();
    assert_eq!(city(words, Texts::Values), ["1", "NaN", "UnknownCategory", "0"]);
    let empty: DictionaryArray<Int32Type> = vec![None::<&str>].into_iter().collect();
    assert_eq!(city(empty, Texts::Values), ["NaN"]);
}

#[test]
fn in_a_csv_some_texts_say_that_nothing_is_there() {
    let texts = || StringArray::from(vec!["Bern", "NA", ""]);
    assert_eq!(city(texts(), Texts::Cells), ["0", "NaN", "NaN"]);
    assert_eq!(city(texts(), Texts::Values), ["0", "UnknownCategory", "UnknownCategory"]);
}

#[test]
fn types_that_are_no_inputs_are_refused() {
    use arrow_schema::DataType;
    let number = Input::number("x");
    assert_eq!(check(&DataType::Binary, &number), Err("numbers"));
    let vocabulary = Some(vec!["a".to_owned()]);
    let text = Input { datatype: Datatype::Bytes, vocabulary, ..Input::number("x") };
    assert_eq!(check(&DataType::Int64, &text), Err("text"));
    assert_eq!(check(&DataType::Boolean, &text), Err("text"));
}
