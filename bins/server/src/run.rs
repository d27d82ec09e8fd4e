//! From arguments to a running server, and from a signal to its end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use serve_app::config::masked;
use serve_app::log::Log;
use serve_app::{ConfigError, Exit, ExitReason, Layers, Locks, PredictionCache, Service, ServiceParts};
use serve_features::{Declarations, FeatureStore, Retriever, RetrieverParts};
use serve_http::descriptors;
use serve_http::routes::App;
use serve_http::server::Stopped;
use serve_http::{BindError, Server};
use serve_registry::Registry;
use tracing::{info, warn};

use crate::allocator;
use crate::args::Args;
use crate::config::ServerConfig;
use crate::demo::Demo;
use crate::reload::Reloading;

/// Threads for work that blocks or takes long: loading versions, large batches.
const BLOCKING_THREADS: usize = 16;

pub(crate) fn run(args: Args) -> Result<(), Exit> {
    if args.check_config {
        let (config, notes) = ServerConfig::load(&args, Layers::new())?;
        let of_registry = if args.demo { Vec::new() } else { config.registry_notes() };
        notes.iter().chain(&of_registry).try_for_each(|note| writeln!(std::io::stderr(), "{note}")).ok();
        let shown = serde_json::to_value(&config).map_err(|e| Exit::because(ExitReason::Software, e))?;
        return print(&format!("{:#}", masked("", &shown)));
    }
    let demo =
        args.demo.then(|| Demo::unpack(args.registry.as_ref(), args.features.as_deref())).transpose()?;
    let base = demo.as_ref().map_or_else(Layers::new, Demo::settings);
    let (config, notes) = ServerConfig::load(&args, base.clone())?;
    let (log, _flushed) = config.log.start().map_err(|error| Exit::because(ExitReason::Config, error))?;
    notes.iter().for_each(|note| warn!("{note}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Exit::because(ExitReason::System, error))?;
    runtime.block_on(serve(Start { args, base, config, log, demo }))
}

/// What a server is started with.
struct Start {
    args: Args,
    base: Layers,
    config: ServerConfig,
    log: Log,
    demo: Option<Demo>,
}

async fn serve(start: Start) -> Result<(), Exit> {
    let Start { args, base, config, log, demo } = start;
    let registry = Arc::new(open_registry(&config)?);
    let clock: serve_features::Clock = Arc::new(jiff::Timestamp::now);
    let (store, declarations) = open_features(&config, demo.as_ref()).await?;
    let parts =
        RetrieverParts { store, declarations, config: config.features.clone(), clock: Arc::clone(&clock) };
    let retriever = Arc::new(Retriever::new(parts));
    // The first connection is made before the first request needs it, and what is wrong with the store is told at once.
    let first = Arc::clone(&retriever);
    tokio::spawn(async move {
        first.probe().await;
        for set in first.declarations().sets() {
            first.depth_warnings(set).await.iter().for_each(|told| warn!("{told}"));
        }
    });
    let locks = Locks::new(&config.auth);
    let locks = Arc::new(locks.map_err(|mistakes| ConfigError::Mistakes { mistakes })?);
    let service = Service::new(ServiceParts {
        registry: Arc::clone(&registry),
        retriever: Arc::clone(&retriever),
        default_model: config.registry.default_model.clone(),
        compare: config.http.compare.clone(),
        limits: config.limits.clone(),
        locks: Arc::clone(&locks),
        clock,
    });
    let cache =
        PredictionCache::open(&config.cache).map_err(|error| Exit::because(ExitReason::Config, error))?;
    let service = Arc::new(service.with_prediction_cache(cache));
    service.tell_log(Arc::clone(log.written()));
    service.telemetry().start(&config.telemetry);
    service.payloads().reconfigure(&config.log.payloads);
    raise_descriptors(config.http.connections.max);
    let app = App::new(Arc::clone(&service), config.http.clone()).giving_back(allocator::give_back_small);
    // From here on a stop is heard, also one that comes before the first request.
    let stop = stop_signal()?;
    let server = Server::bind(app).map_err(bind_error)?;
    let address = server.local_addr().map_err(|error| Exit::because(ExitReason::System, error))?;
    let period = config.registry.poll;
    let folder = config.registry.url.folder().filter(|_| config.registry.watch);
    let folder = folder.map(std::path::Path::to_owned);
    let poll = (!period.is_zero()).then(|| serve_app::poll::follow(registry, period, folder));
    let looking = locks.follow();
    let telemetry = Arc::clone(service.telemetry());
    let reloads = Reloading { args, base, log, service, tls: server.tls(), config }.follow()?;
    announce(server.scheme(), address, demo.as_ref())?;
    let stopped = server.run(stop).await;
    looking.abort();
    reloads.abort();
    telemetry.flush().await;
    if let Some(poll) = poll {
        poll.abort();
    }
    match stopped {
        Stopped::Drained => {
            info!("stopped; every request under way was answered");
            Ok(())
        }
        Stopped::CutOff => Err(Exit::told(
            ExitReason::Temporary,
            "stopped; requests that outlasted http.drain_timeout were cut off",
        )),
    }
}

fn open_registry(config: &ServerConfig) -> Result<Registry, Exit> {
    let url = &config.registry.url;
    let storage =
        url.open(&config.registry.object_cache).map_err(|error| Exit::because(ExitReason::NoInput, error))?;
    let loader = config.registry.loader().map_err(|error| Exit::because(ExitReason::Config, error))?;
    let registry = Registry::with_storage(storage, loader, config.registry.options())
        .map_err(|error| Exit::because(ExitReason::System, error))?;
    for model in registry.models() {
        for (version, refusal) in &model.refused {
            warn!(
                model = model.name.as_str(),
                version = version.as_str(),
                reason = &*refusal.reason,
                "version refused"
            );
        }
        if let Some(deployment) = model.champion_deployment() {
            let load_ms = deployment.load_time().as_secs_f64() * 1e3;
            info!(
                model = model.name.as_str(),
                version = deployment.manifest().version.as_str(),
                load_ms,
                "model is live"
            );
        }
    }
    if let Some(note) = config.no_default(|name| registry.model(name.as_str()).is_some()) {
        warn!("{note}");
    }
    if registry.models().is_empty() {
        warn!(registry = %url, "the registry is empty; `serve-ctl import` publishes a model");
    }
    Ok(registry)
}

async fn open_features(
    config: &ServerConfig,
    demo: Option<&Demo>,
) -> Result<(Option<Arc<dyn FeatureStore>>, Declarations), Exit> {
    let declarations = match (config.declarations()?, demo) {
        (Some(declarations), _) => declarations,
        (None, Some(_)) => Demo::declarations()?,
        (None, None) => Declarations::default(),
    };
    for set in declarations.sets() {
        for (feature, rows) in set.deeper_than(config.features.on_demand.max_rows) {
            let max_rows = config.features.on_demand.max_rows;
            warn!(set = %set.name(), feature, rows, max_rows, "computed on demand it would be missing: it needs more rows than are read");
        }
    }
    if let (Some(demo), Some(_)) = (demo, &config.features.url) {
        demo.fill(&declarations).await?;
    }
    let store = config.features.open().map_err(|error| Exit::because(ExitReason::Unavailable, error))?;
    Ok((store, declarations))
}

/// Completes at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Exit> {
    use tokio::signal::unix::{SignalKind, signal};
    let os = |error: std::io::Error| Exit::because(ExitReason::System, error);
    let mut terminate = signal(SignalKind::terminate()).map_err(os)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(os)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping: no new connections, requests under way are answered");
    })
}

fn bind_error(error: BindError) -> Exit {
    let code = match &error {
        BindError::InUse { .. } => ExitReason::Unavailable,
        BindError::Config { .. } | BindError::Tls(_) => ExitReason::Config,
        _ => ExitReason::System,
    };
    Exit::because(code, error)
}

/// Every connection takes a descriptor.
fn raise_descriptors(connections: usize) {
    let wanted = descriptors::wanted(connections);
    if let Some(limit) = descriptors::raise_limit().filter(|limit| *limit < wanted) {
        warn!(
            limit,
            wanted, "the system lets this process open few files; http.connections.max cannot be reached"
        );
    }
}

fn announce(scheme: &str, address: SocketAddr, demo: Option<&Demo>) -> Result<(), Exit> {
    info!(%address, scheme, "listening");
    match demo {
        Some(demo) => print(&demo.welcome(address).replace("http://", &format!("{scheme}://"))),
        None => print(&format!("serve-server listens on {scheme}://{address}")),
    }
}

/// Results go to standard output; that it is closed is no reason to stop serving.
fn print(text: &str) -> Result<(), Exit> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Exit::because(ExitReason::System, error))
        }
        _ => Ok(()),
    }
}
