//! An executor. It loads the versions that jobs name from its own view of the registry, and refuses those whose content is another.

use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_executor::health::ExecutorHealth;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use serve_app::{Exit, ExitReason};
use serve_core::ByteSize;
use serve_registry::RegistryUrl;
use serve_score::Models;
use tokio::time::{sleep, timeout};

use crate::args::ExecutorArgs;
use crate::codec::{LogicalCodec, PhysicalCodec};
use crate::stage::Stages;
use crate::{block_on, ended, session, watch};

/// How often Ballista tries to connect, before which the scheduler has answered.
const CONNECT_SECONDS: u16 = 10;
/// Answers that nobody fetched are kept so long.
const ANSWERS_SECONDS: u64 = 3600;
const BETWEEN_CLEANING_SECONDS: u64 = 300;
/// Between two looks whether the scheduler answers.
const BETWEEN: Duration = Duration::from_millis(200);
/// Signs of life that were not answered, after which Ballista ends an executor, and how long that may take.
const SIGNS: u64 = 6;
const LETTING_GO: Duration = Duration::from_secs(3);
/// How long after the executor's end the signal is known that ended it.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Runs an executor until a signal ends it, or its scheduler is gone.
pub(crate) fn run(args: &ExecutorArgs) -> Result<(), Exit> {
    let registry = serve_score_bin::registry(args.registry.as_ref(), args.config.as_deref())?;
    let models = Models::of_another(Arc::new(registry), whose(args));
    let temporary = match &args.work_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| cannot_create(&error))?),
    };
    let folder = args.work_dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
    let folder = work_folder(folder.unwrap_or(Path::new(".")))?;
    let control_port = args.control_port.unwrap_or_else(|| args.port.saturating_add(1));
    for port in [args.port, control_port] {
        let taken = |error| {
            Exit::told(ExitReason::Unavailable, format!("cannot listen on {}:{port}: {error}", args.host))
        };
        TcpListener::bind((args.host, port)).map_err(taken)?;
    }
    let config = config(args, control_port, &folder, &models)?;
    block_on(serve(args, config))
}

fn cannot_create(error: &dyn std::fmt::Display) -> Exit {
    Exit::told(ExitReason::CannotCreate, error.to_string())
}

/// What is not in this executor's registry is told as this.
fn whose(args: &ExecutorArgs) -> String {
    let host = args.external_host.clone().unwrap_or_else(|| args.host.to_string());
    let url =
        args.registry.as_ref().map(RegistryUrl::as_str).map_or_else(String::new, |url| format!(" ({url})"));
    format!("the registry{url} of the executor at {host}:{}", args.port)
}

fn work_folder(folder: &Path) -> Result<String, Exit> {
    std::fs::create_dir_all(folder)
        .map_err(|error| cannot_create(&format!("{}: {error}", folder.display())))?;
    let text = |folder: PathBuf| folder.into_os_string().into_string();
    text(folder.to_owned()).map_err(|_| cannot_create(&"the work folder's name is no UTF-8"))
}

async fn serve(args: &ExecutorArgs, config: ExecutorProcessConfig) -> Result<(), Exit> {
    let scheduler = &args.scheduler;
    let unavailable = |problem: String| Exit::told(ExitReason::Unavailable, problem);
    let mut signal = tokio::spawn(ended());
    tokio::select! {
        ended = &mut signal => return ended.unwrap_or(Ok(())),
        answers = watch::answers(scheduler, Duration::from_secs(args.patience)) => answers.map_err(unavailable)?,
    }
    let health = config.health.clone();
    tokio::select! {
        done = start_executor_process(Arc::new(config)) => {
            done.map_err(|error| unavailable(format!("the scheduler at {scheduler} took no executor: {error}")))?;
        }
        // It would wait until all is scored that nobody asks for any more.
        () = given_up(args, &health) => {}
    }
    if let Ok(ended) = timeout(AT_ONCE, signal).await {
        return ended.unwrap_or(Ok(()));
    }
    Err(unavailable(if health.is_ready() {
        format!("the scheduler at {scheduler} sent the executor away")
    } else {
        format!("the scheduler at {scheduler} is gone")
    }))
}

/// Tells when the executor begins to be there for its scheduler, and when that does not answer; ends when it has not for longer than
/// Ballista waits for it.
async fn given_up(args: &ExecutorArgs, health: &ExecutorHealth) {
    let ExecutorArgs { scheduler, host, port, heartbeat, .. } = args;
    let limit = Duration::from_secs(SIGNS.saturating_mul(*heartbeat)) + LETTING_GO;
    let (mut begun, mut answered, mut last) = (false, false, Instant::now());
    while !begun || last.elapsed() < limit {
        let answers = health.is_ready();
        match (answered, answers) {
            (false, true) if begun => eprintln!("serve-cluster: the scheduler at {scheduler} answers again"),
            (false, true) => {
                begun = true;
                eprintln!(
                    "serve-cluster: the executor listens on {host}:{port} for the scheduler at {scheduler}"
                );
            }
            (true, false) => eprintln!("serve-cluster: the scheduler at {scheduler} does not answer"),
            _ => {}
        }
        answered = answers;
        if answers {
            last = Instant::now();
        }
        sleep(BETWEEN).await;
    }
}

fn config(
    args: &ExecutorArgs,
    control_port: u16,
    folder: &str,
    models: &Arc<Models>,
) -> Result<ExecutorProcessConfig, Exit> {
    let state = session::state(session::config(models), models);
    let state = state.map_err(|error| Exit::because(ExitReason::Software, error))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (producer, spilled) = (Arc::clone(models), folder.to_owned());
    let seen = |host: &IpAddr| (!host.is_unspecified()).then(|| host.to_string());
    Ok(ExecutorProcessConfig {
        bind_host: args.host.to_string(),
        external_host: args.external_host.clone().or_else(|| seen(&args.host)),
        port: args.port,
        grpc_port: control_port,
        scheduler_host: args.scheduler.host.clone(),
        scheduler_port: args.scheduler.port,
        scheduler_connect_timeout_seconds: CONNECT_SECONDS,
        vcores: args.threads.map_or(cores, usize::from),
        work_dir: Some(folder.to_owned()),
        job_data_ttl_seconds: ANSWERS_SECONDS,
        job_data_clean_up_interval_seconds: BETWEEN_CLEANING_SECONDS,
        executor_heartbeat_interval_seconds: args.heartbeat,
        memory_pool_size: args.memory_limit.map(|ByteSize(bytes)| bytes),
        override_execution_engine: Some(Arc::new(Stages::new())),
        override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&state))),
        override_runtime_producer: Some(Arc::new(move |_| {
            session::runtime(RuntimeEnvBuilder::new().with_temp_file_path(spilled.clone()))
        })),
        override_config_producer: Some(Arc::new(move || session::config(&producer))),
        override_logical_codec: Some(Arc::new(LogicalCodec::new(Arc::clone(models)))),
        override_physical_codec: Some(Arc::new(PhysicalCodec::new(Arc::clone(models)))),
        ..ExecutorProcessConfig::default()
    })
}
