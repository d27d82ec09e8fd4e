//! Rows that an older declaration computed: refused, computed anew or marked, as stale ones are; and told.

use super::*;
use crate::declaration::DeclarationDigest;

/// A fresh row of a level that no declaration of today gives.
fn computed_by(declaration: Option<DeclarationDigest>) -> FeatureRow {
    let values = [("change".into(), Value::from(0.5)), ("level".into(), Value::from(1.0))];
    FeatureRow::new(entity("A"), at("2025-10-04T11:30:00Z"), values).computed_by(declaration)
}

fn older() -> Option<DeclarationDigest> {
    let older = DECLARED.replace("return(close, 1)", "return(close, 2)");
    Declarations::parse(&older).expect("is sound").get("hourly").expect("is declared").digest()
}

fn today() -> Option<DeclarationDigest> {
    Declarations::parse(DECLARED).expect("is sound").get("hourly").expect("is declared").digest()
}

#[tokio::test(start_paused = true)]
async fn a_row_of_an_older_declaration_is_refused_however_fresh() {
    let bench = bench(|config| config.cache.ttl = Duration::from_mins(5));
    bench.has("hourly", &[computed_by(older())]).await;
    let error = bench.cached("hourly", "A").await.expect_err("is outdated");
    assert!(matches!(error, Unavailable::Outdated { .. }), "{error:?}");
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Client, false));
    let (found, expected) = (older().expect("is computed"), today().expect("is computed"));
    assert_eq!(
        error.to_string(),
        format!(
            "features of entity \"A\" in feature set \"hourly\" were computed by an older declaration ({found}) \
             than today's ({expected})"
        )
    );
    // It is not kept in memory either: a row that was built anew is seen at once.
    bench.has("hourly", &[computed_by(today())]).await;
    let found = bench.cached("hourly", "A").await.expect("is of today");
    assert!(!found.outdated);
    assert_eq!(bench.retriever.counters().outdated, 1);
}

#[tokio::test(start_paused = true)]
async fn rows_that_came_ready_or_are_older_than_the_mark_answer() {
    let bench = bench(|_| ());
    bench.has("hourly", &[computed_by(None)]).await;
    assert!(bench.cached("hourly", "A").await.is_ok_and(|found| !found.outdated));
    // A set that computes nothing has nothing to hold a mark against.
    let row = row("A", "11:59:00", 1.0).computed_by(older());
    bench.has("ready", &[row]).await;
    assert!(bench.cached("ready", "A").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn auto_computes_an_outdated_row_anew_or_does_as_configured() {
    for when_stale in [WhenStale::Refuse, WhenStale::Degrade] {
        let bench = bench(|config| config.on_demand.when_stale = when_stale);
        bench.has("hourly", &[computed_by(older())]).await;
        let found = bench.asked("hourly", "A", Mode::Auto).await;
        match when_stale {
            WhenStale::Refuse => {
                let message = found.expect_err("is refused").to_string();
                assert!(message.ends_with("), and not computed anew: it has no raw rows"), "{message}");
            }
            WhenStale::Degrade => {
                let found = found.expect("is marked");
                assert!(found.outdated && found.origin == Origin::Cached, "{found:?}");
                let why = found.degraded.expect("says why");
                assert!(why.contains("older declaration") && why.contains("no raw rows"), "{why}");
            }
        }
        bench.has_candles("A", &[("10:30:00", 3.0)]).await;
        let found = bench.asked("hourly", "A", Mode::Auto).await.expect("is computed");
        assert_eq!((found.origin, found.outdated, found.degraded), (Origin::Computed, false, None));
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_and_the_lineage_tell_of_it() {
    let bench = bench(|_| ());
    bench.has("hourly", &[computed_by(older())]).await;
    let report = bench.retriever.report(&set("hourly")).await.expect("reports");
    assert_eq!((report.sampled, report.stale, report.outdated), (1, 0, 1));
    assert!(report.warnings.iter().any(|told| told.contains("older declaration")), "{:?}", report.warnings);
    let lineage = bench.retriever.lineage(&set("hourly"), &entity("A"), None).await.expect("traces");
    assert!(lineage.stored.is_ok_and(|row| row.outdated) && lineage.stored_stale);
}

#[tokio::test(start_paused = true)]
async fn what_is_built_is_marked_with_today() {
    let bench = bench(|_| ());
    bench.has_candles("A", &[("09:30:00", 3.0), ("10:30:00", 4.0)]).await;
    let declarations = Declarations::parse(DECLARED).expect("is sound");
    let hourly = declarations.get("hourly").expect("is declared");
    let request = crate::BuildRequest { store: true, ..Default::default() };
    crate::build(hourly, &bench.script.memory, &request, &mut |_, _| Ok(())).await.expect("builds");
    let found = bench.cached("hourly", "A").await.expect("is stored");
    assert_eq!((found.row.declaration(), today().is_some()), (today(), true));
    let computed = bench.asked("hourly", "A", Mode::Compute).await.expect("computes");
    assert_eq!(computed.row, found.row);
}
