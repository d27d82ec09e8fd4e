//! Decoding rows of a set whose names are known already: the rows of a set name the same features in the same order, so a
//! name is compared where it stands, instead of parsed, allocated and freed for every row, and all rows share one list of them.
//!
//! What does not follow the last layout seen goes through serde_json, and becomes the layout when it is sound. Both ways give
//! equal values: numbers are read to the nearest `f64`, whatever JSON refuses is refused. The memory is bounded by
//! constants, whoever writes the rows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serve_core::{Value, number};

use super::decode;
use crate::name::FeatureSetName;
use crate::row::{Names, Values};

/// Sets whose layouts are kept; beyond, all are forgotten and learnt again.
const SETS: usize = 128;
/// Rows of more names are decoded without a layout.
const NAMES: usize = 4096;
/// Rows whose names take more bytes together as well.
const NAME_BYTES: usize = 128 * 1024;

/// A row's names, and its values in their order.
pub(super) type Row = (Names, Values);

/// The names of a row.
#[derive(Debug, Default)]
pub(super) struct Layout {
    names: Names,
    known: Box<[Known]>,
}

/// The JSON text that stands for a name.
#[derive(Debug)]
struct Known {
    quoted: Box<str>,
    /// All that stood between two values: the name with its comma and colon, spaced as in the row that was learnt.
    lead: Box<str>,
}

/// The layouts of a store's sets. A lock is held for one look-up a request, or one insertion where names changed; a panic
/// leaves whole layouts only, so a poisoned lock is used on.
#[derive(Debug, Default)]
pub(super) struct Layouts(RwLock<HashMap<FeatureSetName, Arc<Layout>>>);

impl Layouts {
    /// The last one of a set; one without names where none is known.
    pub(super) fn of(&self, set: &FeatureSetName) -> Arc<Layout> {
        let layouts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        layouts.get(set).cloned().unwrap_or_default()
    }

    /// The names and values of a JSON object, in its order, as [`decode`]. `layout` is the one tried first, and then the one that
    /// was learnt.
    pub(super) fn decode(
        &self,
        set: &FeatureSetName,
        layout: &mut Arc<Layout>,
        json: &str,
    ) -> serde_json::Result<Row> {
        if let Some(values) = follow(layout, json) {
            return Ok((Arc::clone(&layout.names), values.into()));
        }
        let (names, values): (Vec<_>, Vec<_>) = decode(json.as_bytes(), &[])?.into_iter().unzip();
        let (bytes, names) = (names.iter().map(|name| name.len()).sum::<usize>(), Names::from(names));
        if (1..=NAMES).contains(&names.len()) && bytes <= NAME_BYTES {
            *layout = Arc::new(layout_of(&names, json)?);
            self.learn(set, Arc::clone(layout));
        }
        Ok((names, values.into()))
    }

    fn learn(&self, set: &FeatureSetName, layout: Arc<Layout>) {
        let mut layouts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if layouts.len() >= SETS && !layouts.contains_key(set) {
            layouts.clear();
        }
        layouts.insert(set.clone(), layout);
    }
}

/// The names as they follow one another in `json`.
fn layout_of(names: &Names, json: &str) -> serde_json::Result<Layout> {
    let quoted = names.iter().map(|name| serde_json::to_string(&**name));
    let quoted: Vec<String> = quoted.collect::<serde_json::Result<_>>()?;
    // PostgreSQL writes a space behind a colon and a comma, we write none.
    let spaced = quoted.first().is_some_and(|quoted| json.starts_with(&format!("{{{quoted}: ")));
    let space = if spaced { " " } else { "" };
    let known = |(i, quoted): (usize, String)| {
        let before = if i == 0 { "{".to_owned() } else { format!(",{space}") };
        Known { lead: format!("{before}{quoted}:{space}").into(), quoted: quoted.into() }
    };
    Ok(Layout { names: Arc::clone(names), known: quoted.into_iter().enumerate().map(known).collect() })
}

/// The row's values, if it has exactly these names in this order and values of a plain form.
fn follow(layout: &Layout, json: &str) -> Option<Vec<Value<'static>>> {
    if layout.known.is_empty() {
        return None;
    }
    let mut rest = Rest { json, at: 0 };
    let mut values = Vec::with_capacity(layout.known.len());
    let mut before = b'{';
    for Known { quoted, lead } in &layout.known {
        if rest.left().starts_with(lead.as_bytes()) {
            rest.at += lead.len();
        } else {
            rest.take(before)?;
            rest.skip_space();
            rest.at += rest.left().starts_with(quoted.as_bytes()).then_some(quoted.len())?;
            rest.take(b':')?;
        }
        values.push(rest.value()?);
        before = b',';
    }
    rest.take(b'}')?;
    rest.skip_space();
    rest.left().is_empty().then_some(values)
}

/// What is still to be read.
struct Rest<'a> {
    json: &'a str,
    at: usize,
}

impl Rest<'_> {
    fn left(&self) -> &[u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// How many bytes were skipped.
    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let left = self.left();
        let length = left.iter().position(|byte| !wanted(*byte)).unwrap_or(left.len());
        self.at += length;
        length
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.skip_space();
        self.take_if(|byte| byte == wanted).then_some(())
    }

    fn take_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.left().first().is_some_and(|byte| wanted(*byte));
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<Value<'static>> {
        self.skip_space();
        match self.left().first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text(),
            b'n' => self.word("null", Value::Missing),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Value<'static>) -> Option<Value<'static>> {
        self.at += self.left().starts_with(word.as_bytes()).then_some(word.len())?;
        Some(value)
    }

    /// One out of range is left to serde_json to refuse.
    fn number(&mut self) -> Option<Value<'static>> {
        let (x, length) = number::leading(self.json.get(self.at..)?)?;
        self.at += length;
        Some(Value::Number(x))
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<Value<'static>> {
        self.at += 1;
        let start = self.at;
        self.skip(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        let text = self.json.get(start..self.at)?;
        self.take_if(|byte| byte == b'"').then(|| Value::Text(text.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stored::{self, Features, encode};

    /// By serde alone, without a layout.
    fn decode(json: &str) -> serde_json::Result<Row> {
        let (names, values): (Vec<_>, Vec<_>) = stored::decode(json.as_bytes(), &[])?.into_iter().unzip();
        Ok((names.into(), values.into()))
    }

    /// With the layout that was learnt last.
    fn known(layouts: &Layouts, set: &FeatureSetName, json: &str) -> serde_json::Result<Row> {
        layouts.decode(set, &mut layouts.of(set), json)
    }

    fn set() -> FeatureSetName {
        "vader".parse().expect("is a set's name")
    }

    /// Bits too: `-0.0` is not `0.0`.
    fn shown(row: &Row) -> String {
        format!("{row:?}")
    }

    #[test]
    fn rows_of_one_set_share_their_names() {
        let (layouts, set) = (Layouts::default(), set());
        let json = r#"{"a":1.5,"b \"q\"":null,"c":true,"t":"x"}"#;
        let mut first = known(&layouts, &set, json).expect("decodes");
        let spaced = r#" { "a" : -0 , "b \"q\"":2e3,"c":false,"t":"é"} "#;
        let second = known(&layouts, &set, spaced).expect("decodes");
        assert!(Arc::ptr_eq(&first.0, &second.0), "{first:?}");
        first = decode(r#"{"a":-0,"b \"q\"":2e3,"c":false,"t":"é"}"#).expect("decodes");
        assert_eq!(shown(&second), shown(&first));
    }

    #[test]
    fn another_layout_is_learnt_and_the_old_one_forgotten() {
        let (layouts, set) = (Layouts::default(), set());
        for json in [r#"{"a":1}"#, r#"{"b":1,"a":2}"#, r#"{"b":1}"#, "{}", r#"{"a":1,"a":2}"#] {
            let features = known(&layouts, &set, json).expect("decodes");
            assert_eq!(features, decode(json).expect("decodes"), "{json}");
        }
        assert_eq!(layouts.of(&set).names.len(), 2);
    }

    #[test]
    fn hostile_names_do_not_add_up() {
        let layouts = Layouts::default();
        for i in 0..1000 {
            let set = format!("s{i}").parse().expect("is a set's name");
            known(&layouts, &set, &format!("{{\"n{i}\":1}}")).expect("decodes");
        }
        let set = set();
        let many: Vec<String> = (0..=NAMES).map(|i| format!("\"n{i}\":1")).collect();
        known(&layouts, &set, &format!("{{{}}}", many.join(","))).expect("decodes");
        known(&layouts, &set, &format!("{{\"{}\":1}}", "x".repeat(NAME_BYTES + 1))).expect("decodes");
        let kept = layouts.0.read().expect("is not poisoned");
        assert!(kept.len() <= SETS && !kept.contains_key(&set), "{}", kept.len());
    }

    #[test]
    fn what_json_refuses_is_refused_in_a_known_layout_too() {
        let (layouts, set) = (Layouts::default(), set());
        known(&layouts, &set, r#"{"a":1}"#).expect("decodes");
        for value in ["01", "+1", "1.", ".5", "1e", "-", "1e999", "NaN", "inf", "nul", "\"\u{1}\"", "\"x", ""]
        {
            assert!(known(&layouts, &set, &format!("{{\"a\":{value}}}")).is_err(), "{value}");
        }
        for json in [r#"{"a":1"#, r#"{"a":1}}"#, r#"{"a" 1}"#, r#"{"a":1,}"#, r#"{,"a":1}"#] {
            assert!(known(&layouts, &set, json).is_err(), "{json}");
        }
    }

    fn value() -> impl Strategy<Value = Value<'static>> {
        prop_oneof![
            any::<f64>().prop_filter("is finite", |x| x.is_finite()).prop_map(Value::Number),
            (-5_i64..5).prop_map(|x| Value::Number(x as f64)),
            Just(Value::Missing),
            any::<bool>().prop_map(Value::Bool),
            any::<String>().prop_map(|text| Value::Text(text.into())),
        ]
    }

    proptest! {
        #[test]
        fn a_known_layout_gives_what_serde_gives(
            rows in proptest::collection::vec((value(), value(), value()), 1..4),
            name in any::<String>(),
        ) {
            let (layouts, set) = (Layouts::default(), set());
            for (a, b, c) in rows {
                let features: Features = vec![("a".into(), a), (name.as_str().into(), b), ("c".into(), c)];
                let json = encode(stored::pairs(&features)).expect("encodes");
                let got = known(&layouts, &set, &json).expect("decodes");
                prop_assert_eq!(shown(&got), shown(&decode(&json).expect("decodes")));
            }
        }

        #[test]
        fn a_number_as_text_is_read_as_serde_reads_it(
            number in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        ) {
            let (layouts, set) = (Layouts::default(), set());
            let json = format!("{{\"a\":{number}}}");
            known(&layouts, &set, "{\"a\":1}").expect("decodes");
            match decode(&json) {
                Ok(expected) => prop_assert_eq!(shown(&known(&layouts, &set, &json).expect("decodes")), shown(&expected)),
                Err(_) => prop_assert!(known(&layouts, &set, &json).is_err()),
            }
        }
    }
}
