//! What a node has learned, packed once: for each block that is written, the weights of the channels that are read; and the gate's weights in
//! 16 bits a number, because one picture waits longer for them to be read than for what is done with them.

use std::ops::Range;

use super::MAX_BLOCK;
use crate::weights::Weights;
use crate::{Parameters, Shape, ShapeError};

/// The matrices of a node, as the kernel reads them.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Channels a block, B.
    pub(super) block: usize,
    /// Channels a group, d.
    pub(super) group_width: usize,
    /// Channels, C; those that fill up the last block are not counted.
    pub(super) channels: usize,
    /// For each block, where its matrix starts; and the end.
    starts: Vec<usize>,
    /// For each block `[K][B]`.
    numbers: Vec<f32>,
    /// `[C/r, C]`
    pub(super) fc1: Weights,
    /// `[C, C/r]`
    pub(super) fc2: Weights,
}

impl Packed {
    /// Packs `parameters`, whose groups are of `group_width` channels, for blocks of `block` channels, 8 or 16.
    ///
    /// # Errors
    /// [`ShapeError::Buffer`] when the parameters aren't of whole groups, or not of one size.
    ///
    /// # Panics
    /// When `block` is neither.
    pub fn new(parameters: &Parameters<'_>, group_width: usize, block: usize) -> Result<Self, ShapeError> {
        assert!(block == 8 || block == MAX_BLOCK, "blocks are of 8 or 16 channels");
        let (whitening, matrix) = (parameters.whitening, group_width * group_width);
        if matrix == 0 || whitening.is_empty() || !whitening.len().is_multiple_of(matrix) {
            return Err(ShapeError::Buffer { input: "whitening", expected: matrix, actual: whitening.len() });
        }
        let (groups, hidden) = (whitening.len() / matrix, parameters.ln_scale.len());
        parameters.check(&Shape { batch: 0, groups, group_width, pixels: 0, hidden })?;
        let channels = groups * group_width;
        let fc1 = Weights::new(parameters.fc1, channels);
        let fc2 = Weights::new(parameters.fc2, hidden);
        let mut packed = Self { block, group_width, channels, starts: vec![0], numbers: Vec::new(), fc1, fc2 };
        for index in 0..packed.blocks() {
            for input in packed.read_by(index) {
                packed.push_column(whitening, index, input);
            }
            packed.starts.push(packed.numbers.len());
        }
        Ok(packed)
    }

    /// The weights of channel `input` for the channels of block `index`; zero where they are of another group.
    fn push_column(&mut self, whitening: &[f32], index: usize, input: usize) {
        let width = self.group_width;
        for output in index * self.block..(index + 1) * self.block {
            let related = output < self.channels && output / width == input / width;
            self.numbers.push(if related { whitening[output * width + input % width] } else { 0.0 });
        }
    }

    /// Blocks that hold the channels.
    pub(super) fn blocks(&self) -> usize {
        self.channels.div_ceil(self.block)
    }

    /// Blocks that must be taken together: from where a block and a group both start to where they both start again.
    pub(super) fn unit(&self) -> usize {
        let shared = gcd(self.group_width, self.block);
        (self.group_width / shared).min(self.blocks())
    }

    /// The channels that those of block `index` are made of: all of the groups that have a part in it.
    pub(super) fn read_by(&self, index: usize) -> Range<usize> {
        let (first, end) = (index * self.block, ((index + 1) * self.block).min(self.channels));
        first / self.group_width * self.group_width..end.div_ceil(self.group_width) * self.group_width
    }

    /// Numbers in the matrix of block `index`.
    pub(super) fn matrix(&self, index: usize) -> &[f32] {
        &self.numbers[self.starts[index]..self.starts[index + 1]]
    }

    /// Whether it was made for blocks of this size.
    pub(super) fn is_of(&self, shape: &Shape) -> bool {
        (self.channels, self.group_width) == (shape.channels(), shape.group_width)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(groups: usize, width: usize, block: usize) -> Packed {
        let whitening: Vec<f32> = (0..groups * width * width).map(|at| at as f32 + 1.0).collect();
        let row = vec![0.0; groups * width];
        let (ln, gate_scale, epsilon) = (&[0.0][..], 1.0, 1e-5);
        let parameters =
            Parameters { whitening: &whitening, fc1: &row, ln_scale: ln, ln_bias: ln, fc2: &row, gate_scale, epsilon };
        Packed::new(&parameters, width, block).expect("whole groups")
    }

    #[test]
    fn blocks_and_groups_meet_again_after_a_unit() {
        let units = |groups, width| packed(groups, width, 16).unit();
        assert_eq!(
            [units(4, 16), units(1, 64), units(8, 4), units(6, 24), units(5, 5), units(1, 4)],
            [1, 4, 1, 3, 2, 1]
        );
        assert_eq!(packed(4, 24, 16).read_by(0), 0..24);
        assert_eq!(packed(4, 24, 16).read_by(1), 0..48);
        assert_eq!(packed(5, 5, 16).read_by(1), 15..25, "the last block has 9 channels");
    }

    #[test]
    fn every_weight_is_there_once() {
        for (groups, width) in [(4, 16), (1, 64), (8, 4), (5, 5), (3, 24)] {
            for block in [8, 16] {
                let packed = packed(groups, width, block);
                let sum: f64 = packed.numbers.iter().map(|&number| f64::from(number)).sum();
                let count = (groups * width * width) as f64;
                assert_eq!(sum, count * (count + 1.0) / 2.0, "{groups} groups of {width}, blocks of {block}");
            }
        }
    }
}
