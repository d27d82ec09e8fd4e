//! A store for tests that does what it is told: answers, late or at once, fails, or hangs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::memory::MemoryStore;
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, RawRequest, RawSlot, RawStore, RetrieveError,
    SampledRow, Slot, StoreError, StoredState, Unreadable, WriteError,
};

/// What the next call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Answer,
    AnswerAfter(Duration),
    /// As a refused connection does.
    Fail,
    /// As a mistake in a query does.
    FailForGood,
    Busy,
    Corrupt,
    /// As a socket does that accepts and never answers.
    Hang,
}

/// A [`MemoryStore`] whose calls do what they are told, and are counted.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) memory: MemoryStore,
    keeps_raw: bool,
    unreadable: Mutex<Vec<(&'static str, Entity)>>,
    acts: Mutex<VecDeque<Act>>,
    otherwise: Mutex<Act>,
    calls: AtomicUsize,
    fetched: Mutex<Vec<FetchRequest>>,
}

impl Scripted {
    /// A store whose every call does the same.
    pub(crate) fn new(otherwise: Act) -> Self {
        Self {
            memory: MemoryStore::new(),
            keeps_raw: true,
            unreadable: Mutex::default(),
            acts: Mutex::default(),
            otherwise: Mutex::new(otherwise),
            calls: AtomicUsize::new(0),
            fetched: Mutex::default(),
        }
    }

    /// A store that keeps no raw rows.
    pub(crate) fn without_raw() -> Self {
        Self { keeps_raw: false, ..Self::new(Act::Answer) }
    }

    /// What the next calls do.
    pub(crate) fn next(&self, acts: &[Act]) {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).extend(acts);
    }

    /// What calls do that nothing was said of.
    pub(crate) fn otherwise(&self, act: Act) {
        *self.otherwise.lock().unwrap_or_else(PoisonError::into_inner) = act;
    }

    /// From now on the entity's rows cannot be read: its feature rows (`"t"`) or its raw ones (`"raw"`).
    pub(crate) fn spoil(&self, which: &'static str, entity: Entity) {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).push((which, entity));
    }

    fn read<T>(&self, which: &str, entity: &Entity, read: Result<T, Unreadable>) -> Result<T, Unreadable> {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        if unreadable.iter().any(|(spoilt, whose)| *spoilt == which && whose == entity) {
            return Err(Unreadable::new(which, entity, "cut off".into()));
        }
        read
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The entities and moments that were fetched, call by call.
    pub(crate) fn fetched(&self) -> Vec<(Vec<String>, Option<Timestamp>)> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let names = |entities: &[Entity]| entities.iter().map(ToString::to_string).collect();
        fetched.iter().map(|request| (names(&request.entities), request.as_of)).collect()
    }

    async fn act(&self) -> Result<(), RetrieveError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let next = self.acts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let act = next.unwrap_or(*self.otherwise.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = |transient| {
            let (store, operation, source) = ("scripted", "read", "refused".into());
            Err(StoreError::Backend { store, operation, transient, source }.into())
        };
        match act {
            Act::Answer => Ok(()),
            Act::AnswerAfter(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            Act::Fail => failed(true),
            Act::FailForGood => failed(false),
            Act::Busy => Err(StoreError::Busy { store: "scripted", waiting: 7 }.into()),
            Act::Corrupt => {
                let entity = "A".parse().expect("is an entity");
                Err(Unreadable::new("t", &entity, "cut off".into()).into())
            }
            Act::Hang => std::future::pending().await,
        }
    }
}

impl FeatureStore for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let entities = request.entities.clone();
        Box::pin(async move {
            self.act().await?;
            // The deadline is one of time that stands still.
            let rows = self.memory.fetch(FetchRequest { deadline: None, ..request }).await?;
            Ok(rows.into_iter().zip(entities).map(|(row, entity)| self.read("t", &entity, row)).collect())
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(async move {
            let failed = |error: RetrieveError| StoreError::Backend {
                store: "scripted",
                operation: "write",
                transient: error.retry_helps(),
                source: Box::new(error),
            };
            self.act().await.map_err(failed)?;
            self.memory.write(set, rows).await
        })
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        Box::pin(async move {
            self.act().await?;
            self.memory.sample(set, limit).await
        })
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        Box::pin(async move {
            self.act().await?;
            self.memory.history(request).await
        })
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        self.keeps_raw.then_some(self)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        Box::pin(self.act())
    }
}

impl Scripted {
    fn kept(&self) -> &dyn RawStore {
        self.memory.raw().expect("a memory store keeps raw rows")
    }
}

impl RawStore for Scripted {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        let entities = request.entities.clone();
        Box::pin(async move {
            self.act().await?;
            let rows = self.kept().read_raw(RawRequest { deadline: None, ..request }).await?;
            Ok(rows.into_iter().zip(entities).map(|(rows, entity)| self.read("raw", &entity, rows)).collect())
        })
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.kept().write_raw(table, rows)
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        self.kept().raw_entities(table, after, limit)
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        self.kept().read_states(set, declaration, entities, as_of)
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        self.kept().write_states(set, states)
    }
}
