//! The operator at the shapes of CE-ResNet-50: this crate's kernel inside ONNX Runtime, the standard operators that
//! stand for it where no kernel is registered, and, outside of it, the kernels alone (in rows, and in blocks with the add and
//! the ReLU) and the plain reference. Time a call; throughput counts X read and Y written once.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Duration;

use ce_op::blocked::{self, Epilogue, Packed};
use ce_op::{InstructionSet, Serial, Shape, nchw, reference};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ort::session::Session;
use ort::value::Tensor;
use support::Case;
use support::onnx_graph::environment;
use support::operator_graph::{operator_session, standard_session};

/// Name, channels, group width and side of X after the stem and in layers 1 to 3.
const STAGES: [(&str, usize, usize, usize); 4] =
    [("stem", 64, 64, 112), ("layer1", 256, 16, 56), ("layer2", 512, 16, 28), ("layer3", 1024, 16, 14)];

fn benches(criterion: &mut Criterion) {
    for (name, channels, group_width, side) in STAGES {
        for batch in [1, 8] {
            let (groups, hidden) = (channels / group_width, channels / 4);
            let case = Case::draw(Shape { batch, groups, group_width, pixels: side * side, hidden }, 0.3, 1);
            let mut group = criterion.benchmark_group(format!("{name}/batch{batch}"));
            group.throughput(Throughput::Bytes(2 * size_of_val(&*case.x) as u64));
            group.sample_size(15).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
            bench_alone(&mut group, &case);
            bench_sessions(&mut group, &case, side);
            if batch == 1 {
                group.sample_size(10);
                group.bench_function("reference", |bencher| {
                    bencher.iter(|| reference::forward(&case.shape, &case.parameters(), black_box(&case.x)));
                });
            }
            group.finish();
        }
    }
}

/// Each instruction set on one thread.
fn bench_alone(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case) {
    let mut y = vec![0.0; case.x.len()];
    for set in InstructionSet::available() {
        group.bench_function(format!("{}, one thread", set.name()), |bencher| {
            bencher
                .iter(|| nchw::forward_with(set, &case.shape, &case.parameters(), black_box(&case.x), &mut y, &Serial));
        });
        let block = if set == InstructionSet::Avx512 { 16 } else { 8 };
        let packed = Packed::new(&case.parameters(), case.shape.group_width, block).expect("whole groups");
        let addend = vec![0.25; case.x.len()];
        let epilogue = Epilogue { addend: Some(&addend), relu: true };
        group.bench_function(format!("blocks of {block}, {}, one thread", set.name()), |bencher| {
            bencher.iter(|| {
                let (shape, parameters, x) = (&case.shape, &case.parameters(), black_box(&case.x));
                blocked::forward(set, shape, parameters, &packed, x, epilogue, &mut y, &Serial)
            });
        });
    }
}

/// Inside ONNX Runtime, on all cores.
fn bench_sessions(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, side: usize) {
    let Some(environment) = environment() else { return };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let builder = Session::builder(environment).expect("a builder").with_intra_threads(threads).expect("threads");
    let builder = builder.with_operators(ce_op::operator_domain().expect("a domain")).expect("operators");
    let lengths = [case.shape.batch, case.shape.channels(), side, side];
    let input = lengths.map(|length| i64::try_from(length).expect("a small length"));
    let x = Tensor::from_array((lengths, case.x.clone())).expect("a tensor");
    let sessions = [
        ("operator in ONNX Runtime", operator_session(case, &input, &builder)),
        ("standard operators in ONNX Runtime", standard_session(case, &input, &builder)),
    ];
    for (name, session) in sessions {
        let mut session = session.expect("a session");
        group.bench_function(name, |bencher| {
            bencher.iter(|| drop(session.run(ort::inputs![black_box(&x)]).expect("an output")));
        });
    }
}

criterion_group!(groups, benches);
criterion_main!(groups);
