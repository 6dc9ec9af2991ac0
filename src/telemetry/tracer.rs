//! Decides which requests are traced.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanKind, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};

use super::export::Recorder;
use super::parent::Parent;
use super::span::Span;
use super::trace::{Clock, Record};
use crate::config::TraceOptions;

/// How long the last spans get to be sent.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Decides which requests are traced. Where no collector is, none is.
#[derive(Debug)]
pub struct Tracer {
    recorder: Option<Arc<Recorder>>,
    sampler: Sampler,
}

impl Tracer {
    /// Traces nothing.
    pub fn off() -> Self {
        Self { recorder: None, sampler: Sampler::AlwaysOff }
    }

    /// As `options` say, from within a runtime that outlives it.
    ///
    /// # Errors
    /// When the collector's address is no URL.
    pub fn start(options: &TraceOptions) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let Some(endpoint) = &options.otlp_endpoint else { return Ok(Self::off()) };
        tracing::info!(endpoint, sampling = options.trace_sampling, "traces are sent");
        let recorder = Some(Arc::new(Recorder::start(endpoint)?));
        Ok(Self { recorder, sampler: Sampler::TraceIdRatioBased(options.trace_sampling) })
    }

    /// The span of a request that begins now. It is recorded where its caller's is; of requests without a caller's span, the share is that
    /// was asked for, and none of those that aren't `notable`.
    pub fn request(&self, parent: Option<Parent>, notable: bool) -> Span {
        let parent = parent.map_or(SpanContext::NONE, |Parent(context)| context);
        let traced = parent.is_valid();
        let trace_id = if traced { parent.trace_id() } else { RandomIdGenerator::default().new_trace_id() };
        let wanted = || if traced { parent.is_sampled() } else { notable && self.is_of_the_share(trace_id) };
        let recorder = self.recorder.as_ref().filter(|_| wanted());
        let record = recorder.map(|recorder| Record { recorder: Arc::clone(recorder), clock: Clock::new() });
        Span::request(trace_id, &parent, record)
    }

    fn is_of_the_share(&self, trace_id: TraceId) -> bool {
        let sampled = self.sampler.should_sample(None, trace_id, "", &SpanKind::Server, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }

    /// Sends what is left, for some seconds at most.
    pub async fn shut_down(&self) {
        if let Some(recorder) = self.recorder.clone() {
            // what it blocks is not the runtime that sends
            let _ = tokio::task::spawn_blocking(move || recorder.shut_down(LAST_SPANS)).await;
        }
    }
}
