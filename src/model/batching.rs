//! How many pictures go to a network together at most.

use std::time::Duration;

use super::{Instances, ModelDirectory};
use crate::backend::Signature;
use crate::batch::{BatchAxis, BatchPolicy};

/// The largest batch where nobody has asked for another.
const LARGEST: usize = 8;
/// The smallest that is chosen: two pictures at a time were answered faster than one (docs/decisions/0016).
const SMALLEST: usize = 2;
/// What a batch may take on one thread: beside that, what a call costs is next to nothing.
const LONGEST: Duration = Duration::from_millis(32);

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchOptions {
    /// Pictures in a batch at most; 0 leaves it open.
    pub max_size: usize,
    /// How long a picture waits for others while a session is free.
    pub max_delay: Duration,
}

impl BatchOptions {
    /// What the manifest of `directory` says and, where that leaves it open, `defaults`.
    pub(super) fn of(directory: &ModelDirectory, defaults: Self) -> Self {
        let declared = &directory.manifest.batching;
        let max_size = if declared.max_size == 0 { defaults.max_size } else { declared.max_size.into() };
        let delay = declared.queue_delay_us.map(|delay_us| Duration::from_micros(delay_us.into()));
        Self { max_size, max_delay: delay.unwrap_or(defaults.max_delay) }
    }

    /// Pictures in a batch at most, whatever the network turns out to take.
    pub(super) fn largest(self) -> usize {
        if self.max_size == 0 { LARGEST } else { self.max_size }
    }

    /// The choice for a network that takes and gives `signature` and a `picture` of which takes so long.
    ///
    /// Large batches fill a GPU, and threads that share a session's work wait for each other less in them. A session of one thread
    /// spares by them only what it does once a batch, and its memory grows with them for good: so a batch takes no longer than
    /// [`LONGEST`] there, unless that is less than [`SMALLEST`] pictures.
    pub(super) fn choose(
        self,
        signature: &Signature,
        axis: BatchAxis,
        picture: Duration,
        instances: &Instances,
        on_gpu: bool,
    ) -> BatchPolicy {
        let one_at_a_time = signature.inputs.first().and_then(|input| input.shape.first()) == Some(&1);
        if one_at_a_time || axis == BatchAxis::None {
            return BatchPolicy::SINGLE;
        }
        let max_size = if self.max_size > 0 || on_gpu || instances.threads > 1 {
            self.largest()
        } else {
            ((LONGEST.as_secs_f64() / picture.as_secs_f64()) as usize).clamp(SMALLEST, LARGEST)
        };
        BatchPolicy { max_size, max_delay: self.max_delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::TensorInfo;

    const ASKED_NOTHING: BatchOptions = BatchOptions { max_size: 0, max_delay: Duration::ZERO };

    fn signature(batch: i64) -> Signature {
        let input = TensorInfo { name: "input".into(), data_type: "f32".into(), shape: vec![batch, 3, 8, 8] };
        Signature { inputs: vec![input], outputs: Vec::new() }
    }

    fn instances(threads: usize) -> Instances {
        Instances { count: 2, threads, reason: String::new() }
    }

    fn chosen(options: BatchOptions, picture_us: u64, threads: usize, on_gpu: bool) -> usize {
        let picture = Duration::from_micros(picture_us);
        options.choose(&signature(-1), BatchAxis::First, picture, &instances(threads), on_gpu).max_size
    }

    #[test]
    fn the_longer_a_picture_takes_the_smaller_the_batch() {
        assert_eq!(chosen(ASKED_NOTHING, 0, 1, false), 8);
        assert_eq!(chosen(ASKED_NOTHING, 800, 1, false), 8);
        assert_eq!(chosen(ASKED_NOTHING, 6_000, 1, false), 5);
        assert_eq!(chosen(ASKED_NOTHING, 11_000, 1, false), 2);
        assert_eq!(chosen(ASKED_NOTHING, 1_000_000, 1, false), 2);
    }

    #[test]
    fn threads_that_share_a_session_and_gpus_get_large_ones() {
        assert_eq!(chosen(ASKED_NOTHING, 40_000, 2, false), 8);
        assert_eq!(chosen(ASKED_NOTHING, 11_000, 1, true), 8);
    }

    #[test]
    fn what_is_asked_for_is_kept_unless_the_network_cannot() {
        let options = BatchOptions { max_size: 32, ..ASKED_NOTHING };
        assert_eq!(chosen(options, 11_000, 1, false), 32);
        assert_eq!((options.largest(), ASKED_NOTHING.largest()), (32, 8));
        let policy = |batch, axis| options.choose(&signature(batch), axis, Duration::ZERO, &instances(1), false);
        assert_eq!(policy(1, BatchAxis::First), BatchPolicy::SINGLE);
        assert_eq!(policy(-1, BatchAxis::None), BatchPolicy::SINGLE);
    }
}
