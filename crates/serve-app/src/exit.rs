//! How a program ends: a line for people, or one for each mistake, and a code as in sysexits.h for machines. Wrong usage is 2, as argument
//! parsers have it.

use std::error::Error;
use std::fmt;

/// A reason to end that is not success, with its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitReason {
    /// The arguments are wrong.
    Usage = 2,
    /// The input's content is wrong.
    Data = 65,
    /// An input is not there.
    NoInput = 66,
    /// Something needed is not available, such as the port or a store.
    Unavailable = 69,
    /// A mistake of ours.
    Software = 70,
    /// The operating system refused.
    System = 71,
    /// An output cannot be made.
    CannotCreate = 73,
    /// It may work later.
    Temporary = 75,
    /// The configuration is wrong.
    Config = 78,
}

/// An end that is not success.
#[derive(Debug)]
pub struct Exit {
    reason: ExitReason,
    message: String,
    list: Vec<String>,
}

impl Exit {
    /// An end with a message.
    pub fn told(reason: ExitReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), list: Vec::new() }
    }

    /// An end with a message and all that it is about.
    pub fn listing(reason: ExitReason, message: impl Into<String>, list: Vec<String>) -> Self {
        Self { reason, message: message.into(), list }
    }

    /// An end with an error and all its causes in one line.
    pub fn because(reason: ExitReason, error: impl Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self { reason, message, list: Vec::new() }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.reason as u8
    }
}

/// In one line; with `{:#}` what is listed has a line each.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message.replace('\n', " "))?;
        for (at, item) in self.list.iter().enumerate() {
            let between = match (f.alternate(), at) {
                (true, 0) => ":\n  ",
                (true, _) => "\n  ",
                (false, 0) => ": ",
                (false, _) => "; ",
            };
            write!(f, "{between}{}", item.replace('\n', " "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_one_line() {
        let cause = std::io::Error::other("disk\nfull");
        let exit = Exit::because(ExitReason::CannotCreate, cause);
        assert_eq!((exit.code(), exit.to_string().as_str()), (73, "disk full"));
        let exit = Exit::listing(ExitReason::Config, "two", vec!["a\nb".to_owned(), "c".to_owned()]);
        assert_eq!(
            (exit.to_string(), format!("{exit:#}")),
            ("two: a b; c".into(), "two:\n  a b\n  c".into())
        );
    }
}
