//! The `feature_state` table: what functions of endless memory remember, by set, entity and moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::CHUNK;
use super::connection::Connection;
use super::failure::Failure;
use super::feature::place;
use super::pool::Lent;
use super::value::Moment;
use crate::name::{Entity, FeatureSetName};
use crate::store::{Cause, StoredState};

const NEWEST: &str = "SELECT newest.timestamp, newest.state, wanted.i
    FROM unnest($3::text[]) WITH ORDINALITY AS wanted (entity, i)
    CROSS JOIN LATERAL (
        SELECT timestamp, state FROM feature_state
        WHERE feature_set_name = $1 AND declaration = $2 AND entity = wanted.entity AND timestamp <= $4
        ORDER BY timestamp DESC LIMIT 1
    ) AS newest";

const UPSERT: &str = "INSERT INTO feature_state (feature_set_name, entity, timestamp, declaration, state)
    SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[])
    ON CONFLICT (feature_set_name, entity, timestamp) DO UPDATE SET
        declaration = excluded.declaration, state = excluded.state";

/// Forgets what does not know the rows that came, of whatever set.
pub(super) const FORGET: &str =
    "DELETE FROM feature_state USING unnest($1::text[], $2::timestamptz[]) AS came (entity, first)
    WHERE feature_state.entity = came.entity AND feature_state.timestamp >= came.first";

/// The newest state of each entity, with its place.
pub(super) async fn query(
    connection: &mut Connection,
    set: &FeatureSetName,
    declaration: &str,
    entities: &[Entity],
    as_of: Option<Timestamp>,
) -> Result<Vec<Row>, Failure> {
    let statement = connection.statement(NEWEST).await?;
    let entities: Vec<&str> = entities.iter().map(Entity::as_str).collect();
    let until = as_of.map_or(Moment::END, Moment::bound);
    Ok(connection.client.query(&statement, &[&set.as_str(), &declaration, &entities, &until]).await?)
}

/// One slot an entity, in order.
pub(super) fn slots(declaration: &str, entities: &[Entity], rows: &[Row]) -> Vec<Option<StoredState>> {
    let mut slots = vec![None; entities.len()];
    for row in rows {
        let place = place(row, 2);
        let Some(entity) = entities.get(place) else { continue };
        let state = || -> Result<StoredState, Cause> {
            Ok(StoredState {
                entity: entity.clone(),
                timestamp: row.try_get::<_, Moment>(0)?.timestamp()?,
                declaration: declaration.to_owned(),
                state: row.try_get(1)?,
            })
        };
        slots[place] = state().ok();
    }
    slots
}

/// Inserts or replaces, in one transaction.
pub(super) async fn write(
    lent: &mut Lent<'_>,
    set: &FeatureSetName,
    states: &[StoredState],
) -> Result<(), Failure> {
    let statement = lent.connection().statement(UPSERT).await?;
    // An upsert takes each key once; the last one stays.
    let newest: BTreeMap<_, _> =
        states.iter().map(|state| ((&state.entity, state.timestamp), state)).collect();
    let states: Vec<&StoredState> = newest.into_values().collect();
    let transaction = lent.connection().client.transaction().await?;
    for states in states.chunks(CHUNK) {
        let entities: Vec<&str> = states.iter().map(|state| state.entity.as_str()).collect();
        let moments: Vec<Moment> = states.iter().map(|state| Moment::of(state.timestamp)).collect();
        let declarations: Vec<&str> = states.iter().map(|state| state.declaration.as_str()).collect();
        let values: Vec<&str> = states.iter().map(|state| state.state.as_str()).collect();
        transaction
            .execute(&statement, &[&set.as_str(), &entities, &moments, &declarations, &values])
            .await?;
    }
    Ok(transaction.commit().await?)
}
