//! Pillow's kernels: how much each pixel of the original counts for a pixel of the result.

use std::f64::consts::PI;

use crate::manifest::Filter;
use crate::vision::geometry::Axis;

/// Binary places of a weight after the point: a sum of weighted bytes fits into 32 bits, two of them for what kernels with
/// negative parts overshoot.
const PRECISION: u32 = 32 - 8 - 2;
/// What a sum starts from, so that [`clip`] rounds.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// The byte that a sum of weighted bytes stands for.
#[inline(always)]
pub(super) fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// A convolution kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    height: fn(f64) -> f64,
    /// Beyond this distance from 0 it is 0.
    reach: f64,
}

/// The pixels of an axis that one pixel of the result is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The first of them.
    pub(super) first: usize,
    /// Their weights in fixed point.
    pub(super) weights: Vec<i32>,
}

impl Kernel {
    /// None for a filter that takes a single pixel as it is.
    pub(super) fn of(filter: Filter) -> Option<Self> {
        match filter {
            Filter::Nearest => None,
            Filter::Bilinear => Some(Self { height: bilinear, reach: 1.0 }),
            Filter::Bicubic => Some(Self { height: bicubic, reach: 2.0 }),
            Filter::Lanczos => Some(Self { height: lanczos, reach: 3.0 }),
        }
    }

    /// The window of the kept pixel at `position`. Where an axis keeps its length, each pixel is itself.
    pub(super) fn window(&self, axis: &Axis, position: u32) -> Window {
        let position = axis.skipped + u64::from(position);
        if axis.resized == u64::from(axis.length) {
            return Window { first: position as usize, weights: vec![1 << PRECISION] };
        }
        let scale = scale(axis);
        let stretch = scale.max(1.0);
        let support = self.reach * stretch;
        let center = (position as f64 + 0.5) * scale;
        // casts cut off towards zero
        let first = (center - support + 0.5) as u32;
        let end = ((center + support + 0.5) as u32).min(axis.length);
        let height = |pixel: u32| (self.height)((f64::from(pixel) - center + 0.5) * (1.0 / stretch));
        let heights: Vec<f64> = (first..end).map(height).collect();
        let sum: f64 = heights.iter().sum();
        let share = |height: &f64| if sum == 0.0 { *height } else { height / sum };
        Window { first: first as usize, weights: heights.iter().map(|height| fixed(share(height))).collect() }
    }

    /// No window of the axis has more weights.
    pub(super) fn most_weights(&self, axis: &Axis) -> usize {
        (self.reach * scale(axis).max(1.0)).ceil() as usize * 2 + 1
    }
}

/// Pixels of the original a pixel of the result. Pillow has the length in single precision.
fn scale(axis: &Axis) -> f64 {
    f64::from(axis.length as f32) / axis.resized as f64
}

/// Rounded half away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    let x = x * PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_axis() -> impl Strategy<Value = Axis> {
        (1_u32..5000, 1_u64..5000, 0.0..1.0).prop_map(|(length, resized, share)| {
            let skipped = ((resized - 1) as f64 * share) as u64;
            Axis { length, resized, skipped, kept: 1, start: 0 }
        })
    }

    proptest! {
        #[test]
        fn windows_lie_inside_and_sum_to_one(axis in any_axis(), filter in 0_usize..3) {
            let filter = [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos][filter];
            let kernel = Kernel::of(filter).expect("a convolution");
            let Window { first, weights } = kernel.window(&axis, 0);
            prop_assert!(!weights.is_empty() && weights.len() <= kernel.most_weights(&axis));
            prop_assert!(first + weights.len() <= axis.length as usize);
            let sum: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
            prop_assert!((sum - (1 << PRECISION)).unsigned_abs() as usize <= weights.len(), "{sum}");
        }
    }

    #[test]
    fn halving_weighs_as_pillow_does() {
        let axis = Axis { length: 8, resized: 4, skipped: 0, kept: 4, start: 0 };
        let kernel = Kernel::of(Filter::Bilinear).expect("a convolution");
        // heights 0.25, 0.75, 0.75, 0.25 in the middle; the first lacks what lies before the edge
        let eighth = 1 << (PRECISION - 3);
        assert_eq!(kernel.window(&axis, 1), Window { first: 1, weights: vec![eighth, 3 * eighth, 3 * eighth, eighth] });
        let sevenths = [3.0, 3.0, 1.0].map(|weight| fixed(weight / 7.0));
        assert_eq!(kernel.window(&axis, 0), Window { first: 0, weights: sevenths.to_vec() });
    }
}
