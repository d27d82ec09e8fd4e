//! UBJSON as no XGBoost writes it, but draft 12 allows, and UBJSON that lies.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serve_formats::{Format, ImportError, import};

use crate::cases::{cases, chain, model_file};
use crate::hostile::{Random, survive};

/// How a document is written; each of these is legal.
#[derive(Clone, Copy)]
enum Style {
    /// Counted objects and arrays, typed where all numbers have a type; lengths of one byte where they fit.
    Counted,
    /// Neither counts nor types, no-ops wherever they may stand, lengths of two bytes.
    Loose,
}

fn length(out: &mut Vec<u8>, length: usize, style: Style) {
    match (style, u8::try_from(length)) {
        (Style::Counted, Ok(length)) if length < 128 => out.extend([b'i', length]),
        (Style::Counted, Ok(length)) => out.extend([b'U', length]),
        _ => {
            out.push(b'l');
            out.extend(i32::try_from(length).unwrap().to_be_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str, style: Style) {
    length(out, text.len(), style);
    out.extend(text.as_bytes());
}

fn no_op(out: &mut Vec<u8>, style: Style) {
    if matches!(style, Style::Loose) {
        out.extend(b"NN");
    }
}

fn open(out: &mut Vec<u8>, mark: u8, count: usize, style: Style) {
    out.push(mark);
    if matches!(style, Style::Counted) {
        out.push(b'#');
        length(out, count, style);
    }
}

/// All elements as 64-bit floats behind one type, where they are floats.
fn typed(out: &mut Vec<u8>, list: &[Value]) -> bool {
    if list.is_empty() || !list.iter().all(Value::is_f64) {
        return false;
    }
    out.extend(b"[$D#");
    length(out, list.len(), Style::Counted);
    list.iter().for_each(|x| out.extend(x.as_f64().unwrap().to_be_bytes()));
    true
}

fn write(out: &mut Vec<u8>, value: &Value, style: Style) {
    match value {
        Value::Null => out.push(b'Z'),
        Value::Bool(flag) => out.push(if *flag { b'T' } else { b'F' }),
        Value::Number(number) => match number.as_i64() {
            Some(integer) if i16::try_from(integer).is_ok() => {
                out.push(b'I');
                out.extend(i16::try_from(integer).unwrap().to_be_bytes());
            }
            Some(integer) => {
                out.push(b'L');
                out.extend(integer.to_be_bytes());
            }
            None => {
                out.push(b'D');
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::String(string) => {
            out.push(b'S');
            text(out, string, style);
        }
        Value::Array(list) => {
            if matches!(style, Style::Counted) && typed(out, list) {
                return;
            }
            open(out, b'[', list.len(), style);
            for value in list {
                no_op(out, style);
                write(out, value, style);
            }
            no_op(out, style);
            out.extend(if matches!(style, Style::Counted) { &b""[..] } else { b"]" });
        }
        Value::Object(map) => {
            open(out, b'{', map.len(), style);
            for (key, value) in map {
                text(out, key, style);
                no_op(out, style);
                write(out, value, style);
            }
            out.extend(if matches!(style, Style::Counted) { &b""[..] } else { b"}" });
        }
    }
}

fn ubjson(value: &Value, style: Style) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value, style);
    out
}

fn golden_case(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/xgboost-3.2.0").join(case)
}

fn golden() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/xgboost-3.2.0");
    fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_legal_form_is_the_same_model() {
    for folder in golden() {
        let json = fs::read(folder.join("model.json")).unwrap();
        let expected = import(&json, Format::Auto).unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        for style in [Style::Counted, Style::Loose] {
            let model = import(&ubjson(&value, style), Format::Auto)
                .unwrap_or_else(|error| panic!("{}: {}", folder.display(), chain(&error)));
            assert_eq!(model.estimator, expected.estimator, "{}", folder.display());
            assert_eq!((&model.task, &model.features), (&expected.task, &expected.features));
        }
    }
}

/// What is wrong with a JSON file is wrong with the same in UBJSON, and told in the same words.
#[test]
fn broken_models_are_refused_as_their_json_is() {
    let mut compared = 0;
    for case in cases("xgboost-refused") {
        let bytes = case.read(case.json["file"].as_str().unwrap());
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let error = import(&bytes, Format::XgBoost).expect_err("refused");
        if matches!(error, ImportError::Json { .. } | ImportError::Mismatch { .. }) {
            continue;
        }
        let other = import(&ubjson(&value, Style::Loose), Format::Auto).expect_err("refused");
        assert_eq!(chain(&other), chain(&error), "{}", case.name);
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn thresholds_and_leaves_that_are_no_numbers_are_refused() {
    let json = fs::read(golden_case("binary-logistic").join("model.json")).unwrap();
    let value: Value = serde_json::from_slice(&json).unwrap();
    let tree = "learner.gradient_booster.model.trees[0].split_conditions";
    let list = &value["learner"]["gradient_booster"]["model"]["trees"][0]["split_conditions"];
    for place in [0, list.as_array().unwrap().len() - 1] {
        for bad in [f64::NAN, f64::INFINITY] {
            let number = list[place].as_f64().unwrap().to_be_bytes();
            let mut bytes = ubjson(&value, Style::Counted);
            // base_weights, which come before, hold the same numbers.
            let key = bytes.windows(16).position(|window| window == b"split_conditions").unwrap();
            let start = key + bytes[key..].windows(8).position(|window| window == number).unwrap();
            bytes[start..start + 8].copy_from_slice(&bad.to_be_bytes());
            let message = chain(&import(&bytes, Format::Auto).expect_err("refused"));
            assert_eq!(message, format!("{tree}[{place}]: expected a finite number, got {bad}"));
        }
    }
}

/// What is said about a value of the key `learner`.
fn refusal(value: &[u8]) -> String {
    let bytes = [b"{U\x07learner", value, b"}"].concat();
    chain(&import(&bytes, Format::Auto).expect_err("refused"))
}

#[test]
fn what_is_wrong_is_told_with_its_byte() {
    let long = i64::MAX.to_be_bytes();
    let with_length = |before: &[u8]| [before, b"L", &long].concat();
    for (value, expected) in [
        (
            b"H".to_vec(),
            "byte 10, learner: the UBJSON does not read as an XGBoost model: high-precision numbers",
        ),
        (
            b"?".to_vec(),
            "byte 10, learner: the UBJSON does not read as an XGBoost model: expected a value, got the marker '?'",
        ),
        (
            with_length(b"{U\x01a[#"),
            "byte 16, learner.a: the UBJSON does not read as an XGBoost model: expected a length that 1 bytes have room for, got 9223372036854775807",
        ),
        (with_length(b"{U\x01a[$d#"), "got 9223372036854775807"),
        (with_length(b"{U\x01a[$[#"), "got 9223372036854775807"),
        (with_length(b"{U\x01a{#"), "got 9223372036854775807"),
        (with_length(b"{U\x01aS"), "got 9223372036854775807"),
        (with_length(b"{"), "got 9223372036854775807"),
        (with_length(b"{U\x01a[$Z#"), "expected the type of values that have bytes, got the marker 'Z'"),
        (with_length(b"{U\x01a[$N#"), "expected the type of values that have bytes, got the marker 'N'"),
        (b"{U\x01a[$dU\x01".to_vec(), "expected '#' and a count"),
        (b"{U\x01a[#i\xff".to_vec(), "expected a length that 1 bytes have room for, got -1"),
        (b"{U\x01a[#d\0\0\0\0".to_vec(), "expected an integer for a length, got the marker 'd'"),
        (b"{i\x02\xff\xfeZ}".to_vec(), "the text is not UTF-8"),
        (b"{U\x01ad\0".to_vec(), "expected 4 bytes more, got the end of the file after 2"),
        (b"{}".to_vec(), "missing field `gradient_booster`"),
        (b"{U\x0afeature_names[$U#U\x01\x05}".to_vec(), "expected a"),
    ] {
        let message = refusal(&value);
        assert!(message.contains(expected), "{}: {message:?} lacks {expected:?}", value.escape_ascii());
    }
    let mut whole = fs::read(golden()[0].join("model.ubj")).unwrap();
    whole.push(b'Z');
    let message = chain(&import(&whole, Format::Auto).expect_err("refused"));
    assert!(
        message.contains(&format!("byte {}", whole.len() - 1)) && message.contains("1 bytes are left over"),
        "{message}"
    );
}

#[test]
fn nesting_is_bounded_for_what_is_read_and_what_is_skipped() {
    for (key, inner) in
        [("attributes", &b"["[..]), ("attributes", b"{U\x01a"), ("unknown", b"["), ("unknown", b"{U\x01a")]
    {
        let mut value = vec![b'{', b'U', u8::try_from(key.len()).unwrap()];
        value.extend(key.as_bytes());
        value.extend(if key == "attributes" { &b"{U\x01b"[..] } else { b"" });
        value.extend(inner.repeat(1_000_000));
        assert!(refusal(&value).contains("values lie more than 128 deep"), "{key}");
    }
}

fn small() -> Vec<Vec<u8>> {
    ["binary-logistic", "categories-sets", "dart", "gblinear", "vector-classes"]
        .map(|case| fs::read(golden_case(case).join("model.ubj")).unwrap())
        .into()
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for bytes in small() {
        for cut in (0..bytes.len()).step_by(3) {
            assert!(survive(&bytes[..cut]).is_none(), "cut at {cut} of {}", bytes.len());
        }
    }
}

#[test]
fn changed_bytes_are_survived() {
    let mut random = Random(0x5eed_0004);
    for bytes in small() {
        let mut read = 0;
        for _ in 0..800 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let place = random.below(damaged.len());
                damaged[place] = match random.below(3) {
                    0 => u8::try_from(random.below(256)).unwrap(),
                    1 => b"[]{}$#iUIlLdDSCHZTFN"[random.below(20)],
                    _ => damaged[place] ^ 1 << random.below(8),
                };
            }
            read += usize::from(survive(&damaged).is_some());
        }
        assert!(read > 0, "some changes are harmless");
    }
}

/// XGBoost 2.1 writes the bare word NaN for the thresholds of leaves with several values.
#[test]
fn bare_words_in_json_are_read_where_nothing_depends_on_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/xgboost-2.1.4/vector-targets");
    let json = fs::read(root.join("model.json")).unwrap();
    assert!(json.windows(4).any(|window| window == b",NaN"));
    assert!(import(&json, Format::Auto).is_ok());
    let text = String::from_utf8(model_file("xgboost", "binary")).unwrap();
    let (before, after) = text.split_once(r#""split_conditions":["#).unwrap();
    let after = after.split_once(',').unwrap().1;
    for word in ["NaN", "Infinity", "-Infinity"] {
        let damaged = format!(r#"{before}"split_conditions":[{word},{after}"#);
        let message = chain(&import(damaged.as_bytes(), Format::Auto).expect_err("refused"));
        assert!(
            message.contains("trees[0].split_conditions[0]: expected a finite number, got NaN"),
            "{message}"
        );
    }
}
