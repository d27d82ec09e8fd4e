//! What is sent: a body of the user's, or a row made from a model's signature. It is sent once before anything is
//! measured, so that a wrong request is told instead of timed.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName};
use serde_json::{Value as Json, json};
use serve_app::{Exit, ExitReason};

use crate::args::remote::Load;
use crate::remote::{Ask, Remote, value};
use crate::row;

/// The request, which was answered once as it should be.
pub(super) async fn ask(remote: &Remote, options: &Load) -> Result<Ask, Exit> {
    let mut ask = if options.get {
        Ask::get(options.path.clone())
    } else {
        Ask::json(Method::POST, options.path.clone(), body(remote, options).await?)
    };
    for line in &options.header {
        let (name, text) = line.split_once(':').ok_or_else(|| {
            Exit::told(ExitReason::Usage, format!("--header {line:?}: expected 'Name: value'"))
        })?;
        let name: HeaderName = name.trim().parse().map_err(|_| {
            Exit::told(ExitReason::Usage, format!("--header {line:?}: {name:?} is no header's name"))
        })?;
        if name == CONTENT_TYPE {
            ask.headers.remove(CONTENT_TYPE);
        }
        ask.headers.append(name, value("--header", text.trim())?);
    }
    let answer = remote.ask(&ask).await.map_err(|error| Exit::told(ExitReason::Unavailable, error))?;
    if answer.status.is_success() {
        return Ok(ask);
    }
    let message = format!("{} {} is answered {}: {}", ask.method, ask.path, answer.status, answer.excerpt());
    Err(Exit::told(ExitReason::Unavailable, message))
}

async fn body(remote: &Remote, options: &Load) -> Result<Bytes, Exit> {
    if let Some(name) = &options.model {
        let described = remote.ask(&Ask::get(format!("/models/{name}"))).await;
        let described = described.map_err(|error| Exit::told(ExitReason::Unavailable, error))?;
        let told = || {
            Exit::told(
                ExitReason::Data,
                format!("GET /models/{name} is answered {}: {}", described.status, described.excerpt()),
            )
        };
        let model: Json = serde_json::from_slice(&described.body).map_err(|_| told())?;
        let features = row::named(&model).ok_or_else(told)?;
        return Ok(json!({ "model": name, "features": features }).to_string().into());
    }
    match options.body.as_deref() {
        None => Ok(Bytes::from_static(b"{}")),
        Some(text) => match text.strip_prefix('@') {
            None => Ok(text.to_owned().into()),
            Some(path) => std::fs::read(path).map(Bytes::from).map_err(|error| {
                Exit::told(ExitReason::NoInput, format!("--body @{path} cannot be read: {error}"))
            }),
        },
    }
}
