//! A head's outputs, held against the shapes that it needs.

use ndarray::ArrayD;

use crate::error::{ErrorKind, InferError, Result};

/// A head's outputs with their names, all of them finite.
pub(super) struct Outputs<'a> {
    names: Vec<&'a str>,
    arrays: &'a [&'a ArrayD<f32>],
}

impl<'a> Outputs<'a> {
    /// # Errors
    /// `InferenceFailed` naming the first output that holds what is no finite number.
    pub(super) fn new(names: Vec<&'a str>, arrays: &'a [&'a ArrayD<f32>]) -> Result<Self> {
        for (name, array) in names.iter().zip(arrays) {
            if let Some(value) = array.iter().find(|value| !value.is_finite()) {
                return Err(failed(format!("the model's output {name} holds {value} on this picture")));
            }
        }
        Ok(Self { names, arrays })
    }

    /// Shape and numbers of the output at `index`, whose shape must be `expected`; none is a length that may be any.
    ///
    /// # Errors
    /// `InferenceFailed` naming the output and both shapes.
    pub(super) fn with_shape(&self, index: usize, expected: &[Option<usize>]) -> Result<(&'a [usize], &'a [f32])> {
        let array = self.arrays[index];
        let fits = array.ndim() == expected.len()
            && array.shape().iter().zip(expected).all(|(length, wanted)| wanted.is_none_or(|wanted| wanted == *length));
        if let Some(numbers) = array.as_slice().filter(|_| fits) {
            return Ok((array.shape(), numbers));
        }
        let wanted = expected.iter().map(|length| length.map_or("?".into(), |length| length.to_string()));
        let wanted = wanted.collect::<Vec<_>>().join(", ");
        Err(failed(format!(
            "the model's output {} has shape {:?}, [{wanted}] is expected",
            self.names[index],
            array.shape()
        )))
    }

    /// How many axes the output at `index` has.
    pub(super) fn rank(&self, index: usize) -> usize {
        self.arrays[index].ndim()
    }

    /// The name of the output at `index`.
    pub(super) fn name(&self, index: usize) -> &'a str {
        self.names[index]
    }
}

/// What a network does wrong.
pub(super) fn failed(message: String) -> InferError {
    InferError::new(ErrorKind::InferenceFailed, message)
}
