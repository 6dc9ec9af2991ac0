//! `[head]`: from the network's outputs to the answer.

use serde::{Deserialize, Serialize};

use super::Task;

/// From the network's outputs to the answer, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Head {
    /// A score a label.
    Scores(ScoresHead),
    /// Raw outputs of FCOS, a level at a time.
    Fcos(FcosHead),
    /// Boxes that the graph has decoded.
    Boxes(BoxesHead),
    /// Raw outputs of YOLOX.
    Yolox(YoloxHead),
}

/// A classifier's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoresHead {
    /// Name of the output that holds a score a label, `[N, labels]`.
    pub output: String,
    /// What turns the output into scores.
    pub activation: Activation,
}

/// What turns a classifier's output into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Scores that sum to 1: one label is true.
    Softmax,
    /// Each label for itself: several may be true.
    Sigmoid,
    /// The output is the score.
    None,
}

/// FCOS: anchor-free, one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcosHead {
    /// The feature pyramid's levels.
    pub levels: Vec<FcosLevel>,
    /// The best of each level that enter the suppression.
    #[serde(default = "default_candidates")]
    pub candidates_per_level: usize,
}

/// One level of the feature pyramid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcosLevel {
    /// Pixels of the tensor from one place to the next.
    pub stride: u32,
    /// Name of the output with class logits, `[N, labels, h, w]`.
    #[serde(rename = "class")]
    pub classes: String,
    /// Name of the output with the edges' distances in pixels of the tensor, left, top, right, down, `[N, 4, h, w]`.
    #[serde(rename = "box")]
    pub distances: String,
    /// Name of the output with centerness logits, `[N, 1, h, w]`.
    pub centerness: String,
}

/// Boxes that the graph has decoded, of one picture at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxesHead {
    /// Name of the output with edges in pixels of the tensor, left, top, right, lower, `[D, 4]`.
    pub boxes: String,
    /// Name of the output with each box's label, `[D]`.
    pub classes: String,
    /// Name of the output with each box's score, `[D]`.
    pub scores: String,
    /// The number that stands for the first label: 1 where 0 is background.
    #[serde(default)]
    pub first_class: usize,
    /// Name of the output with each box's mask, `[D, 1, h, w]` or `[D, h, w]`, values from 0 to 1.
    #[serde(default)]
    pub masks: Option<String>,
    /// What the masks lie on.
    #[serde(default)]
    pub mask_frame: MaskFrame,
}

/// What masks lie on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskFrame {
    /// Each on its box, as torchvision's Mask R-CNN has them before they are pasted.
    #[default]
    Box,
    /// On the tensor, and of its size.
    Input,
}

/// YOLOX as its exporter writes it, not decoded in the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YoloxHead {
    /// Name of the output, `[N, places, 5 + labels]`.
    pub output: String,
    /// The levels' strides in pixels of the tensor, in the output's order.
    #[serde(default = "default_strides")]
    pub strides: Vec<u32>,
}

impl Head {
    /// What a model with this head answers.
    pub fn task(&self) -> Task {
        match self {
            Self::Scores(_) => Task::Classify,
            Self::Fcos(_) | Self::Boxes(_) | Self::Yolox(_) => Task::Detect,
        }
    }

    /// Names of the outputs that it reads, in the order that its fields have.
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::Scores(head) => vec![&head.output],
            Self::Fcos(head) => {
                head.levels.iter().flat_map(|level| [&*level.classes, &level.distances, &level.centerness]).collect()
            }
            Self::Boxes(head) => {
                [&head.boxes, &head.classes, &head.scores].into_iter().chain(&head.masks).map(String::as_str).collect()
            }
            Self::Yolox(head) => vec![&head.output],
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let strides: Vec<u32> = match self {
            Self::Scores(_) | Self::Boxes(_) => return Ok(()),
            Self::Fcos(head) => head.levels.iter().map(|level| level.stride).collect(),
            Self::Yolox(head) => head.strides.clone(),
        };
        if strides.is_empty() || strides.contains(&0) {
            return Err("head: at least one level is needed, and every stride must be above 0".into());
        }
        Ok(())
    }
}

fn default_candidates() -> usize {
    1000
}

fn default_strides() -> Vec<u32> {
    vec![8, 16, 32]
}
