//! Sessions of a planned network read the same weights: another one costs no copy of them. Alone in its process, whose memory it measures.

use std::fs;
use std::path::Path;

use cenet_serve::model::{ModelDirectory, Network, PlanOptions, SessionOptions};

const MODEL: &str = "models/ce_fcos_lite0_bccd/1";
const SESSIONS: usize = 6;

#[test]
fn another_session_costs_no_copy_of_the_weights() {
    let directory = ModelDirectory::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL)).expect("a good model");
    let weights = fs::metadata(directory.model_path()).expect("it is there").len();
    let network = Network::of(&directory, &PlanOptions::default());
    assert!(network.coverage().is_some(), "{}", network.origin());
    let open = || network.open_session(&SessionOptions { threads: 1, ..SessionOptions::default() }).expect("it loads");
    let first = open();
    let Some(before) = resident_bytes() else {
        println!("skipped: this system doesn't tell how much memory a process has");
        return;
    };
    let others: Vec<_> = (0..SESSIONS).map(|_| open()).collect();
    let each = resident_bytes().unwrap_or(u64::MAX).saturating_sub(before) / SESSIONS as u64;
    assert!(each < weights / 2, "a session takes {each} bytes, the weights are {weights}");
    drop((first, others));
}

/// Memory that the process has of the machine's.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
