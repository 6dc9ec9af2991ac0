//! The batcher over networks that wait, fail and panic.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::mpsc as blocking;

use futures_util::future::join_all;
use futures_util::poll;
use ndarray::Axis;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;

/// Tells which batch it was given, then waits to be let go.
struct Gate {
    begun: mpsc::UnboundedSender<Vec<f32>>,
    let_go: blocking::Receiver<()>,
}

impl Backend for Gate {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        self.begun.send(input.iter().copied().collect()).expect("the test listens");
        self.let_go.recv().expect("the test lets go");
        Ok(vec![input])
    }
}

fn gated(max_size: usize) -> (Batcher, mpsc::UnboundedReceiver<Vec<f32>>, blocking::Sender<()>) {
    let (begun, wait_until_begun) = mpsc::unbounded_channel();
    let (let_go, gate) = blocking::channel();
    let backend = Box::new(Gate { begun, let_go: gate });
    let policy = BatchPolicy { max_size, max_delay: Duration::ZERO };
    (Batcher::start("gated", vec![backend], BatchAxis::First, policy).expect("a thread"), wait_until_begun, let_go)
}

fn input(value: f32) -> ArrayD<f32> {
    ArrayD::from_elem(vec![1], value)
}

#[tokio::test]
async fn a_batch_grows_while_the_network_is_busy() {
    let (batcher, mut begun, let_go) = gated(8);
    let mut first = pin!(batcher.infer(input(1.0), Priority::Normal));
    assert!(poll!(&mut first).is_pending());
    assert_eq!(begun.recv().await, Some(vec![1.0]), "a free network waits for nobody");
    let mut others = pin!(join_all((2..6).map(|value| batcher.infer(input(value as f32), Priority::Normal))));
    assert!(poll!(&mut others).is_pending());
    assert_eq!(batcher.waiting(), 4);
    let_go.send(()).expect("the first waits");
    let_go.send(()).expect("the others wait");
    assert_eq!(first.await.expect("answered").outputs, [input(1.0)]);
    let answers = others.await;
    assert_eq!(begun.recv().await, Some(vec![2.0, 3.0, 4.0, 5.0]), "together");
    for (answer, value) in answers.into_iter().zip([2.0, 3.0, 4.0, 5.0]) {
        assert_eq!(answer.expect("answered").outputs, [input(value)]);
    }
}

#[tokio::test]
async fn who_left_is_skipped() {
    let (batcher, mut begun, let_go) = gated(1);
    let mut first = pin!(batcher.infer(input(1.0), Priority::Normal));
    assert!(poll!(&mut first).is_pending());
    assert_eq!(begun.recv().await, Some(vec![1.0]));
    {
        let mut leaving = pin!(batcher.infer(input(2.0), Priority::Normal));
        assert!(poll!(&mut leaving).is_pending());
    }
    let mut third = pin!(batcher.infer(input(3.0), Priority::Normal));
    assert!(poll!(&mut third).is_pending());
    let_go.send(()).expect("the first waits");
    let_go.send(()).expect("the third waits");
    third.await.expect("answered");
    assert_eq!(begun.recv().await, Some(vec![3.0]), "the second never reached the network");
}

/// Doubles, refuses whole batches that hold a poison, and panics at others.
struct Moody {
    poison: HashSet<u32>,
    panics: HashSet<u32>,
}

impl Backend for Moody {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        let holds = |numbers: &HashSet<u32>| input.iter().any(|value| numbers.contains(&(*value as u32)));
        assert!(!holds(&self.panics), "a kernel's defect");
        if holds(&self.poison) {
            return Err(InferError::new(ErrorKind::InferenceFailed, "poisoned"));
        }
        assert!(input.len_of(Axis(0)) <= 32);
        Ok(vec![input.mapv(|value| value * 2.0)])
    }
}

fn moody(instances: usize, max_size: usize, poison: &HashSet<u32>, panics: &HashSet<u32>) -> Batcher {
    let one = || Box::new(Moody { poison: poison.clone(), panics: panics.clone() }) as Box<dyn Backend>;
    let policy = BatchPolicy { max_size, max_delay: Duration::from_micros(200) };
    Batcher::start("moody", (0..instances).map(|_| one()).collect(), BatchAxis::First, policy).expect("threads")
}

#[tokio::test]
async fn one_poisonous_picture_among_31_good_ones_fails_alone() {
    for (poison, panics) in [(HashSet::from([17]), HashSet::new()), (HashSet::new(), HashSet::from([17]))] {
        let policy = BatchPolicy { max_size: 32, max_delay: Duration::from_secs(60) };
        let backend = Box::new(Moody { poison, panics });
        let batcher = Batcher::start("moody", vec![backend], BatchAxis::First, policy).expect("a thread");
        let answers = join_all((0..32).map(|value| batcher.infer(input(value as f32), Priority::Normal))).await;
        for (value, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) => assert_eq!(answer.outputs, [input(value as f32 * 2.0)]),
                Err(error) => assert_eq!((value, error.kind), (17, ErrorKind::InferenceFailed)),
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Caller {
    /// Lets others run before it arrives, so often.
    yields: u8,
    width: usize,
    high: bool,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Poison,
    Panic,
    /// Leaves without having waited.
    Leaves,
    /// Waits for this long at most, in microseconds.
    Deadline(u64),
}

fn caller() -> impl Strategy<Value = Caller> {
    let fate = prop_oneof![
        4 => Just(Fate::Answered),
        1 => Just(Fate::Poison),
        1 => Just(Fate::Panic),
        1 => Just(Fate::Leaves),
        1 => (0u64..400).prop_map(Fate::Deadline),
    ];
    (0u8..4, 1usize..3, any::<bool>(), fate).prop_map(|(yields, width, high, fate)| Caller {
        yields,
        width,
        high,
        fate,
    })
}

/// What a caller gets; none when it didn't wait for it.
async fn call(batcher: &Batcher, number: u32, caller: &Caller) -> Option<Result<Answer>> {
    for _ in 0..caller.yields {
        tokio::task::yield_now().await;
    }
    let priority = if caller.high { Priority::High } else { Priority::Normal };
    let mut answer = pin!(batcher.infer(ArrayD::from_elem(vec![caller.width], number as f32), priority));
    match caller.fate {
        Fate::Leaves => {
            let _ = poll!(&mut answer);
            None
        }
        Fate::Deadline(patience_us) => tokio::time::timeout(Duration::from_micros(patience_us), answer).await.ok(),
        Fate::Answered | Fate::Poison | Fate::Panic => Some(answer.await),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_caller_gets_exactly_its_own_answer(
        callers in prop::collection::vec(caller(), 1..60),
        instances in 1usize..4,
        max_size in 1usize..9,
    ) {
        let with_fate = |fate| {
            let numbers = callers.iter().zip(0u32..).filter(move |(caller, _)| caller.fate == fate);
            numbers.map(|(_, number)| number).collect::<HashSet<_>>()
        };
        let batcher = moody(instances, max_size, &with_fate(Fate::Poison), &with_fate(Fate::Panic));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let calls = callers.iter().zip(0u32..).map(|(caller, number)| call(&batcher, number, caller));
        let answers = runtime.block_on(join_all(calls));
        for ((answer, caller), number) in answers.into_iter().zip(&callers).zip(0u32..) {
            match (answer, caller.fate) {
                (None, Fate::Leaves | Fate::Deadline(_)) => {}
                (Some(Ok(answer)), Fate::Answered | Fate::Deadline(_)) => {
                    prop_assert_eq!(answer.outputs, [ArrayD::from_elem(vec![caller.width], number as f32 * 2.0)]);
                }
                (Some(Err(error)), Fate::Poison | Fate::Panic) => prop_assert_eq!(error.kind, ErrorKind::InferenceFailed),
                (answer, fate) => prop_assert!(false, "{number}: {answer:?} for {fate:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_closed_batcher_ends_its_threads() {
    struct Watched(#[expect(dead_code, reason = "held for its drop")] mpsc::UnboundedSender<()>);
    impl Backend for Watched {
        fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
            Ok(vec![input])
        }
    }
    let (alive, mut ended) = mpsc::unbounded_channel();
    let instances = (0..3).map(|_| Box::new(Watched(alive.clone())) as Box<dyn Backend>).collect();
    drop(alive);
    let batcher = Batcher::start("watched", instances, BatchAxis::First, BatchPolicy::SINGLE).expect("threads");
    batcher.infer(input(1.0), Priority::Normal).await.expect("answered");
    drop(batcher);
    assert_eq!(ended.recv().await, None, "every network is dropped");
}
