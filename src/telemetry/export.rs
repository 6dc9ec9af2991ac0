//! Sends spans to a collector, many at once, on a thread of their own. A collector that can't be reached holds up nobody: what doesn't
//! fit into the queue meanwhile is lost.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanExporter, SpanProcessor,
};

/// Spans that wait to be sent: those of a few seconds under load.
const QUEUE_LENGTH: usize = 8192;
const SERVICE: &str = "cenet-serve";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where finished spans go.
#[derive(Debug)]
pub(super) struct Recorder {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Recorder {
    /// Sends to the collector at `endpoint`, from within a runtime that outlives it. That there is none is no error: one may come.
    ///
    /// # Errors
    /// When `endpoint` is no URL.
    pub(super) fn start(endpoint: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let exporter = Exporter { inner: exporter, endpoint: endpoint.to_owned(), failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE_LENGTH).build();
        let mut processor = BatchSpanProcessor::new(exporter, batches);
        processor.set_resource(&resource());
        Ok(Self { processor, scope: InstrumentationScope::builder(SERVICE).with_version(VERSION).build() })
    }

    pub(super) fn record(&self, span: SpanData) {
        self.processor.on_end(span);
    }

    pub(super) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// Sends what is left; blocks for `patience` at most.
    pub(super) fn shut_down(&self, patience: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(patience) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Who sends: the environment's `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say it, or what is known here.
fn resource() -> Resource {
    let number = u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes());
    let own = [
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", VERSION),
        KeyValue::new("service.instance.id", uuid(number)),
    ];
    let resource = Resource::builder_empty().with_attributes(own);
    let resource = resource.with_detector(Box::new(TelemetryResourceDetector));
    let resource = resource.with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

/// A UUID of version 4, of a random number.
fn uuid(number: u128) -> String {
    let number = number & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    parts.join("-")
}

/// The collector; tells once that it can't be reached, and once that it can be again.
#[derive(Debug)]
struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.inner.export(spans).await;
        let endpoint = &self.endpoint;
        match (&sent, self.failing.swap(sent.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(endpoint, %error, "traces can't be sent, and are lost meanwhile"),
            (Ok(()), true) => tracing::info!(endpoint, "traces are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, patience: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(patience)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_by_a_uuid_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
