//! A registry in a temporary folder, versions that answer differently, and a loader that is watched.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serve_core::doctest::logistic;
use serve_core::{
    Alias, Bundle, Digest, EngineLoader, Insight, LoadError, ModelLoader, ModelName, ModelRef, ModelVersion,
    Pipeline,
};
use serve_registry::{CacheConfig, Deployment, Directory, Options, Registry, Storage};
use tempfile::TempDir;

/// The row that everybody asks for.
pub(crate) const ROW: [f64; 2] = [0.5, 1.0];

pub(crate) fn model() -> ModelName {
    "m".parse().expect("a name")
}

pub(crate) fn version(text: &str) -> ModelVersion {
    text.parse().expect("a version")
}

pub(crate) fn reference(text: &str) -> ModelRef {
    text.parse().expect("a reference")
}

/// A version of the model `m`; the intercept tells its answers apart.
pub(crate) fn bundle(version: &str, intercept: f64) -> Bundle {
    logistic("m", version, intercept).build().expect("the bundle proves")
}

/// The probability that a bundle's own pipeline answers.
pub(crate) fn answer_of(bundle: &Bundle) -> f64 {
    up(&EngineLoader.load(bundle).expect("loads"))
}

/// The probability of the second class for [`ROW`].
pub(crate) fn up(pipeline: &Pipeline) -> f64 {
    pipeline.predict(&ROW).expect("answered").scores()[1]
}

/// A registry's folder with the model `m`.
pub(crate) struct Shop {
    folder: TempDir,
    pub(crate) directory: Directory,
}

impl Shop {
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::open(folder.path()).expect("opens");
        Self { folder, directory }
    }

    /// With these versions published, the first of which is the champion.
    pub(crate) fn with(versions: &[&str]) -> Self {
        let shop = Self::empty();
        versions.iter().for_each(|version| shop.publish(version));
        shop
    }

    pub(crate) fn publish(&self, version: &str) {
        self.directory.publish(&bundle(version, intercept(version)), "test").expect("published");
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(self.folder.path()).expect("opens")
    }

    /// With a loader that is watched, and room for some versions.
    pub(crate) fn watched(&self, loader: &Watched, room: usize) -> Registry {
        let max_models = room.try_into().expect("not zero");
        self.with_options(loader, |options| {
            options.cache = CacheConfig { max_models, ..CacheConfig::default() };
        })
    }

    /// With a loader that is watched, and options other than the default ones.
    pub(crate) fn with_options(&self, loader: &Watched, set: impl FnOnce(&mut Options)) -> Registry {
        let mut options = Options::default();
        set(&mut options);
        Registry::with(self.directory.clone(), Box::new(loader.clone()), options).expect("opens")
    }

    /// A path in the model's folder.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.root().join("m").join(inside)
    }

    /// Moves an alias as another process would: on disk only, without proof.
    pub(crate) fn point(&self, alias: &str, to: &str) {
        let alias: Alias = alias.parse().expect("an alias");
        let moved = serve_registry::change_aliases::<serve_registry::StorageError>(
            &self.directory,
            &model(),
            |aliases| {
                let now = "2026-01-01T00:00:00Z".parse().expect("a time");
                aliases.point(
                    &alias,
                    &version(to),
                    serve_registry::aliases::Action::Promote,
                    "another".into(),
                    now,
                );
                Ok(())
            },
        );
        moved.expect("moved");
    }

    /// Flips one bit of a version's model, or flips it back.
    pub(crate) fn flip(&self, version: &str) {
        let path = self.path(&format!("{version}/model.bin"));
        let mut bytes = fs::read(&path).expect("there");
        bytes[60] ^= 1;
        fs::write(&path, bytes).expect("written");
        self.touch(version);
    }

    /// Makes sure that a change of the same length is seen, whatever the clock of the file system resolves.
    fn touch(&self, version: &str) {
        let manifest = fs::File::open(self.path(&format!("{version}/manifest.json"))).expect("there");
        let changed = manifest.metadata().and_then(|data| data.modified()).expect("a time");
        manifest.set_modified(changed + Duration::from_secs(1)).expect("set");
    }

    /// Replaces a file of a version and makes its manifest agree, as a hostile publisher would.
    pub(crate) fn forge(&self, version: &str, file: &str, bytes: &[u8]) {
        fs::write(self.path(&format!("{version}/{file}")), bytes).expect("written");
        let path = self.path(&format!("{version}/manifest.json"));
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
        let entry = serde_json::json!({ "sha256": Digest::of(bytes), "bytes": bytes.len() });
        manifest["files"][file] = entry;
        fs::write(&path, manifest.to_string()).expect("written");
        self.touch(version);
    }

    pub(crate) fn aliases_bytes(&self) -> Vec<u8> {
        fs::read(self.path("aliases.json")).expect("there")
    }
}

/// `v3` answers with the intercept 3.
pub(crate) fn intercept(version: &str) -> f64 {
    version.trim_start_matches('v').parse().expect("a number")
}

/// Which version answers a reference, checked against what it answers.
#[track_caller]
pub(crate) fn served(registry: &Registry, text: &str) -> String {
    let deployment = registry.resolve(&reference(text)).expect("served");
    let version = deployment.manifest().version.to_string();
    assert_eq!(up(deployment.pipeline()), answer_of(&bundle(&version, intercept(&version))), "{version}");
    version
}

type Gate = dyn Fn(&Bundle) + Send + Sync;

/// The native engine, with every load noted and passed through a gate first.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    loads: Arc<Mutex<Vec<String>>>,
    gate: Option<Arc<Gate>>,
}

impl Watched {
    /// `gate` may block or panic.
    pub(crate) fn gated(gate: impl Fn(&Bundle) + Send + Sync + 'static) -> Self {
        Self { gate: Some(Arc::new(gate)), ..Self::default() }
    }

    /// What was loaded since this was last asked.
    pub(crate) fn loads(&self) -> Vec<String> {
        std::mem::take(&mut *self.loads.lock().expect("no panic while it is held"))
    }
}

impl ModelLoader for Watched {
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError> {
        self.loads.lock().expect("no panic while it is held").push(bundle.manifest().version.to_string());
        if let Some(gate) = &self.gate {
            gate(bundle);
        }
        EngineLoader.load(bundle)
    }

    fn insight(&self, bundle: &Bundle) -> Result<Insight, LoadError> {
        let version = bundle.manifest().version.to_string();
        self.loads.lock().expect("no panic while it is held").push(format!("{version}: insight"));
        EngineLoader.insight(bundle)
    }
}

/// Waits, with an end, for what another thread does in its own time.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Whether a deployment is freed, not merely out of service.
pub(crate) fn freed(deployment: &std::sync::Weak<Deployment>) -> bool {
    deployment.strong_count() == 0
}
