//! An executor. It loads the versions that jobs name from its own view of the registry, and refuses those whose content is another.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use serve_app::{Exit, ExitReason};
use serve_core::ByteSize;
use serve_score::Models;

use crate::args::ExecutorArgs;
use crate::codec::{LogicalCodec, PhysicalCodec};
use crate::{block_on, session};

/// How long a scheduler that is not there yet is waited for.
const CONNECT_SECONDS: u16 = 10;
/// Answers that nobody fetched are kept so long.
const ANSWERS_SECONDS: u64 = 3600;
const BETWEEN_CLEANING_SECONDS: u64 = 300;

/// Runs an executor until a signal ends it.
pub(crate) fn run(args: &ExecutorArgs) -> Result<(), Exit> {
    let registry = serve_score_bin::registry(args.registry.as_ref(), args.config.as_deref())?;
    let models = Models::new(Some(Arc::new(registry)));
    let failed = |error: &dyn std::fmt::Display| Exit::told(ExitReason::CannotCreate, error.to_string());
    let temporary = match &args.work_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| failed(&error))?),
    };
    let folder = args.work_dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
    let folder = folder.unwrap_or(std::path::Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| failed(&format!("{}: {error}", folder.display())))?;
    let control_port = args.control_port.unwrap_or_else(|| args.port.saturating_add(1));
    for port in [args.port, control_port] {
        let taken = |error| {
            Exit::told(ExitReason::Unavailable, format!("cannot listen on {}:{port}: {error}", args.host))
        };
        TcpListener::bind((args.host, port)).map_err(taken)?;
    }
    let folder = folder.to_str().ok_or_else(|| failed(&"the work folder's name is no UTF-8"))?;
    let config = config(args, control_port, folder, &models)?;
    block_on(async {
        eprintln!(
            "serve-cluster: the executor listens on {}:{} for the scheduler at {}",
            args.host, args.port, args.scheduler
        );
        let gone = |error| {
            let error: ballista_core::error::BallistaError = error;
            Exit::told(ExitReason::Unavailable, format!("the scheduler at {}: {error}", args.scheduler))
        };
        start_executor_process(Arc::new(config)).await.map_err(gone)
    })
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
