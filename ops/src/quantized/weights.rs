//! Whitening matrices as 16-bit integers, packed for a kernel.

use crate::{InstructionSet, Shape, ShapeError};

use super::kernels::Packing;

/// Rows that a kernel takes at once.
pub(super) const ROWS: usize = 16;

/// Largest integer that an entry becomes: its halves are then both 8-bit numbers.
const LARGEST: i32 = 127 * 256;

/// A cache line of packed integers.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// A block's whitening matrices, ready for the kernel of an instruction set.
///
/// Rows are in panels of 16, each group's last panel filled up with zeros; a panel lies in `depth / 2` lines.
#[derive(Debug)]
pub struct Weights {
    set: InstructionSet,
    groups: usize,
    width: usize,
    lines: Vec<Line>,
    /// By row, as are the sums: the real value of an integer 1.
    scales: Vec<f32>,
    /// Sum of a row's integers.
    sums: Vec<i32>,
}

impl Weights {
    /// Quantises `whitening`, `[groups, width, width]`.
    ///
    /// # Errors
    /// [`ShapeError::Buffer`] when it holds another number of entries.
    pub fn new(set: InstructionSet, groups: usize, width: usize, whitening: &[f32]) -> Result<Self, ShapeError> {
        let expected = groups * width * width;
        if whitening.len() != expected || expected == 0 {
            return Err(ShapeError::Buffer { input: "whitening", expected, actual: whitening.len() });
        }
        let rows = groups * padded_rows(width);
        let lines = vec![Line([0; 64]); rows / ROWS * panel_lines(width)];
        let mut weights = Self { set, groups, width, lines, scales: vec![0.0; rows], sums: vec![0; rows] };
        let packing = Packing::of(set);
        for (index, row) in whitening.chunks_exact(width).enumerate() {
            weights.put_row(index / width * padded_rows(width) + index % width, row, packing);
        }
        Ok(weights)
    }

    /// What its kernel is compiled for.
    pub(super) fn set(&self) -> InstructionSet {
        self.set
    }

    /// Rows of all panels.
    pub(super) fn rows(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// The lines of the panel that row `first` begins.
    pub(super) fn panel(&self, first: usize) -> &[Line] {
        let lines = panel_lines(self.width);
        &self.lines[first / ROWS * lines..][..lines]
    }

    pub(super) fn check(&self, shape: &Shape) -> Result<(), ShapeError> {
        if (self.groups, self.width) == (shape.groups, shape.group_width) {
            return Ok(());
        }
        let (groups, group_width) = (self.groups, self.width);
        Err(ShapeError::Groups { channels: shape.channels(), groups, group_width })
    }

    fn put_row(&mut self, row: usize, entries: &[f32], packing: Packing) {
        let largest = entries.iter().fold(0.0, |largest: f32, entry| largest.max(entry.abs()));
        let level = largest_integer(self.width) as f32;
        let scale = if largest > 0.0 { largest / level } else { 1.0 };
        let panel = row / ROWS * panel_lines(self.width);
        for (column, entry) in entries.iter().enumerate() {
            // `level` bounds it, so that it fits
            let integer = (entry / scale).round().clamp(-level, level) as i16;
            packing.put(&mut self.lines[panel..], row % ROWS, column, integer);
            self.sums[row] += i32::from(integer);
        }
        self.scales[row] = scale;
    }
}

/// Bound of an entry that keeps a row's sum of products with `0..=255` inside 32 bits.
fn largest_integer(width: usize) -> i32 {
    LARGEST.min(i32::MAX / 255 / width as i32)
}

/// Columns of a panel: whole quads.
pub(super) fn depth(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// Rows that a group takes in panels.
pub(super) fn padded_rows(width: usize) -> usize {
    width.next_multiple_of(ROWS)
}

fn panel_lines(width: usize) -> usize {
    depth(width) / 2
}
