//! A piece of work that is told of when it is over.

use std::borrow::Cow;
use std::time::Instant;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use super::trace::{Record, Trace};
use crate::error::{ErrorKind, InferError};

/// A piece of work that is told of when it is over: when it is dropped. One that was never said to end well or badly was broken off.
/// Does nothing where its trace isn't recorded.
#[derive(Debug)]
pub struct Span {
    trace: Trace,
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    name: Cow<'static, str>,
    kind: SpanKind,
    parent: SpanId,
    parent_is_remote: bool,
    began: Instant,
    ended: Option<Instant>,
    attributes: Vec<KeyValue>,
    links: SpanLinks,
    /// None until it is said.
    status: Option<Status>,
}

impl Open {
    fn new(name: Cow<'static, str>, kind: SpanKind, parent: &SpanContext, began: Instant) -> Box<Self> {
        Box::new(Self {
            name,
            kind,
            parent: parent.span_id(),
            parent_is_remote: parent.is_remote(),
            began,
            ended: None,
            attributes: Vec::new(),
            links: SpanLinks::default(),
            status: None,
        })
    }
}

impl Span {
    /// The span of a request that begins now, in the trace `trace_id`, caused by the caller's span `parent` where that is valid.
    pub(super) fn request(trace_id: TraceId, parent: &SpanContext, record: Option<Record>) -> Self {
        let (span_id, flags) = (new_span_id(), TraceFlags::default().with_sampled(record.is_some()));
        let context = SpanContext::new(trace_id, span_id, flags, false, parent.trace_state().clone());
        let open = record.as_ref().map(|_| Open::new("request".into(), SpanKind::Server, parent, Instant::now()));
        Self { trace: Trace { context, record }, open }
    }

    /// A part of what `parent` is, since `began`.
    pub(super) fn below(parent: &Trace, name: Cow<'static, str>, began: Instant) -> Self {
        if !parent.is_recorded() {
            return Self { trace: parent.clone(), open: None };
        }
        let above = &parent.context;
        let state = above.trace_state().clone();
        let context = SpanContext::new(above.trace_id(), new_span_id(), above.trace_flags(), false, state);
        let open = Some(Open::new(name, SpanKind::Internal, above, began));
        Self { trace: Trace { context, record: parent.record.clone() }, open }
    }

    /// Work for all of `members` at once, which begins now: a trace of its own, linked to theirs. Recorded if any of theirs is.
    pub fn together<'a>(name: &'static str, members: impl Iterator<Item = &'a Trace>) -> Self {
        let mut members = members.filter(|trace| trace.is_recorded()).peekable();
        let Some(record) = members.peek().and_then(|first| first.record.clone()) else {
            return Self { trace: Trace::none(), open: None };
        };
        let trace_id = RandomIdGenerator::default().new_trace_id();
        let context = SpanContext::new(trace_id, new_span_id(), TraceFlags::SAMPLED, false, TraceState::NONE);
        let open = Open::new(name.into(), SpanKind::Internal, &SpanContext::NONE, Instant::now());
        let mut span = Self { trace: Trace { context, record: Some(record) }, open: Some(open) };
        members.for_each(|member| span.link(member));
        span
    }

    /// The place below which the parts of the work are told of.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Names it anew.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.open {
            open.name = name.into();
        }
    }

    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.open {
            open.attributes.push(KeyValue::new(key, value));
        }
    }

    /// Links it to what another trace tells of.
    pub(super) fn link(&mut self, other: &Trace) {
        if let (Some(open), true) = (&mut self.open, other.is_recorded()) {
            open.links.links.push(Link::with_context(other.context.clone()));
        }
    }

    /// Says how it ended. What the caller did wrong is named, but is no failure of the work.
    pub fn tell(&mut self, outcome: Result<(), &InferError>) {
        let error = outcome.err();
        let fault = error.filter(|error| is_fault(error.kind));
        self.settle(error.map(|error| error.kind.code()), fault.map(|error| error.message.as_str()));
    }

    /// The same where it is said in other words: the class of an error, and what failed, if the server did.
    pub fn settle(&mut self, error_type: Option<impl Into<Value>>, failure: Option<&str>) {
        if let Some(error_type) = error_type {
            self.set("error.type", error_type);
        }
        if let Some(open) = &mut self.open {
            open.status = Some(failure.map_or(Status::Unset, |failure| Status::error(failure.to_owned())));
        }
    }

    /// Tells of it now, as of something that ended at `moment`; gives back its place, to link to.
    pub fn end(mut self, moment: Instant) -> Trace {
        if let Some(open) = &mut self.open {
            open.ended = Some(moment);
        }
        self.trace.clone()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some(open), Some(record)) = (self.open.take(), &self.trace.record) else { return };
        let mut attributes = open.attributes;
        let status = open.status.unwrap_or_else(|| {
            attributes.push(KeyValue::new("error.type", "cancelled"));
            Status::Unset
        });
        record.recorder.record(SpanData {
            span_context: self.trace.context.clone(),
            parent_span_id: open.parent,
            parent_span_is_remote: open.parent_is_remote,
            span_kind: open.kind,
            name: open.name,
            start_time: record.clock.time(open.began),
            end_time: record.clock.time(open.ended.unwrap_or_else(Instant::now)),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: open.links,
            status,
            instrumentation_scope: record.recorder.scope(),
        });
    }
}

fn new_span_id() -> SpanId {
    RandomIdGenerator::default().new_span_id()
}

/// Whether it is the server that failed, not the caller.
fn is_fault(kind: ErrorKind) -> bool {
    use ErrorKind::{DeadlineExceeded, InferenceFailed, Internal, Unavailable};
    matches!(kind, DeadlineExceeded | InferenceFailed | Internal | Unavailable)
}
