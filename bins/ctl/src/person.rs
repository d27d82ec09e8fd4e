//! Who runs the program, for the aliases' history: `user@host`, as Git has it.

use serve_registry::Author;

use crate::args::Why;

/// The person at this shell. The names are what the environment and the machine say; they prove nothing.
pub(crate) fn name() -> String {
    let variable = |key| std::env::var(key).ok().filter(|name| !name.trim().is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(account);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

/// The name of the account that the program runs as, where the machine's own list has it; else its number.
fn account() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut named = named.filter(|fields| fields.get(2) == Some(&uid.as_str()));
    let name = named.next().and_then(|fields| fields.first().map(ToString::to_string));
    name.unwrap_or_else(|| format!("uid{uid}"))
}

/// That person and the reason given.
pub(crate) fn author<'a>(name: &'a str, why: &'a Why) -> Author<'a> {
    Author { by: name, why: why.why.as_deref() }
}
