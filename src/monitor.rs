//! Asks the models now and then whether they still answer right, so that readiness is no promise but something seen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;

use crate::error::Result;
use crate::infer::Engine;
use crate::model::Model;

/// Checks every model each `interval`, and a model whose requests fail in a row at once, for ever. One that fails its canary twice is
/// taken out of service and loaded anew, once; if that doesn't help it stays out of service until a canary succeeds.
pub async fn monitor(engine: Arc<Engine>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // every model has just shown that it answers
    ticks.tick().await;
    loop {
        let models: Vec<_> = engine.models.catalog().models().cloned().collect();
        tokio::select! {
            _ = ticks.tick() => {
                for model in &models {
                    examine(&engine, model).await;
                }
            }
            model = suspect(&models) => examine(&engine, &model).await,
        }
    }
}

/// The first of `models` that becomes suspect.
async fn suspect(models: &[Arc<Model>]) -> Arc<Model> {
    if models.is_empty() {
        return std::future::pending().await;
    }
    let suspicions = models.iter().map(|model| Box::pin(async move { model.health.suspected().await }));
    let ((), position, _) = select_all(suspicions).await;
    Arc::clone(&models[position])
}

async fn examine(engine: &Engine, model: &Arc<Model>) {
    let (name, version) = (model.directory.name.as_str(), model.directory.version);
    let Err(first) = ask(engine, model).await else {
        if model.health.set_failing(None) {
            tracing::info!(model = name, version, "model answers again");
        }
        return;
    };
    tracing::warn!(model = name, version, reason = first.message, "canary failed; it is sent once more");
    let Err(second) = ask(engine, model).await else { return };
    if model.health.set_failing(Some(second.message.clone())) {
        tracing::error!(model = name, version, reason = second.message, "model is out of service");
        reload(engine, model).await;
    }
}

async fn ask(engine: &Engine, model: &Model) -> Result<()> {
    let outcome = model.ask_canary().await;
    if engine.counts {
        model.metrics.record_canary(&outcome);
    }
    outcome
}

/// Puts a fresh copy in the place of `model`, unless it took the place of a failing one itself.
async fn reload(engine: &Engine, model: &Model) {
    let (name, version) = (model.directory.name.clone(), model.directory.version);
    if model.health.is_on_trial() {
        tracing::error!(model = name, version, "model was loaded anew and fails again; it stays out of service");
        return;
    }
    let models = Arc::clone(&engine.models);
    let reloaded = tokio::task::spawn_blocking(move || models.load(&name, Some(version))).await;
    match reloaded.map_err(|error| error.to_string()).and_then(|loaded| loaded.map_err(|error| error.to_string())) {
        Ok(fresh) => fresh.iter().for_each(|model| model.health.put_on_trial()),
        Err(error) => tracing::error!(model = model.directory.name, version, error, "model can't be loaded anew"),
    }
}
