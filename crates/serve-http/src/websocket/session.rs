//! One socket, from its opening to its end: one task that does one thing at a time, so that what cannot be sent is not made.

use std::sync::Arc;
use std::time::Duration;

use crate::wire::Wire;
use futures_util::{SinkExt as _, StreamExt as _};
use serve_app::{Answered, Context, Fault, Origin, Service, ServiceError, Stage};
use serve_core::response::PredictResponse;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{Level, debug};

use super::budget::Budget;
use super::message::{Id, Incoming, Outgoing, Push, Refused};
use super::standing::Standing;
use super::subscription::Subscriptions;
use super::{Counted, PATH, Place, WebSocketConfig};
use crate::access::Line;
use crate::call::{Call, Peer};
use crate::failure::Failure;
use crate::predict::{Asked, with_response_to};
use crate::routes::App;

mod pushes;

type Socket = WebSocketStream<Wire>;

/// How long a closing socket waits for its client to agree.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a socket ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or is gone.
    Gone,
    /// The client takes nothing.
    Slow,
    /// The client did what it must not.
    Refused(CloseCode, &'static str),
    /// The server stops.
    Stopping,
}

pub(super) struct Session {
    service: Arc<Service>,
    standing: Standing,
    config: WebSocketConfig,
    request_timeout: Duration,
    /// The handshake's id; requests on the socket are numbered.
    id: Arc<str>,
    requests: u64,
    subscriptions: Subscriptions,
    /// How many subscriptions were given a name by this server.
    named: u64,
    bell: Arc<Notify>,
    budget: Budget,
    closing: watch::Receiver<bool>,
    peer: Peer,
    /// That of the opening; questions and pushes have ids of their own.
    origin: Origin,
    /// Given back when the session ends.
    place: Place,
}

/// What happens next.
enum Event {
    Received(Option<Result<Message, Error>>),
    Due,
    Ping,
    Stopping,
}

impl Session {
    pub(super) fn new(app: &App, call: &Call, place: Place) -> Self {
        let config = app.config.websocket.clone();
        Self {
            service: Arc::clone(&app.service),
            standing: Standing::of(call),
            request_timeout: app.config.request_timeout,
            id: Arc::clone(&call.id.0),
            requests: 0,
            subscriptions: Subscriptions::default(),
            named: 0,
            bell: Arc::default(),
            budget: Budget::new(config.messages_per_second),
            config,
            closing: place.closing(),
            peer: call.peer.clone(),
            origin: call.context.origin().clone(),
            place,
        }
    }

    pub(super) async fn run(mut self, mut socket: Socket) {
        let end = self.serve(&mut socket).await;
        self.place.count(match end {
            End::Gone => Counted::Left,
            End::Slow => Counted::Slow,
            End::Refused(..) => Counted::Refused,
            End::Stopping => Counted::Stopping,
        });
        debug!(id = &*self.id, ?end, "a socket ends");
        let (code, reason) = match end {
            End::Gone | End::Slow => return,
            End::Refused(code, reason) => (code, reason),
            End::Stopping => (CloseCode::Away, "the server is stopping"),
        };
        let goodbye = async {
            let last = text(Outgoing::Closing { reason });
            if let Ok(last) = last {
                socket.send(last).await?;
            }
            socket.close(Some(CloseFrame { code, reason: reason.into() })).await?;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, Error>(())
        };
        // A client that does not agree is left.
        let _agreed = timeout(GOODBYE, goodbye).await;
    }

    async fn serve(&mut self, socket: &mut Socket) -> End {
        let mut pings = interval(self.config.ping_interval.max(Duration::from_millis(1)));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        let mut heard = Instant::now();
        loop {
            let due = self.subscriptions.next_due();
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => Event::Stopping,
                message = socket.next() => Event::Received(message),
                () = self.bell.notified() => Event::Due,
                () = timer => Event::Due,
                _ = pings.tick() => Event::Ping,
            };
            let done = match event {
                Event::Stopping => Err(End::Stopping),
                Event::Received(message) => {
                    heard = Instant::now();
                    self.received(socket, message).await
                }
                Event::Due => self.push_due(socket).await,
                Event::Ping if heard.elapsed() >= 2 * self.config.ping_interval => {
                    Err(End::Refused(CloseCode::Policy, "no sign of life"))
                }
                Event::Ping => self.send(socket, Ok(Message::Ping(Vec::new().into()))).await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn received(
        &mut self,
        socket: &mut Socket,
        message: Option<Result<Message, Error>>,
    ) -> Result<(), End> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => {
                return Err(End::Refused(CloseCode::Unsupported, "messages are text"));
            }
            // They ask for nothing, and count as messages all the same.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))
                if !self.budget.spend(Instant::now()) =>
            {
                return Err(End::Refused(
                    CloseCode::Policy,
                    "more pings than http.websocket.messages_per_second",
                ));
            }
            // Pongs go out with the next message, or at once where there is none.
            Some(Ok(Message::Ping(_))) => return socket.flush().await.map_err(|_| End::Gone),
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => return Ok(()),
            Some(Err(Error::Capacity(_))) => {
                return Err(End::Refused(
                    CloseCode::Size,
                    "the message is over http.websocket.max_message_bytes",
                ));
            }
            Some(Err(Error::Utf8(_))) => {
                return Err(End::Refused(CloseCode::Invalid, "the text is not UTF-8"));
            }
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return Err(End::Gone),
            Some(Err(Error::Protocol(_))) => {
                return Err(End::Refused(CloseCode::Protocol, "that is not the WebSocket protocol"));
            }
            Some(Ok(Message::Close(_))) => {
                // Reading on sends the answer to it.
                let answered = async { while socket.next().await.is_some_and(|message| message.is_ok()) {} };
                let _left = timeout(GOODBYE, answered).await;
                return Err(End::Gone);
            }
            Some(Err(_)) | None => return Err(End::Gone),
        };
        self.requests += 1;
        if !self.budget.spend(Instant::now()) {
            let message = format!(
                "more than {} messages a second (http.websocket.messages_per_second)",
                self.config.messages_per_second
            );
            let failure = Failure::of(http::StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
            return self.refuse(socket, None, &failure).await;
        }
        match self.obey(socket, &text).await {
            Ok(done) => done,
            Err(refused) => self.refuse(socket, refused.0.as_ref(), &refused.1).await,
        }
    }

    async fn obey(&mut self, socket: &mut Socket, message: &str) -> Result<Result<(), End>, Refused> {
        match Incoming::read(message)? {
            Incoming::Ping { id } => Ok(self.send(socket, text(Outgoing::Pong { id: id.as_ref() })).await),
            Incoming::Unsubscribe { id } => {
                if self.subscriptions.remove(&id) {
                    return Ok(self.send(socket, text(Outgoing::Unsubscribed { id: &id })).await);
                }
                let failure =
                    Failure::invalid("unknown_subscription", "there is no subscription with this id");
                Err(Refused::new((Some(id), failure)))
            }
            Incoming::Predict { id, body } => {
                let context = self.context().map_err(|error| Refused::new((id.clone(), error.into())))?;
                let answered = match body.request() {
                    Ok(request) => self.service.predict(&context, &request).await.map_err(Failure::from),
                    Err(failure) => Err(failure),
                };
                Ok(self.answer(socket, id.as_ref(), None, &context, answered).await)
            }
            Incoming::Subscribe { id, interval, entities, body } => {
                let id = id.unwrap_or_else(|| self.name());
                match self.subscribe(id.clone(), interval, entities, *body).await {
                    Ok(subscription) => Ok(self.subscribed(socket, subscription).await),
                    Err(failure) => Err(Refused::new((Some(id), failure))),
                }
            }
        }
    }

    async fn answer(
        &self,
        socket: &mut Socket,
        id: Option<&Id>,
        push: Option<Push<'_>>,
        context: &Context,
        answered: Result<Answered, Failure>,
    ) -> Result<(), End> {
        let request_id = self.request_id();
        let written = match &answered {
            Ok(answered) => {
                let asked = Asked { id: &request_id, context, now: self.service.now() };
                let write = |answer: &PredictResponse<'_>| text(Outgoing::Prediction { id, push, answer });
                context.timed(Stage::Write, || with_response_to(&asked, answered, write))
            }
            Err(failure) => {
                text(Outgoing::Error { id, push, error: failure.entry(), request_id: &request_id })
            }
        };
        self.tell(&request_id, push.is_some(), context, answered.as_ref().err(), written.as_ref().ok());
        self.send(socket, written).await
    }

    /// Counts a question or a push, and writes its line.
    fn tell(
        &self,
        request_id: &str,
        pushed: bool,
        context: &Context,
        failure: Option<&Failure>,
        written: Option<&Message>,
    ) {
        let took = context.began().elapsed();
        self.service.predicted(context, took, failure.map(|failure| (failure.code(), failure.fault())));
        self.place.count(if pushed { Counted::Push } else { Counted::Question });
        let level = match failure.map(Failure::fault) {
            _ if pushed => Level::DEBUG,
            None | Some(Fault::Client) => Level::INFO,
            Some(_) => Level::WARN,
        };
        let line = Line {
            method: if pushed { "PUSH" } else { "ASK" },
            context: Some(context),
            took,
            bytes_out: written.map(|message| message.len() as u64),
            ..self.line(request_id, context.began() + took, failure)
        };
        line.write(level);
    }

    /// The line of a message that came to nothing.
    fn line<'a>(
        &'a self,
        request_id: &'a str,
        ended: std::time::Instant,
        failure: Option<&'a Failure>,
    ) -> Line<'a> {
        Line {
            request_id,
            method: "ASK",
            path: PATH,
            route: Some(PATH),
            status: None,
            peer: &self.peer.shown,
            client: self.peer.forwarded(),
            certificate: self.peer.subject().map(|subject| &**subject),
            turned_away: None,
            context: None,
            ended,
            took: Duration::ZERO,
            bytes_in: None,
            bytes_out: None,
            trace: None,
            error: failure.map(|failure| (failure.code(), failure.message())),
        }
    }

    async fn refuse(&self, socket: &mut Socket, id: Option<&Id>, failure: &Failure) -> Result<(), End> {
        let request_id = self.request_id();
        let told = text(Outgoing::Error { id, push: None, error: failure.entry(), request_id: &request_id });
        self.line(&request_id, std::time::Instant::now(), Some(failure)).write(Level::INFO);
        self.send(socket, told).await
    }

    /// Sends, within what a client may take for it, unless the server stops meanwhile.
    async fn send(&self, socket: &mut Socket, message: Result<Message, End>) -> Result<(), End> {
        let message = message?;
        let mut closing = self.closing.clone();
        tokio::select! {
            sent = timeout(self.config.send_timeout, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Slow),
            },
            _ = closing.wait_for(|closing| *closing) => Err(End::Stopping),
        }
    }

    /// What goes with one question or push: who asks, if they still may.
    fn context(&self) -> Result<Context, ServiceError> {
        let caller = self.standing.ask(self.service.locks(), &self.request_id())?;
        let now = std::time::Instant::now();
        let origin = Origin { request: self.request_id().into(), ..self.origin.clone() };
        Ok(Context::begun(caller, now).until(now + self.request_timeout).sent_from(origin))
    }

    fn request_id(&self) -> String {
        format!("{}.{}", self.id, self.requests)
    }
}

/// By value: what is told borrows from what cannot be held while something is sent.
#[allow(clippy::needless_pass_by_value, reason = "a borrow would be held across the sending")]
fn text(message: Outgoing<'_>) -> Result<Message, End> {
    // Only a map with keys that are not text fails, and no message of ours has one.
    serde_json::to_string(&message).map(Message::text).map_err(|_| End::Gone)
}
