//! `cenet-serve serve`: loads the models, listens, and stops in order.

use std::process::ExitCode;

use tokio::net::TcpListener;

use super::Failure;
use crate::config::ServeConfig;
use crate::infer::Engine;
use crate::model::Repository;
use crate::{serve, shutdown, telemetry};

pub(super) fn run(config: &ServeConfig) -> Result<ExitCode, Failure> {
    telemetry::start(&config.log).map_err(|error| format!("--log: {error}"))?;
    let models = Repository::load(&config.models.model_repository, &config.models.load_options())?;
    for model in models.iter() {
        tracing::info!(
            model = model.directory.name,
            version = model.directory.version,
            load_ms = model.load_time.as_millis() as u64,
            golden_relative_difference = model.golden.as_ref().map(|golden| golden.relative_difference),
            "model is ready"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = config.server.http_addr;
        let listener =
            TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}"))?;
        let signal = shutdown::signal()?;
        let http_addr = listener.local_addr()?;
        tracing::info!(%http_addr, "listening; try: curl --data-binary @photo.jpg http://{http_addr}/classify");
        serve::run(config, Engine::new(models, &config.limits)?, listener, signal).await?;
        Ok(ExitCode::SUCCESS)
    })
}
