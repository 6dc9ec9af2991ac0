//! The CE authors' own network, from their checkpoint: through the server's session and the native kernel to the logits
//! that their code gives. `make test-python` exports it; where that hasn't been done, this says so and passes over.

use std::path::Path;

use cenet_serve::backend::Backend;
use cenet_serve::model::{ModelDirectory, Providers, profile};

const CE_BLOCKS: usize = 4;

#[test]
fn the_authors_logits_are_reproduced_by_the_native_kernel() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/official-format/1");
    if !path.is_dir() {
        println!("skipped: {} is absent, `make test-python` exports it", path.display());
        return;
    }
    let directory = ModelDirectory::read(&path).expect("the exporter writes a good directory");
    let mut session = directory.open_session(0, &Providers::default()).expect("the network loads");
    let pair = directory.golden_pair(session.signature()).expect("readable").expect("there is a pair");
    let golden = pair.check(&mut session).expect("the logits are reproduced");
    println!("largest difference {:e}", golden.max_abs_difference);
    assert!(golden.max_abs_difference < 1e-4, "{golden:?}");

    let executed = profile(&directory, &Providers::default(), false).expect("it runs");
    let ce_nodes = executed.iter().find(|count| count.operator == "ChannelEquilibrium");
    assert_eq!(ce_nodes.map(|count| count.nodes), Some(CE_BLOCKS), "{executed:?}");

    let zeros = ndarray::ArrayD::zeros(directory.batch_shape(3).as_slice());
    let outputs = session.infer(zeros).expect("any batch size runs");
    assert_eq!(outputs[0].shape(), [3, 1000]);
}
