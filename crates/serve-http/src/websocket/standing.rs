//! What the client of a socket showed when it opened it, so that each question and each push can ask at the locks anew: a key
//! that was taken away, a token that ended and a rate hold for what comes over a socket too.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, header};
use serve_app::auth::Asked;
use serve_app::{Caller, Locks, Permission, ServiceError};

use crate::call::Call;
use crate::doors::{self, API_KEY};

/// What the opening of a socket showed.
pub(super) struct Standing {
    credentials: HeaderMap,
    address: IpAddr,
    certificate: Option<Arc<str>>,
}

impl Standing {
    pub(super) fn of(call: &Call) -> Self {
        let mut credentials = HeaderMap::new();
        for name in [header::AUTHORIZATION, API_KEY] {
            for value in call.parts.headers.get_all(&name) {
                credentials.append(name.clone(), value.clone());
            }
        }
        Self { credentials, address: call.peer.client, certificate: call.peer.subject().cloned() }
    }

    /// Who asks, if they still may.
    pub(super) fn ask(&self, locks: &Locks, request: &str) -> Result<Arc<Caller>, ServiceError> {
        let entry = locks.enter(&Asked {
            credentials: doors::credentials(&self.credentials),
            address: self.address,
            certificate: self.certificate.as_deref(),
            what: ("GET", "/ws/predict"),
            act: None,
            page: "/ws/predict",
            permission: Some(Permission::Predict),
            request,
        });
        entry.outcome
    }
}
