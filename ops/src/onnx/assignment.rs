//! Which execution provider a session gave each node to, as ONNX Runtime (1.24 and later) recorded it when the session was made.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr;

use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::{AsPointer, Error, Result, ortsys};

const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Has the session record what [`assignment`] reads.
///
/// # Errors
/// When ONNX Runtime refuses the setting.
pub fn record_assignment(builder: SessionBuilder) -> Result<SessionBuilder> {
    Ok(builder.with_config_entry(RECORD, "1")?)
}

/// How many nodes each execution provider was given, by its name in ONNX Runtime; a provider without any isn't there. Counted
/// before a provider fuses its nodes, and before the last of ONNX Runtime's rewriting for the CPU.
///
/// # Errors
/// For a session that was made without [`record_assignment`].
pub fn assignment(session: &Session) -> Result<BTreeMap<String, usize>> {
    let (mut subgraphs, mut count) = (ptr::null(), 0);
    // SAFETY: the session lives, and the two places are written by the call alone; an error becomes ours
    ortsys![unsafe Session_GetEpGraphAssignmentInfo(session.ptr(), &mut subgraphs, &mut count)?];
    let mut nodes_by_provider = BTreeMap::new();
    for index in 0..count {
        // SAFETY: ONNX Runtime gives `count` pointers, which live as long as the session
        let subgraph = unsafe { *subgraphs.add(index) };
        let (mut name, mut nodes, mut node_count): (*const c_char, _, _) = (ptr::null(), ptr::null(), 0);
        // SAFETY: as above; the name lives as long as the subgraph
        ortsys![unsafe EpAssignedSubgraph_GetEpName(subgraph, &mut name)?];
        ortsys![unsafe EpAssignedSubgraph_GetNodes(subgraph, &mut nodes, &mut node_count)?];
        if name.is_null() {
            return Err(Error::new("an execution provider without a name"));
        }
        // SAFETY: a string of C's, not null, and copied here
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        *nodes_by_provider.entry(name).or_default() += node_count;
    }
    nodes_by_provider.retain(|_, nodes| *nodes > 0);
    Ok(nodes_by_provider)
}
