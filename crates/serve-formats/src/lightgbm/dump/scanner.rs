//! Cuts JSON into the texts of its values, without recursion. The text has been held to be JSON before, so only the
//! structure is followed here; on other text it stops early or gives wrong pieces, and never more.

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Past white space, what comes next.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied()
    }

    /// Steps past `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next key of the object that is open, up to its value; `None` past the object's end.
    pub(super) fn key(&mut self) -> Option<&'a str> {
        self.take(b',');
        if self.peek()? != b'"' {
            self.at += 1;
            return None;
        }
        let quoted = self.value();
        self.take(b':');
        Some(quoted.trim_matches('"'))
    }

    /// The text of the next value.
    pub(super) fn value(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' => break,
                _ => self.skip_scalar(),
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                return;
            }
        }
    }

    fn skip_scalar(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let end = rest.iter().position(|byte| b",:{}[]\" \t\n\r".contains(byte));
        self.at += end.unwrap_or(rest.len());
    }
}

/// The fields of an object in order; `None` for another value.
pub(super) fn fields(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut scanner = Scanner::new(text);
    if !scanner.take(b'{') {
        return None;
    }
    let mut fields = Vec::new();
    while let Some(key) = scanner.key() {
        fields.push((key, scanner.value()));
    }
    Some(fields)
}

/// The elements of a list; none for another value.
pub(super) fn elements(text: &str) -> Vec<&str> {
    let mut scanner = Scanner::new(text);
    let mut elements = Vec::new();
    if scanner.take(b'[') {
        while scanner.peek().is_some_and(|byte| byte != b']') {
            let value = scanner.value();
            elements.push(value);
            if !scanner.take(b',') {
                break;
            }
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_where_they_end() {
        let text = r#" { "a" : [1, {"b": "]},\""}] , "c":-1.5e3,"d":null , "\"e":"x\\" } "#;
        let expected =
            [("a", r#"[1, {"b": "]},\""}]"#), ("c", "-1.5e3"), ("d", "null"), (r#"\"e"#, r#""x\\""#)];
        assert_eq!(fields(text), Some(expected.to_vec()));
        assert_eq!(fields("{}"), Some(vec![]));
        assert_eq!(fields("[1]"), None);
        assert_eq!(elements(r#" [ 1 ,"a,b", [2,3] ,{} ] "#), ["1", r#""a,b""#, "[2,3]", "{}"]);
        assert_eq!(elements("[]"), [""; 0]);
        assert_eq!(elements("7"), [""; 0]);
    }

    #[test]
    fn other_text_ends() {
        for text in
            ["", "{", "{\"", "{\"a", "{\"a\":", "{\"a\\", "[", "[1", "[,", "{]", "[}", "[:", "{\"a\":}", "é["]
        {
            let (_, _) = (fields(text), elements(text));
        }
    }
}
