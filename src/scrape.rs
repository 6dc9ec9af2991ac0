//! What `/metrics` tells: what has been counted, and what is looked at when somebody asks.

use prometheus::GaugeVec;

use crate::infer::Engine;
use crate::metrics::families::{
    CE_NODES, MEMORY_LIMIT, MEMORY_USED, MODEL_IMAGES, MODEL_IMAGES_LIMIT, MODEL_INFO, MODEL_INSTANCES, MODEL_LOAD,
    MODEL_STATE, QUEUE_LENGTH, READY, SERVER_IMAGES, SERVER_IMAGES_LIMIT,
};
use crate::metrics::{Family, Gathered};
use crate::model::Model;
use crate::oip::ModelState;

impl Engine {
    /// All metrics as they are now: those of models that are gone are gone too.
    pub fn gather(&self) -> Gathered {
        let mut gathered = self.metrics.gather();
        let catalog = self.models.catalog();
        for model in catalog.models() {
            gather_model(&mut gathered, model);
        }
        self.gather_states(&mut gathered);
        let memory = &self.stages.memory;
        for (family, value) in [
            (SERVER_IMAGES, self.admission.in_flight() as f64),
            (SERVER_IMAGES_LIMIT, self.admission.limit() as f64),
            (MEMORY_USED, memory.used_bytes() as f64),
            (MEMORY_LIMIT, memory.limit_bytes() as f64),
            (READY, f64::from(u8::from(self.check_ready().is_ok()))),
        ] {
            gathered.add(&look(&family, &[], value));
        }
        gathered
    }

    fn gather_states(&self, gathered: &mut Gathered) {
        let states = MODEL_STATE.gauge();
        for entry in self.index(false) {
            for state in ModelState::ALL {
                let labels = [entry.name.as_str(), &entry.version, state.name()];
                states.with_label_values(&labels).set(f64::from(u8::from(entry.state == state)));
            }
        }
        gathered.add(&states);
    }
}

fn gather_model(gathered: &mut Gathered, model: &Model) {
    let (name, version) = (model.directory.name.as_str(), &*model.directory.version.to_string());
    model.metrics.gather(gathered, name, version);
    gathered.add_of_model(model.batcher.batches(), name, version);
    for (family, value) in [
        (QUEUE_LENGTH, model.batcher.waiting() as f64),
        (MODEL_IMAGES, model.admission.in_flight() as f64),
        (MODEL_IMAGES_LIMIT, model.admission.limit() as f64),
        (MODEL_LOAD, model.load_time.as_secs_f64()),
        (MODEL_INSTANCES, model.instances.count as f64),
    ] {
        gathered.add(&look(&family, &[name, version], value));
    }
    let task = model.directory.manifest.task.to_string();
    gathered.add(&look(&MODEL_INFO, &[name, version, &task, model.placement.provider.name()], 1.0));
    for (kernel, nodes) in &model.ce_nodes.0 {
        gathered.add(&look(&CE_NODES, &[name, version, kernel], *nodes as f64));
    }
}

/// One look at something.
fn look(family: &Family, labels: &[&str], value: f64) -> GaugeVec {
    let gauge = family.gauge();
    gauge.with_label_values(labels).set(value);
    gauge
}
