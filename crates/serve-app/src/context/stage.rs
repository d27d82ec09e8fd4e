//! The stages of a request, by which its time is told.

/// Where the time of a request goes, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the body, as fast as the client sends it.
    Receive,
    /// Making sense of it.
    Parse,
    /// Waiting for a place.
    Queue,
    /// Getting features that did not come with it.
    Features,
    /// Looking for an answer that is kept, or waiting for the one that another request makes.
    Cache,
    /// Checking, transforming, inferring, deciding, explaining.
    Infer,
    /// Writing the answer.
    Write,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 7] =
        [Self::Receive, Self::Parse, Self::Queue, Self::Features, Self::Cache, Self::Infer, Self::Write];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Parse => "parse",
            Self::Queue => "queue",
            Self::Features => "features",
            Self::Cache => "cache",
            Self::Infer => "infer",
            Self::Write => "write",
        }
    }
}
