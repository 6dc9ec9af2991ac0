//! Finds how a model is best run on this machine: settings of `model.toml` are tried in turns, in this process, and one takes the place of
//! the present one only where it is better by more than the noise of the measurement.

mod candidates;
mod choose;
mod manifest;
mod trial;

pub use candidates::{batch_sizes, delays, instances_and_threads};
pub use choose::{Comparison, compare};
pub use manifest::{read, written};
pub use trial::{Bench, Trial};

use std::fmt;

/// What `model.toml` may say of how a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Sessions side by side; 0 lets the server choose.
    pub instances: u16,
    /// Threads of one inference; 0 lets the server choose.
    pub threads: u16,
    /// Pictures in a batch at most; 0 lets the server choose.
    pub max_size: u16,
    /// Microseconds that a picture waits for others while a session is free.
    pub queue_delay_us: u32,
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = |number: u16| if number == 0 { "auto".to_owned() } else { number.to_string() };
        let Self { instances, threads, max_size, queue_delay_us } = *self;
        let (instances, threads, max_size) = (chosen(instances), chosen(threads), chosen(max_size));
        write!(formatter, "{instances:>5} x {threads:<5} {max_size:>5} {queue_delay_us:>9}")
    }
}
