//! The golden pair: an input with the outputs that the exporter saw for it, reproduced before a model is served.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{ArrayD, ArrayViewD, Axis};
use ndarray_npy::ViewNpyExt;
use serde::Serialize;
use zip::ZipArchive;

use super::{LoadError, LoadResult, ModelDirectory};
use crate::backend::{Backend, Signature};
use crate::manifest::Golden;
use crate::vision::decode::{DecodeLimits, decode};

/// Bytes of an array of the pair.
const MAX_ARRAY_BYTES: u64 = 256 << 20;

/// How well the golden pair was reproduced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoldenReport {
    /// Largest absolute difference over all outputs.
    pub max_abs_difference: f32,
    /// The same as a share of the largest expected absolute value.
    pub relative_difference: f32,
    /// Largest absolute difference between the stored input and the golden picture's preprocessing, where there is one.
    pub input_difference: Option<f32>,
}

/// An input with the outputs that the exporter saw for it.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenPair {
    input: ArrayD<f32>,
    /// Each output of the network, in the graph's order, with its name.
    outputs: Vec<(String, ArrayD<f32>)>,
    tolerance: f32,
    /// Largest absolute difference between the stored input and the golden picture's preprocessing, where there is one.
    input_difference: Option<f32>,
}

impl GoldenPair {
    /// Reads the golden pair of the model in `directory`, and compares its picture, where there is one, with its input.
    ///
    /// # Errors
    /// [`LoadError::Golden`] when a file or an array is missing, or the picture's preprocessing is another.
    pub(super) fn read(directory: &ModelDirectory, golden: &Golden, signature: &Signature) -> LoadResult<Self> {
        let mut archive = open(&directory.path.join(&golden.tensors))?;
        let input = read(&mut archive, &directory.manifest.preprocess.input)?;
        let input_difference = match &golden.image {
            Some(image) => Some(compare_picture(&directory.path.join(image), directory, &input)?),
            None => None,
        };
        let names = signature.outputs.iter().map(|info| info.name.clone());
        let outputs =
            names.map(|name| read(&mut archive, &name).map(|array| (name, array))).collect::<LoadResult<_>>()?;
        Ok(Self { input, outputs, tolerance: golden.tolerance, input_difference })
    }

    /// The network's input, a batch.
    pub(super) fn input(&self) -> &ArrayD<f32> {
        &self.input
    }

    /// What the network gave, an array for each of its outputs.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &ArrayD<f32>> {
        self.outputs.iter().map(|(_, array)| array)
    }

    /// Largest difference allowed, as a share of the largest expected absolute value.
    pub(super) fn tolerance(&self) -> f32 {
        self.tolerance
    }

    /// Runs the pair on `backend` and compares.
    ///
    /// # Errors
    /// [`LoadError::Golden`] when the backend fails or a difference is above the tolerance.
    pub fn check(&self, backend: &mut dyn Backend) -> LoadResult<GoldenReport> {
        let outputs = backend.infer(self.input.clone()).map_err(|error| LoadError::Golden(error.message))?;
        let mut report =
            GoldenReport { max_abs_difference: 0.0, relative_difference: 0.0, input_difference: self.input_difference };
        for ((name, expected), output) in self.outputs.iter().zip(&outputs) {
            report.add(name, expected, output)?;
        }
        if report.relative_difference <= self.tolerance {
            return Ok(report);
        }
        Err(LoadError::Golden(format!(
            "the outputs differ by {:.3e} of the largest expected value, the tolerance is {:.3e}",
            report.relative_difference, self.tolerance
        )))
    }
}

impl GoldenReport {
    fn add(&mut self, name: &str, expected: &ArrayD<f32>, actual: &ArrayD<f32>) -> LoadResult<()> {
        let difference = max_abs_difference(name, expected, actual)?;
        self.max_abs_difference = self.max_abs_difference.max(difference);
        self.relative_difference = self.relative_difference.max(difference / largest_value(expected));
        Ok(())
    }
}

/// Whether `actual` has the shape of `expected`, and differs from it by no more than `tolerance` of the largest expected value.
pub(super) fn is_close(expected: &ArrayD<f32>, actual: &ArrayD<f32>, tolerance: f32) -> bool {
    max_abs_difference("an output", expected, actual)
        .is_ok_and(|difference| difference / largest_value(expected) <= tolerance)
}

fn largest_value(array: &ArrayD<f32>) -> f32 {
    array.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()))
}

/// Infinite where a value is no number, so that it passes no tolerance.
fn max_abs_difference(name: &str, expected: &ArrayD<f32>, actual: &ArrayD<f32>) -> LoadResult<f32> {
    if expected.shape() != actual.shape() {
        let message = format!("{name} has shape {:?}, expected {:?}", actual.shape(), expected.shape());
        return Err(LoadError::Golden(message));
    }
    let differences = expected.iter().zip(actual).map(|(expected, actual)| (expected - actual).abs());
    Ok(differences.fold(0.0, |largest: f32, value| if value.is_nan() { f32::INFINITY } else { largest.max(value) }))
}

/// Largest difference of one pixel value that a golden picture may show, in units of 1/255: decoders differ by this much.
const PICTURE_TOLERANCE_LEVELS: f32 = 4.0;

fn compare_picture(path: &Path, directory: &ModelDirectory, expected: &ArrayD<f32>) -> LoadResult<f32> {
    let bytes = std::fs::read(path).map_err(LoadError::read(path))?;
    let preprocess = &directory.manifest.preprocess;
    let (tensor, _) = decode(&bytes, preprocess.into(), &DecodeLimits::default())
        .and_then(|picture| directory.preprocessor.tensor(&picture))
        .map_err(|error| LoadError::Golden(error.message))?;
    let tensor = tensor.insert_axis(Axis(0)).into_dyn();
    let difference = max_abs_difference("the golden picture's tensor", expected, &tensor)?;
    let narrowest = preprocess.std.iter().copied().fold(f32::INFINITY, f32::min);
    let allowed = PICTURE_TOLERANCE_LEVELS * preprocess.rescale / narrowest;
    if difference <= allowed {
        return Ok(difference);
    }
    Err(LoadError::Golden(format!(
        "the golden picture's preprocessing differs by {difference:.4} from the stored input, {allowed:.4} is allowed: \
         [preprocess] doesn't say how the network was trained"
    )))
}

fn open(path: &Path) -> LoadResult<ZipArchive<File>> {
    let file = File::open(path).map_err(LoadError::read(path))?;
    ZipArchive::new(file).map_err(|error| LoadError::Golden(format!("{}: {error}", path.display())))
}

/// The array called `name`. Neither what the archive nor what the array says of its size is believed.
fn read(archive: &mut ZipArchive<File>, name: &str) -> LoadResult<ArrayD<f32>> {
    let wrong = |problem: &dyn fmt::Display| LoadError::Golden(format!("array {name}: {problem}"));
    let file = archive.by_name(&format!("{name}.npy")).map_err(|error| wrong(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_ARRAY_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > MAX_ARRAY_BYTES {
        return Err(wrong(&format!("it has more than {MAX_ARRAY_BYTES} bytes")));
    }
    let view = ArrayViewD::<f32>::view_npy(&bytes).map_err(|error| wrong(&error))?;
    Ok(view.as_standard_layout().into_owned())
}
