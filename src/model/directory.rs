//! A model directory, `<name>/<version>`: read, and checked against the network it holds.

use std::path::{Path, PathBuf};

use super::files::{Files, MAX_LABELS_BYTES, MAX_MANIFEST_BYTES};
use super::folder::name_and_version;
use super::{GoldenPair, LoadError, LoadResult, OnnxSession, Providers, SessionOptions};
use crate::backend::{Signature, TensorInfo};
use crate::batch::BatchAxis;
use crate::manifest::{Head, Manifest, MaskFrame};
use crate::vision::preprocess::Preprocessor;

/// The file that makes a folder a model directory.
pub(super) const MANIFEST_FILE: &str = "model.toml";
/// A dimension of any length.
const ANY: i64 = -1;

/// What a model directory declares.
#[derive(Debug, Clone)]
pub struct ModelDirectory {
    /// The model's name.
    pub name: String,
    /// The version, from 1 on.
    pub version: u32,
    /// Where it lies.
    pub path: PathBuf,
    /// Its `model.toml`.
    pub manifest: Manifest,
    /// A label for each score, in the order of the outputs.
    pub labels: Vec<String>,
    /// From picture to tensor, as the manifest says.
    pub preprocessor: Preprocessor,
}

impl ModelDirectory {
    /// Reads manifest and labels of the directory at `path`, and makes sure that its files are such as a model may have.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::Files`] and [`LoadError::Manifest`].
    pub fn read(path: &Path) -> LoadResult<Self> {
        let real = path.canonicalize().map_err(LoadError::read(path))?;
        let text = Files::of(path, &real).text(MANIFEST_FILE, MAX_MANIFEST_BYTES)?;
        Self::with_manifest(path, &text)
    }

    /// The same with `text` in the place of its `model.toml`.
    ///
    /// # Errors
    /// As [`ModelDirectory::read`].
    pub fn with_manifest(path: &Path, text: &str) -> LoadResult<Self> {
        let real = path.canonicalize().map_err(LoadError::read(path))?;
        let (name, version) = name_and_version(&real).ok_or_else(|| LoadError::Repository {
            path: path.to_path_buf(),
            message: "a model directory is called <name>/<version>, the version a whole number from 1 on".into(),
        })?;
        let files = Files::of(path, &real);
        let manifest =
            Manifest::parse(text).map_err(|message| LoadError::Manifest { path: path.join(MANIFEST_FILE), message })?;
        let labels = labels(&path.join(&manifest.labels), &files.text(&manifest.labels, MAX_LABELS_BYTES)?)?;
        files.check_rest(&manifest)?;
        let preprocessor = Preprocessor::new(&manifest.preprocess);
        Ok(Self { name, version, path: path.to_path_buf(), manifest, labels, preprocessor })
    }

    /// The ONNX file.
    pub fn model_path(&self) -> PathBuf {
        self.path.join(&self.manifest.model)
    }

    /// Shape of the network's input for `batch` pictures.
    pub fn batch_shape(&self, batch: usize) -> [usize; 4] {
        let [first, second, third] = self.preprocessor.shape();
        [batch, first, second, third]
    }

    /// Opens a session on `providers` that uses `threads` for an inference.
    ///
    /// # Errors
    /// As [`OnnxSession::load`].
    pub fn open_session(&self, threads: usize, providers: &Providers) -> LoadResult<OnnxSession> {
        let options = SessionOptions { threads, providers: providers.clone(), ..SessionOptions::default() };
        OnnxSession::load(&self.model_path(), &options)
    }

    /// Checks that the network takes what `[preprocess]` makes and gives what `[head]` reads; the positions of those outputs.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] naming both sides.
    pub fn check_signature(&self, signature: &Signature) -> LoadResult<Vec<usize>> {
        let preprocess = &self.manifest.preprocess;
        let [input] = signature.inputs.as_slice() else {
            return mismatch(format!("the network takes {} inputs, one picture is given", signature.inputs.len()));
        };
        if input.name != preprocess.input {
            return mismatch(format!("preprocess.input is {:?}, the network's is {:?}", preprocess.input, input.name));
        }
        require_shape(input, &self.batch_shape(1).map(|length| length as i64))?;
        let outputs = self.manifest.head.outputs().into_iter().map(|name| output_position(name, signature));
        let positions: Vec<_> = outputs.collect::<LoadResult<_>>()?;
        match &self.manifest.head {
            Head::Scores(_) => require_shape(&signature.outputs[positions[0]], &[1, self.labels.len() as i64])?,
            Head::Boxes(head) => {
                require_shape(&signature.outputs[positions[0]], &[ANY, 4])?;
                if let Some(masks) = positions.get(3) {
                    self.require_masks(head.mask_frame, &signature.outputs[*masks])?;
                }
            }
            Head::Fcos(_) | Head::Yolox(_) => {}
        }
        Ok(positions)
    }

    /// Masks may have an axis of one between the detections and their rows.
    fn require_masks(&self, frame: MaskFrame, masks: &TensorInfo) -> LoadResult<()> {
        let [height, width] = match frame {
            MaskFrame::Box => [ANY; 2],
            MaskFrame::Input => self.manifest.preprocess.size.map(i64::from),
        };
        if masks.shape.len() == 3 {
            require_shape(masks, &[ANY, height, width])
        } else {
            require_shape(masks, &[ANY, 1, height, width])
        }
    }

    /// Whether the network's outputs have a batch axis: boxes that a graph has decoded are of one picture at a time.
    pub fn batch_axis(&self) -> BatchAxis {
        match self.manifest.head {
            Head::Boxes(_) => BatchAxis::None,
            Head::Scores(_) | Head::Fcos(_) | Head::Yolox(_) => BatchAxis::First,
        }
    }

    /// Reads the golden pair, where the manifest names one.
    ///
    /// # Errors
    /// [`LoadError::Golden`].
    pub fn golden_pair(&self, signature: &Signature) -> LoadResult<Option<GoldenPair>> {
        let golden = self.manifest.golden.as_ref();
        golden.map(|golden| GoldenPair::read(self, golden, signature)).transpose()
    }
}

fn output_position(name: &str, signature: &Signature) -> LoadResult<usize> {
    signature.outputs.iter().position(|output| output.name == name).map_or_else(
        || {
            let names: Vec<_> = signature.outputs.iter().map(|output| output.name.as_str()).collect();
            mismatch(format!("[head] names an output {name:?}, the network's outputs are {names:?}"))
        },
        Ok,
    )
}

/// The labels in `text`, what the file at `path` holds.
fn labels(path: &Path, text: &str) -> LoadResult<Vec<String>> {
    let labels: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    let problem = if labels.is_empty() {
        Some("holds no label".to_owned())
    } else {
        labels.iter().position(String::is_empty).map(|line| format!("line {} is empty", line + 1))
    };
    match problem {
        None => Ok(labels),
        Some(message) => Err(LoadError::Manifest { path: path.to_path_buf(), message }),
    }
}

/// `expected` is one batch's shape, [`ANY`] where any length goes; the network may leave any dimension open.
fn require_shape(tensor: &TensorInfo, expected: &[i64]) -> LoadResult<()> {
    let same_rank = tensor.shape.len() == expected.len();
    let fits =
        tensor.shape.iter().zip(expected).all(|(given, wanted)| *given == ANY || *wanted == ANY || given == wanted);
    if tensor.data_type == "f32" && same_rank && fits {
        return Ok(());
    }
    mismatch(format!(
        "{:?} is {} {:?} in the network, model.toml and labels ask for f32 {expected:?}",
        tensor.name, tensor.data_type, tensor.shape
    ))
}

fn mismatch<T>(message: String) -> LoadResult<T> {
    Err(LoadError::Mismatch(message))
}
