//! The body that nearly every client sends, read without serde: one object of texts, switches, and features by name or by
//! position, whose texts have no escapes. What is anything else is left to serde, which reads all of JSON and tells what
//! is wrong; what is read here, serde reads to the same (a test holds the two together).

use std::borrow::Cow;

use serve_app::Features;
use serve_features::Mode;

use super::{PredictBody, SWITCHES, TEXTS, USE_CACHED};
use crate::plain::{Reader, once};

/// What a body says; nothing, where it is not of this form.
pub(super) fn read(text: &str) -> Option<PredictBody<'_>> {
    let mut reader = Reader::new(text);
    let mut body = PredictBody::default();
    reader.members(|reader, key| member(reader, &mut body, key))?;
    reader.ends().then_some(body)
}

fn features<'a>(reader: &mut Reader<'a>) -> Option<Features<'a>> {
    if reader.peek() == Some(b'[') {
        let mut values = Vec::with_capacity(64);
        reader.items(|reader| reader.value().map(|value| values.push(value)))?;
        return Some(Features::Positional(values));
    }
    let mut named = Vec::with_capacity(64);
    reader.members(|reader, key| reader.value().map(|value| named.push((Cow::Borrowed(key), value))))?;
    Some(Features::Named(named))
}

/// One member of the body.
fn member<'a>(reader: &mut Reader<'a>, body: &mut PredictBody<'a>, key: &'a str) -> Option<()> {
    if key == "features" || key == "data" {
        let features = features(reader)?;
        once(if key == "features" { &mut body.features } else { &mut body.data }, features)?;
    } else if let Some(at) = TEXTS.iter().position(|known| *known == key) {
        once(&mut body.texts[at], Cow::Borrowed(reader.string()?))?;
    } else if let Some(at) = SWITCHES.iter().position(|known| *known == key) {
        once(&mut body.switches[at], reader.switch()?)?;
    } else if key == USE_CACHED {
        once(&mut body.mode, if reader.switch()? { Mode::Cached } else { Mode::Compute })?;
    } else {
        body.others.push((Cow::Borrowed(key), reader.value()?));
        return Some(());
    }
    body.known += 1;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plain::strategies::{changed, scalar};

    fn by_serde(text: &str) -> Option<PredictBody<'_>> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn what_clients_send_is_read_here() {
        for text in [
            r#"{"model":"churn","features":{"a":1,"b":-2.5e3,"c":"text","d":null,"e":true}}"#,
            "  { \"model\" : \"m@3\" , \"features\" : [ 1 , 0.25 , null ] }\r\n",
            r#"{"a":1,"b":2}"#,
            r#"{"features":{},"explain":true,"use_cached_features":false,"entity":"ü"}"#,
            r#"{"data":[],"timestamp":"2026-01-01T00:00:00Z"}"#,
            "{}",
        ] {
            let read = read(text);
            assert!(read.is_some(), "{text}");
            assert_eq!(read, by_serde(text), "{text}");
        }
    }

    #[test]
    fn all_else_is_left_to_serde() {
        for text in [
            "",
            "[]",
            "{",
            "{}{",
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":01}"#,
            r#"{"a":1e999}"#,
            r#"{"a":+1}"#,
            r#"{"a\n":1}"#,
            "{\"a\u{1}\":1}",
            r#"{"a":tru}"#,
            r#"{"model":null}"#,
            r#"{"model":"a","model":"b"}"#,
            r#"{"features":{"a":[1]}}"#,
            r#"{"features":[[1]]}"#,
            r#"{"use_cached_features":"auto"}"#,
            r#"{"features":{"a":1}"#,
            r#"{"features":[1 2]}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// Pieces of bodies, and what breaks them.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"features\":"),
            Just("\"data\":"),
            Just("\"model\":\"m\""),
            Just("\"explain\":true"),
            Just("\"a\":"),
            Just("\"b\":1.5"),
            Just("null"),
            Just("true"),
            Just("-0"),
            Just("1e5"),
            Just("\"x\""),
            Just("\"\\u0041\""),
            Just(" "),
            Just("\"é\""),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Whole bodies, some of them with a character changed.
    fn bodies() -> impl Strategy<Value = String> {
        let members = proptest::collection::vec(("[a-z_]{1,8}", scalar()), 0..6).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        let whole = (members, any::<bool>()).prop_map(|(members, bare)| {
            if bare { members } else { format!("{{\"model\":\"m\",\"features\":{members}}}") }
        });
        changed(whole, 0.3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_read_here_serde_reads_to_the_same(text in prop_oneof![pieces(), bodies()]) {
            if let Some(body) = read(&text) {
                prop_assert_eq!(Some(body), by_serde(&text), "{}", text);
            }
        }
    }
}
