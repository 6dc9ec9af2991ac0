//! `cenet-serve serve`: loads the models, listens, and stops in order.

use std::process::ExitCode;

use tokio::net::TcpListener;

use super::Failure;
use crate::config::{ModelControl, ServeConfig};
use crate::infer::Engine;
use crate::model::Repository;
use crate::{serve, shutdown, telemetry};

pub(super) fn run(config: &ServeConfig) -> Result<ExitCode, Failure> {
    telemetry::start(&config.log).map_err(|error| format!("--log: {error}"))?;
    let models = Repository::open(config.models.repository_options())?;
    refuse_to_serve_nothing(config, &models)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = config.server.http_addr;
        let listener =
            TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}"))?;
        let signals = shutdown::signals()?;
        let http_addr = listener.local_addr()?;
        tracing::info!(%http_addr, "listening; try: curl --data-binary @photo.jpg http://{http_addr}/classify");
        serve::run(config, Engine::new(models, &config.limits)?, listener, signals).await?;
        Ok(ExitCode::SUCCESS)
    })
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
