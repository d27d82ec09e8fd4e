//! Expressions cut into words: numbers, durations, names with at most one dot, and signs.

use std::time::Duration;

use super::ExpressionError;
use crate::duration;

/// One word of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// `7`, `0.5`, `1e-3`.
    Number(f64),
    /// `1d`.
    Duration(Duration),
    /// `close`, `sentiment.score`.
    Name(&'a str),
    /// One of `( ) , + - * /`.
    Sign(char),
    /// Nothing is left.
    End,
}

impl Token<'_> {
    /// The word as an error shows it.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Number(x) => format!("`{x}`"),
            Self::Duration(duration) => format!("`{}`", duration::format(duration)),
            Self::Name(name) => format!("`{name}`"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Reads one word after the other.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    byte: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, byte: 0 }
    }

    /// The next word and the character it begins at, counted from 1.
    pub(crate) fn next(&mut self) -> Result<(usize, Token<'a>), ExpressionError> {
        let rest = &self.text[self.byte..];
        self.byte += rest.len() - rest.trim_start().len();
        let (rest, at) = (&self.text[self.byte..], self.text[..self.byte].chars().count() + 1);
        let Some(first) = rest.chars().next() else {
            return Ok((at, Token::End));
        };
        let (token, length) = match first {
            '(' | ')' | ',' | '+' | '-' | '*' | '/' => (Token::Sign(first), 1),
            '0'..='9' | '.' => literal(rest).map_err(|problem| ExpressionError::Literal { at, problem })?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = name(rest);
                (Token::Name(name), name.len())
            }
            other => {
                let expected = "a number, a name, `(` or an operator";
                return Err(ExpressionError::Unexpected { at, expected, got: format!("`{other}`") });
            }
        };
        self.byte += length;
        Ok((at, token))
    }
}

/// A name is letters, digits and `_`, and may be qualified once: `source.column`.
fn name(text: &str) -> &str {
    let word = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let first = word(text);
    let qualified = text[first..].strip_prefix('.').map_or(0, word);
    if qualified == 0 { &text[..first] } else { &text[..=first + qualified] }
}

/// A number, or a duration where letters follow that are no exponent.
fn literal(text: &str) -> Result<(Token<'_>, usize), String> {
    let digits = |text: &str| text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let mantissa = digits(text);
    let exponent = match text[mantissa..].strip_prefix(['e', 'E']) {
        Some(rest) => {
            let sign = usize::from(rest.starts_with(['+', '-']));
            let power = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
            if power == 0 { 0 } else { 1 + sign + power }
        }
        None => 0,
    };
    let number = mantissa + exponent;
    let unit = text[number..].bytes().take_while(u8::is_ascii_alphanumeric).count();
    let word = &text[..number + unit];
    if unit > 0 {
        let duration = duration::parse(word).map_err(|error| error.to_string())?;
        return Ok((Token::Duration(duration), word.len()));
    }
    match word.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok((Token::Number(x), word.len())),
        _ => Err(format!("expected a finite number, got `{word}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<Token<'_>>, ExpressionError> {
        let mut tokens = Tokens::new(text);
        let mut words = Vec::new();
        loop {
            match tokens.next()? {
                (_, Token::End) => return Ok(words),
                (_, token) => words.push(token),
            }
        }
    }

    #[test]
    fn numbers_durations_and_names_are_told_apart() {
        let day = Token::Duration(Duration::from_hours(24));
        assert_eq!(
            words("1d 1e2 .5 7"),
            Ok(vec![day, Token::Number(100.0), Token::Number(0.5), Token::Number(7.0)])
        );
        assert_eq!(words("a.b c_1"), Ok(vec![Token::Name("a.b"), Token::Name("c_1")]));
        assert_eq!(words("7-1"), Ok(vec![Token::Number(7.0), Token::Sign('-'), Token::Number(1.0)]));
    }

    #[test]
    fn mistakes_tell_where() {
        for (text, message) in [
            ("1 + ü", "at character 5: expected a number, a name, `(` or an operator, got `ü`"),
            ("é", "at character 1: expected a number, a name, `(` or an operator, got `é`"),
            ("1.2.3", "at character 1: expected a finite number, got `1.2.3`"),
            ("1e999", "at character 1: expected a finite number, got `1e999`"),
            (
                "x, 7x",
                "at character 4: duration \"7x\": expected a whole number and one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`, such as `15m`",
            ),
        ] {
            assert_eq!(words(text).expect_err("is refused").to_string(), message);
        }
        assert!(words("a.").is_err() && words("a.b.c").is_err());
    }
}
