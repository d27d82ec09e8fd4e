//! The body that nearly every client sends, read without serde: one object of texts, switches, and features by name or by
//! position, whose texts have no escapes. What is anything else is left to serde, which reads all of JSON and tells what
//! is wrong; what is read here, serde reads to the same (a test holds the two together).

use std::borrow::Cow;

use serve_app::Features;
use serve_core::{Value, number};
use serve_features::Mode;

use super::{PredictBody, SWITCHES, TEXTS, USE_CACHED};

/// What a body says; nothing, where it is not of this form.
pub(super) fn read(text: &str) -> Option<PredictBody<'_>> {
    let mut reader = Reader { text, at: 0 };
    let mut body = PredictBody::default();
    reader.members(|reader, key| reader.member(&mut body, key))?;
    reader.space();
    (reader.at == text.len()).then_some(body)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Past white space.
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Past one byte, with white space around it.
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek() == Some(byte)).then(|| self.at += 1)?;
        self.space();
        Some(())
    }

    /// Past what stands here, if it is `word`.
    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// What stands between two brackets, parted by commas.
    fn list(&mut self, [open, close]: [u8; 2], mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.byte(open)?;
        if self.peek() == Some(close) {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            self.space();
        }
    }

    /// An object, member by member.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.list(*b"{}", |reader| {
            let key = reader.string()?;
            reader.byte(b':')?;
            member(reader, key)
        })
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'a str> {
        (self.peek() == Some(b'"')).then(|| self.at += 1)?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        (rest[length] == b'"').then_some(())?;
        self.at += length;
        let text = self.text.get(start..self.at);
        self.at += 1;
        text
    }

    fn switch(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(|text| Value::Text(Cow::Borrowed(text))),
            b'n' => self.word("null").map(|()| Value::Missing),
            b't' | b'f' => self.switch().map(Value::Bool),
            _ => {
                let (x, length) = number::leading(self.text.get(self.at..)?)?;
                self.at += length;
                Some(Value::Number(x))
            }
        }
    }

    fn features(&mut self) -> Option<Features<'a>> {
        if self.peek() == Some(b'[') {
            let mut values = Vec::with_capacity(64);
            self.list(*b"[]", |reader| reader.value().map(|value| values.push(value)))?;
            return Some(Features::Positional(values));
        }
        let mut named = Vec::with_capacity(64);
        self.members(|reader, key| reader.value().map(|value| named.push((Cow::Borrowed(key), value))))?;
        Some(Features::Named(named))
    }

    /// One member of the body. What stands twice is left to who can tell it.
    fn member(&mut self, body: &mut PredictBody<'a>, key: &'a str) -> Option<()> {
        fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
            place.replace(value).is_none().then_some(())
        }
        if key == "features" || key == "data" {
            let features = self.features()?;
            once(if key == "features" { &mut body.features } else { &mut body.data }, features)?;
        } else if let Some(at) = TEXTS.iter().position(|known| *known == key) {
            once(&mut body.texts[at], Cow::Borrowed(self.string()?))?;
        } else if let Some(at) = SWITCHES.iter().position(|known| *known == key) {
            once(&mut body.switches[at], self.switch()?)?;
        } else if key == USE_CACHED {
            once(&mut body.mode, if self.switch()? { Mode::Cached } else { Mode::Compute })?;
        } else {
            body.others.push((Cow::Borrowed(key), self.value()?));
            return Some(());
        }
        body.known += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    /// Whole bodies, some of them with a byte changed.
    fn bodies() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<f64>()
                .prop_filter("JSON has finite numbers", |x| x.is_finite())
                .prop_map(|x| x.to_string()),
            any::<i64>().prop_map(|x| x.to_string()),
            "\"[a-z ü]{0,6}\"",
            Just("null".to_owned()),
            Just("false".to_owned()),
        ];
        let members = proptest::collection::vec(("[a-z_]{1,8}", value), 0..6).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        (members, any::<bool>(), any::<proptest::sample::Index>(), proptest::option::weighted(0.3, " -~"))
            .prop_map(|(members, bare, at, change)| {
                let body = if bare { members } else { format!("{{\"model\":\"m\",\"features\":{members}}}") };
                let mut characters: Vec<char> = body.chars().collect();
                if let Some(change) = change {
                    let at = at.index(characters.len());
                    characters.splice(at..=at, change.chars());
                }
                characters.into_iter().collect()
            })
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
