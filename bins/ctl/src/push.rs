//! `push`: a version copied to another registry.

use serve_app::{Exit, ExitReason};
use serve_registry::{PushError, Pushed};

use crate::args::Push;
use crate::config::CtlConfig;
use crate::registry::{storage, version_of};
use crate::{aliases, person, print};

pub(crate) fn run(config: &CtlConfig, args: &Push) -> Result<(), Exit> {
    let from = config.storage()?;
    let (name, version) = version_of(&*from, &args.version)?;
    let to = config.other_storage(&args.to)?;
    let loader = config.loader()?;
    let pushed = serve_registry::push(&*from, &*to, &*loader, (&name, &version), &person::name());
    let place = to.location();
    print(&match pushed.map_err(refused)? {
        Pushed::Copied => format!("{name}@{version} is at {place}, proven there"),
        Pushed::Signed => format!("{name}@{version} was at {place} already; its signature was added"),
        Pushed::AlreadyThere => format!("{name}@{version} is at {place} already"),
    })?;
    if args.promote {
        aliases::promote(&config.registry_of(to)?, &name, &version, &args.alias, &args.why)?;
    }
    Ok(())
}

fn refused(error: PushError) -> Exit {
    match error {
        PushError::Storage(error) => storage(error),
        other => Exit::because(ExitReason::Data, other),
    }
}
