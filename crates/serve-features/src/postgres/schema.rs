//! The tables, their version in `serve_features_schema`, and how a database gets from one version to the next. Texts that
//! rows are found by compare by their bytes, whatever the database's own order. Every migration runs in one transaction, and
//! a lock lets one program at a time do so.

use tokio_postgres::Client;

use super::failure::Failure;

/// Migration `i` leads from version `i` to `i + 1`. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    r#"
    CREATE TABLE feature_data (
        feature_set_name TEXT COLLATE "C" NOT NULL,
        entity           TEXT COLLATE "C" NOT NULL,
        timestamp        TIMESTAMPTZ NOT NULL,
        features         JSONB NOT NULL,
        PRIMARY KEY (feature_set_name, entity, timestamp)
    );

    CREATE TABLE price_data (
        symbol    TEXT COLLATE "C" NOT NULL,
        timestamp TIMESTAMPTZ NOT NULL,
        open DOUBLE PRECISION, high DOUBLE PRECISION, low DOUBLE PRECISION, close DOUBLE PRECISION,
        volume DOUBLE PRECISION,
        PRIMARY KEY (symbol, timestamp)
    );

    CREATE TABLE sentiment_data (
        symbol    TEXT COLLATE "C" NOT NULL,
        timestamp TIMESTAMPTZ NOT NULL,
        digest    TEXT COLLATE "C" NOT NULL,  -- SHA-256 of the text, '' without one
        text      TEXT,
        score     DOUBLE PRECISION,
        scores    JSONB NOT NULL DEFAULT '{}', -- object of further numbers
        PRIMARY KEY (symbol, timestamp, digest)
    );

    CREATE TABLE raw_data (
        table_name TEXT COLLATE "C" NOT NULL,
        entity     TEXT COLLATE "C" NOT NULL,
        timestamp  TIMESTAMPTZ NOT NULL,
        digest     TEXT COLLATE "C" NOT NULL, -- SHA-256 of the columns
        columns    JSONB NOT NULL,            -- object of numbers, booleans and texts
        PRIMARY KEY (table_name, entity, timestamp, digest)
    );

    CREATE TABLE feature_state (
        feature_set_name TEXT COLLATE "C" NOT NULL,
        entity           TEXT COLLATE "C" NOT NULL,
        timestamp        TIMESTAMPTZ NOT NULL, -- everything visible then is in it
        declaration      TEXT COLLATE "C" NOT NULL,
        state            TEXT NOT NULL,
        PRIMARY KEY (feature_set_name, entity, timestamp)
    );
    CREATE INDEX feature_state_entity ON feature_state (entity, timestamp);
"#,
    // What computed the row; NULL: it came ready, or is older than the column. Needs no rewrite of the table.
    r#"
    ALTER TABLE feature_data ADD COLUMN declaration TEXT COLLATE "C";
"#,
];

/// The version that this program reads and writes.
pub(super) const CURRENT: i64 = 2;

/// Names this program's migrations among the locks of the database: `serve` in ASCII.
const LOCK: i64 = 0x73_65_72_76_65;

/// The database's version, 0 where it has none.
pub(super) async fn version(client: &Client) -> Result<i64, Failure> {
    let exists = "SELECT to_regclass('serve_features_schema') IS NOT NULL";
    if !client.query_one(exists, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0)::bigint FROM serve_features_schema";
    Ok(client.query_one(newest, &[]).await?.try_get(0)?)
}

/// Runs what is missing and returns the version that is there then. Two programs may try at once; a newer version is left
/// alone. The schema is made where it is named and not there.
pub(super) async fn migrate(client: &mut Client, schema: Option<&str>) -> Result<i64, Failure> {
    let transaction = client.transaction().await?;
    transaction.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    if let Some(schema) = schema {
        // `IF NOT EXISTS` asks for the right to create one also where it is there.
        let there = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
        if transaction.query_one(there, &[&schema]).await?.try_get::<_, i64>(0)? == 0 {
            transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        }
    }
    let found = version(transaction.client()).await?;
    let done = usize::try_from(found).unwrap_or(0);
    if done == 0 {
        transaction
            .batch_execute(
                "CREATE TABLE serve_features_schema (
                    version BIGINT PRIMARY KEY, migrated TIMESTAMPTZ NOT NULL DEFAULT now())",
            )
            .await?;
    }
    for (migration, number) in MIGRATIONS.iter().zip(1_i64..).skip(done) {
        transaction.batch_execute(migration).await?;
        let sql = "INSERT INTO serve_features_schema (version) VALUES ($1)";
        transaction.execute(sql, &[&number]).await?;
    }
    transaction.commit().await?;
    Ok(found.max(CURRENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_counts_one() {
        assert_eq!(i64::try_from(MIGRATIONS.len()), Ok(CURRENT));
    }
}
