//! 3x3 convolutions at the shapes of ResNet-50, on one thread: in the runtime's blocked layout, by ONNX Runtime's own operator, and by Winograd's
//! in both sizes. Throughput counts the multiply-adds of the definition.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Duration;

use ce_op::winograd::{self, Convolution, Pictures, Tensors, Tile};
use ce_op::{InstructionSet, Serial};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use support::numbers;
use support::onnx_graph::{Attribute, Builder, environment};

/// The domain of the runtime's operators on blocks.
const DOMAIN: &str = "com.microsoft.nchwc";

/// Channels and sides of each stage.
const STAGES: [(usize, usize); 4] = [(64, 56), (128, 28), (256, 14), (512, 7)];

fn benches(criterion: &mut Criterion) {
    for (channels, side) in STAGES {
        for count in [1, 8] {
            let mut group = criterion.benchmark_group(format!("{channels}x{side}x{side}/batch{count}"));
            group.throughput(Throughput::Elements((count * channels * channels * side * side * 9) as u64));
            group.sample_size(15).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
            bench(&mut group, channels, Pictures { count, height: side, width: side });
            group.finish();
        }
    }
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, channels: usize, pictures: Pictures) {
    let mut draw = numbers(1);
    let x = draw(pictures.count * channels * pictures.height * pictures.width, 1.0);
    let (filters, bias) = (draw(channels * channels * 9, 0.1), draw(channels, 1.0));
    if let Some(mut session) = own(channels, &filters, &bias) {
        let lengths = [pictures.count, channels, pictures.height, pictures.width];
        let x = Tensor::from_array((lengths, x.clone())).expect("a tensor");
        group.bench_function("ONNX Runtime", |bencher| {
            bencher.iter(|| drop(session.run(ort::inputs![black_box(&x)]).expect("an output")));
        });
    }
    let mut y = vec![0.0; x.len()];
    for set in InstructionSet::available().filter(|set| *set != InstructionSet::Portable) {
        let block = if set == InstructionSet::Avx512 { 16 } else { 8 };
        for tile in [Tile::Two, Tile::Four] {
            let convolution =
                Convolution { block, tile, inputs: channels, outputs: channels, pads: [1; 4], relu: true };
            let filters = winograd::transformed(&filters, [channels; 2], block, tile);
            group.bench_function(format!("tiles of {0}x{0}, {1}", tile.size(), set.name()), |bencher| {
                bencher.iter(|| {
                    let x = black_box(&x);
                    let tensors = Tensors { x, filters: &filters, bias: &bias, addend: None, y: &mut y };
                    winograd::forward(set, &convolution, pictures, tensors, &Serial)
                });
            });
        }
    }
}

/// A session of the runtime's own operator alone.
fn own(channels: usize, filters: &[f32], bias: &[f32]) -> Option<Session> {
    let builder = Session::builder(environment()?).and_then(|builder| Ok(builder.with_intra_threads(1)?));
    let builder = builder.and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Disable)?));
    let mut graph = Builder::default();
    graph.constant("filters", &[channels, channels, 3, 3], filters);
    graph.constant("bias", &[channels], bias);
    let attributes = [
        Attribute::Integers("kernel_shape", vec![3, 3]),
        Attribute::Integers("pads", vec![1; 4]),
        Attribute::Integers("strides", vec![1, 1]),
        Attribute::Integers("dilations", vec![1, 1]),
        Attribute::Integer("group", 1),
    ];
    graph.node("Conv", DOMAIN, &["x", "filters", "bias"], &["y"], &attributes);
    let channels = i64::try_from(channels).expect("a small number");
    let shape = [-1, channels, -1, -1];
    Some(graph.session(("x", &shape), ("y", &shape), &[(DOMAIN, 1)], &builder.expect("a builder")).expect("a session"))
}

criterion_group!(groups, benches);
criterion_main!(groups);
