//! From a network's raw outputs to named scores.

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Activation;

/// A label with its score.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Prediction {
    /// The label's text.
    pub label: String,
    /// Its position among the labels, from 0.
    pub index: usize,
    /// Its score, after the activation.
    pub score: f32,
}

/// The best `top_k` labels of one picture whose score is at least `threshold`, best first; of equal scores the one with
/// the lower index comes first.
///
/// `outputs` and `labels` are of one length, a number for each label.
///
/// # Errors
/// `InferenceFailed` when an output is no finite number.
pub fn classify(
    outputs: &[f32],
    labels: &[String],
    activation: Activation,
    top_k: usize,
    threshold: Option<f32>,
) -> Result<Vec<Prediction>> {
    if let Some(index) = outputs.iter().position(|value| !value.is_finite()) {
        let message = format!("the model gives {} for label {index} on this picture", outputs[index]);
        return Err(InferError::new(ErrorKind::InferenceFailed, message));
    }
    let scores = activate(outputs, activation);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let best = order.into_iter().take(top_k).filter(|&index| threshold.is_none_or(|least| scores[index] >= least));
    Ok(best.map(|index| Prediction { label: labels[index].clone(), index, score: scores[index] }).collect())
}

fn activate(outputs: &[f32], activation: Activation) -> Vec<f32> {
    match activation {
        Activation::Softmax => softmax(outputs),
        Activation::Sigmoid => outputs.iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
        Activation::None => outputs.to_vec(),
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|value| f64::from(value - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["cat", "dog", "cup"].map(String::from).to_vec()
    }

    fn ranked(outputs: &[f32], activation: Activation, top_k: usize, threshold: Option<f32>) -> Vec<(usize, f32)> {
        let predictions = classify(outputs, &labels(), activation, top_k, threshold).expect("finite outputs");
        predictions.into_iter().map(|prediction| (prediction.index, prediction.score)).collect()
    }

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let all = ranked(&[1000.0, 1001.0, 999.0], Activation::Softmax, 3, None);
        assert_eq!(all.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 0, 2]);
        assert!((all.iter().map(|(_, score)| score).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((all[0].1 - 0.665_240_94).abs() < 1e-6);
    }

    #[test]
    fn sigmoid_scores_each_for_itself() {
        let all = ranked(&[0.0, 2.0, -100.0], Activation::Sigmoid, 3, None);
        assert!((all[0].1 - 0.880_797).abs() < 1e-6);
        assert_eq!(all[1], (0, 0.5));
        assert!(all[2].1 < 1e-30);
    }

    #[test]
    fn top_k_and_threshold_cut_the_list() {
        assert_eq!(ranked(&[0.1, 0.5, 0.4], Activation::None, 2, None), [(1, 0.5), (2, 0.4)]);
        assert_eq!(ranked(&[0.1, 0.5, 0.4], Activation::None, 3, Some(0.4)), [(1, 0.5), (2, 0.4)]);
        assert_eq!(ranked(&[0.1, 0.5, 0.4], Activation::None, 9, Some(0.6)), []);
    }

    #[test]
    fn equal_scores_keep_the_labels_order() {
        assert_eq!(ranked(&[0.5, 0.5, 0.5], Activation::None, 2, None), [(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn outputs_that_are_no_numbers_are_refused() {
        let failed = classify(&[0.0, f32::NAN, 1.0], &labels(), Activation::Softmax, 1, None);
        assert_eq!(failed.expect_err("NaN").kind, ErrorKind::InferenceFailed);
    }
}
