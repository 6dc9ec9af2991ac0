//! Convolutions at the shapes of ResNet-50, on one thread: in the runtime's blocked layout, by ONNX Runtime's own operator, and by ours with every tile
//! that fits. Filters take turns, because in a network none is in the cache when it is needed. Throughput counts the multiply-adds of the definition.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Duration;

use ce_op::convolution::{self, Convolution, Pictures, RELU, Tensors, Tile};
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

/// Filters of all turns, in numbers: more than a cache holds.
const FILTERS_LEN: usize = 24 << 20;
const MOST_TURNS: usize = 16;

/// A convolution of the network.
#[derive(Clone, Copy)]
struct Shape {
    channels: [usize; 2],
    /// Of the pictures, of a filter.
    sides: [usize; 2],
    stride: usize,
}

const fn shape(outputs: usize, inputs: usize, side: usize, filter: usize, stride: usize) -> Shape {
    Shape { channels: [outputs, inputs], sides: [side, filter], stride }
}

const SHAPES: [Shape; 13] = [
    shape(64, 3, 224, 7, 2),
    shape(64, 64, 56, 3, 1),
    shape(128, 128, 28, 3, 1),
    shape(256, 256, 14, 3, 1),
    shape(512, 512, 7, 3, 1),
    shape(128, 128, 56, 3, 2),
    shape(256, 256, 28, 3, 2),
    shape(512, 512, 14, 3, 2),
    shape(64, 256, 56, 1, 1),
    shape(128, 512, 28, 1, 1),
    shape(256, 1024, 14, 1, 1),
    shape(2048, 512, 7, 1, 1),
    shape(2048, 1024, 14, 1, 2),
];

impl Shape {
    fn filters_len(self) -> usize {
        self.channels.iter().product::<usize>() * self.sides[1].pow(2)
    }

    fn pad(self) -> usize {
        self.sides[1] / 2
    }
}

fn benches(criterion: &mut Criterion) {
    for shape @ Shape { channels: [outputs, inputs], sides: [side, filter], stride } in SHAPES {
        for count in [1, 8] {
            let name = format!("{filter}x{filter}/{stride}, {inputs} to {outputs}, {side}x{side}/batch{count}");
            let mut group = criterion.benchmark_group(name);
            let results = count * (side / stride).pow(2);
            group.throughput(Throughput::Elements((results * shape.filters_len()) as u64));
            group.sample_size(15).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
            bench(&mut group, shape, Pictures { count, height: side, width: side });
            group.finish();
        }
    }
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, shape: Shape, pictures: Pictures) {
    let [outputs, inputs] = shape.channels;
    let mut draw = numbers(1);
    let x = draw(pictures.count * inputs * pictures.height * pictures.width, 1.0);
    let turns = (FILTERS_LEN / shape.filters_len()).clamp(1, MOST_TURNS);
    let filters: Vec<_> = (0..turns).map(|_| draw(shape.filters_len(), 0.1)).collect();
    let bias = draw(outputs, 1.0);
    if let Some(mut sessions) = filters.iter().map(|filters| own(shape, filters, &bias)).collect::<Option<Vec<_>>>() {
        let lengths = [pictures.count, inputs, pictures.height, pictures.width];
        let x = Tensor::from_array((lengths, x.clone())).expect("a tensor");
        let mut turn = 0;
        group.bench_function("ONNX Runtime", |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % turns;
                drop(sessions[turn].run(ort::inputs![black_box(&x)]).expect("an output"));
            });
        });
    }
    for set in InstructionSet::available().filter(|set| *set != InstructionSet::Portable) {
        let block = if set == InstructionSet::Avx512 { 16 } else { 8 };
        let fits = |tile: &Tile| tile.filter_side() == shape.sides[1] && tile.takes(shape.stride);
        for tile in Tile::ALL.into_iter().filter(fits) {
            let (stride, pads) = (shape.stride, [shape.pad(); 4]);
            let convolution = Convolution { block, tile, stride, inputs, outputs, pads, range: RELU };
            let filters: Vec<_> =
                filters.iter().map(|filters| convolution::transformed(filters, shape.channels, block, tile)).collect();
            let results: usize = convolution.results(pictures).iter().product();
            let mut y = vec![0.0; pictures.count * outputs * results];
            let mut turn = 0;
            group.bench_function(format!("{tile:?}, {}", set.name()), |bencher| {
                bencher.iter(|| {
                    turn = (turn + 1) % turns;
                    let x = black_box(&x);
                    let tensors = Tensors { x, filters: &filters[turn], bias: &bias, addend: None, y: &mut y };
                    convolution::forward(set, &convolution, pictures, tensors, &Serial)
                });
            });
        }
    }
}

/// A session of the runtime's own operator alone.
fn own(shape: Shape, filters: &[f32], bias: &[f32]) -> Option<Session> {
    let builder = Session::builder(environment()?).and_then(|builder| Ok(builder.with_intra_threads(1)?));
    let builder = builder.and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Disable)?));
    let [outputs, inputs] = shape.channels;
    let length = |length: usize| i64::try_from(length).expect("a small number");
    let mut graph = Builder::default();
    graph.constant("filters", &[outputs, inputs, shape.sides[1], shape.sides[1]], filters);
    graph.constant("bias", &[outputs], bias);
    let attributes = [
        Attribute::Integers("kernel_shape", vec![length(shape.sides[1]); 2]),
        Attribute::Integers("pads", vec![length(shape.pad()); 4]),
        Attribute::Integers("strides", vec![length(shape.stride); 2]),
        Attribute::Integers("dilations", vec![1, 1]),
        Attribute::Integer("group", 1),
    ];
    graph.node("Conv", DOMAIN, &["x", "filters", "bias"], &["y"], &attributes);
    let (x, y) = ([-1, length(inputs), -1, -1], [-1, length(outputs), -1, -1]);
    Some(graph.session(("x", &x), ("y", &y), &[(DOMAIN, 1)], &builder.expect("a builder")).expect("a session"))
}

criterion_group!(groups, benches);
criterion_main!(groups);
