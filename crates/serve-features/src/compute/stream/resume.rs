//! A stream that goes on where a store's rows end: from the newest state of each entity and the raw rows since, with those that
//! windows look back to, and not from the history's beginning.

use jiff::Timestamp;

use super::{FeatureStream, Lane, LaneSource, State, StreamError};
use crate::compute::extent::Extent;
use crate::compute::known::Known;
use crate::compute::on_demand::{first_depth, states};
use crate::declaration::{FeatureSet, Source};
use crate::name::Entity;
use crate::raw::rows_of;
use crate::store::{Depth, RawRequest, RawRows, RawStore, RetrieveError};
use crate::timestamp::earlier;

impl FeatureStream {
    /// A stream that has seen what a store has of these entities and has been advanced to `until`: the rows that it gives from
    /// there on have the bits of the offline build over the whole history. Raw rows of the store that become visible later
    /// wait in it as if they had been pushed. An entity that is not named begins with its first row.
    ///
    /// An entity without a state is read from its beginning where the set has functions of endless memory, else as deep as
    /// its windows reach.
    ///
    /// # Errors
    /// [`StreamError`]: nothing is declared, or rows cannot be read.
    ///
    /// ```
    /// use serve_features::{
    ///     Declarations, FeatureStore, FeatureStream, MemoryStore, RawTable, parse_timestamp, read_raw,
    /// };
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) { return value; }
    /// #     }
    /// # }
    /// let declarations = Declarations::parse("
    /// feature_sets:
    ///   daily:
    ///     entity: symbol
    ///     sources: { price: { table: price_data } }
    ///     features: { slow: 'ema(close, 3)' }
    /// ")?;
    /// let candles = |rows: &str| {
    ///     let header = "symbol,timestamp,open,high,low,close,volume";
    ///     read_raw(&RawTable::Price, format!("{header}\n{rows}").as_bytes())
    /// };
    /// let store = MemoryStore::new();
    /// let raw = store.raw().expect("keeps raw rows");
    /// # block_on(async {
    /// raw.write_raw(RawTable::Price, candles("A,2019-01-01,1,1,1,100,1\nA,2019-01-02,1,1,1,200,1\n")?).await?;
    /// let set = declarations.get("daily").expect("is declared above");
    /// let mut stream = FeatureStream::resume(set, raw, &["A".parse()?], parse_timestamp("2019-01-02")?).await?;
    /// stream.push(&RawTable::Price, candles("A,2019-01-03,1,1,1,250,1\n")?)?;
    /// let rows = stream.advance(parse_timestamp("2019-01-03")?)?;
    /// assert_eq!((rows.len(), rows[0].get("slow")), (1, Some(&200.0.into())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn resume(
        set: &FeatureSet,
        raw: &dyn RawStore,
        entities: &[Entity],
        until: Timestamp,
    ) -> Result<Self, StreamError> {
        let mut stream = Self::new(set)?;
        stream.until = Some(until);
        let mut states = states(set, raw, entities, until).await?.into_iter();
        for entity in entities {
            let lane = lane(set, raw, entity, until, states.next().flatten()).await?;
            stream.lanes.insert(entity.clone(), lane);
        }
        Ok(stream)
    }
}

async fn lane(
    set: &FeatureSet,
    raw: &dyn RawStore,
    entity: &Entity,
    until: Timestamp,
    state: Option<State>,
) -> Result<Lane, StreamError> {
    let needs = set.needs();
    let depth = |need| first_depth(need, needs.len(), state.is_none(), usize::MAX);
    let mut depths: Vec<usize> = needs.iter().map(|need| depth(*need)).collect();
    let mut read: Vec<RawRows> = vec![RawRows::default(); needs.len()];
    let mut short = vec![true; needs.len()];
    while short.contains(&true) {
        for (i, source) in set.sources.iter().enumerate().filter(|(i, _)| short[*i]) {
            read[i] = rows(raw, source, entity, until, depths[i]).await?;
        }
        let sources = set.sources.iter().zip(&read);
        let known =
            Known::new(sources.map(|(source, rows)| (source, &rows.frame, rows.complete)), Some(until));
        match known.len(0).checked_sub(1) {
            Some(last) => {
                let extent = Extent::new(&set.plan, &known, last, state.as_ref());
                for (i, missing) in extent.short.iter().enumerate() {
                    short[i] = missing.window || missing.endless;
                    depths[i] = if missing.endless { usize::MAX } else { depths[i].saturating_mul(4) };
                }
            }
            // Which rows the first one will see is not known yet.
            None => {
                short = read.iter().map(|rows| !rows.complete).collect();
                depths.fill(usize::MAX);
            }
        }
    }
    let mut lane = Lane::new(0);
    lane.sources = set
        .sources
        .iter()
        .zip(&read)
        .map(|(source, rows)| LaneSource::of(source, rows, entity, until))
        .collect();
    lane.state = state;
    lane.catch_up(set, entity, until)?;
    Ok(lane)
}

/// A source's rows that are not visible yet, and the newest of those that are.
async fn rows(
    raw: &dyn RawStore,
    source: &Source,
    entity: &Entity,
    until: Timestamp,
    rows: usize,
) -> Result<RawRows, StreamError> {
    let depth = Depth { since: Some(earlier(until, source.delay)), rows };
    let (table, entities) = (source.table.clone(), vec![entity.clone()]);
    let wanted = RawRequest { table, entities, until: None, depth, deadline: None };
    let found = raw.read_raw(wanted).await?.pop().transpose();
    Ok(found.map_err(RetrieveError::from)?.unwrap_or_default())
}

impl LaneSource {
    fn of(source: &Source, read: &RawRows, entity: &Entity, until: Timestamp) -> Self {
        let last = earlier(until, source.delay);
        let mut lane = Self { cut: !read.complete, ..Self::default() };
        for row in rows_of(&read.frame, entity) {
            if row.timestamp <= last {
                lane.rows.push((row.timestamp, row.values));
            } else {
                lane.waiting.insert((row.timestamp, row.digest(&source.table)), row.values);
            }
        }
        lane
    }
}

impl Lane {
    /// Takes the rows that are visible as given, and the state to after the last of them.
    fn catch_up(&mut self, set: &FeatureSet, entity: &Entity, until: Timestamp) -> Result<(), StreamError> {
        let Some(last) = self.sources.first().and_then(|first| first.rows.len().checked_sub(1)) else {
            return Ok(());
        };
        // The last row is computed once more for the state after it.
        self.given = last;
        self.advance(set, entity, until, &mut Vec::new())
    }
}
