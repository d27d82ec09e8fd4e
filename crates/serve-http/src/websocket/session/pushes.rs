//! What a socket is subscribed to, and what is pushed for it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serve_app::changes::Signal;
use serve_app::{Code, Context, PredictRequest};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{End, Session, Socket, text};
use crate::failure::Failure;
use crate::predict_body::PredictBody;
use crate::websocket::message::{Id, Outgoing, Push};
use crate::websocket::subscription::{Due, Last, Subscription, Target};

impl Session {
    pub(super) fn name(&mut self) -> Id {
        self.named += 1;
        Id::Text(format!("subscription-{}", self.named))
    }

    pub(super) async fn subscribe(
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
        Ok(Target { request, signal, watches, version: None, last: None, due })
    }

    /// Says so, and pushes what there is now.
    pub(super) async fn subscribed(
        &mut self,
        socket: &mut Socket,
        subscription: Subscription,
    ) -> Result<(), End> {
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
    pub(super) async fn push_due(&mut self, socket: &mut Socket) -> Result<(), End> {
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
        if let (Ok(answered), None) = (&answered, subscription.interval) {
            let digest = answered.deployment.digest();
            if target.version.replace(digest).is_some_and(|before| before != digest) {
                // Another version may take features from other sets.
                target.watches =
                    self.service.watch(&context, &target.request, &target.signal).await.unwrap_or_default();
            }
        }
        let last = Last::of(&answered);
        let again = target.last.replace(last) == Some(last);
        if again && (subscription.interval.is_none() || answered.is_err()) {
            return Ok(());
        }
        subscription.sequence += 1;
        let entity = target.request.entity.clone();
        let push =
            Push { entity: entity.as_deref(), sequence: subscription.sequence, left_out: due.left_out };
        let id = subscription.id.clone();
        self.answer(socket, Some(&id), Some(push), &context, answered.map_err(Failure::from)).await
    }
}
