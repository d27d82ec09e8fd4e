//! One socket, from its opening to its end: one task that does one thing at a time, so that what cannot be sent is not made.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serve_app::changes::{Signal, made_from};
use serve_app::{Code, Context, PredictRequest, Service, ServiceError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::debug;

use super::budget::Budget;
use super::message::{Id, Incoming, Outgoing, Push, Refused};
use super::standing::Standing;
use super::subscription::{Due, Subscription, Subscriptions, Target};
use super::{Place, WebSocketConfig};
use crate::call::Call;
use crate::failure::Failure;
use crate::predict::{Asked, with_response_to};
use crate::predict_body::PredictBody;
use crate::routes::App;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long a closing socket waits for its client to agree.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a socket ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or is gone.
    Gone,
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
    /// Given back when the session ends.
    _place: Place,
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
            _place: place,
        }
    }

    pub(super) async fn run(mut self, mut socket: Socket) {
        let end = self.serve(&mut socket).await;
        debug!(id = &*self.id, ?end, "a socket ends");
        let (code, reason) = match end {
            End::Gone => return,
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
            Some(Err(Error::Protocol(_))) => {
                return Err(End::Refused(CloseCode::Protocol, "that is not the WebSocket protocol"));
            }
            Some(Err(_) | Ok(Message::Close(_))) | None => return Err(End::Gone),
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
                let request = body.request().map_err(|failure| Refused::new((id.clone(), failure)))?;
                let context = self.context().map_err(|error| Refused::new((id.clone(), error.into())))?;
                let answered = self.service.predict(&context, &request).await;
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

    fn name(&mut self) -> Id {
        self.named += 1;
        Id::Text(format!("subscription-{}", self.named))
    }

    async fn subscribe(
        &self,
        id: Id,
        interval: Option<Duration>,
        entities: Option<Vec<String>>,
        body: PredictBody<'_>,
    ) -> Result<Subscription, Failure> {
        let invalid = |message: String| Err(Failure::invalid("invalid_request", message));
        if self.subscriptions.list.iter().any(|other| other.id == id) {
            return invalid("there is a subscription with this id already".to_owned());
        }
        if interval.is_some_and(|interval| interval < self.config.min_interval) {
            let least = serve_core::duration::format(self.config.min_interval);
            return invalid(format!("the interval is shorter than {least} (http.websocket.min_interval)"));
        }
        let bodies: Vec<PredictBody<'_>> = match entities {
            None => vec![body],
            Some(entities) => {
                entities.into_iter().map(|entity| body.clone().about(Cow::Owned(entity))).collect()
            }
        };
        let open = self.subscriptions.targets() + bodies.len();
        if bodies.is_empty() || open > self.config.subscriptions {
            let most = self.config.subscriptions;
            let message = format!(
                "a socket has 1 to {most} subscribed entities (http.websocket.subscriptions), this makes {open}"
            );
            return Err(Failure::invalid("too_many_subscriptions", message));
        }
        let context = self.context()?;
        let mut targets = Vec::with_capacity(bodies.len());
        for body in bodies {
            targets.push(self.target(&context, body, interval).await?);
        }
        Ok(Subscription { id, interval, targets, sequence: 0 })
    }

    async fn target(
        &self,
        context: &Context,
        body: PredictBody<'_>,
        interval: Option<Duration>,
    ) -> Result<Target, Failure> {
        let request = body.request()?;
        let request = PredictRequest {
            model: request.model.clone(),
            entity: request.entity.as_deref().map(|entity| Cow::Owned(entity.to_owned())),
            features: request.features.to_static(),
            ..request
        };
        let signal = Signal::new(Arc::clone(&self.bell));
        // Also with an interval: what cannot be asked for is refused now.
        let watches = self.service.watch(context, &request, &signal).await?;
        if watches.is_empty() && interval.is_none() {
            let message = "the request brings all features, so nothing will change: subscribe to an entity, or with an interval";
            return Err(Failure::invalid("invalid_request", message));
        }
        let watches = if interval.is_none() { watches } else { Vec::new() };
        let due = interval.map(|interval| Instant::now() + interval);
        Ok(Target { request, signal, _watches: watches, made_from: None, due })
    }

    /// Says so, and pushes what there is now.
    async fn subscribed(&mut self, socket: &mut Socket, subscription: Subscription) -> Result<(), End> {
        let told = text(Outgoing::Subscribed {
            id: &subscription.id,
            entities: subscription.targets.len(),
            interval: subscription.interval.map(serve_core::duration::format),
        });
        self.send(socket, told).await?;
        let (at, targets) = (self.subscriptions.list.len(), subscription.targets.len());
        self.subscriptions.list.push(subscription);
        for target in 0..targets {
            self.push(socket, Due { subscription: at, target, left_out: 0 }).await?;
        }
        Ok(())
    }

    /// Pushes what is due, each at most once, so that messages are read in between.
    async fn push_due(&mut self, socket: &mut Socket) -> Result<(), End> {
        for _ in 0..self.subscriptions.targets() {
            if *self.closing.borrow() {
                return Err(End::Stopping);
            }
            let Some(due) = self.subscriptions.take_due(Instant::now()) else { return Ok(()) };
            self.push(socket, due).await?;
        }
        Ok(())
    }

    /// Pushes one answer, unless it would be the last one once more.
    async fn push(&mut self, socket: &mut Socket, due: Due) -> Result<(), End> {
        self.requests += 1;
        let context = match self.context() {
            Ok(context) => context,
            // Pushes wait until there is room again; who may not ask any more is sent away.
            Err(error) if error.code == Code::RateLimited => return Ok(()),
            Err(_) => return Err(End::Refused(CloseCode::Policy, "the key or token does not hold any more")),
        };
        let subscription = &mut self.subscriptions.list[due.subscription];
        let target = &mut subscription.targets[due.target];
        let answered = self.service.predict(&context, &target.request).await;
        let made_from = match &answered {
            Ok(answered) => made_from(answered),
            Err(error) => error.code as u64,
        };
        if target.made_from.replace(made_from) == Some(made_from) && subscription.interval.is_none() {
            return Ok(());
        }
        subscription.sequence += 1;
        let entity = target.request.entity.clone();
        let push =
            Push { entity: entity.as_deref(), sequence: subscription.sequence, left_out: due.left_out };
        let id = subscription.id.clone();
        self.answer(socket, Some(&id), Some(push), &context, answered).await
    }

    async fn answer(
        &self,
        socket: &mut Socket,
        id: Option<&Id>,
        push: Option<Push<'_>>,
        context: &Context,
        answered: Result<serve_app::Answered, ServiceError>,
    ) -> Result<(), End> {
        let request_id = self.request_id();
        let text = match answered {
            Ok(answered) => {
                let asked = Asked { id: &request_id, context, now: self.service.now() };
                with_response_to(&asked, &answered, |answer| text(Outgoing::Prediction { id, push, answer }))
            }
            Err(error) => {
                let error = Failure::from(error).entry();
                text(Outgoing::Error { id, push, error, request_id: &request_id })
            }
        };
        self.send(socket, text).await
    }

    async fn refuse(&self, socket: &mut Socket, id: Option<&Id>, failure: &Failure) -> Result<(), End> {
        let request_id = self.request_id();
        let told = text(Outgoing::Error { id, push: None, error: failure.entry(), request_id: &request_id });
        self.send(socket, told).await
    }

    /// Sends, within what a client may take for it, unless the server stops meanwhile.
    async fn send(&self, socket: &mut Socket, message: Result<Message, End>) -> Result<(), End> {
        let message = message?;
        let mut closing = self.closing.clone();
        tokio::select! {
            sent = timeout(self.config.send_timeout, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(End::Gone),
            },
            _ = closing.wait_for(|closing| *closing) => Err(End::Stopping),
        }
    }

    /// What goes with one question or push: who asks, if they still may.
    fn context(&self) -> Result<Context, ServiceError> {
        let caller = self.standing.ask(self.service.locks(), &self.request_id())?;
        let now = std::time::Instant::now();
        Ok(Context::begun(caller, now).until(now + self.request_timeout))
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
