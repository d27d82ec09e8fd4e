//! The scheduler. It plans jobs and does not run them, so it needs no registry: what a function answers comes with the plan.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use serve_app::{Exit, ExitReason};
use serve_score::Models;
use tokio::net::TcpListener;

use crate::args::SchedulerArgs;
use crate::codec::{LogicalCodec, PhysicalCodec};
use crate::{block_on, ended, session};

/// Runs a scheduler until a signal ends it.
pub(crate) fn run(args: &SchedulerArgs) -> Result<(), Exit> {
    block_on(async {
        let address = SocketAddr::new(args.host, args.port);
        let taken =
            |error| Exit::told(ExitReason::Unavailable, format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let failed = |error| Exit::because(ExitReason::Software, error);
        let config = config(args, address);
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
        let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config));
        let scheduler = scheduler.await.map_err(failed)?;
        eprintln!("serve-cluster: the scheduler listens on {address}");
        tokio::select! {
            served = start_grpc_service_with_listener(listener, scheduler) => {
                served.map_err(|error| Exit::because(ExitReason::Unavailable, error))
            }
            ended = ended() => ended,
        }
    })
}

fn config(args: &SchedulerArgs, address: SocketAddr) -> SchedulerConfig {
    let models = Models::new(None);
    let producer = Arc::clone(&models);
    let builder = Arc::clone(&models);
    SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        external_host: args.external_host.clone().unwrap_or_else(|| address.ip().to_string()),
        executor_timeout_seconds: args.executor_timeout,
        expire_dead_executor_interval_seconds: args.expiry_interval,
        no_executors_grace_period_seconds: args.no_executors_grace,
        override_config_producer: Some(Arc::new(move || session::config(&producer))),
        override_session_builder: Some(Arc::new(move |config| session::state(config, &builder))),
        override_logical_codec: Some(Arc::new(LogicalCodec::new(Arc::clone(&models)))),
        override_physical_codec: Some(Arc::new(PhysicalCodec::new(models))),
        ..SchedulerConfig::default()
    }
}
