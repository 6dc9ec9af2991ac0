//! Work in phases on one set of threads: each phase begins when the one before has ended, and no thread is woken twice.
//!
//! A phase's tasks are shared out among the threads in neighbouring runs, the same for every phase, so that a thread finds what it
//! touched before in its cache; who is done helps the others. A thread that comes late, or never, costs nothing but its help.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Parallel;

/// Tasks that may run side by side.
pub(crate) struct Phase<'a> {
    /// How many.
    pub(crate) tasks: usize,
    /// Whether each thread takes its share backwards: what it touched last is in its cache still, and comes first.
    pub(crate) backwards: bool,
    /// Runs one.
    pub(crate) task: &'a (dyn Fn(usize) + Sync),
}

/// A number on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicUsize);

/// How far phases have come; kept between calls, so that a call allocates nothing.
#[derive(Debug, Default)]
struct Progress(Vec<Counter>);

/// How often a waiting thread looks before it lets others run.
const LOOKS: usize = 200;

thread_local! {
    static PROGRESS: RefCell<Progress> = RefCell::default();
}

/// Runs `phases` one after the other. If tasks panic, it panics once all have ended.
pub(crate) fn run(phases: &[Phase<'_>], parallel: &dyn Parallel) {
    // taken out meanwhile: tasks may have phases of their own
    let mut progress = PROGRESS.take();
    progress.run(phases, parallel);
    PROGRESS.set(progress);
}

impl Progress {
    fn run(&mut self, phases: &[Phase<'_>], parallel: &dyn Parallel) {
        let threads = parallel.threads().max(1);
        if threads == 1 {
            phases
                .iter()
                .for_each(|phase| (0..phase.tasks).for_each(|task| (phase.task)(phase.nth(0..phase.tasks, task))));
            return;
        }
        // for each phase a counter of what is done, and for each share one of what is taken
        let counters = phases.len() * (threads + 1);
        self.0.iter_mut().for_each(|counter| *counter.0.get_mut() = 0);
        self.0.resize_with(self.0.len().max(counters), Counter::default);
        let counters = &self.0;
        parallel.run(threads, &|thread| {
            for (phase, counters) in phases.iter().zip(counters.chunks_exact(threads + 1)) {
                let (done, taken) = (&counters[0].0, &counters[1..]);
                for share in (0..threads).map(|offset| (thread + offset) % threads) {
                    phase.work(share, &taken[share].0, threads, done);
                }
                wait(|| done.load(Ordering::Acquire) >= phase.tasks);
            }
        });
    }
}

impl Phase<'_> {
    /// Runs tasks of a share until all are taken.
    fn work(&self, share: usize, taken: &AtomicUsize, threads: usize, done: &AtomicUsize) {
        let range = share * self.tasks / threads..(share + 1) * self.tasks / threads;
        loop {
            let index = taken.fetch_add(1, Ordering::Relaxed);
            if index >= range.len() {
                return;
            }
            let _told = Told(done);
            (self.task)(self.nth(range.clone(), index));
        }
    }

    fn nth(&self, range: std::ops::Range<usize>, index: usize) -> usize {
        if self.backwards { range.end - 1 - index } else { range.start + index }
    }
}

/// Counts a task as done even if it panics: the others would wait for ever.
struct Told<'a>(&'a AtomicUsize);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

fn wait(ready: impl Fn() -> bool) {
    let mut looks = 0;
    while !ready() {
        looks += 1;
        if looks % LOOKS == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::thread::ScopedJoinHandle;

    use super::*;
    use crate::Serial;

    /// So many threads.
    struct Threads(usize);

    impl Parallel for Threads {
        fn threads(&self) -> usize {
            self.0
        }

        fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
            let failed: usize = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..tasks)
                    .map(|index| scope.spawn(move || catch_unwind(AssertUnwindSafe(|| task(index)))))
                    .collect();
                workers.into_iter().map(ScopedJoinHandle::join).filter(|outcome| !matches!(outcome, Ok(Ok(())))).count()
            });
            assert_eq!(failed, 0, "a task panicked");
        }
    }

    /// Claims three threads, and has one.
    struct Alone;

    impl Parallel for Alone {
        fn threads(&self) -> usize {
            3
        }

        fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
            Serial.run(tasks, task);
        }
    }

    fn order(parallel: &dyn Parallel, progress: &mut Progress) -> Vec<(usize, usize)> {
        let seen = Mutex::new(Vec::new());
        let record = |phase: usize, task: usize| seen.lock().expect("no panic").push((phase, task));
        let phases = [
            Phase { tasks: 7, backwards: false, task: &|task| record(0, task) },
            Phase { tasks: 0, backwards: false, task: &|task| record(1, task) },
            Phase { tasks: 5, backwards: true, task: &|task| record(2, task) },
        ];
        progress.run(&phases, parallel);
        seen.into_inner().expect("no panic")
    }

    #[test]
    fn every_task_runs_once_and_in_its_phase() {
        let mut progress = Progress::default();
        let alone = order(&Serial, &mut progress);
        let backwards: Vec<_> = (0..5).rev().map(|task| (2, task)).collect();
        assert_eq!(alone[7..], backwards);
        for parallel in [&Threads(2) as &dyn Parallel, &Threads(9), &Alone, &Threads(3)] {
            let mut seen = order(parallel, &mut progress);
            assert!(seen.is_sorted_by_key(|(phase, _)| *phase), "{seen:?}");
            seen.sort_unstable();
            let expected = (0..7).map(|task| (0, task)).chain((0..5).map(|task| (2, task)));
            assert!(seen.into_iter().eq(expected));
        }
    }

    #[test]
    fn a_panic_holds_nobody_up() {
        let phases = [
            Phase { tasks: 8, backwards: false, task: &|task| assert!(task != 3, "asked to panic") },
            Phase { tasks: 8, backwards: false, task: &|_| () },
        ];
        let outcome = catch_unwind(AssertUnwindSafe(|| Progress::default().run(&phases, &Threads(4))));
        assert!(outcome.is_err());
    }
}
