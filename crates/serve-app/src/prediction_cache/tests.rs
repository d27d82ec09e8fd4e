use std::borrow::Cow;
use std::path::Path;

use proptest::prelude::*;
use serve_core::doctest::logistic;
use serve_core::{Alias, ModelName, Value};
use serve_features::{Declarations, FeaturesConfig, Retriever, RetrieverParts};
use serve_registry::{Author, Directory, Registry, Storage};

use super::*;
use crate::LimitsConfig;
use crate::request::{Features, ModelQuery, PredictRequest};
use crate::service::{Service, ServiceParts};

/// A registry of `m` in versions `v0`, `v1` and `v2`, which answer differently.
fn registry(folder: &Path) -> Arc<Registry> {
    let directory = Directory::create(folder).expect("a registry");
    for version in 0..3 {
        let bundle = logistic("m", &format!("v{version}"), f64::from(version)).build().expect("proves");
        directory.publish(&bundle, "test").expect("published");
    }
    Arc::new(Registry::open(folder).expect("opens"))
}

fn service(registry: &Arc<Registry>, predictions: PredictionsConfig) -> Service {
    let clock: serve_features::Clock = Arc::new(jiff::Timestamp::now);
    let parts = RetrieverParts {
        store: None,
        declarations: Declarations::default(),
        config: FeaturesConfig::default(),
        clock: Arc::clone(&clock),
    };
    let cache = CacheConfig { predictions, ..CacheConfig::default() };
    Service::new(ServiceParts {
        registry: Arc::clone(registry),
        retriever: Arc::new(Retriever::new(parts)),
        default_model: None,
        compare: Vec::new(),
        limits: LimitsConfig::default(),
        locks: Arc::default(),
        clock,
    })
    .with_prediction_cache(PredictionCache::open(&cache).expect("opens"))
}

fn on() -> PredictionsConfig {
    PredictionsConfig { enabled: true, ..PredictionsConfig::default() }
}

fn of(row: [f64; 2]) -> PredictRequest<'static> {
    let [a, b] = row.map(Value::from);
    let features = Features::Named(vec![(Cow::Borrowed("a"), a), (Cow::Borrowed("b"), b)]);
    PredictRequest { features, ..PredictRequest::default() }
}

fn version(version: usize) -> ModelQuery {
    let selector = format!("v{version}").parse().expect("a version");
    ModelQuery::named("m".parse().expect("a name"), Some(selector))
}

fn promote(registry: &Registry, version: usize) {
    let name: ModelName = "m".parse().expect("a name");
    let version = format!("v{version}").parse().expect("a version");
    let author = Author { by: "test", why: None };
    registry.promote(&name, &version, &Alias::champion(), author).expect("promoted");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(future)
}

#[derive(Debug, Clone)]
enum Step {
    Ask { row: usize, explain: bool, by: Option<usize> },
    Batch(Vec<usize>),
    Promote(usize),
    Unload(usize),
}

/// Few rows, so that they come again, and such as are told apart by one bit.
const ROWS: [[f64; 2]; 6] =
    [[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [f64::MIN_POSITIVE, 1.0], [1e300, -1e300], [0.1, 0.2]];

fn step() -> impl Strategy<Value = Step> {
    let row = 0..ROWS.len();
    prop_oneof![
        6 => (row.clone(), any::<bool>(), prop::option::of(0..3_usize))
            .prop_map(|(row, explain, by)| Step::Ask { row, explain, by }),
        2 => prop::collection::vec(row, 1..8).prop_map(Step::Batch),
        1 => (0..3_usize).prop_map(Step::Promote),
        1 => (0..3_usize).prop_map(Step::Unload),
    ]
}

/// What two services say must be the same to the last bit.
fn told(answered: &Result<crate::Answered, ServiceError>) -> String {
    match answered {
        Ok(answered) => {
            let scores: Vec<u64> = answered.prediction.scores().iter().map(|x| x.to_bits()).collect();
            let version = &answered.deployment.manifest().version;
            format!("{version} {scores:?} {:?} {:?}", answered.prediction.answer(), answered.explanation)
        }
        Err(error) => format!("{error:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn answers_are_those_without_a_cache(
        steps in prop::collection::vec(step(), 1..60),
        max_bytes in prop::sample::select(vec![0_u64, 700, 1_500, 1 << 20]),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path());
        let cached = service(&registry, PredictionsConfig { max_bytes: serve_core::ByteSize(max_bytes), ..on() });
        let plain = service(&registry, PredictionsConfig::default());
        let context = Context::internal();
        block_on(async {
            for step in steps {
                match step {
                    Step::Ask { row, explain, by } => {
                        let model = by.map(version).unwrap_or_default();
                        let request = PredictRequest { model, explain, ..of(ROWS[row]) };
                        let (one, other) = (cached.predict(&context, &request).await, plain.predict(&context, &request).await);
                        prop_assert_eq!(told(&one), told(&other));
                    }
                    Step::Batch(rows) => {
                        let requests: Vec<_> = rows.iter().map(|row| of(ROWS[*row])).collect();
                        let one = cached.predict_batch(&context, &requests).await.expect("few rows");
                        let other = plain.predict_batch(&context, &requests).await.expect("few rows");
                        prop_assert_eq!(one.iter().map(told).collect::<Vec<_>>(), other.iter().map(told).collect::<Vec<_>>());
                    }
                    Step::Promote(version) => promote(&registry, version),
                    Step::Unload(version) => {
                        let (name, version) = ("m".parse().expect("a name"), format!("v{version}"));
                        registry.unload(&name, &version.parse().expect("a version"));
                    }
                }
            }
            Ok(())
        })?;
        let stats = cached.prediction_cache().expect("is on").stats();
        prop_assert!(stats.bytes <= stats.max_bytes, "{:?}", stats);
    }
}

fn asked(service: &Service, request: &PredictRequest<'_>) -> crate::Answered {
    block_on(service.predict(&Context::internal(), request)).expect("an answer")
}

#[test]
fn a_row_is_computed_once_and_told_apart_by_every_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(&registry(folder.path()), on());
    assert!(!asked(&service, &of([0.0, 1.0])).cached);
    assert!(asked(&service, &of([0.0, 1.0])).cached);
    assert!(!asked(&service, &of([-0.0, 1.0])).cached);
    assert!(!asked(&service, &PredictRequest { explain: true, ..of([0.0, 1.0]) }).cached);
    let stats = service.prediction_cache().expect("is on").stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 3, 3));
}

#[test]
fn models_below_the_least_cost_are_asked_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = PredictionsConfig { min_cost: Duration::from_secs(1), ..on() };
    let service = service(&registry(folder.path()), config);
    assert!(!asked(&service, &of([0.0, 1.0])).cached);
    assert!(!asked(&service, &of([0.0, 1.0])).cached);
    assert_eq!(service.prediction_cache().expect("is on").stats().misses, 0);
}

#[test]
fn what_is_kept_of_a_version_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(folder.path());
    let service = service(&registry, on());
    for by in [1, 2] {
        asked(&service, &PredictRequest { model: version(by), ..of([0.0, 1.0]) });
    }
    let stats = || service.prediction_cache().expect("is on").stats();
    assert_eq!(stats().entries, 2);
    registry.unload(&"m".parse().expect("a name"), &"v1".parse().expect("a version"));
    // The registry frees it on a thread of its own.
    let until = Instant::now() + Duration::from_mins(1);
    while stats().entries > 1 {
        assert!(Instant::now() < until, "{:?}", stats());
        std::thread::yield_now();
    }
    assert_eq!(stats().retired, 1);
    assert!(asked(&service, &PredictRequest { model: version(2), ..of([0.0, 1.0]) }).cached);
    assert!(!asked(&service, &PredictRequest { model: version(1), ..of([0.0, 1.0]) }).cached);
}

fn key(number: u64) -> Key {
    Key { digest: Digest::of(b"v"), explain: false, row: [number].into() }
}

fn outcome() -> Outcome {
    let bundle = serve_core::doctest::logistic_bundle();
    let pipeline = serve_core::ModelLoader::load(&serve_core::EngineLoader, &bundle).expect("loads");
    Outcome { prediction: pipeline.predict(&[1.0, 2.0]).expect("is finite"), explanation: None }
}

#[test]
fn answers_leave_when_their_time_is_over_or_there_is_no_room() {
    let (outcome, start) = (outcome(), Instant::now());
    let second = |s| start + Duration::from_secs(s);
    let shards = Shards::new(1 << 20, Duration::from_secs(10));
    shards.keep(&key(1), &outcome, start);
    assert!(shards.kept(&key(1), second(9)).is_some());
    assert!(shards.kept(&key(1), second(10)).is_none(), "asking does not make it younger");
    shards.keep(&key(2), &outcome, start);
    shards.keep(&key(3), &outcome, second(20));
    assert_eq!((shards.stats().entries, shards.stats().expired), (1, 2));

    let each = shards.stats().bytes;
    let small = Shards::new(usize::try_from(2 * each).expect("is small"), Duration::from_secs(10));
    [1, 2].iter().for_each(|number| small.keep(&key(*number), &outcome, start));
    assert!(small.kept(&key(1), start).is_some());
    small.keep(&key(3), &outcome, start);
    assert!(small.kept(&key(2), start).is_none(), "was not asked for longest");
    assert!(small.kept(&key(1), start).is_some() && small.kept(&key(3), start).is_some());
    assert_eq!((small.stats().evicted, small.stats().bytes), (1, 2 * each));
}

/// What of a key's finding there is.
fn lead(cache: &PredictionCache, deployment: &Deployment, key: &Key) -> Lead {
    match cache.find(deployment, key) {
        Found::Lead(lead) => lead,
        Found::Kept(_) | Found::UnderWay(_) => unreachable!("nobody asked before"),
    }
}

fn join(cache: &PredictionCache, deployment: &Deployment, key: &Key) -> Joining {
    match cache.find(deployment, key) {
        Found::UnderWay(joining) => joining,
        Found::Kept(_) | Found::Lead(_) => unreachable!("it is under way"),
    }
}

#[test]
fn who_comes_meanwhile_joins_and_takes_over_where_the_leader_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(folder.path());
    let cache = PredictionCache::open(&CacheConfig { predictions: on(), ..CacheConfig::default() });
    let cache = cache.expect("opens").expect("is on");
    let deployment = registry.resolve(&"m@v0".parse().expect("a reference")).expect("is loaded");
    let (open, outcome) = (Context::internal(), outcome());
    let wait = |joining: Joining| block_on(joining.outcome(&open)).expect("no deadline");

    let leading = lead(&cache, &deployment, &key(1));
    let joining = join(&cache, &deployment, &key(1));
    leading.land(&Ok(outcome.clone()));
    assert_eq!(wait(joining).expect("landed").expect("an answer"), outcome);
    assert!(matches!(cache.find(&deployment, &key(1)), Found::Kept(_)));

    let leading = lead(&cache, &deployment, &key(2));
    let joining = join(&cache, &deployment, &key(2));
    drop(leading);
    assert!(wait(joining).is_none(), "nobody knows anything");
    let leading = lead(&cache, &deployment, &key(2));
    let joining = join(&cache, &deployment, &key(2));
    leading.land(&Err(ServiceError::new(Code::DeadlineExceeded, "the leader's own")));
    assert!(wait(joining).is_none());

    let leading = lead(&cache, &deployment, &key(3));
    let joining = join(&cache, &deployment, &key(3));
    leading.land(&Err(ServiceError::new(Code::NonFiniteOutput, "everyone's")));
    assert_eq!(wait(joining).expect("landed").expect_err("an error").code, Code::NonFiniteOutput);

    let _leading = lead(&cache, &deployment, &key(4));
    let joining = join(&cache, &deployment, &key(4));
    let late = Context::internal().until(Instant::now());
    let error = block_on(joining.outcome(&late)).map(|_| ()).expect_err("nobody waits any more");
    assert_eq!(error.code, Code::DeadlineExceeded);
}
