//! What has been gathered from several places, put together by name.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::proto::{LabelPair, MetricFamily};

use super::family::MODEL_LABELS;
use crate::error::{ErrorKind, InferError, Result};

/// Metrics by name.
#[derive(Debug, Default)]
pub struct Gathered(BTreeMap<String, MetricFamily>);

impl Gathered {
    /// Adds what `collector` has.
    pub fn add(&mut self, collector: &impl Collector) {
        self.extend(collector.collect());
    }

    pub(super) fn extend(&mut self, families: impl IntoIterator<Item = MetricFamily>) {
        for mut family in families.into_iter().filter(|family| !family.get_metric().is_empty()) {
            match self.0.get_mut(family.name()) {
                Some(known) => known.mut_metric().append(family.mut_metric()),
                None => drop(self.0.insert(family.name().to_owned(), family)),
            }
        }
    }

    /// Adds what a model's `collector` has, with the model's name and version.
    pub fn add_of_model(&mut self, collector: &impl Collector, name: &str, version: &str) {
        let mut families = collector.collect();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut labels = metric.take_label();
            labels.extend(MODEL_LABELS.into_iter().zip([name, version]).map(label));
            labels.sort_by(|one, other| one.name().cmp(other.name()));
            metric.set_label(labels);
        }
        self.extend(families);
    }

    /// Every metric.
    pub fn families(&self) -> impl Iterator<Item = &MetricFamily> {
        self.0.values()
    }

    /// Everything in Prometheus's text format.
    ///
    /// # Errors
    /// `Internal` when a metric can't be written as text, which would be a defect.
    pub fn to_text(&self) -> Result<String> {
        let families: Vec<_> = self.0.values().cloned().collect();
        let mut text = String::new();
        let failed = |error: &prometheus::Error| format!("the metrics can't be told: {error}");
        TextEncoder::new()
            .encode_utf8(&families, &mut text)
            .map_err(|error| InferError::new(ErrorKind::Internal, failed(&error)))?;
        Ok(text)
    }
}

fn label((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
