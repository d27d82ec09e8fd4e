//! Rows against rules.

use super::*;
use crate::declaration::{FeatureKind, FeatureRange};
use crate::name::FeatureSetName;

fn rule(name: &str, kind: FeatureKind, missing: MissingPolicy) -> Rule {
    Rule { name: name.into(), kind, range: FeatureRange::default(), missing, max_null_rate: None }
}

fn validator() -> Validator {
    let rules = vec![
        Rule {
            range: FeatureRange { min: Some(0.0), max: Some(100.0) },
            max_null_rate: Some(0.25),
            ..rule("rsi", FeatureKind::Number, MissingPolicy::Nan)
        },
        rule("mood", FeatureKind::Number, MissingPolicy::Constant(0.5)),
        rule("open", FeatureKind::Bool, MissingPolicy::Nan),
        rule("venue", FeatureKind::Text, MissingPolicy::Reject),
    ];
    let tally = Tally::new(rules.len());
    let known = rules.iter().map(|rule| &*rule.name).collect::<Vec<_>>().join(", ").into();
    Validator { rules, known, tally }
}

fn row(values: &[(&str, Value<'static>)]) -> FeatureRow {
    let values: Vec<(Arc<str>, Value<'static>)> =
        values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    FeatureRow::new("A".parse().expect("is an entity"), jiff::Timestamp::UNIX_EPOCH, values)
}

fn text(text: &'static str) -> Value<'static> {
    Value::Text(text.into())
}

fn refused(values: &[(&str, Value<'static>)]) -> Vec<String> {
    validator().on_ingest(&row(values)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_as_declared_is_taken_in_any_order_and_with_gaps() {
    let number = Value::Number;
    assert_eq!(
        refused(&[
            ("rsi", number(100.0)),
            ("mood", number(-3.0)),
            ("open", Value::Bool(true)),
            ("venue", text("x"))
        ]),
        [""; 0]
    );
    assert_eq!(refused(&[("venue", text("x")), ("rsi", number(0.0))]), [""; 0]);
    assert_eq!(
        refused(&[("venue", text("x")), ("rsi", number(f64::NAN)), ("open", Value::Missing)]),
        [""; 0]
    );
}

#[test]
fn every_offence_of_a_row_is_told_at_once() {
    let values = [
        ("rsi", Value::Number(100.000_000_1)),
        ("mood", text(" 1.5 ")),
        ("open", Value::Number(1.0)),
        ("volume", Value::Number(1.0)),
        ("venue", Value::Missing),
    ];
    assert_eq!(
        refused(&values),
        [
            "`rsi`: expected 0 to 100, got 100.0000001",
            "`mood`: expected a number, got the text \" 1.5 \": send it without quotes",
            "`open`: expected a boolean, got a number",
            "`venue`: expected a value, got nothing",
            "`volume`: the set has no such feature, it has rsi, mood, open, venue",
        ]
    );
    assert_eq!(
        refused(&[("venue", Value::Bool(true)), ("mood", text("high"))]),
        ["`mood`: expected a number, got text", "`venue`: expected text, got a boolean"]
    );
}

#[test]
fn what_is_just_inside_or_outside_of_a_range_is_told_apart() {
    let offends = |x: f64| !refused(&[("venue", text("x")), ("rsi", Value::Number(x))]).is_empty();
    for inside in [0.0, -0.0, 5e-324, 100.0] {
        assert!(!offends(inside), "{inside}");
    }
    for outside in [-5e-324, 100.0_f64.next_up(), f64::INFINITY, f64::NEG_INFINITY, -1e300] {
        assert!(offends(outside), "{outside}");
    }
}

#[test]
fn on_read_what_offends_is_missing_and_follows_its_policy() {
    let validator = validator();
    let stored = row(&[
        ("rsi", Value::Number(101.0)),
        ("mood", text("0.25")),
        ("open", Value::Bool(false)),
        ("venue", text("x")),
        ("extra", Value::Number(1.0)),
    ]);
    let checked = validator.on_read(&stored);
    let expected = row(&[
        ("rsi", Value::Missing),
        ("mood", Value::Number(0.5)),
        ("open", Value::Bool(false)),
        ("venue", text("x")),
        ("extra", Value::Number(1.0)),
    ]);
    assert_eq!(checked.row, expected);
    assert_eq!(&*checked.filled, [Arc::from("mood")]);
    assert_eq!(checked.invalid.len(), 2);
    assert_eq!(checked.rejected(), None);
}

#[test]
fn on_read_what_is_missing_is_filled_or_rejects_the_row() {
    let checked = validator().on_read(&row(&[("rsi", Value::Number(1.0))]));
    assert_eq!(checked.row.get("mood"), Some(&Value::Number(0.5)));
    let (feature, reason) = checked.rejected().expect("lacks its venue");
    assert_eq!(
        (&*feature, &*reason),
        ("venue", "`venue` has no value, and it is declared with `missing: reject`")
    );
    let (_, reason) =
        validator().on_read(&row(&[("venue", Value::Bool(true))])).rejected().expect("is no text");
    assert_eq!(&*reason, "`venue`: expected text, got a boolean, and it is declared with `missing: reject`");
}

#[test]
fn a_sound_row_is_shared_and_not_copied() {
    let stored = row(&[("rsi", Value::Number(1.0)), ("mood", Value::Number(0.0)), ("venue", text("x"))]);
    let checked = validator().on_read(&stored);
    assert!(std::ptr::eq(checked.row.values(), stored.values()));
}

#[test]
fn counts_and_null_rates_stand_in_the_report() {
    let validator = validator();
    for i in 0..20 {
        let rsi = if i % 2 == 0 { Value::Missing } else { Value::Number(f64::from(i) * 10.0) };
        validator.on_read(&row(&[("rsi", rsi), ("mood", text("1")), ("venue", text("x"))]));
    }
    let set: FeatureSetName = "s".parse().expect("is a name");
    let mut report = SetReport::new(set, None);
    validator.report(&mut report);
    let rsi = &report.features[0];
    assert_eq!((rsi.values, rsi.nulls, rsi.out_of_range, rsi.wrong_type), (20, 10, 5, 0));
    assert_eq!((rsi.null_rate, rsi.max_null_rate), (Some(0.5), Some(0.25)));
    assert_eq!((report.features[1].wrong_type, report.features[1].nulls), (20, 0));
    assert_eq!(
        report.warnings,
        ["`rsi` is missing in 50.0 % of the rows of the last 5 min, more than 25.0 %"]
    );
}
