//! An input that a served model is asked about now and then, to see that it still answers right.

use std::time::Duration;

use ndarray::{ArrayD, Axis};

use super::golden::is_close;
use super::{GoldenPair, Model};
use crate::admission::Priority;
use crate::batch::BatchAxis;
use crate::error::{ErrorKind, InferError, Result};

/// How long a canary may take. It goes before all others, so that only a network that hangs needs so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// One picture's tensor, with what the network should say of it.
#[derive(Debug, Clone)]
pub struct Canary {
    input: ArrayD<f32>,
    /// An array for each output; none where anything will do that is a number.
    expected: Option<Vec<ArrayD<f32>>>,
    /// Largest difference allowed, as a share of the largest expected absolute value.
    tolerance: f32,
}

impl Canary {
    /// A tensor of zeros of `shape`, without a batch axis: the answer must be finite numbers.
    pub fn of_zeros(shape: &[usize]) -> Self {
        Self { input: ArrayD::zeros(shape), expected: None, tolerance: 0.0 }
    }

    /// The first picture of a golden pair.
    pub(super) fn of_pair(pair: &GoldenPair, axis: BatchAxis) -> Self {
        let first = |array: &ArrayD<f32>| array.index_axis(Axis(0), 0).to_owned();
        let expected = pair.outputs().map(|array| match axis {
            BatchAxis::First => first(array),
            BatchAxis::None => array.clone(),
        });
        Self { input: first(pair.input()), expected: Some(expected.collect()), tolerance: pair.tolerance() }
    }

    fn check(&self, outputs: &[ArrayD<f32>]) -> Result<()> {
        let wrong = |message: &str| Err(InferError::new(ErrorKind::InferenceFailed, message));
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return wrong("it answers a known picture with what is no number");
        }
        let right = self.expected.as_ref().is_none_or(|expected| {
            expected.len() == outputs.len()
                && expected.iter().zip(outputs).all(|(expected, output)| is_close(expected, output, self.tolerance))
        });
        if right { Ok(()) } else { wrong("it answers a known picture otherwise than when it was loaded") }
    }
}

impl Model {
    /// Asks the network about its canary, before all that waits.
    ///
    /// # Errors
    /// `InferenceFailed` when the answer is wrong, `Unavailable` when there is none in time.
    pub async fn ask_canary(&self) -> Result<()> {
        let asked = self.batcher.infer(self.canary.input.clone(), Priority::High);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => self.canary.check(&answer?.outputs),
            Err(_) => {
                let message = format!("it doesn't answer a known picture within {} s", PATIENCE.as_secs());
                Err(InferError::new(ErrorKind::Unavailable, message))
            }
        }
    }
}
