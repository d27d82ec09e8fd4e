//! The audit trail: a line for every administrative act and every refusal, under the target `audit`, never with a secret.
//!
//! Acts are always written. Refusals come from anybody, so that a flood of them must not fill a disk: beyond
//! [`REFUSALS`] they are counted, and the count stands in the next line that is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serve_core::{Alias, ModelName, ModelVersion};
use tracing::{info, warn};

use crate::caller::Caller;
use crate::context::Context;
use crate::error::ServiceError;
use crate::rate::Meter;

/// How many refusals are written.
const REFUSALS: &str = "10/s burst 50";

/// What is written of an act for whose end nobody waited, and why.
const ABANDONED: (&str, &str) = ("abandoned", "nobody waited for the end: what was begun goes on");

/// Longest part of a request's own words that is written.
const LONGEST: usize = 200;

/// Writes refusals, as long as there are not too many.
#[derive(Debug)]
pub(super) struct Refusals {
    meter: Option<Meter>,
    unwritten: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { meter: REFUSALS.parse().ok().map(Meter::new), unwritten: AtomicU64::new(0) }
    }
}

/// Who was refused what. `who` is nobody where that is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal<'a> {
    pub(super) who: Option<&'a Caller>,
    pub(super) from: Option<std::net::IpAddr>,
    pub(super) certificate: Option<&'a str>,
    pub(super) request: &'a str,
    pub(super) what: (&'a str, &'a str),
    /// The administrative act that it would have been, where it would have been one.
    pub(super) act: Option<&'a str>,
    /// The model that it is about, where it is about one.
    pub(super) model: Option<&'a ModelName>,
    pub(super) error: &'a ServiceError,
}

impl Refusals {
    pub(super) fn write(&self, refusal: Refusal<'_>) {
        let Refusal { who, from, certificate, request, what, act, model, error } = refusal;
        let asked = format!("{} {}", what.0, shortened(what.1));
        if self.meter.as_ref().is_some_and(|meter| meter.take("audit").wait.is_some()) {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unwritten = self.unwritten.swap(0, Ordering::Relaxed);
        warn!(
            target: "audit",
            who = who.map(tracing::field::display),
            from = from.map(tracing::field::display),
            certificate,
            what = act.unwrap_or(&asked),
            asked = act.is_some().then_some(&*asked),
            model = model.map(ModelName::as_str),
            code = error.code.as_str(),
            reason = &*shortened(&error.message),
            request_id = request,
            unwritten = (unwritten > 0).then_some(unwritten),
            "refused"
        );
    }

    /// Tells of refusals that were not written, once the flood is over.
    pub(super) fn settle(&self) {
        if self.unwritten.load(Ordering::Relaxed) > 0
            && self.meter.as_ref().is_none_or(|meter| meter.take("audit").wait.is_none())
        {
            let unwritten = self.unwritten.swap(0, Ordering::Relaxed);
            warn!(target: "audit", unwritten, "further refusals were not written");
        }
    }
}

/// As much of a text as is written, without what would break a line.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An administrative act.
#[derive(Debug, Clone, Copy, Default)]
pub struct Act<'a> {
    /// What is done: `promote`, `reload`, …
    pub what: &'a str,
    /// To which model, where it is one.
    pub model: Option<&'a ModelName>,
    /// To which version.
    pub version: Option<&'a ModelVersion>,
    /// With which alias.
    pub alias: Option<&'a Alias>,
    /// To which feature set or table.
    pub target: Option<&'a str>,
    /// By which request, where it came to nothing: a method, and on what.
    pub asked: Option<&'a str>,
}

impl<'a> Act<'a> {
    /// The act begins. Where nobody waits for its end, that is written.
    #[must_use]
    pub fn begun(self, context: &'a Context) -> Begun<'a> {
        Begun { act: self, context }
    }

    fn write(&self, context: &Context, outcome: &str, reason: Option<&str>) {
        let origin = context.origin();
        info!(
            target: "audit",
            who = %context.caller(),
            from = origin.address.map(tracing::field::display),
            certificate = origin.certificate.as_deref(),
            what = &*shortened(self.what),
            model = self.model.map(ModelName::as_str),
            version = self.version.map(ModelVersion::as_str),
            alias = self.alias.map(Alias::as_str),
            to = self.target,
            asked = self.asked.map(shortened),
            outcome,
            reason = reason.map(shortened),
            request_id = &*origin.request,
            "administered"
        );
    }
}

/// An act that is under way.
#[derive(Debug)]
pub struct Begun<'a> {
    act: Act<'a>,
    context: &'a Context,
}

impl Begun<'_> {
    /// Writes what came of it, and hands that on.
    ///
    /// # Errors
    /// Those that came of it.
    pub fn ended<T>(self, outcome: Result<T, ServiceError>) -> Result<T, ServiceError> {
        let error = outcome.as_ref().err();
        self.context.audit();
        self.act.write(
            self.context,
            error.map_or("done", |error| error.code.as_str()),
            error.map(|error| &*error.message),
        );
        outcome
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.context.audit() {
            self.act.write(self.context, ABANDONED.0, Some(ABANDONED.1));
        }
    }
}

/// A request for an administrative act, from when it is let in. Where it comes to an [`Act`], that is what is written; else
/// what kept it from one is, when this is dropped. So each has its line, also one that cannot be read, or whose client
/// hangs up.
#[derive(Debug)]
pub struct Attempt {
    context: Arc<Context>,
    what: &'static str,
    asked: String,
    ended: Option<Result<(), (&'static str, String)>>,
}

impl Attempt {
    /// A request that was let in: the act that it is about, as [`Act`] names it, a method, and on what.
    #[must_use]
    pub fn new(context: &Arc<Context>, what: &'static str, method: &str, path: &str) -> Self {
        Self { context: Arc::clone(context), what, asked: format!("{method} {path}"), ended: None }
    }

    /// It was answered; where that is with an error, with its code and message.
    pub fn ended(mut self, outcome: Result<(), (&'static str, String)>) {
        self.ended = Some(outcome);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.context.audit() {
            return;
        }
        let act = Act { what: self.what, asked: Some(&self.asked), ..Act::default() };
        match &self.ended {
            Some(Ok(())) => act.write(&self.context, "done", None),
            Some(Err((code, message))) => act.write(&self.context, code, Some(message)),
            None => act.write(&self.context, ABANDONED.0, Some(ABANDONED.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::error::Code;

    /// What is logged while `work` is done.
    fn logged(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic").write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, work);
        let bytes = kept.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("is text")
    }

    #[test]
    fn an_act_has_one_line_with_what_it_is_about_however_it_ends() {
        let (model, version) = ("m".parse().expect("a name"), "v2".parse().expect("a version"));
        let act = Act { what: "promote", model: Some(&model), version: Some(&version), ..Act::default() };
        let ended = |end: fn(Begun<'_>)| {
            let context = Arc::new(Context::internal());
            logged(|| {
                let attempt = Attempt::new(&context, "promote", "PUT", "/models/m/aliases/champion");
                end(act.begun(&context));
                drop(attempt);
            })
        };
        for (end, outcome) in [
            ((|begun| drop(begun.ended(Ok(())))) as fn(Begun<'_>), "outcome=\"done\""),
            (
                |begun| drop(begun.ended::<()>(Err(ServiceError::new(Code::UnknownVersion, "no")))),
                "outcome=\"unknown_version\"",
            ),
            (|begun| drop(begun), "outcome=\"abandoned\""),
        ] {
            let line = ended(end);
            let about = ["model=\"m\"", "version=\"v2\"", "what=\"promote\"", outcome];
            assert!(line.lines().count() == 1 && about.iter().all(|part| line.contains(part)), "{line}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let refusals = Refusals::default();
        let error = ServiceError::new(Code::InvalidKey, "the key is not known here");
        let (request, what, act) = ("r", ("GET", "/"), None);
        let (who, from, certificate, model) = (None, None, None, None);
        let refusal = Refusal { who, from, certificate, request, what, act, model, error: &error };
        for _ in 0..10_000 {
            refusals.write(refusal);
        }
        // In the time that this takes, a few more than the burst may be written.
        assert!(refusals.unwritten.load(Ordering::Relaxed) > 1_000);
    }

    #[test]
    fn what_a_client_says_breaks_no_line() {
        assert_eq!(shortened("/a\nb\u{1b}[2J"), "/a b [2J");
        assert_eq!(shortened(&"x".repeat(1_000)).len(), LONGEST);
    }
}
