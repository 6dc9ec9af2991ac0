//! What the cores could do at most: decoding, preprocessing and inference alone, without a server around them.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cenet_serve::backend::Backend;
use cenet_serve::model::{ModelDirectory, Providers};
use cenet_serve::vision::decode::{DecodeLimits, decode};
use ndarray::Axis;

/// CPU time of one picture on each of `threads` threads that work at once, each with a session of one thread.
pub(crate) fn cpu_time_per_picture(model: &Path, pictures: &[Bytes], threads: usize, duration: Duration) -> Duration {
    let directory = ModelDirectory::read(model).expect("the model is good");
    let begin = Barrier::new(threads);
    let measured: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&directory, pictures, &begin, duration))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let (used, done) = measured.iter().fold((Duration::ZERO, 0), |(used, done), one| (used + one.0, done + one.1));
    used / done
}

fn work(directory: &ModelDirectory, pictures: &[Bytes], begin: &Barrier, duration: Duration) -> (Duration, u32) {
    let mut session = directory.open_session(1, &Providers::default()).expect("the model is good");
    let mut classify = |file: &[u8]| {
        let picture = decode(file, (&directory.manifest.preprocess).into(), &DecodeLimits::default());
        let (tensor, _) = directory.preprocessor.tensor(&picture.expect("a picture")).expect("a tensor");
        session.infer(tensor.insert_axis(Axis(0)).into_dyn()).expect("scores");
    };
    classify(&pictures[0]);
    begin.wait();
    let (end, before) = (Instant::now() + duration, thread_cpu_time());
    let mut done = 0;
    for file in pictures.iter().cycle() {
        classify(file);
        done += 1;
        if Instant::now() > end {
            break;
        }
    }
    (thread_cpu_time() - before, done)
}

/// Time that this thread has spent on a core.
pub(crate) fn thread_cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let first = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(first.expect("a number of nanoseconds"))
}
