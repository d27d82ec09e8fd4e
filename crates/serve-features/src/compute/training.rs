//! Training data: each label with the features that were known at its moment, of one or more sets. The point-in-time join
//! that keeps the future out of a model: the newest row not later than the label, and not older than allowed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::freshness::MaxAge;
use crate::join::is_fresh;
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::{FeatureStore, HistoryRequest, RetrieveError};

/// Rows of history that are read at a time.
const PAGE: usize = 10_000;

/// Whom and when a label is of. Its own columns stay with the caller, who finds them by the label's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Of whom.
    pub entity: Entity,
    /// The moment that the model will predict at.
    pub timestamp: Timestamp,
}

/// For each label in the order given, what each set's features were: the newest row of its entity that is not later than the
/// label and not older than `max_age`, read from a store's history. Each entity's history is read once, from its first
/// label's row on; O(labels · log labels + rows).
///
/// # Errors
/// [`RetrieveError`].
///
/// ```
/// use serve_features::{FeatureRow, FeatureStore, Label, MemoryStore, known_rows, parse_timestamp};
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) { return value; }
/// #     }
/// # }
/// # block_on(async {
/// let store = MemoryStore::new();
/// let (set, bitcoin): (serve_features::FeatureSetName, serve_features::Entity) = ("vader".parse()?, "BTC/USD".parse()?);
/// let row = FeatureRow::new(bitcoin.clone(), parse_timestamp("2025-10-04")?, [("mood".into(), 0.25.into())]);
/// store.write(set.clone(), vec![row]).await?;
///
/// let at = |timestamp| Ok::<_, serve_features::TimestampError>(Label {
///     entity: bitcoin.clone(),
///     timestamp: parse_timestamp(timestamp)?,
/// });
/// let labels = [at("2025-10-03")?, at("2025-10-05")?];
/// let rows = known_rows(&store, &[(set, Some("3d".parse()?))], &labels).await?;
/// assert_eq!(rows[0], [None]);
/// assert_eq!(rows[1][0].as_ref().and_then(|row| row.get("mood")), Some(&0.25.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn known_rows(
    store: &dyn FeatureStore,
    sets: &[(FeatureSetName, Option<MaxAge>)],
    labels: &[Label],
) -> Result<Vec<Vec<Option<FeatureRow>>>, RetrieveError> {
    let mut of_entity: BTreeMap<&Entity, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        of_entity.entry(&label.entity).or_default().push(i);
    }
    let mut known = vec![vec![None; sets.len()]; labels.len()];
    for (entity, mut places) in of_entity {
        places.sort_by_key(|place| labels[*place].timestamp);
        for (i, (set, max_age)) in sets.iter().enumerate() {
            let mut join = PointInTime::new(*max_age);
            let mut places = places.iter().copied().peekable();
            let mut from = first_row(store, set, entity, labels, places.peek()).await?;
            while places.peek().is_some() {
                let request =
                    HistoryRequest { set: set.clone(), entity: entity.clone(), from, to: None, limit: PAGE };
                let page = store.history(request).await?;
                let last = page.last().map(FeatureRow::timestamp).filter(|_| page.len() == PAGE);
                join.extend(page);
                // Rows after the page's last may be those of later labels.
                while let Some(place) =
                    places.next_if(|at| last.is_none_or(|last| labels[*at].timestamp < last))
                {
                    known[place][i] = join.at(labels[place].timestamp).cloned();
                }
                from = last;
            }
        }
    }
    Ok(known)
}

/// The moment of the row that the first label sees, if it sees one: no label looks further back.
async fn first_row(
    store: &dyn FeatureStore,
    set: &FeatureSetName,
    entity: &Entity,
    labels: &[Label],
    first: Option<&usize>,
) -> Result<Option<Timestamp>, RetrieveError> {
    let Some(first) = first else { return Ok(None) };
    let mut request = crate::store::FetchRequest::newest(set.clone(), [entity.clone()]);
    request.as_of = Some(labels[*first].timestamp);
    let rows = store.fetch(request).await?;
    let first = rows.into_iter().next().transpose()?.flatten();
    Ok(first.map(|row| row.timestamp()))
}

/// The join of one entity's labels with its rows, both in order: each asked and given once.
///
/// ```
/// use serve_features::{FeatureRow, PointInTime, parse_timestamp};
/// let row = |at| Ok::<_, Box<dyn std::error::Error>>(FeatureRow::new("A".parse()?, parse_timestamp(at)?, []));
/// let mut join = PointInTime::new(Some("2d".parse()?));
/// join.extend([row("2024-01-01")?, row("2024-01-02")?]);
/// assert!(join.at(parse_timestamp("2023-12-31")?).is_none());
/// assert_eq!(join.at(parse_timestamp("2024-01-03")?), Some(&row("2024-01-02")?));
/// assert!(join.at(parse_timestamp("2024-01-09")?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PointInTime {
    max_age: Option<MaxAge>,
    /// Later than every moment asked so far, oldest first.
    ahead: std::collections::VecDeque<FeatureRow>,
    /// The newest that is not.
    newest: Option<FeatureRow>,
}

impl PointInTime {
    /// A join without rows; older ones than `max_age` are not known.
    #[must_use]
    pub fn new(max_age: Option<MaxAge>) -> Self {
        Self { max_age, ..Self::default() }
    }

    /// Adds rows, each later than those before. One that is not is dropped: a label that should have seen it may be out.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = FeatureRow>) {
        for row in rows {
            let last = self.ahead.back().or(self.newest.as_ref());
            if last.is_none_or(|last| last.timestamp() < row.timestamp()) {
                self.ahead.push_back(row);
            }
        }
    }

    /// The row known at a moment, which is not before the one asked last.
    pub fn at(&mut self, moment: Timestamp) -> Option<&FeatureRow> {
        while let Some(row) = self.ahead.pop_front_if(|row| row.timestamp() <= moment) {
            self.newest = Some(row);
        }
        let fresh =
            |row: &&FeatureRow| row.timestamp() <= moment && is_fresh(row.timestamp(), moment, self.max_age);
        self.newest.as_ref().filter(fresh)
    }
}
