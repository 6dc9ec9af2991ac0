//! Whether a setting is better than the present one, or only looks so.

/// A setting beside the present one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// By how much more it answers: the middle of the turns' shares, 0.1 for a tenth more.
    pub gain: f64,
    /// How far either's turns stray from their middle.
    pub noise: f64,
}

impl Comparison {
    /// Whether the gain is more than the noise explains.
    pub fn is_better(&self) -> bool {
        self.gain > self.noise
    }
}

/// Compares rates that were measured in turns: the present setting's, then the other's, in each round.
pub fn compare(present: &[f64], other: &[f64]) -> Comparison {
    let shares: Vec<_> = present.iter().zip(other).map(|(present, other)| other / present).collect();
    Comparison { gain: median(&shares) - 1.0, noise: stray(present).max(stray(other)) }
}

/// Half of what lies between the least and the most, as a share of the middle.
fn stray(rates: &[f64]) -> f64 {
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    (most - least) / 2.0 / median(rates)
}

/// The middle one, of which there is one at least.
pub(super) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_noise_is_better() {
        let comparison = compare(&[100.0, 104.0, 96.0], &[121.0, 124.0, 116.0]);
        assert!((comparison.gain - 0.208).abs() < 0.002, "{comparison:?}");
        assert!((comparison.noise - 0.04).abs() < 1e-9, "{comparison:?}");
        assert!(comparison.is_better());
    }

    #[test]
    fn less_is_not() {
        assert!(!compare(&[100.0, 104.0, 96.0], &[103.0, 107.0, 99.0]).is_better(), "3% where turns differ by 4%");
        assert!(!compare(&[100.0, 100.0, 100.0], &[90.0, 90.0, 90.0]).is_better());
        // one lucky turn doesn't count
        assert!(!compare(&[100.0, 100.0, 100.0], &[100.0, 200.0, 99.0]).is_better());
    }

    #[test]
    fn a_machine_that_slows_down_for_both_is_no_difference() {
        let comparison = compare(&[100.0, 80.0, 60.0], &[100.0, 80.0, 60.0]);
        assert_eq!(comparison.gain, 0.0);
        assert!(!comparison.is_better());
    }
}
