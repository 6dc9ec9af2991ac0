//! Sessions of a planned network read the same weights: another one costs no copy of them. Alone in its process, whose memory it measures.

mod support;

use std::fs;
use std::path::Path;

use cenet_serve::model::{ModelDirectory, Network, PlanOptions, SessionOptions};
use support::resident_kib;

const MODEL: &str = "models/ce_fcos_lite0_bccd/1";
const SESSIONS: usize = 6;

#[test]
fn another_session_costs_no_copy_of_the_weights() {
    let directory = ModelDirectory::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL)).expect("a good model");
    let weights_kib = fs::metadata(directory.model_path()).expect("it is there").len() as usize / 1024;
    let network = Network::of(&directory, &PlanOptions::default());
    assert!(network.coverage().is_some(), "{}", network.origin());
    let open = || network.open_session(&SessionOptions { threads: 1, ..SessionOptions::default() }).expect("it loads");
    let first = open();
    let before = resident_kib();
    let others: Vec<_> = (0..SESSIONS).map(|_| open()).collect();
    let each = resident_kib().saturating_sub(before) / SESSIONS;
    assert!(each < weights_kib / 2, "a session takes {each} KiB, the weights are {weights_kib}");
    drop((first, others));
}
