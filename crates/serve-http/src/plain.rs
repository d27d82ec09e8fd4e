//! JSON as nearly every client writes it, read in one pass without serde: texts without escapes, members that are known and
//! stand once. A reader built of these answers with nothing where it meets anything else, and serde, which reads all of JSON
//! and tells what is wrong, has the body then.

use std::borrow::Cow;

use serve_core::{Value, number};

/// The most digits of a whole number that is read here; none of them passes 2^63.
const DIGITS: usize = 18;

/// Where in a text the next character is read.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Fills a place; what stands twice is left to who can tell it.
pub(crate) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether nothing but white space is left.
    pub(crate) fn ends(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
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
    fn between(
        &mut self,
        [open, close]: [u8; 2],
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
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

    /// A list, item by item.
    pub(crate) fn items(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.between(*b"[]", item)
    }

    /// An object, member by member.
    pub(crate) fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.between(*b"{}", |reader| {
            let key = reader.string()?;
            reader.byte(b':')?;
            member(reader, key)
        })
    }

    /// A text without escapes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
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

    pub(crate) fn switch(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn whole(&mut self) -> Option<u64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = rest.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = matches!(rest.get(length), Some(b'.' | b'e' | b'E'));
        if length == 0 || length > DIGITS || fraction || (rest[0] == b'0' && length > 1) {
            return None;
        }
        self.at += length;
        Some(rest[..length].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
    }

    /// Anything but a list or an object.
    pub(crate) fn value(&mut self) -> Option<Value<'a>> {
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
}

/// What the tests of the readers that are built of this one have in common.
#[cfg(test)]
pub(crate) mod strategies {
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// Anything but a list or an object.
    pub(crate) fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<f64>()
                .prop_filter("JSON has finite numbers", |x| x.is_finite())
                .prop_map(|x| x.to_string()),
            any::<i64>().prop_map(|x| x.to_string()),
            any::<u64>().prop_map(|x| x.to_string()),
            "\"[a-z ü]{0,6}\"",
            Just("null".to_owned()),
            Just("false".to_owned()),
        ]
    }

    /// The texts, so many of them with a character changed.
    pub(crate) fn changed(texts: impl Strategy<Value = String>, share: f64) -> impl Strategy<Value = String> {
        (texts, any::<Index>(), proptest::option::weighted(share, " -~")).prop_map(|(text, at, change)| {
            let mut characters: Vec<char> = text.chars().collect();
            if let Some(change) = change {
                let at = at.index(characters.len());
                characters.splice(at..=at, change.chars());
            }
            characters.into_iter().collect()
        })
    }
}
