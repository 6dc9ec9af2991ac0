//! `cenet-serve serve`: loads the models, listens, and stops in order.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;

use super::Failure;
use crate::config::{ModelControl, ServeConfig, ServerOptions};
use crate::infer::Engine;
use crate::model::Repository;
use crate::serve::Listeners;
use crate::{serve, shutdown, telemetry};

pub(super) fn run(config: &ServeConfig) -> Result<ExitCode, Failure> {
    let log = telemetry::start(&config.log).map_err(|error| format!("--log: {error}"))?;
    config.models.kernels.apply();
    let models = Repository::open(config.models.repository_options())?;
    refuse_to_serve_nothing(config, &models)?;
    let threads = config.server.io_threads();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        // before it is told that there is something to stop
        let signals = shutdown::signals()?;
        let listeners = listen(&config.server).await?;
        let mut engine = Engine::new(models, &config.limits)?;
        engine.log = Some(log);
        serve::run(config, engine, listeners, signals).await?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn listen(options: &ServerOptions) -> Result<Listeners, Failure> {
    let http = bind(options.http_addr).await?;
    let grpc = if options.single_port { None } else { Some(bind(options.grpc_addr).await?) };
    let http_addr = http.local_addr()?;
    let grpc_addr = grpc.as_ref().map_or(Ok(http_addr), TcpListener::local_addr)?;
    tracing::info!(%grpc_addr, "gRPC: cenet.v1.Vision, inference.GRPCInferenceService, health, reflection");
    tracing::info!(%http_addr, "listening; try: curl --data-binary @photo.jpg http://{http_addr}/classify");
    Ok(Listeners { http, grpc })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}"))?)
}

/// Where models may come later, none at first is no mistake.
fn refuse_to_serve_nothing(config: &ServeConfig, models: &Repository) -> Result<(), Failure> {
    let catalog = models.catalog();
    if catalog.models().next().is_some() || config.models.model_control != ModelControl::None {
        return Ok(());
    }
    let refusals: Vec<_> = catalog.entries().filter_map(|(_, _, entry)| entry.refusal.as_deref()).collect();
    if refusals.is_empty() {
        let root = models.root().display();
        let layout = "a model lies in <name>/<version>/, the version a whole number from 1 on";
        return Err(format!("model repository {root}: holds no model: {layout}").into());
    }
    Err(refusals.join("\n").into())
}
