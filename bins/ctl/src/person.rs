//! Who runs the program, for the aliases' history: `user@host`, as Git has it.

use serve_registry::Author;

use crate::args::Why;

/// The person at this shell. The names are what the environment and the machine say; they prove nothing.
pub(crate) fn name() -> String {
    let variable = |key| std::env::var(key).ok().filter(|name| !name.trim().is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

/// That person and the reason given.
pub(crate) fn author<'a>(name: &'a str, why: &'a Why) -> Author<'a> {
    Author { by: name, why: why.why.as_deref() }
}
