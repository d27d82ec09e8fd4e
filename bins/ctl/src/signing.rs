//! `keygen` and `sign`.

use std::path::{Path, PathBuf};

use serve_app::{Exit, ExitReason};
use serve_core::Bundle;
use serve_registry::PrivateKey;
use serve_registry::signature::{KeyError, claimed_key};

use crate::config::CtlConfig;
use crate::print;
use crate::registry::{storage, version_of};

pub(crate) fn keygen(out: &Path) -> Result<(), Exit> {
    let cannot = |error: KeyError| Exit::because(ExitReason::CannotCreate, error);
    let public_file = beside(out);
    if public_file.exists() {
        let told = format!("{} is there already; keys are not replaced", public_file.display());
        return Err(Exit::told(ExitReason::CannotCreate, told));
    }
    let key = PrivateKey::generate().map_err(cannot)?;
    key.write(out).map_err(cannot)?;
    let public = key.public();
    public.write(&public_file).map_err(cannot)?;
    let id = public.id();
    print(&format!(
        "private key  {}\npublic key   {}\n             {public}\nkey id       {id}",
        out.display(),
        public_file.display()
    ))
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Reads a key before anything else is done, so that a mistake in its name costs nothing.
pub(crate) fn key(path: Option<&Path>) -> Result<Option<PrivateKey>, Exit> {
    let read = |path: &Path| {
        PrivateKey::read(path).map_err(|error| {
            let missing = matches!(&error, KeyError::Io { .. });
            Exit::because(if missing { ExitReason::NoInput } else { ExitReason::Data }, error)
        })
    };
    path.map(read).transpose()
}

/// The bundle, signed where there is a key.
pub(crate) fn signed(bundle: Bundle, key: Option<&PrivateKey>) -> Bundle {
    match key {
        Some(key) => key.sign_bundle(bundle),
        None => bundle,
    }
}

pub(crate) fn sign(config: &CtlConfig, version: &str, key: &Path) -> Result<(), Exit> {
    let Some(key) = self::key(Some(key))? else { return Ok(()) };
    let registry = config.storage()?;
    let (name, version) = version_of(&*registry, version)?;
    // What is signed is whole: a signature vouches for every file.
    let bundle = registry.bundle(&name, &version).map_err(storage)?;
    registry.sign(&name, &version, &key.sign(bundle.manifest_bytes())).map_err(storage)?;
    let id = key.public().id();
    let before = bundle.signature().and_then(|bytes| claimed_key(bytes).ok()).filter(|before| *before != id);
    let replaced = before.map_or_else(String::new, |before| format!(", in place of {before}"));
    print(&format!("{name}@{version} is signed by {id}{replaced}"))
}
