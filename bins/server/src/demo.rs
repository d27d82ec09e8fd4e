//! The demonstration: six models and six years of features, carried inside the program and unpacked into a temporary
//! folder, so that it runs anywhere and leaves nothing behind.
//!
//! Prices are real Bitcoin days and the VADER scores real news; the FinBERT scores are generated (`examples/data` says
//! how). Their newest day lies in the past, so the demonstration switches the age limit off (`features.max_age: none`);
//! a real server keeps it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serve_app::{Exit, ExitReason, Layers};
use serve_features::{
    BuildRequest, Declarations, Durability, RawTable, SqliteDatabase, SqliteOptions, SqliteStore, build,
    read_raw,
};
use serve_registry::RegistryUrl;
use tempfile::TempDir;

const DECLARATIONS: &str = include_str!("../../../models/features.yaml");
const PRICES: &[u8] = include_bytes!("../../../examples/data/price_data.csv");
const SENTIMENT: &[u8] = include_bytes!("../../../examples/data/sentiment_data.csv");

/// The model that answers where a request names none.
const DEFAULT_MODEL: &str = "vader-random-forest";

/// A file under `models/`, and its content.
type Packed = (&'static str, &'static [u8]);

macro_rules! bundles {
    ($($name:literal),* $(,)?) => {
        &[$(
            bundles!(@file $name, "aliases.json"),
            bundles!(@file $name, "20250331_000000/model.bin"),
            bundles!(@file $name, "20250331_000000/golden.json"),
            bundles!(@file $name, "20250331_000000/reference.json"),
            bundles!(@file $name, "20250331_000000/manifest.json"),
        )*]
    };
    (@file $name:literal, $file:literal) => {
        (concat!($name, "/", $file), include_bytes!(concat!("../../../models/", $name, "/", $file)))
    };
}

const BUNDLES: &[Packed] = bundles!(
    "vader-logistic-regression",
    "vader-random-forest",
    "vader-gradient-boosting",
    "finbert-logistic-regression",
    "finbert-random-forest",
    "finbert-gradient-boosting",
);

/// The demonstration's files on disk. The temporary folder goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Demo {
    _folder: TempDir,
    registry: PathBuf,
    features: String,
}

impl Demo {
    /// Unpacks the models and names a place for the features: a temporary folder, or what the user chose.
    pub(crate) fn unpack(registry: Option<&RegistryUrl>, features: Option<&str>) -> Result<Self, Exit> {
        let os = |error: std::io::Error| Exit::because(ExitReason::System, error);
        let folder = tempfile::Builder::new().prefix("serve-demo-").tempdir().map_err(os)?;
        let registry = match registry.map(RegistryUrl::folder) {
            Some(Some(path)) => path.to_owned(),
            Some(None) => {
                return Err(Exit::told(ExitReason::Config, "--demo unpacks its models into a folder"));
            }
            None => folder.path().join("registry"),
        };
        for (name, bytes) in BUNDLES {
            let path = registry.join(name);
            if !path.exists() {
                fs::create_dir_all(path.parent().unwrap_or(&registry)).map_err(os)?;
                fs::write(&path, bytes).map_err(os)?;
            }
        }
        let database = folder.path().join("features.db");
        let features = features.map_or_else(|| format!("sqlite://{}", database.display()), str::to_owned);
        Ok(Self { _folder: folder, registry, features })
    }

    /// What the demonstration configures; file, environment and flags go over it.
    pub(crate) fn settings(&self) -> Layers {
        let mut layers = Layers::new();
        layers.set("registry.url", self.registry.to_string_lossy().into_owned());
        layers.set("registry.default_model", DEFAULT_MODEL);
        layers.set("features.url", self.features.clone());
        // The newest day lies in the past: fresh for demonstration only.
        layers.set("features.max_age", "none");
        layers.set("features.timeout", "1s");
        layers.set("http.compare", vec!["vader".to_owned(), "finbert".to_owned()]);
        layers
    }

    /// The demonstration's feature sets.
    pub(crate) fn declarations() -> Result<Declarations, Exit> {
        Declarations::parse(DECLARATIONS).map_err(|error| Exit::because(ExitReason::Software, error))
    }

    /// Computes every feature of every day and stores it, as `serve-ctl features` does.
    pub(crate) async fn fill(&self, declarations: &Declarations) -> Result<(), Exit> {
        let broken = |error: &dyn std::error::Error| {
            Exit::told(ExitReason::Software, format!("the demo's data: {error}"))
        };
        let options = SqliteOptions { durability: Durability::ThrowAway, ..SqliteOptions::default() };
        let Some(path) = self.features.strip_prefix("sqlite://") else { return Ok(()) };
        let mut database =
            SqliteDatabase::open(path, options).map_err(|e| Exit::because(ExitReason::Unavailable, e))?;
        for (table, csv) in [(RawTable::Price, PRICES), (RawTable::Sentiment, SENTIMENT)] {
            let rows = read_raw(&table, csv).map_err(|e| broken(&e))?;
            database.write_raw(&table, &rows).map_err(|e| broken(&e))?;
        }
        let store = SqliteStore::start(database, 1).map_err(|e| broken(&e))?;
        let request = BuildRequest { store: true, ..BuildRequest::default() };
        for set in declarations.sets() {
            build(set, &store, &request, &mut |_, _| Ok(())).await.map_err(|e| broken(&e))?;
        }
        Ok(())
    }

    /// What to try next.
    pub(crate) fn welcome(&self, address: SocketAddr) -> String {
        let registry = self.registry.display();
        format!(
            "\
serve-server --demo listens on http://{address}

Six models that predict whether Bitcoin closes higher tomorrow. Prices and VADER scores are real (2019 to 2025),
FinBERT scores are generated, and there is almost no signal in daily direction: accuracy is near 0.5, as it should be.
The newest stored day is old; the age limit is off for the demonstration (features.max_age: none).

All paths, with examples to try in a browser: http://{address}/docs

Try:
  curl -X POST 'http://{address}/predict?feature_set=vader&model_type=random_forest'
  curl -X POST 'http://{address}/predict?feature_set=finbert&model_type=random_forest'
  curl -X POST http://{address}/predict/both
  curl -X POST 'http://{address}/predict?feature_set=vader&model_type=random_forest&use_cached_features=false'   (computed now)
  curl http://{address}/features/vader/BTC%2FUSD   (each value, its expression and its raw rows)
  curl -X POST http://{address}/predict -H 'Content-Type: application/json' \\
       -d '{{\"model\": \"vader-gradient-boosting\", \"entity\": \"BTC/USD\", \"timestamp\": \"2024-01-15T00:00:00Z\"}}'
  curl http://{address}/models
  curl http://{address}/models/vader-random-forest
  curl http://{address}/v2/models/vader-random-forest
  curl http://{address}/health

The models lie in {registry}; publish to it with
  serve-ctl import --registry {registry} --name NAME MODEL_FILE
Stop with Ctrl-C."
        )
    }
}
