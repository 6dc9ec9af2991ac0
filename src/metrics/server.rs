//! What is counted of the server as a whole: its requests, under OpenTelemetry's names where there are any.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::families::{BUILD_INFO, HTTP_ACTIVE, HTTP_DURATION, REJECTIONS, REQUESTS, RPC_ACTIVE, RPC_DURATION};
use super::{Gathered, ModelMetrics};
use crate::error::Rejection;

/// Upper bounds of the requests' times, in seconds: OpenTelemetry's, and three below them.
const BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Methods that are counted by name; OpenTelemetry's list.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
/// What anything else is counted as.
const OTHER: &str = "_OTHER";

/// What a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// Its name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// A request that has been answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// What it came by.
    pub protocol: Protocol,
    /// HTTP's method.
    pub method: &'a str,
    /// The route's pattern, never the path that the caller made up; empty where no route fits.
    pub route: &'a str,
    /// HTTP's status or gRPC's code.
    pub status: &'a str,
    /// How long it took.
    pub duration: Duration,
}

/// What is counted of the server as a whole.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_duration: HistogramVec,
    http_active: IntGaugeVec,
    rpc_duration: HistogramVec,
    rpc_active: IntGauge,
    requests: IntCounterVec,
    rejections: IntCounterVec,
}

impl Metrics {
    /// Fresh metrics, all at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = BUILD_INFO.gauge();
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), ce_op::InstructionSet::best().name()]).set(1.0);
        register(&registry, build);
        register_process(&registry);
        Self {
            http_duration: register(&registry, HTTP_DURATION.histogram(BUCKETS)),
            http_active: register(&registry, HTTP_ACTIVE.counts_up_and_down()),
            rpc_duration: register(&registry, RPC_DURATION.histogram(BUCKETS)),
            rpc_active: register(&registry, RPC_ACTIVE.plain_gauge()),
            // those of models are added when somebody asks
            requests: register(&registry, REQUESTS.counter()),
            rejections: register(&registry, REJECTIONS.counter()),
            registry,
        }
    }

    /// A request that begins; it ends when what is given is dropped.
    pub fn begin(&self, protocol: Protocol, method: &str) -> Active {
        let gauge = match protocol {
            Protocol::Http => self.http_active.with_label_values(&[known(method)]),
            Protocol::Grpc => self.rpc_active.clone(),
        };
        gauge.inc();
        Active(gauge)
    }

    /// Counts a request, and of which model, where it asked one.
    pub fn record_request(&self, answered: &Answered<'_>, model: Option<&ModelMetrics>) {
        let Answered { protocol, method, route, status, duration } = *answered;
        let histogram = match protocol {
            Protocol::Http => self.http_duration.with_label_values(&[known(method), route, status]),
            Protocol::Grpc => {
                let method = route.strip_prefix('/').unwrap_or(OTHER);
                self.rpc_duration.with_label_values(&[protocol.name(), method, status])
            }
        };
        histogram.observe(duration.as_secs_f64());
        match model {
            Some(model) => model.record_request(answered),
            None => self.requests.with_label_values(&[protocol.name(), route, "", "", status]).inc(),
        }
    }

    /// Counts a request that was turned away before any model was known.
    pub fn record_rejection(&self, rejection: Rejection) {
        self.rejections.with_label_values(&["", "", rejection.reason()]).inc();
    }

    /// All of it.
    pub fn gather(&self) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.extend(self.registry.gather());
        gathered
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is being answered.
#[derive(Debug)]
#[must_use = "the request counts as active only while this is held"]
pub struct Active(IntGauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn known(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER)
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("the metric's name is taken once");
    collector
}

#[cfg(target_os = "linux")]
fn register_process(registry: &Registry) {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).expect("the process's names are taken once");
}

/// Only Linux tells.
#[cfg(not(target_os = "linux"))]
fn register_process(_: &Registry) {}
