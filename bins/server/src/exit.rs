//! How the program ends: one line for people, and a code as in sysexits.h for machines.

use std::fmt;

/// An end that is not success.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// 66: an input is not there.
    pub(crate) const NO_INPUT: u8 = 66;
    /// 69: something needed is not available, such as the port.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// 70: a mistake of ours.
    pub(crate) const SOFTWARE: u8 = 70;
    /// 71: the operating system refused.
    pub(crate) const OS: u8 = 71;
    /// 75: requests were cut off at the stop.
    pub(crate) const CUT_OFF: u8 = 75;
    /// 78: the configuration is wrong.
    pub(crate) const CONFIG: u8 = 78;

    /// An end with an error and its causes in one line.
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, message: format!("{:#}", error.into()) }
    }

    /// An end with a message.
    pub(crate) fn told(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
