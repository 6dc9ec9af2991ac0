//! A place in a trace: what happens there can be told of as spans below it.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::SpanContext;

use super::export::Recorder;
use super::span::Span;
use super::stage::Stage;
use crate::error::InferError;

/// A place in a trace: the span that what happens there belongs to. Every request has one, whether its trace is recorded or not.
#[derive(Debug, Clone)]
pub struct Trace {
    pub(super) context: SpanContext,
    pub(super) record: Option<Record>,
}

/// Where a trace's spans go, and its clock.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) recorder: Arc<Recorder>,
    pub(super) clock: Clock,
}

/// Tells the time of day of a trace's moments: by one reading for all, so that they keep their order whatever is done to the system's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    instant: Instant,
    time: SystemTime,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    pub(super) fn time(self, moment: Instant) -> SystemTime {
        match moment.checked_duration_since(self.instant) {
            Some(later) => self.time + later,
            None => self.time - self.instant.duration_since(moment),
        }
    }
}

impl Trace {
    /// None: for who asks without a request.
    pub fn none() -> Self {
        Self { context: SpanContext::NONE, record: None }
    }

    /// Whether anybody will see its spans.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// The trace's number, as 32 hexadecimal digits.
    pub fn id(&self) -> impl Display + use<> {
        self.context.trace_id()
    }

    /// The place as W3C's `traceparent` tells it.
    pub fn traceparent(&self) -> String {
        let context = &self.context;
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
    }

    /// A span below this place that begins now, and ends when it is dropped.
    pub fn span(&self, name: impl Into<Cow<'static, str>>) -> Span {
        Span::below(self, name.into(), Instant::now())
    }

    /// Tells of a stage that began at `began` and has ended at `ended`, in an error or not.
    pub fn stage(&self, stage: Stage, [began, ended]: [Instant; 2], outcome: Result<(), &InferError>) {
        if self.is_recorded() {
            let mut span = Span::below(self, stage.name().into(), began);
            span.tell(outcome);
            let _ = span.end(ended);
        }
    }

    /// Tells of the inference that `run`, one for several pictures as a rule, was to this one.
    pub fn inference(&self, [began, ended]: [Instant; 2], outcome: Result<(), &InferError>, run: &Self) {
        if self.is_recorded() {
            let mut span = Span::below(self, Stage::Inference.name().into(), began);
            span.link(run);
            span.tell(outcome);
            let _ = span.end(ended);
        }
    }
}
