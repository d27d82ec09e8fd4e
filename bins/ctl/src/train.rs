//! `train`: from a data file to a proven version.

use std::time::Instant;

use serve_app::{Exit, ExitReason};
use serve_core::{Alias, BundleBuilder, ModelName, ModelVersion};
use serve_registry::{PrivateKey, PublishError, Storage};
use serve_train::{Dataset, DatasetOptions, Hyperparameters, Identity, Report, TrainOptions, train};

use crate::args::{Train, Why};
use crate::config::CtlConfig;
use crate::signing::{self, signed};
use crate::{aliases, person, print, table, training_file};

pub(crate) fn run(config: &CtlConfig, args: Train) -> Result<(), Exit> {
    let key = signing::key(args.sign.as_deref())?;
    let file = training_file::open(&args.data)?;
    let options = DatasetOptions {
        time: args.time.clone(),
        exclude: args.exclude.clone(),
        classes: args.classes.clone(),
        ..DatasetOptions::new(&args.target)
    };
    let dataset =
        Dataset::from_csv(file, &options).map_err(|error| Exit::because(ExitReason::Data, error))?;
    let start = Instant::now();
    let trained =
        train(&dataset, &settings(&args)).map_err(|error| Exit::because(ExitReason::Data, error))?;
    eprintln!("fitted in {:.1} s", start.elapsed().as_secs_f64());
    let report = trained.report().clone();
    let storage = config.new_storage()?;
    let version = version(&*storage, &args.name, args.version.clone())?;
    let created = format!("{:.0}", jiff::Timestamp::now());
    let identity = Identity {
        name: args.name.clone(),
        version: version.clone(),
        feature_set: args.feature_set.clone(),
        created,
    };
    let builder = BundleBuilder { max_age: args.max_age, ..trained.into_builder(identity) };
    publish(&*storage, builder, key.as_ref())?;
    print(&told(&report))?;
    print(&format!("published {}@{version}", args.name))?;
    if args.promote {
        let registry = config.registry_of(storage)?;
        aliases::promote(&registry, &args.name, &version, &Alias::champion(), &Why::default())
    } else {
        Ok(())
    }
}

fn settings(args: &Train) -> TrainOptions {
    TrainOptions {
        hyperparameters: Hyperparameters {
            trees: args.trees,
            depth: args.depth,
            min_samples_leaf: args.min_samples_leaf,
            learning_rate: args.learning_rate,
            ..Hyperparameters::default()
        },
        holdout: args.holdout,
        seed: args.seed,
        data: args.data.file_name().map(|name| name.to_string_lossy().into_owned()),
        ..TrainOptions::new(args.algorithm)
    }
}

/// The version asked for, else the time now; one that is taken moves on a second.
pub(crate) fn version(
    storage: &dyn Storage,
    name: &ModelName,
    asked: Option<ModelVersion>,
) -> Result<ModelVersion, Exit> {
    if let Some(version) = asked {
        return Ok(version);
    }
    let taken = storage.versions(name).map_err(|error| Exit::because(ExitReason::System, error))?;
    let mut now = jiff::Timestamp::now();
    loop {
        let text = now.strftime("%Y%m%d_%H%M%S").to_string();
        let version: ModelVersion =
            text.parse().map_err(|error| Exit::because(ExitReason::Software, error))?;
        if !taken.contains(&version) {
            return Ok(version);
        }
        now += std::time::Duration::from_secs(1);
    }
}

/// Proves the bundle, signs it where there is a key, and publishes it.
pub(crate) fn publish(
    storage: &dyn Storage,
    builder: BundleBuilder,
    key: Option<&PrivateKey>,
) -> Result<(), Exit> {
    let bundle = builder.build().map_err(|error| Exit::because(ExitReason::Data, error))?;
    storage.publish(&signed(bundle, key), &person::name()).map_err(|error| {
        let taken = matches!(error, PublishError::Exists { .. } | PublishError::MixedKinds { .. });
        Exit::because(if taken { ExitReason::Data } else { ExitReason::CannotCreate }, error)
    })
}

fn told(report: &Report) -> String {
    let window = |part: &serve_train::Part| match &part.window {
        Some((from, to)) => format!("{from} to {to}"),
        None => "in file order".to_owned(),
    };
    let left_out = report.rows.missing_feature + report.rows.missing_target;
    let mut lines = vec![
        format!(
            "{} on {} features, classes {}",
            report.algorithm,
            report.features,
            report.classes.join(", ")
        ),
        format!(
            "rows: {} read, {} used, {left_out} left out for missing values",
            report.rows.read, report.rows.used
        ),
        format!("trained on {} rows, {}", report.training.rows, window(&report.training)),
        format!("held out  {} rows, {}", report.holdout.rows, window(&report.holdout)),
        String::new(),
    ];
    let holdout = &report.metrics.holdout;
    let value = |key: &str| holdout.get(key).map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let rows: Vec<[String; 3]> = ["accuracy", "log_loss", "brier", "roc_auc"]
        .into_iter()
        .map(|metric| [metric.to_owned(), value(metric), value(&format!("baseline_{metric}"))])
        .collect();
    lines.push(table::aligned(["HELD-OUT", "MODEL", "MAJORITY CLASS"], &rows));
    lines.join("\n")
}
