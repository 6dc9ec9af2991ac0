//! The rewriting of networks. Where the first byte is even, the rest is an ONNX file, which may be anything and must only not bring the
//! rewriting down. Where it is odd, the rest makes a graph whose every value is given once and before it is read, and so it has to be
//! after the rewriting, with no block lost.
#![no_main]

#[path = "plan/graph.rs"]
mod graph;
#[path = "plan/sound.rs"]
mod sound;

use arbitrary::Unstructured;
use cenet_serve::model::fuzz::{ModelProto, decode, rewrite_blocked, rewrite_quantized};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 16;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let same = choice & 2 == 0;
    if choice & 1 == 0 {
        let Some(mut model) = decode(data) else { return };
        rewrite_quantized(&mut model);
        rewrite_blocked(&mut model, BLOCK, same);
    } else if let Ok(model) = graph::model(&mut Unstructured::new(data)) {
        keeps_graphs_sound(&model, same);
    }
});

fn keeps_graphs_sound(model: &ModelProto, same: bool) {
    let blocks = sound::blocks(model);
    sound::check(model).unwrap_or_else(|fault| panic!("made wrong: {fault}\n{}", sound::text(model)));
    let mut blocked = model.clone();
    let coverage = rewrite_blocked(&mut blocked, BLOCK, same);
    compare(model, &blocked);
    assert_eq!(coverage.blocked + coverage.plain, blocks, "{}", sound::text(model));
    let mut quantized = model.clone();
    let coverage = rewrite_quantized(&mut quantized);
    compare(model, &quantized);
    assert_eq!(coverage.quantized + sound::blocks(&quantized), blocks, "{}", sound::text(model));
}

fn compare(before: &ModelProto, after: &ModelProto) {
    if let Err(fault) = sound::check(after) {
        panic!("{fault}\n{}\nhas become\n{}", sound::text(before), sound::text(after));
    }
}
