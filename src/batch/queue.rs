//! Which pictures go to the network together, and when: pure state that is told the time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admission::Priority;

/// When a batch leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BatchPolicy {
    /// Pictures in a batch at most, from 1 on.
    pub max_size: usize,
    /// How long a picture waits for others to fill its batch while the network is free. While the network is busy a batch grows
    /// anyhow.
    pub max_delay: Duration,
}

/// The sessions of a network, and what they have been given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sessions {
    pub(super) count: usize,
    /// Pictures in the batches that run.
    pub(super) running: usize,
}

impl BatchPolicy {
    /// Each picture alone, at once.
    pub const SINGLE: Self = Self { max_size: 1, max_delay: Duration::ZERO };

    /// Pictures that a free session takes of `waiting` ones. Where several sessions share the work and nobody asked for batches to be
    /// waited for, it takes its part and leaves as much for the next one that is free: else all would be given at once, and the
    /// sessions would stand idle together until the next pictures are decoded.
    fn size(self, waiting: usize, sessions: Sessions) -> usize {
        if sessions.count == 1 || !self.max_delay.is_zero() {
            return self.max_size;
        }
        (waiting + sessions.running).div_ceil(sessions.count + 1).clamp(1, self.max_size)
    }
}

/// What waits in the queue.
pub(super) trait Entry {
    /// Only entries of one shape go together.
    fn shape(&self) -> &[usize];

    /// Whether anybody still waits for it.
    fn is_wanted(&self) -> bool;
}

/// What waits for a network, oldest first, high priority before normal.
#[derive(Debug)]
pub(super) struct Queue<E> {
    policy: BatchPolicy,
    high: VecDeque<(E, Instant)>,
    normal: VecDeque<(E, Instant)>,
}

impl<E: Entry> Queue<E> {
    pub(super) fn new(policy: BatchPolicy) -> Self {
        Self { policy, high: VecDeque::new(), normal: VecDeque::new() }
    }

    pub(super) fn push(&mut self, entry: E, priority: Priority, now: Instant) {
        let lane = if priority == Priority::High { &mut self.high } else { &mut self.normal };
        lane.push_back((entry, now));
    }

    pub(super) fn len(&self) -> usize {
        self.high.len() + self.normal.len()
    }

    /// When [`take`](Self::take) will give a batch if nothing else comes; none while nothing waits.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (leader, _) = self.entries().next()?;
        let together = self.entries().filter(|(entry, _)| entry.shape() == leader.shape());
        let since: Vec<_> = together.take(self.policy.max_size).map(|(_, since)| *since).collect();
        let oldest = since.iter().min().copied()?;
        Some(if since.len() == self.policy.max_size { oldest } else { oldest + self.policy.max_delay })
    }

    /// The next batch for one of `sessions` that is free, if one is due: it is full, or its oldest entry has waited as long as it may.
    /// What nobody waits for any more is thrown away.
    pub(super) fn take(&mut self, now: Instant, sessions: Sessions) -> Option<Vec<E>> {
        self.high.retain(|(entry, _)| entry.is_wanted());
        self.normal.retain(|(entry, _)| entry.is_wanted());
        if self.next_deadline()? > now {
            return None;
        }
        let shape = self.entries().next()?.0.shape().to_vec();
        let size = self.policy.size(self.len(), sessions);
        let mut batch = Vec::new();
        for lane in [&mut self.high, &mut self.normal] {
            let mut left = VecDeque::with_capacity(lane.len());
            for (entry, since) in lane.drain(..) {
                if batch.len() < size && entry.shape() == shape {
                    batch.push(entry);
                } else {
                    left.push_back((entry, since));
                }
            }
            *lane = left;
        }
        Some(batch)
    }

    fn entries(&self) -> impl Iterator<Item = &(E, Instant)> {
        self.high.iter().chain(&self.normal)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Item {
        number: u32,
        shape: Vec<usize>,
        wanted: Rc<Cell<bool>>,
    }

    impl Entry for Item {
        fn shape(&self) -> &[usize] {
            &self.shape
        }

        fn is_wanted(&self) -> bool {
            self.wanted.get()
        }
    }

    fn item(number: u32, width: usize) -> Item {
        Item { number, shape: vec![width], wanted: Rc::new(Cell::new(true)) }
    }

    fn queue(max_size: usize, max_delay_ms: u64) -> (Queue<Item>, Instant) {
        (Queue::new(BatchPolicy { max_size, max_delay: Duration::from_millis(max_delay_ms) }), Instant::now())
    }

    fn numbers(batch: Option<Vec<Item>>) -> Vec<u32> {
        batch.into_iter().flatten().map(|item| item.number).collect()
    }

    const MS: Duration = Duration::from_millis(1);
    const ALONE: Sessions = Sessions { count: 1, running: 0 };

    #[test]
    fn sessions_share_what_waits_and_leave_a_part_for_the_next_one() {
        let size = |max_delay_ms, waiting, count, running| {
            let policy = BatchPolicy { max_size: 8, max_delay: max_delay_ms * MS };
            policy.size(waiting, Sessions { count, running })
        };
        assert_eq!(size(0, 1, 2, 0), 1);
        assert_eq!(size(0, 5, 2, 3), 3, "eight pictures: three run, three go, two wait for who is free next");
        assert_eq!(size(0, 8, 16, 0), 1, "side by side rather than together");
        assert_eq!(size(0, 40, 2, 8), 8, "never more than a batch may hold");
        assert_eq!(size(0, 5, 1, 0), 8, "nobody else would take the rest");
        assert_eq!(size(1, 5, 2, 3), 8, "who waits for batches wants them large");
    }

    #[test]
    fn a_batch_leaves_when_it_is_full() {
        let (mut queue, now) = queue(2, 10);
        assert_eq!(queue.next_deadline(), None);
        queue.push(item(1, 4), Priority::Normal, now);
        assert!(queue.take(now, ALONE).is_none());
        queue.push(item(2, 4), Priority::Normal, now + MS);
        queue.push(item(3, 4), Priority::Normal, now + MS);
        assert_eq!(numbers(queue.take(now + MS, ALONE)), [1, 2]);
        assert!(queue.take(now + MS, ALONE).is_none());
        assert_eq!(queue.next_deadline(), Some(now + 11 * MS));
    }

    #[test]
    fn a_batch_leaves_when_its_oldest_has_waited_long_enough() {
        let (mut queue, now) = queue(8, 10);
        queue.push(item(1, 4), Priority::Normal, now);
        queue.push(item(2, 4), Priority::Normal, now + 9 * MS);
        assert_eq!(queue.next_deadline(), Some(now + 10 * MS));
        assert!(queue.take(now + 9 * MS, ALONE).is_none());
        assert_eq!(numbers(queue.take(now + 10 * MS, ALONE)), [1, 2]);
    }

    #[test]
    fn shapes_are_never_mixed() {
        let (mut queue, now) = queue(8, 0);
        for (number, width) in [(1, 4), (2, 5), (3, 4), (4, 5)] {
            queue.push(item(number, width), Priority::Normal, now);
        }
        assert_eq!(numbers(queue.take(now, ALONE)), [1, 3]);
        assert_eq!(numbers(queue.take(now, ALONE)), [2, 4]);
    }

    #[test]
    fn high_priority_goes_first_and_normal_fills_up() {
        let (mut queue, now) = queue(2, 0);
        queue.push(item(1, 4), Priority::Normal, now);
        queue.push(item(2, 4), Priority::Normal, now);
        queue.push(item(3, 4), Priority::High, now);
        assert_eq!(numbers(queue.take(now, ALONE)), [3, 1]);
        assert_eq!(numbers(queue.take(now, ALONE)), [2]);
    }

    #[test]
    fn who_left_takes_no_place() {
        let (mut queue, now) = queue(2, 0);
        let left = item(1, 4);
        queue.push(left.clone(), Priority::Normal, now);
        queue.push(item(2, 4), Priority::Normal, now);
        queue.push(item(3, 4), Priority::Normal, now);
        left.wanted.set(false);
        assert_eq!(numbers(queue.take(now, ALONE)), [2, 3]);
        assert_eq!(queue.len(), 0);
    }

    proptest! {
        #[test]
        fn each_entry_leaves_once_with_its_like_and_in_time(
            arrivals in prop::collection::vec((0u64..50, 1usize..3, any::<bool>(), any::<bool>()), 0..40),
            max_size in 1usize..6,
            max_delay_ms in 0u64..20,
            count in 1usize..4,
            running in 0usize..20,
        ) {
            let sessions = Sessions { count, running };
            let (mut queue, start) = queue(max_size, max_delay_ms);
            let mut gone = Vec::new();
            let mut wanted = Vec::new();
            let mut now = start;
            for (number, (pause_ms, width, leaves, high)) in arrivals.into_iter().enumerate() {
                let entry = item(number as u32, width);
                entry.wanted.set(!leaves);
                if !leaves { wanted.push(number as u32); }
                queue.push(entry, if high { Priority::High } else { Priority::Normal }, now);
                now += pause_ms as u32 * MS;
                while let Some(batch) = queue.take(now, sessions) { gone.push(batch); }
                prop_assert!(queue.next_deadline().is_none_or(|deadline| deadline > now), "what is due has left");
            }
            while let Some(batch) = queue.take(now + Duration::from_secs(1), sessions) { gone.push(batch); }
            prop_assert_eq!(queue.len(), 0);
            for batch in &gone {
                prop_assert!(!batch.is_empty() && batch.len() <= max_size);
                prop_assert!(batch.iter().all(|item| item.shape == batch[0].shape));
            }
            let mut seen: Vec<_> = gone.iter().flatten().map(|item| item.number).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, wanted);
        }
    }
}
