//! A block's matrices as 16-bit integers, packed for a kernel: whitening, and on its diagonal each sample's gate.

use super::kernels::Packing;
use crate::{InstructionSet, Parameters, Shape, ShapeError};

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
pub(super) struct Weights {
    packing: Packing,
    groups: usize,
    width: usize,
    lines: Vec<Line>,
    /// By row, as what follows: the real value of an integer 1. It leaves room for any gate.
    scales: Vec<f32>,
    /// The diagonal's entry, without a gate.
    diagonal: Vec<f32>,
    /// Sum of the integers beside the diagonal.
    sums: Vec<i32>,
}

impl Weights {
    /// Quantises the whitening of `parameters`, for the groups of `shape`.
    pub(super) fn new(set: InstructionSet, shape: &Shape, parameters: &Parameters<'_>) -> Self {
        let (groups, width) = (shape.groups, shape.group_width);
        let rows = groups * padded_rows(width);
        let mut weights = Self {
            packing: Packing::of(set),
            groups,
            width,
            lines: vec![Line([0; 64]); rows / ROWS * panel_lines(width)],
            scales: vec![0.0; rows],
            diagonal: vec![0.0; rows],
            sums: vec![0; rows],
        };
        for (channel, entries) in parameters.whitening.chunks_exact(width).enumerate() {
            weights.put_row(channel, entries, parameters.gate_scale);
        }
        weights
    }

    fn put_row(&mut self, channel: usize, entries: &[f32], gate_scale: f32) {
        let (row, own) = (self.row(channel), channel % self.width);
        let with_gate = entries[own] + gate_scale;
        let largest = entries.iter().fold(with_gate.abs(), |largest, entry| largest.max(entry.abs()));
        let scale = if largest > 0.0 { largest / largest_integer(self.width) as f32 } else { 1.0 };
        (self.scales[row], self.diagonal[row]) = (scale, entries[own]);
        for (column, entry) in entries.iter().enumerate().filter(|(column, _)| *column != own) {
            let integer = self.integer(row, *entry);
            let panel = row / ROWS * panel_lines(self.width);
            self.packing.put(&mut self.lines[panel..], row % ROWS, column, integer);
            self.sums[row] += i32::from(integer);
        }
    }

    /// A copy, which lacks the diagonal.
    pub(super) fn copy<'l>(&self, lines: &'l mut Vec<Line>) -> &'l mut [Line] {
        lines.clear();
        lines.extend_from_slice(&self.lines);
        lines
    }

    /// Writes the diagonal of a copy with the gates of a sample's channels, and for each row what `zero_point` takes from its
    /// sum.
    pub(super) fn fill(&self, gates: &[f32], zero_point: u8, lines: &mut [Line], start: &mut [i32]) {
        for (channel, gate) in gates.iter().enumerate() {
            let row = self.row(channel);
            let integer = self.integer(row, self.diagonal[row] + gate);
            let panel = row / ROWS * panel_lines(self.width);
            self.packing.put(&mut lines[panel..], row % ROWS, channel % self.width, integer);
            start[row] = -i32::from(zero_point) * (self.sums[row] + i32::from(integer));
        }
    }

    fn row(&self, channel: usize) -> usize {
        channel / self.width * padded_rows(self.width) + channel % self.width
    }

    /// In range by the choice of the row's scale, up to rounding.
    fn integer(&self, row: usize, entry: f32) -> i16 {
        let level = largest_integer(self.width) as f32;
        (entry / self.scales[row]).round_ties_even().clamp(-level, level) as i16
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn check(&self, shape: &Shape) -> Result<(), ShapeError> {
        if (self.groups, self.width) == (shape.groups, shape.group_width) {
            return Ok(());
        }
        let (groups, group_width) = (self.groups, self.width);
        Err(ShapeError::Groups { channels: shape.channels(), groups, group_width })
    }
}

/// Bound of an entry that keeps a row's sum of products with `0..=255` inside 32 bits.
fn largest_integer(width: usize) -> i32 {
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    LARGEST.min(i32::MAX / 255 / width)
}

/// Columns of a panel: whole quads.
pub(super) fn depth(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// Rows that a group takes in panels.
pub(super) fn padded_rows(width: usize) -> usize {
    width.next_multiple_of(ROWS)
}

/// Lines that a panel takes.
pub(super) fn panel_lines(width: usize) -> usize {
    depth(width) / 2
}
