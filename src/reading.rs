//! How a network's outputs are read for one request: the model's head, with what the request asks for in place of its
//! defaults.

use ndarray::ArrayD;

use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Head;
use crate::model::{Model, ModelDirectory};
use crate::request::{DEFAULT_TOP_K, Finding, InferOptions};
use crate::vision::detect::{DetectOptions, Source, detect};
use crate::vision::draw::PictureFormat;
use crate::vision::postprocess::classify;

/// A request's options, complete and checked against the model.
#[derive(Debug)]
pub struct Reading {
    /// Also the picture with its boxes drawn, as such a file.
    pub render: Option<PictureFormat>,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// Labels of the whole picture.
    Labels {
        /// At most so many.
        top_k: usize,
        /// Only scores of at least this.
        threshold: Option<f32>,
    },
    /// Boxes on it.
    Boxes(DetectOptions),
}

impl Reading {
    /// What `options` ask of `model`.
    ///
    /// # Errors
    /// `InvalidParameter` for a class that the model doesn't know.
    pub fn new(model: &Model, options: &InferOptions) -> Result<Self> {
        let defaults = &model.directory.manifest.detection;
        if let Head::Scores(_) = model.directory.manifest.head {
            let top_k = options.top_k.unwrap_or(DEFAULT_TOP_K);
            return Ok(Self { render: None, wanted: Wanted::Labels { top_k, threshold: options.threshold } });
        }
        let labels = &model.directory.labels;
        let classes = options.classes.as_ref().map(|names| positions(names, labels)).transpose()?;
        let wanted = Wanted::Boxes(DetectOptions {
            threshold: options.threshold.unwrap_or(defaults.threshold),
            iou: options.iou.unwrap_or(defaults.iou),
            max_detections: options.max_detections.unwrap_or(defaults.max_detections),
            classes,
        });
        Ok(Self { render: options.render, wanted })
    }

    /// What the head's `outputs` say of one picture.
    ///
    /// # Errors
    /// `InferenceFailed` when they aren't what the head needs.
    pub fn read(&self, directory: &ModelDirectory, outputs: &[&ArrayD<f32>], source: &Source) -> Result<Finding> {
        let (manifest, labels) = (&directory.manifest, &directory.labels);
        match (&self.wanted, &manifest.head) {
            (Wanted::Labels { top_k, threshold }, Head::Scores(head)) => {
                let scores = outputs[0].as_slice().filter(|scores| scores.len() == labels.len()).ok_or_else(|| {
                    let message =
                        format!("the model gives {:?} scores for {} labels", outputs[0].shape(), labels.len());
                    InferError::new(ErrorKind::InferenceFailed, message)
                })?;
                classify(scores, labels, head.activation, *top_k, *threshold).map(Finding::Labels)
            }
            (Wanted::Boxes(options), head) => {
                detect(head, outputs, manifest.preprocess.size, labels, source, options).map(Finding::Boxes)
            }
            (Wanted::Labels { .. }, _) => Err(InferError::new(ErrorKind::Internal, "the model's head gives no labels")),
        }
    }
}

fn positions(names: &[String], labels: &[String]) -> Result<Vec<usize>> {
    let position = |name: &String| {
        labels.iter().position(|label| label == name).ok_or_else(|| {
            InferError::new(ErrorKind::InvalidParameter, format!("the model knows no class {name:?}; see its labels"))
        })
    };
    names.iter().map(position).collect()
}
