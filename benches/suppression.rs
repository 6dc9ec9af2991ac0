//! Non-maximum suppression of very many candidates.

use std::hint::black_box;

use cenet_serve::vision::detect::{Candidate, suppress};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const CANDIDATES: usize = 100_000;

/// Boxes of 10 to 60 pixels all over a picture of 640, of `classes` classes, scattered by a fixed rule.
fn candidates(classes: usize) -> Vec<Candidate> {
    let share = |index: usize, step: f64| (index as f64 * step).fract() as f32;
    let candidate = |index| {
        let (x, y) = (580.0 * share(index, 0.618_033_988_7), 580.0 * share(index, 0.754_877_666_2));
        let (width, height) =
            (10.0 + 50.0 * share(index, 0.569_840_290_9), 10.0 + 50.0 * share(index, 0.324_717_957_2));
        let bounds = [x, y, x + width, y + height];
        Candidate { bounds, score: share(index, 0.414_213_562_3), class: index % classes, row: index }
    };
    (0..CANDIDATES).map(candidate).collect()
}

fn suppression(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("suppress 100,000");
    group.sample_size(20);
    for classes in [80, 1] {
        for max_detections in [100, 1000] {
            let all = candidates(classes);
            group.bench_function(format!("{classes} classes, {max_detections} kept"), |bencher| {
                bencher.iter_batched(
                    || all.clone(),
                    |candidates| suppress(black_box(candidates), 0.5, max_detections),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, suppression);
criterion_main!(benches);
