//! A network that does what the test says, and tells what it was given.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use cenet_serve::backend::Backend;
use cenet_serve::error::{ErrorKind, InferError, Result};
use ndarray::{Array, ArrayD, Axis};
use tokio::sync::mpsc;

use super::MeanColor;

/// What a [`Fake`] does with a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// Scores colours, as [`MeanColor`].
    Right,
    /// Waits until the mood is another.
    Hold,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Answers what is no number.
    Nan,
    /// Answers in a shape that nobody expects.
    WrongShape,
    /// Fails batches with a picture that is green in the mean.
    FearsGreen,
}

/// Instances that share a mood.
#[derive(Debug, Clone)]
pub struct Fake {
    mood: Arc<(Mutex<Mood>, Condvar)>,
    begun: mpsc::UnboundedSender<usize>,
}

impl Fake {
    /// A fake, and the size of each batch that it begins.
    pub fn new(mood: Mood) -> (Self, mpsc::UnboundedReceiver<usize>) {
        let (begun, batches) = mpsc::unbounded_channel();
        (Self { mood: Arc::new((Mutex::new(mood), Condvar::new())), begun }, batches)
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.0.lock().unwrap_or_else(PoisonError::into_inner) = mood;
        self.mood.1.notify_all();
    }

    pub fn instances(&self, count: usize) -> Vec<Box<dyn Backend>> {
        (0..count).map(|_| Box::new(self.clone()) as Box<dyn Backend>).collect()
    }

    fn mood(&self) -> Mood {
        let mood = self.mood.0.lock().unwrap_or_else(PoisonError::into_inner);
        *self.mood.1.wait_while(mood, |mood| *mood == Mood::Hold).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Fake {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        let pictures = input.len_of(Axis(0));
        // a test that doesn't listen any more is over
        let _ = self.begun.send(pictures);
        let failed = || Err(InferError::new(ErrorKind::InferenceFailed, "the network broke down"));
        match self.mood() {
            Mood::Right | Mood::Hold => MeanColor.infer(input),
            Mood::Fail => failed(),
            Mood::Panic => panic!("a defect of the network"),
            Mood::Nan => Ok(vec![ArrayD::from_elem(vec![pictures, 3], f32::NAN)]),
            Mood::WrongShape => Ok(vec![ArrayD::zeros(vec![pictures + 1, 2])]),
            Mood::FearsGreen => {
                let scores = MeanColor.infer(input)?;
                let green = |row: ndarray::ArrayViewD<'_, f32>| row[[1]] > row[[0]].max(row[[2]]);
                if scores[0].axis_iter(Axis(0)).any(green) { failed() } else { Ok(scores) }
            }
        }
    }
}

/// A network that always sees the same: `boxes` as edges, label and score.
pub fn sees(boxes: &[([f32; 4], f32, f32)]) -> impl FnMut(ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> + use<> {
    let edges: Vec<f32> = boxes.iter().flat_map(|(edges, _, _)| *edges).collect();
    let edges = Array::from_shape_vec(vec![boxes.len(), 4], edges).expect("four edges a box");
    let labels = boxes.iter().map(|(_, label, _)| *label).collect::<Array<_, _>>().into_dyn();
    let scores = boxes.iter().map(|(_, _, score)| *score).collect::<Array<_, _>>().into_dyn();
    move |_| Ok(vec![edges.clone(), labels.clone(), scores.clone()])
}
