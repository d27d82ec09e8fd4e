//! The raw side of a guarded store: the same bounds, the same breaker.

use jiff::Timestamp;

use super::Guarded;
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable};
use crate::store::{
    BoxFuture, RawRequest, RawSlot, RawStore, RetrieveError, StoreError, StoredState, WriteError,
};

impl Guarded {
    fn raw_store(&self) -> Option<&dyn RawStore> {
        self.store.raw()
    }

    fn no_raw<'a, T: Send + 'a, E: From<StoreError> + Send + 'a>(&self) -> BoxFuture<'a, Result<T, E>> {
        Box::pin(std::future::ready(Err(StoreError::NoRaw { store: self.kind }.into())))
    }
}

impl RawStore for Guarded {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        let Some(raw) = self.raw_store() else { return self.no_raw() };
        Box::pin(self.call(self.reading_slowly(request.deadline), move |end| {
            raw.read_raw(RawRequest { deadline: Some(end), ..request.clone() })
        }))
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        let Some(raw) = self.raw_store() else { return self.no_raw() };
        Box::pin(self.call(self.writing(), move |_| raw.write_raw(table.clone(), rows.clone())))
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        let Some(raw) = self.raw_store() else { return self.no_raw() };
        Box::pin(
            self.call(self.reading_slowly(None), move |_| {
                raw.raw_entities(table.clone(), after.clone(), limit)
            }),
        )
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        let Some(raw) = self.raw_store() else { return self.no_raw() };
        Box::pin(self.call(self.reading_slowly(None), move |_| {
            raw.read_states(set.clone(), declaration.clone(), entities.clone(), as_of)
        }))
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        let Some(raw) = self.raw_store() else { return self.no_raw() };
        Box::pin(self.call(self.writing(), move |_| raw.write_states(set.clone(), states.clone())))
    }
}
