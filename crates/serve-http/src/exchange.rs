//! One exchange, from a request's head to its answer: what is the same for all paths, step by step, in order.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use serve_app::auth::{Attempt, Standings};
use serve_app::{Context, Stage};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::access::Seen;
use crate::allowance::Allowance;
use crate::call::{Call, Peer, RequestId};
use crate::doors;
use crate::encoding;
use crate::failure::Failure;
use crate::forwarded;
use crate::limits::{self, Reading, Received};
use crate::patience::{self, Patience};
use crate::present::Present;
use crate::reply::Reply;
use crate::routes::{App, Found, Route, boxed, dialect};
use crate::waiting::{self, Waker};
use crate::websocket;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a client's that is taken over.
const LONGEST_ID: usize = 128;

/// Requests of longer bodies are answered apart. Some tens of rows are shorter, and cost less than handing them over and back.
const LONGEST_HERE: usize = 16 << 10;

/// The two ends of a connection.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) app: Arc<App>,
    pub(crate) peer: Peer,
}

/// Answers one request, whatever it is: with what its handler says, or with an error in the words of its protocol.
pub(crate) fn answer(ends: Arc<Ends>, request: Request<Incoming>) -> impl Future<Output = Reply> {
    let began = Instant::now();
    async move {
        let Ends { app, peer } = &*ends;
        let headers = request.headers();
        let present = Present::of(headers);
        let id = request_id(present.among(headers, Present::ID), began);
        let client = forwarded::client(peer.address.ip(), headers, &app.config.trusted_proxies);
        let forwarded = (client != peer.client).then(|| Box::new(Peer { client, ..peer.clone() }));
        let peer = forwarded.as_deref().unwrap_or(peer);
        let mut seen = Seen::new(app, &request, present, peer, &id, began);
        let dialect = dialect(request.uri().path());
        let origin = present.among(headers, Present::PAGE).get(header::ORIGIN).cloned();
        let packing = encoding::accepted(present.among(headers, Present::PACKING));
        let packing = packing.filter(|_| encoding::unpacks(dialect, request.uri().path()));
        let mut standings = Standings::default();
        let head = Head { app, peer, id: &id, present, began };
        let answered = match begin(&head, request, &mut standings, &mut seen) {
            Begun::Ended(answered) => *answered,
            Begun::Goes(patience, waker, answering) => {
                let answered = waiting::within(patience.limit, waker, answering).await;
                answered.unwrap_or_else(|| Err(patience.over()))
            }
        };
        let mut reply = answered.unwrap_or_else(|failure| failure.reply(dialect, &id.0));
        doors::tell(standings, reply.headers_mut());
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            reply.headers_mut().insert(REQUEST_ID, value);
        }
        app.doorway.finish(peer, origin.as_ref(), &mut reply);
        if app.is_draining() {
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        seen.sample(&reply);
        if encoding::is_long(&reply) {
            reply = Box::pin(encoding::encoded(reply, dialect, packing)).await;
        }
        seen.told(reply, dialect)
    }
}

/// What is known of a request before it is let in.
struct Head<'a> {
    app: &'a Arc<App>,
    peer: &'a Peer,
    id: &'a RequestId,
    present: Present,
    began: Instant,
}

/// What becomes of a request before its body is read.
enum Admitted {
    /// It has its answer.
    Answered(Reply),
    Asks(Asked),
}

/// A request that may be answered, how long that may take, and who sees to that.
struct Asked {
    route: &'static Route,
    /// Boxed: it goes through several hands.
    call: Box<Call>,
    body: Incoming,
    patience: Patience,
    waker: Waker,
}

/// What came of the beginning of an exchange. Little, as it stands in the memory of the exchange for as long as it takes.
enum Begun<A> {
    Ended(Box<Result<Reply, Failure>>),
    Goes(Patience, Waker, Pin<Box<A>>),
}

/// Lets a request in, and has it answered.
fn begin<'a>(
    head: &'a Head<'a>,
    request: Request<Incoming>,
    standings: &mut Standings,
    seen: &'a mut Seen<'_>,
) -> Begun<impl Future<Output = Result<Reply, Failure>>> {
    match admitted(head, request, standings, seen) {
        Ok(Admitted::Asks(asked)) => {
            Begun::Goes(asked.patience, asked.waker, boxed(|| answered(head, asked, seen)))
        }
        Ok(Admitted::Answered(reply)) => Begun::Ended(Box::new(Ok(reply))),
        Err(failure) => Begun::Ended(Box::new(Err(failure))),
    }
}

/// Finds out what a request asks for and who asks, and whether they may.
fn admitted(
    head: &Head<'_>,
    request: Request<Incoming>,
    standings: &mut Standings,
    seen: &mut Seen<'_>,
) -> Result<Admitted, Failure> {
    let Head { app, peer, id, present, began } = *head;
    let (mut parts, body) = request.into_parts();
    let patience =
        Patience::of(present.among(&parts.headers, Present::PATIENCE), app.config.request_timeout)?;
    if let Some(reply) = app.doorway.admit(peer, &parts, present)? {
        return Ok(Admitted::Answered(reply));
    }
    if present.any(Present::UPGRADE) {
        websocket::lift_key(&mut parts);
    }
    let Found { route, path } = app.find(&parts.method, parts.uri.path())?;
    let entry = doors::enter(app, peer, &parts, present, route, id);
    *standings = entry.standings;
    seen.at_door(route, entry.turned_away);
    let origin = doors::origin(peer, Arc::clone(&id.0), route);
    let context = Context::begun(entry.outcome?, began).until(began + patience.limit).sent_from(origin);
    let context = Arc::new(context);
    seen.let_in(&context);
    let waker = if parts.version == Version::HTTP_2 { Waker::Timer } else { Waker::Watchman };
    let (id, peer) = (id.clone(), peer.clone());
    let call = Call { path, parts, body: Bytes::new(), room: None, id, peer, context };
    Ok(Admitted::Asks(Asked { route, call: Box::new(call), body, patience, waker }))
}

/// Has a request answered, and tells the audit trail where it is an administrator's.
///
/// One block of the compiler's, which waits for what it has and not for what it makes of that: whatever waits within another is
/// kept twice.
fn answered<'a>(
    head: &'a Head<'_>,
    asked: Asked,
    seen: &'a mut Seen<'_>,
) -> impl Future<Output = Result<Reply, Failure>> {
    let Head { app, present, .. } = *head;
    let Asked { route, call, body, waker, .. } = asked;
    let begin = |act| Attempt::new(&call.context, act, route.method.as_str(), call.parts.uri.path());
    let attempt = route.act.map(|act| Box::new(begin(act)));
    let bodies = &app.bodies;
    let limit = app.config.max_body_bytes;
    let reading = Reading { limit, allowance: Allowance::new(&app.config.connections), waker, bodies };
    let mut body = limits::read_body(body, reading);
    let priority = patience::priority(present.among(&call.parts.headers, Present::PATIENCE));
    let priority = priority.map_err(Box::new);
    async move {
        let received = match priority {
            Ok(priority) => {
                priority.into_iter().for_each(|priority| call.context.set_priority(priority));
                (&mut body).await
            }
            Err(failure) => Err(*failure),
        };
        let answered = match received {
            Ok(received) => handled(app, route, call, present, received, seen).await,
            Err(failure) => Err(failure),
        };
        if let Some(attempt) = attempt {
            attempt.ended(answered.as_ref().map(drop).map_err(Failure::reason));
        }
        answered
    }
}

/// Hands a request whose body was read to its handler.
async fn handled(
    app: &Arc<App>,
    route: &'static Route,
    mut call: Box<Call>,
    present: Present,
    received: Received,
    seen: &mut Seen<'_>,
) -> Result<Reply, Failure> {
    let Received { mut body, mut room, waited } = received;
    call.context.spend(Stage::Receive, waited);
    let packed = present.among(&call.parts.headers, Present::PACKED);
    if let Some(encoding) = encoding::content_encoding(packed)? {
        let unpacked = encoding::decoded(encoding, body, app.config.max_body_bytes, room, &app.bodies);
        (body, room) = Box::pin(call.context.timed_async(Stage::Parse, unpacked)).await?;
    }
    (call.body, call.room) = (body, room);
    seen.read(&call);
    match &app.runtime {
        Some(runtime) if call.body.len() > LONGEST_HERE => {
            let app = Arc::clone(app);
            Box::pin(apart(runtime, async move { (route.handler)(&app, call).await })).await
        }
        _ => (route.handler)(app, call).await,
    }
}

/// Has a long request answered where threads help one another out, so that what stands between its parts holds up no other
/// connection of this thread. It ends with who waits for it.
async fn apart(
    runtime: &Handle,
    answering: impl Future<Output = Result<Reply, Failure>> + Send + 'static,
) -> Result<Reply, Failure> {
    let mut tasks = JoinSet::new();
    tasks.spawn_on(answering, runtime);
    match tasks.join_next().await {
        Some(Ok(answered)) => answered,
        Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime ends.
        _ => Err(Failure::internal()),
    }
}

/// The client's id, if it is one that can be written to a log, else a new one.
fn request_id(headers: &HeaderMap, began: Instant) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable =
        |id: &&str| !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
    RequestId(match given.filter(usable) {
        Some(id) => id.into(),
        None => {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            Arc::from(&*crate::id::at(began).hyphenated().encode_lower(&mut text))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::panic::AssertUnwindSafe;
    use std::thread;

    use futures_util::FutureExt as _;
    use tokio::runtime::Runtime;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_is_answered_apart_is_answered_by_another_thread_and_ends_with_who_waits() {
        let (elsewhere, here) = (Runtime::new().expect("starts"), Runtime::new().expect("starts"));
        let (sender, receiver) = oneshot::channel();
        let answer = here.block_on(apart(elsewhere.handle(), async {
            sender.send(thread::current().id()).expect("is waited for");
            Err(Failure::internal())
        }));
        assert!(answer.is_err());
        assert_ne!(receiver.blocking_recv().expect("was sent"), thread::current().id());

        let (held, dropped) = oneshot::channel::<()>();
        let (begun, begins) = oneshot::channel();
        here.block_on(async {
            let waits = apart(elsewhere.handle(), async {
                let _held = held;
                begun.send(()).expect("is waited for");
                pending().await
            });
            tokio::select! { _ = waits => unreachable!("never ends"), begun = begins => begun.expect("begins") }
            dropped.await.expect_err("is dropped");
        });

        let failing = apart(elsewhere.handle(), async { panic!("this is a test's") });
        assert!(here.block_on(AssertUnwindSafe(failing).catch_unwind()).is_err(), "panics here");
    }
}
