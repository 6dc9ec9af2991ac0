//! Which share of a run the CE blocks take, by ONNX Runtime's own profile.

use std::collections::BTreeMap;
use std::fs;

use cenet_serve::backend::Backend;
use cenet_serve::model::SessionOptions;
use serde::Deserialize;

use crate::ways::Way;
use crate::{Networks, pictures};

const RUNS: usize = 20;

/// Milliseconds of a run by operator, most first.
pub(crate) struct Shares {
    pub(crate) threads: usize,
    pub(crate) by_operator: Vec<(String, f64)>,
}

#[derive(Deserialize)]
struct Event {
    cat: String,
    name: String,
    dur: f64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    op_name: String,
}

/// Profiles the planned network on one picture at a time.
pub(crate) fn shares(networks: &Networks, threads: usize) -> Shares {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = Some(folder.path().join("profile"));
    let mut session = networks.open(Way::Planned, &SessionOptions { profile, threads, ..SessionOptions::default() });
    for _ in 0..RUNS {
        session.infer(pictures(1)).expect("an answer");
    }
    let text = fs::read(session.end_profile().expect("a profile")).expect("readable");
    let events: Vec<Event> = serde_json::from_slice(&text).expect("events");
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    let kernels = events.into_iter().filter(|event| event.cat == "Node" && event.name.ends_with("_kernel_time"));
    for event in kernels {
        *totals.entry(event.args.op_name).or_default() += event.dur / 1e3 / RUNS as f64;
    }
    let mut by_operator: Vec<_> = totals.into_iter().collect();
    by_operator.sort_by(|a, b| b.1.total_cmp(&a.1));
    Shares { threads, by_operator }
}
