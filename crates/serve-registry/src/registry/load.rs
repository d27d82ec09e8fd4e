//! Loading versions: each once however many ask for it, by threads of the registry, within the cache's limits.
//!
//! A version that was loaded is published among the model's deployments; whether an alias leads to it is another matter
//! ([`follow`](super::follow), [`change`](super::change)).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serve_core::{ModelName, ModelRef, ModelVersion, Selector};

use super::{DeploymentError, Outcome, Shared, Writer};
use crate::cache::{Key, NoRoom};
use crate::deployment::{Deployment, RefusedError};
use crate::lifecycle::VersionState;
use crate::snapshot::ModelSnapshot;
use crate::storage::Fingerprint;
use crate::sync::single_flight::{Flight, Join, SingleFlight};

/// How long a loaded version waits for others to leave that are in use, and how often it looks.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What unloading a version came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unloaded {
    /// It is unloaded.
    Done,
    /// It was not loaded.
    WasNot,
    /// A guard window needs it; it stays loaded until that ends.
    Guarded,
}

/// What is told an outcome.
pub(crate) type Done = Box<dyn FnOnce(Outcome) + Send>;

type Job = (Key, Flight<Key, Outcome>);

/// The loads that are under way or wait for a thread.
pub(super) struct Loads {
    flights: SingleFlight<Key, Outcome>,
    /// `None` once the registry is closed.
    queue: Mutex<Option<VecDeque<Job>>>,
    arrived: Condvar,
    /// Versions that are to take another one's place; see [`Swapping`].
    swapping: Mutex<HashMap<Key, usize>>,
}

impl Loads {
    pub(super) fn new(max_waiting: usize) -> Self {
        Self {
            flights: SingleFlight::new(max_waiting),
            queue: Mutex::new(Some(VecDeque::new())),
            arrived: Condvar::new(),
            swapping: Mutex::default(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.in_flight()
    }

    /// Who waits now is told nothing any more, which a channel's receiver sees.
    pub(super) fn close(&self) {
        let left = self.queue().take();
        self.arrived.notify_all();
        drop(left);
    }

    fn add(&self, job: Job) {
        let refused = match &mut *self.queue() {
            Some(queue) => {
                queue.push_back(job);
                None
            }
            None => Some(job),
        };
        self.arrived.notify_one();
        drop(refused);
    }

    /// The next load for a thread; `None` when there will be none any more.
    pub(super) fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.as_mut()?.pop_front() {
                return Some(job);
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Option<VecDeque<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swapping(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.swapping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a version is about to take another one's place.
    pub(super) fn is_swapping(&self, name: &ModelName, version: &ModelVersion) -> bool {
        self.swapping().keys().any(|key| (&key.0, &key.1) == (name, version))
    }
}

/// A version that was loaded to take another one's place. Until it is dropped, both have room, and nobody who publishes
/// meanwhile takes the version for one that nothing leads to.
pub(super) struct Swapping<'a> {
    loads: &'a Loads,
    key: Key,
}

impl Drop for Swapping<'_> {
    fn drop(&mut self) {
        let mut swapping = self.loads.swapping();
        if let Some(count) = swapping.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                swapping.remove(&self.key);
            }
        }
    }
}

impl Shared {
    /// See [`Registry::request`](super::Registry::request).
    pub(super) fn request(self: Arc<Self>, reference: ModelRef, done: Done) {
        match self.resolve(&reference) {
            Err(DeploymentError::NotLoaded { name, version }) => {
                self.cache.miss();
                self.join(reference, (name, version), done);
            }
            outcome => done(outcome),
        }
    }

    fn join(self: Arc<Self>, reference: ModelRef, key: Key, done: Done) {
        // A callback for which there is no place is dropped; whoever asked is told all the same.
        let done = Arc::new(Mutex::new(Some(done)));
        let take = |done: &Mutex<Option<Done>>| done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let shared = Arc::clone(&self);
        let landed = Arc::clone(&done);
        let callback = move |outcome| {
            if let Some(done) = take(&landed) {
                shared.requested(reference, outcome, done);
            }
        };
        if let Err(busy) = self.board(key, callback)
            && let Some(done) = take(&done)
        {
            done(Err(busy));
        }
    }

    /// Joins the load of a version, or starts it. Where as many wait as may, the callback is dropped.
    fn board(&self, key: Key, done: impl FnOnce(Outcome) + Send + 'static) -> Result<(), DeploymentError> {
        match self.loads.flights.join(key.clone(), done) {
            Join::Lead(flight) => self.loads.add((key, flight)),
            Join::Wait => {}
            Join::Full => {
                let (name, version) = key;
                let waiting = self.cache.limits().max_waiting;
                return Err(DeploymentError::Busy { name, version, waiting });
            }
        }
        Ok(())
    }

    /// What a load means for one of those who asked. Where the version was refused, another one may be meant now; each
    /// turn refuses one.
    fn requested(self: Arc<Self>, reference: ModelRef, outcome: Outcome, done: Done) {
        let movable = !matches!(reference.selector, Selector::Version(_) | Selector::Previous);
        match outcome {
            Err(DeploymentError::Refused(_)) if movable => self.request(reference, done),
            Ok(deployment) => {
                deployment.touch(self.now());
                if !matches!(reference.selector, Selector::Alias(_)) {
                    deployment.ask();
                }
                done(Ok(deployment));
            }
            refused => done(refused),
        }
    }

    /// Loads a version and waits for it, however long it takes. Not for requests.
    pub(super) fn load_now(&self, name: &ModelName, version: &ModelVersion) -> Outcome {
        let (sender, receiver) = channel();
        self.board((name.clone(), version.clone()), move |outcome| drop(sender.send(outcome)))?;
        receiver.recv().unwrap_or(Err(DeploymentError::Closed))
    }

    /// [`load_now`](Self::load_now) for a version that is to take another one's place. What is answered has to be held
    /// until the snapshot is published in which it does.
    pub(super) fn load_to_swap(
        &self,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Result<Swapping<'_>, DeploymentError> {
        let key = (name.clone(), version.clone());
        *self.loads.swapping().entry(key.clone()).or_default() += 1;
        let swapping = Swapping { loads: &self.loads, key };
        self.load_now(name, version).map(|_| swapping)
    }

    /// The work of a loading thread.
    pub(super) fn load(&self, key: &Key) -> Outcome {
        let (name, version) = key;
        let loaded = self.snapshot(name).and_then(|snapshot| snapshot.deployments.get(version).cloned());
        if let Some(deployment) = loaded {
            return Ok(deployment);
        }
        let fingerprint = self.storage.fingerprint(name, version);
        let mut begin = |state| self.lifecycles.enter(key, state);
        let loaded = self.fits(name, version).and_then(|()| {
            Deployment::load_watched(&*self.storage, &*self.loader, name, version, &mut begin)
        });
        let outcome = match loaded {
            Ok(deployment) => self.admit(key, Arc::new(deployment), &fingerprint),
            Err(error) => {
                self.refuse(&error, fingerprint);
                Err(error.into())
            }
        };
        self.cache.loaded(outcome.as_ref().ok().map(|deployment| deployment.load_time()));
        outcome
    }

    /// Refuses what cannot have room before it is read.
    fn fits(&self, name: &ModelName, version: &ModelVersion) -> Result<(), RefusedError> {
        let snapshot = self.snapshot(name);
        let summary = snapshot.as_ref().and_then(|snapshot| snapshot.summary_of(version));
        match summary {
            Some(summary) => self.check_size((name, version), summary.model_bytes),
            None => Ok(()),
        }
    }

    fn check_size(
        &self,
        (name, version): (&ModelName, &ModelVersion),
        bytes: u64,
    ) -> Result<(), RefusedError> {
        let allowed = self.cache.limits().max_bytes;
        if bytes <= allowed.0 {
            return Ok(());
        }
        let reason = format!("it needs {bytes} bytes of memory, registry.cache.max_bytes allows {allowed}");
        Err(RefusedError { name: name.clone(), version: version.clone(), reason: reason.into() })
    }

    /// Puts a loaded version among the model's deployments, once others have made room.
    fn admit(&self, key: &Key, deployment: Arc<Deployment>, fingerprint: &Fingerprint) -> Outcome {
        let (name, version) = key;
        let bytes = deployment.memory_bytes();
        if let Err(error) = self.check_size((name, version), bytes) {
            self.refuse(&error, fingerprint.clone());
            return Err(error.into());
        }
        let Some(mut writer) = self.room_for(name, bytes) else {
            let limits = self.cache.limits();
            let (max_bytes, max_models) = (limits.max_bytes.0, limits.max_models.get());
            self.lifecycles.enter(key, VersionState::Available);
            let (name, version) = key.clone();
            return Err(DeploymentError::NoRoom { name, version, bytes, max_bytes, max_models });
        };
        let current = self.snapshot(name);
        let mut next = current.map_or_else(|| ModelSnapshot::empty(name.clone()), |now| (*now).clone());
        next.refused.remove(version);
        writer.seen_refused.remove(key);
        next.deployments.insert(version.clone(), Arc::clone(&deployment));
        deployment.touch(self.now());
        self.lifecycles.enter(key, VersionState::Live);
        self.cache.insert(key.clone(), &deployment, self.options.of(name).pin);
        self.publish_snapshot(&mut writer, next);
        Ok(deployment)
    }

    /// The writer's lock, once there is room. What is in use now is looked at again for a while: most requests are short.
    fn room_for(&self, name: &ModelName, bytes: u64) -> Option<MutexGuard<'_, Writer>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let mut writer = self.writer();
            if self.make_room(&mut writer, name, bytes).is_ok() {
                return Some(writer);
            }
            drop(writer);
            if Instant::now() >= patience {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Unloads what was used least recently until a version of `name` with so many bytes has room.
    fn make_room(&self, writer: &mut Writer, name: &ModelName, bytes: u64) -> Result<(), NoRoom> {
        let swapping = self.loads.swapping().keys().any(|key| key.0 == *name);
        let leaving = self.snapshot(name).filter(|_| swapping);
        let leaving = leaving.as_ref().and_then(|snapshot| snapshot.champion_deployment());
        let replaced = leaving.map_or((0, 0), |deployment| (deployment.memory_bytes(), 1));
        let victims = self.cache.victims(bytes, replaced, |key, deployment| {
            !(swapping && key.0 == *name) && self.is_unused(key, deployment)
        })?;
        for key in &victims {
            self.evict(writer, key);
            self.cache.evicted();
        }
        Ok(())
    }

    /// Whether nobody but the registry holds a deployment.
    fn is_unused(&self, key: &Key, deployment: &Weak<Deployment>) -> bool {
        let held = self.snapshot(&key.0).map_or(0, |snapshot| snapshot.references(&key.1));
        deployment.strong_count() <= held
    }

    fn evict(&self, writer: &mut Writer, key: &Key) {
        let Some(current) = self.snapshot(&key.0) else { return };
        let mut next = (*current).clone();
        next.deployments.remove(&key.1);
        self.publish_snapshot(writer, next);
    }

    /// Unloads what nobody asked for since long.
    pub(super) fn expire(&self) {
        let ttl = self.cache.limits().idle_ttl;
        let now = self.clock.load(Ordering::Relaxed);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if ttl == 0 || now <= ttl {
            return;
        }
        let unused = |key: &Key, deployment: &Weak<Deployment>| {
            self.is_unused(key, deployment) && !self.loads.is_swapping(&key.0, &key.1)
        };
        let idle = self.cache.idle(now - ttl, unused);
        if idle.is_empty() {
            return;
        }
        let mut writer = self.writer();
        for key in &idle {
            self.evict(&mut writer, key);
            self.cache.expired();
        }
    }

    /// Unloads a version now; those who use it go on.
    pub(super) fn unload(&self, key: &Key) -> Unloaded {
        let mut writer = self.writer();
        let Some(now) = self.snapshot(&key.0).filter(|now| now.deployments.contains_key(&key.1)) else {
            return Unloaded::WasNot;
        };
        let watched = now.guarded.is_some() && now.champion() == Some(&key.1);
        if watched || now.guarded.as_ref() == Some(&key.1) {
            return Unloaded::Guarded;
        }
        self.evict(&mut writer, key);
        Unloaded::Done
    }
}
