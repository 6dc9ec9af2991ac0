//! Filters, transformed once.

use super::Tile;
use super::transform::{Four, One, StridedTwo, Three, Transform, Two};
use crate::multiply::{group, groups};

/// `filters` as the runtime's blocked convolutions have them, `[outputs / B, inputs / B, side, side, B, B]` with the inputs' channels before the
/// outputs', transformed for `tile`: for each group of at most 64 (16 where blocks have 8 channels) outputs `[positions, inputs, outputs of the group]`. Outputs and
/// inputs are counted with those that fill up the last block.
///
/// # Panics
/// When the sizes aren't of whole blocks, or `filters` holds something else.
pub fn transformed(filters: &[f32], [outputs, inputs]: [usize; 2], block: usize, tile: Tile) -> Vec<f32> {
    assert!(outputs.is_multiple_of(block) && inputs.is_multiple_of(block), "channels are of whole blocks");
    let side = tile.filter_side();
    assert_eq!(filters.len(), outputs * inputs * side * side, "a filter for each pair of channels");
    let filter = |output: usize, input: usize| -> [[f64; 3]; 3] {
        let pair = (output / block * (inputs / block) + input / block) * side * side;
        let within = input % block * block + output % block;
        std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let number = |at: usize| f64::from(filters[(pair + at) * block * block + within]);
                if row.max(column) < side { number(row * side + column) } else { 0.0 }
            })
        })
    };
    let mut target = vec![0.0; tile.positions() * inputs * outputs];
    for index in 0..groups(outputs, block) {
        let group = group(outputs, block, index);
        let (first, width) = (group.start, group.len());
        let panel = &mut target[first * inputs * tile.positions()..][..width * inputs * tile.positions()];
        for input in 0..inputs {
            for output in 0..width {
                let filter = filter(first + output, input);
                let mut put = |position: usize, value: f64| {
                    panel[(position * inputs + input) * width + output] = value as f32;
                };
                match tile {
                    Tile::Pixel => put(0, filter[0][0]),
                    Tile::One => square::<3>(&One::FILTER, &filter, &mut put),
                    Tile::StridedTwo => square::<5>(&StridedTwo::FILTER, &filter, &mut put),
                    Tile::Two => square::<4>(&Two::FILTER, &filter, &mut put),
                    Tile::Three => square::<5>(&Three::FILTER, &filter, &mut put),
                    Tile::Four => square::<6>(&Four::FILTER, &filter, &mut put),
                }
            }
        }
    }
    target
}

/// `G g G'`
fn square<const IN: usize>(transform: &[[f64; 3]; IN], filter: &[[f64; 3]; 3], put: &mut impl FnMut(usize, f64)) {
    for (row, down) in transform.iter().enumerate() {
        let line: [f64; 3] = std::array::from_fn(|column| (0..3).map(|at| down[at] * filter[at][column]).sum());
        for (column, along) in transform.iter().enumerate() {
            put(row * IN + column, (0..3).map(|at| along[at] * line[at]).sum());
        }
    }
}
