//! What is counted, in a registry of its own: one struct, every name and its help text in one place.

use std::time::Duration;

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::error::InferError;
use crate::request::Timings;

/// Upper bounds of the duration histograms, in seconds: half a millisecond to ten seconds.
const DURATION_BUCKETS_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    stage_duration: HistogramVec,
    images: IntCounterVec,
    providers: IntGaugeVec,
}

impl Metrics {
    /// Fresh metrics, all at zero.
    ///
    /// # Panics
    /// Never: the names are constants, valid and distinct, which the tests see.
    pub fn new() -> Self {
        let registry = Registry::new();
        let request_labels = ["route", "model", "status"];
        let requests = IntCounterVec::new(
            Opts::new("cenet_requests_total", "Requests answered, by route, model and HTTP status or gRPC code."),
            &request_labels,
        );
        let request_duration = histogram(
            "cenet_request_duration_seconds",
            "Time from a request's head to its answer, by route, model and HTTP status or gRPC code.",
            &request_labels,
        );
        let stage_duration = histogram(
            "cenet_stage_duration_seconds",
            "Time that one picture spent in a stage of its way, by stage and model.",
            &["stage", "model"],
        );
        let images = IntCounterVec::new(
            Opts::new("cenet_images_total", "Pictures answered, by model and outcome: ok or the error's code."),
            &["model", "outcome"],
        );
        let providers = IntGaugeVec::new(
            Opts::new("cenet_model_provider", "1 for the provider that runs a model's version: tensorrt, cuda or cpu."),
            &["model", "version", "provider"],
        );
        Self {
            providers: register(&registry, providers),
            requests: register(&registry, requests),
            request_duration: register(&registry, request_duration),
            stage_duration: register(&registry, stage_duration),
            images: register(&registry, images),
            registry,
        }
    }

    /// Counts a request. `model` is a served model's name, or empty: it must not be what a caller made up.
    pub fn record_request(&self, route: &str, model: &str, status: &str, duration: Duration) {
        let labels = [route, model, status];
        self.requests.with_label_values(&labels).inc();
        self.request_duration.with_label_values(&labels).observe(duration.as_secs_f64());
    }

    /// Counts what became of a picture or tensor, and its stages when it was answered.
    pub fn record_image(&self, model: &str, outcome: Result<&Timings, &InferError>) {
        let code = outcome.map_or_else(|error| error.kind.code(), |_| "ok");
        self.images.with_label_values(&[model, code]).inc();
        for (stage, duration) in outcome.iter().flat_map(|timings| timings.stages()) {
            self.stage_duration.with_label_values(&[stage.name(), model]).observe(duration.as_secs_f64());
        }
    }

    /// Tells which provider runs each model's version, by name and number, in place of what was told before.
    pub fn set_providers<'a>(&self, providers: impl Iterator<Item = (&'a str, u32, &'a str)>) {
        self.providers.reset();
        for (model, version, provider) in providers {
            self.providers.with_label_values(&[model, &version.to_string(), provider]).set(1);
        }
    }

    /// Everything in Prometheus's text format.
    ///
    /// # Errors
    /// When a metric can't be written as text, which would be a defect.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS_SECONDS.to_vec()), labels)
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> C {
    let collector = collector.expect("the metric's name and labels are valid");
    registry.register(Box::new(collector.clone())).expect("the metric's name is taken once");
    collector
}
