//! What a request shows of who sends it, in any protocol that has headers: `Authorization: Bearer …` or `X-API-Key: …`.
//! A key in a URL is never taken: URLs are written to logs and histories.

use crate::error::{Code, ServiceError};

/// The longest key or token that is looked at.
pub(super) const LONGEST: usize = 8 << 10;

/// What a request shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// Nothing.
    None,
    /// A key.
    Key(&'a str),
    /// A key or a token.
    Bearer(&'a str),
    /// Something that is neither.
    Unusable(&'static str),
    /// More than one, which could be of two callers.
    Several,
}

/// Never with the secret.
impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Key(_) => "Key(…)",
            Self::Bearer(_) => "Bearer(…)",
            Self::Unusable(_) => "Unusable",
            Self::Several => "Several",
        })
    }
}

impl<'a> Credentials<'a> {
    /// What the values of the two headers show.
    ///
    /// ```
    /// use serve_app::auth::Credentials;
    /// let shown = Credentials::read([b"Bearer serve_1".as_slice()], []);
    /// assert_eq!(shown, Credentials::Bearer("serve_1"));
    /// ```
    pub fn read(
        authorization: impl IntoIterator<Item = &'a [u8]>,
        api_key: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let (mut authorization, mut api_key) = (authorization.into_iter(), api_key.into_iter());
        match (authorization.next(), api_key.next(), authorization.next().or(api_key.next())) {
            (None, None, _) => Self::None,
            (_, _, Some(_)) | (Some(_), Some(_), _) => Self::Several,
            (None, Some(key), None) => Self::of(key, Self::Key),
            (Some(value), None, None) => {
                let Some((scheme, rest)) = value.split_first_chunk::<7>() else {
                    return Self::Unusable("Authorization has no Bearer");
                };
                if scheme.eq_ignore_ascii_case(b"bearer ") {
                    Self::of(rest, Self::Bearer)
                } else {
                    Self::Unusable("Authorization has another scheme than Bearer")
                }
            }
        }
    }

    fn of(text: &'a [u8], shown: impl Fn(&'a str) -> Self) -> Self {
        let text = text.trim_ascii();
        if text.len() > LONGEST {
            return Self::Unusable("it is longer than 8 KiB");
        }
        match std::str::from_utf8(text) {
            Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => shown(text),
            _ => Self::Unusable("it is empty, or has other characters than keys and tokens have"),
        }
    }

    /// The secret, and whether it may be a token.
    pub(super) fn secret(self) -> Result<(&'a str, bool), ServiceError> {
        match self {
            Self::Key(text) => Ok((text, false)),
            Self::Bearer(text) => Ok((text, true)),
            Self::None => Err(ServiceError::new(
                Code::Unauthenticated,
                "this is not for everyone: send a key or token as `Authorization: Bearer …`, or a key as `X-API-Key: …`",
            )),
            Self::Unusable(why) => {
                let message = format!("what was sent to say who asks cannot be used: {why}");
                Err(ServiceError::new(Code::Unauthenticated, message))
            }
            Self::Several => Err(ServiceError::new(
                Code::AmbiguousCredentials,
                "more than one key or token was sent; expected one, in Authorization or in X-API-Key",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(authorization: &[&'a str], api_key: &[&'a str]) -> Credentials<'a> {
        let bytes = |texts: &[&'a str]| texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>();
        Credentials::read(bytes(authorization), bytes(api_key))
    }

    #[test]
    fn either_header_is_read() {
        assert_eq!(read(&[], &[]), Credentials::None);
        assert_eq!(read(&["bEARER  a.b.c "], &[]), Credentials::Bearer("a.b.c"));
        assert_eq!(read(&[], &["k"]), Credentials::Key("k"));
    }

    #[test]
    fn two_of_them_are_refused_even_if_one_would_do() {
        for several in
            [read(&["Bearer a"], &["a"]), read(&["Bearer a", "Bearer b"], &[]), read(&[], &["a", "a"])]
        {
            assert_eq!(several, Credentials::Several);
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_not_looked_for() {
        let huge = "x".repeat(LONGEST + 1);
        for text in ["Basic YTpi", "Bearer", "", "Bearer ", "Bearer a b", "Bearer \u{e9}"] {
            assert!(matches!(read(&[text], &[]), Credentials::Unusable(_)), "{text:?}");
        }
        assert!(matches!(read(&[], &[&huge]), Credentials::Unusable(_)));
        assert_eq!(format!("{:?}", read(&[], &["secret"])), "Key(…)");
    }
}
