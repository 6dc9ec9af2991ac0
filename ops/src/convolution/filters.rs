//! Filters, transformed once.

use super::transform::{Four, One, Stem, StridedTwo, Three, Transform, Two};
use super::{PHASES, Tile};
use crate::multiply::{group, groups};

/// Numbers a side of what is transformed, at most.
const MOST_TAPS: usize = 4;

/// `filters` as the runtime's blocked convolutions have them, `[outputs / B, inputs / B, side, side, B, B]` with the inputs' channels before the
/// outputs' (`[outputs / B, inputs, side, side, B]` for [`Tile::Stem`]), transformed for `tile`: for each group of at most 64 (16 where blocks have 8 channels) outputs
/// `[positions, inputs, outputs of the group]`. Outputs and inputs are counted with those that fill up the last block.
///
/// # Panics
/// When the sizes aren't of whole blocks, or `filters` holds something else.
pub fn transformed(filters: &[f32], [outputs, inputs]: [usize; 2], block: usize, tile: Tile) -> Vec<f32> {
    let together = tile.inputs_together(block);
    assert!(outputs.is_multiple_of(block) && inputs.is_multiple_of(together), "channels are of whole blocks");
    let side = tile.filter_side();
    assert_eq!(filters.len(), outputs * inputs * side * side, "a filter for each pair of channels");
    let planes = tile.planes(inputs);
    let mut target = vec![0.0; tile.positions() * planes * outputs];
    for index in 0..groups(outputs, block) {
        let group = group(outputs, block, index);
        let (first, width) = (group.start, group.len());
        let panel = &mut target[first * planes * tile.positions()..][..width * planes * tile.positions()];
        for (input, output) in (0..inputs).flat_map(|input| (0..width).map(move |output| (input, output))) {
            let pair = ((first + output) / block * (inputs / together) + input / together) * side * side;
            let within = input % together * block + (first + output) % block;
            let number = |row, column| f64::from(filters[(pair + row * side + column) * together * block + within]);
            let mut put = |plane: usize, position: usize, value: f64| {
                panel[(position * planes + plane) * width + output] = value as f32;
            };
            match tile {
                Tile::Pixel => put(input, 0, number(0, 0)),
                Tile::One => square(&One::FILTER, number, |at, value| put(input, at, value)),
                Tile::Two => square(&Two::FILTER, number, |at, value| put(input, at, value)),
                Tile::StridedTwo => square(&StridedTwo::FILTER, number, |at, value| put(input, at, value)),
                Tile::Three => square(&Three::FILTER, number, |at, value| put(input, at, value)),
                Tile::Four => square(&Four::FILTER, number, |at, value| put(input, at, value)),
                Tile::Stem => {
                    for phase in 0..PHASES {
                        let [down, along] = [phase / 2, phase % 2];
                        let number = |row: usize, column: usize| {
                            let (row, column) = (2 * row + down, 2 * column + along);
                            if row.max(column) < side { number(row, column) } else { 0.0 }
                        };
                        square(&Stem::FILTER, number, |at, value| put(phase * inputs + input, at, value));
                    }
                }
            }
        }
    }
    target
}

/// `G g G'`, with the numbers of `g` by row and column.
fn square<const IN: usize>(
    matrix: &[&[f64]; IN],
    filter: impl Fn(usize, usize) -> f64,
    mut put: impl FnMut(usize, f64),
) {
    for (row, down) in matrix.iter().enumerate() {
        let mut line = [0.0; MOST_TAPS];
        for (column, number) in line.iter_mut().enumerate().take(down.len()) {
            *number = down.iter().enumerate().map(|(at, weight)| weight * filter(at, column)).sum();
        }
        for (column, along) in matrix.iter().enumerate() {
            put(row * IN + column, along.iter().zip(line).map(|(weight, number)| weight * number).sum());
        }
    }
}
