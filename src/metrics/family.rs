//! A metric's name, kind, labels and help, and how it is made of them.

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result,
};

/// What every series of a name has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Names of its labels; a histogram's buckets have `le` besides.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The kind's name in Prometheus's text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The kind of what was gathered; none for kinds that aren't used here.
    pub fn of(gathered: MetricType) -> Option<Self> {
        match gathered {
            MetricType::COUNTER => Some(Self::Counter),
            MetricType::GAUGE => Some(Self::Gauge),
            MetricType::HISTOGRAM => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// Labels that a model's series get when they are gathered.
pub(super) const MODEL_LABELS: [&str; 2] = ["model", "version"];

/// The parts of a metric are constants that the tests make it of, each of them.
const VALID: &str = "the metric's name and labels are valid";

impl Family {
    pub(super) fn counter(&self) -> IntCounterVec {
        self.made(IntCounterVec::new(self.options(), self.labels))
    }

    /// Without the labels that all series of a model share.
    pub(super) fn counter_of_model(&self) -> IntCounterVec {
        self.made(IntCounterVec::new(self.options(), &self.own_labels()))
    }

    pub(super) fn counts_up_and_down(&self) -> IntGaugeVec {
        self.made(IntGaugeVec::new(self.options(), self.labels))
    }

    /// A gauge for what is looked at when somebody asks.
    pub fn gauge(&self) -> GaugeVec {
        self.made(GaugeVec::new(self.options(), self.labels))
    }

    pub(super) fn histogram(&self, buckets: &[f64]) -> HistogramVec {
        self.made(HistogramVec::new(self.histogram_options(buckets), self.labels))
    }

    /// As [`counter_of_model`](Self::counter_of_model).
    pub(super) fn histogram_of_model(&self, buckets: &[f64]) -> HistogramVec {
        self.made(HistogramVec::new(self.histogram_options(buckets), &self.own_labels()))
    }

    /// Where no other label is left.
    pub(super) fn plain_counter(&self) -> IntCounter {
        self.made(IntCounter::with_opts(self.options()))
    }

    /// The same.
    pub(super) fn plain_gauge(&self) -> IntGauge {
        self.made(IntGauge::with_opts(self.options()))
    }

    /// The same.
    pub(super) fn plain_histogram(&self, buckets: &[f64]) -> Histogram {
        self.made(Histogram::with_opts(self.histogram_options(buckets)))
    }

    fn made<C: Collector>(&self, collector: Result<C>) -> C {
        collector.expect(VALID)
    }

    fn own_labels(&self) -> Vec<&'static str> {
        self.labels.iter().copied().filter(|label| !MODEL_LABELS.contains(label)).collect()
    }

    fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    fn histogram_options(&self, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::new(self.name, self.help).buckets(buckets.to_vec())
    }
}
