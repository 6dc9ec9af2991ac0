//! Convolutions against the definition: every instruction set, both widths of block, every tile, any pads, with and without what is added and cut
//! off.

mod support;

use ce_op::convolution::{self, Convolution, Pictures, RELU, Tensors, Tile, UNBOUNDED};
use ce_op::{InstructionSet, Parallel, Serial, ShapeError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{CASES, Threads, numbers, relative_difference};

/// A filter's side and stride.
#[derive(Debug, Clone, Copy)]
struct Filter(usize, usize);

/// What results are clamped between.
const RANGES: [[f32; 2]; 3] = [UNBOUNDED, RELU, [-0.25, 0.5]];

const FILTERS: [Filter; 5] = [Filter(3, 1), Filter(3, 2), Filter(1, 1), Filter(1, 2), Filter(7, 2)];

impl Filter {
    fn tiles(self) -> impl Iterator<Item = Tile> {
        Tile::ALL.into_iter().filter(move |tile| tile.filter_side() == self.0 && tile.takes(self.1))
    }
}

/// A convolution with its pictures, by channel.
#[derive(Debug, Clone)]
struct Case {
    channels: [usize; 2],
    pictures: Pictures,
    filter: Filter,
    pads: [usize; 4],
    x: Vec<f32>,
    /// `[outputs, inputs, side, side]`
    filters: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    /// Pads are cut down to what the filter reaches over.
    fn draw(channels: [usize; 2], pictures: Pictures, filter: Filter, pads: [usize; 4], seed: u64) -> Self {
        let Filter(side, _) = filter;
        let pads = pads.map(|pad| pad % side);
        let [outputs, inputs] = channels;
        let mut numbers = numbers(seed);
        let x = numbers(pictures.count * inputs * pictures.height * pictures.width, 1.0);
        let filters = numbers(outputs * inputs * side * side, 1.0 / (side as f32 * (inputs as f32).sqrt()));
        Self { channels, pictures, filter, pads, x, filters, bias: numbers(outputs, 1.0) }
    }

    fn convolution(&self, block: usize, tile: Tile, range: [f32; 2]) -> Convolution {
        let [outputs, inputs] = self.channels;
        let (outputs, inputs) = (outputs.next_multiple_of(block), inputs.next_multiple_of(tile.inputs_together(block)));
        Convolution { block, tile, stride: self.filter.1, inputs, outputs, pads: self.pads, range }
    }

    /// Height and width of the results.
    fn results(&self) -> [usize; 2] {
        let tile = self.filter.tiles().next().expect("a tile for each filter");
        self.convolution(8, tile, UNBOUNDED).results(self.pictures)
    }

    /// `[N, outputs, H', W']`, by the definition, in double precision.
    fn expected(&self, addend: Option<&[f32]>, range: [f32; 2]) -> Vec<f32> {
        let ([outputs, inputs], [height, width]) = (self.channels, self.results());
        let Pictures { height: h, width: w, .. } = self.pictures;
        let ([top, left, ..], Filter(side, stride)) = (self.pads, self.filter);
        let pixel = |sample: usize, input: usize, row: usize, column: usize| match (
            row.checked_sub(top),
            column.checked_sub(left),
        ) {
            (Some(row), Some(column)) if row < h && column < w => {
                f64::from(self.x[((sample * inputs + input) * h + row) * w + column])
            }
            _ => 0.0,
        };
        let result = |index: usize| {
            let (column, row) = (index % width, index / width % height);
            let (output, sample) = (index / (width * height) % outputs, index / (width * height * outputs));
            let mut sum = f64::from(self.bias[output]) + addend.map_or(0.0, |addend| f64::from(addend[index]));
            let each = side * side;
            for (at, weight) in self.filters[output * inputs * each..][..inputs * each].iter().enumerate() {
                let (row, column) = (row * stride + at / side % side, column * stride + at % side);
                sum += f64::from(*weight) * pixel(sample, at / each, row, column);
            }
            (sum as f32).clamp(range[0], range[1])
        };
        (0..self.pictures.count * outputs * height * width).map(result).collect()
    }

    /// `[N, outputs, H', W']`
    fn actual(
        &self,
        set: InstructionSet,
        convolution: &Convolution,
        addend: Option<&[f32]>,
        parallel: &dyn Parallel,
    ) -> Vec<f32> {
        let (block, [outputs, inputs]) = (convolution.block, self.channels);
        let (count, pixels) = (self.pictures.count, self.pictures.height * self.pictures.width);
        let results: usize = self.results().iter().product();
        let together = convolution.tile.inputs_together(block);
        let x = to_blocked(&self.x, [count, inputs, pixels], together);
        let addend = addend.map(|addend| to_blocked(addend, [count, outputs, results], block));
        let filters = convolution::transformed(
            &blocked_filters(&self.filters, self.channels, self.filter.0, [block, together]),
            [convolution.outputs, convolution.inputs],
            block,
            convolution.tile,
        );
        let mut bias = self.bias.clone();
        bias.resize(convolution.outputs, 0.0);
        let mut y = vec![f32::NAN; count * convolution.outputs * results];
        let tensors = Tensors { x: &x, filters: &filters, bias: &bias, addend: addend.as_deref(), y: &mut y };
        convolution::forward(set, convolution, self.pictures, tensors, parallel).expect("the buffers fit");
        assert!(y.iter().all(|value| value.is_finite()), "every result is written");
        (0..count * outputs * results).map(|index| y[place(index, [outputs, results], block)]).collect()
    }

    fn variants(&self) -> impl Iterator<Item = (InstructionSet, usize, Tile)> {
        let blocks = InstructionSet::available().flat_map(|set| [8, 16].map(|block| (set, block)));
        blocks.flat_map(|(set, block)| self.filter.tiles().map(move |tile| (set, block, tile)))
    }

    fn check(&self, adds: bool, range: [f32; 2], parallel: &dyn Parallel) {
        let results = self.pictures.count * self.channels[0] * self.results().iter().product::<usize>();
        let addend = numbers(7)(results, 1.0);
        let addend = adds.then_some(&addend[..]);
        let expected = self.expected(addend, range);
        for (set, block, tile) in self.variants() {
            let actual = self.actual(set, &self.convolution(block, tile, range), addend, parallel);
            let difference = relative_difference(&expected, &actual);
            let tolerance = match tile {
                Tile::Four | Tile::Stem => 2e-5,
                Tile::Three => 1e-5,
                _ => 2e-6,
            };
            assert!(difference < tolerance, "{set:?}, blocks of {block}, {tile:?}: {difference:e}");
        }
    }
}

/// Where a number of `[N, C, pixels]` is in `[N, ceil(C / B), pixels, B]`.
fn place(index: usize, [channels, pixels]: [usize; 2], block: usize) -> usize {
    let (pixel, channel) = (index % pixels, index / pixels % channels);
    let (sample, blocks) = (index / (pixels * channels), channels.div_ceil(block));
    ((sample * blocks + channel / block) * pixels + pixel) * block + channel % block
}

fn to_blocked(numbers: &[f32], [count, channels, pixels]: [usize; 3], block: usize) -> Vec<f32> {
    let mut blocked = vec![0.0; count * channels.next_multiple_of(block) * pixels];
    for (index, value) in numbers.iter().enumerate() {
        blocked[place(index, [channels, pixels], block)] = *value;
    }
    blocked
}

/// `[outputs, inputs, side, side]` to `[outputs / B, inputs / together, side, side, together, B]`.
fn blocked_filters(
    filters: &[f32],
    [outputs, inputs]: [usize; 2],
    side: usize,
    [block, together]: [usize; 2],
) -> Vec<f32> {
    let (input_blocks, each) = (inputs.div_ceil(together), side * side);
    let mut blocked = vec![0.0; outputs.next_multiple_of(block) * input_blocks * together * each];
    for (index, value) in filters.iter().enumerate() {
        let (at, input, output) = (index % each, index / each % inputs, index / each / inputs);
        let pair = (output / block * input_blocks + input / together) * each + at;
        blocked[(pair * together + input % together) * block + output % block] = *value;
    }
    blocked
}

fn pictures(count: usize, height: usize, width: usize) -> Pictures {
    Pictures { count, height, width }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES / 2, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sizes(
        channels in [1_usize..40, 1_usize..40],
        (count, height, width) in (1_usize..3, 1_usize..12, 1_usize..12),
        filter in prop::sample::select(FILTERS.to_vec()),
        pads in [0_usize..7, 0_usize..7, 0_usize..7, 0_usize..7],
        seed in any::<u64>(),
        (adds, range, threads) in (any::<bool>(), prop::sample::select(RANGES.to_vec()), 1_usize..4),
    ) {
        Case::draw(channels, pictures(count, height, width), filter, pads, seed).check(adds, range, &Threads(threads));
    }
}

#[test]
fn groups_of_outputs_and_many_tiles() {
    if cfg!(miri) {
        return;
    }
    for filter in FILTERS {
        Case::draw([150, 64], pictures(2, 31, 40), filter, [1; 4], 3).check(true, RELU, &Threads(2));
        Case::draw([64, 100], pictures(1, 30, 30), filter, [0; 4], 4).check(false, UNBOUNDED, &Serial);
        // more filters than pixels: threads share the outputs
        Case::draw([256, 20], pictures(1, 9, 7), filter, [1; 4], 5).check(true, [-0.5, 0.25], &Threads(2));
    }
}

#[test]
fn results_are_the_same_however_work_is_split() {
    for (filter, outputs) in FILTERS.into_iter().flat_map(|filter| [(filter, 24), (filter, 320)]) {
        // Miri takes minutes for the others
        let (channels, pictures) =
            if cfg!(miri) { ([16, 8], pictures(1, 5, 4)) } else { ([outputs, 16], pictures(2, 9, 11)) };
        let case = Case::draw(channels, pictures, filter, [1; 4], 6);
        for (set, block, tile) in case.variants() {
            let convolution = case.convolution(block, tile, RELU);
            let alone = case.actual(set, &convolution, None, &Serial);
            for &threads in if cfg!(miri) { &[2][..] } else { &[2, 5, 64] } {
                assert_eq!(alone, case.actual(set, &convolution, None, &Threads(threads)), "{threads} threads");
            }
        }
    }
}

#[test]
fn where_the_filter_does_not_fit_there_are_no_results() {
    for (stride, width) in [(1, 3), (2, 2)] {
        let case = Case::draw([8, 8], pictures(1, 2, 5), Filter(3, stride), [0; 4], 1);
        assert_eq!(case.results(), [0, width]);
        case.check(false, RELU, &Serial);
    }
}

#[test]
fn a_buffer_of_another_size_is_refused() {
    let convolution =
        Convolution { block: 8, tile: Tile::Two, stride: 1, inputs: 8, outputs: 8, pads: [1; 4], range: RELU };
    let (x, filters, bias, mut y) = ([0.0; 8 * 6], [0.0; 16 * 64], [0.0; 8], [1.0; 8 * 6]);
    let tensors = Tensors { x: &x, filters: &filters[1..], bias: &bias, addend: None, y: &mut y };
    let outcome = convolution::forward(InstructionSet::Portable, &convolution, pictures(1, 2, 3), tensors, &Serial);
    let input = "the filters";
    assert_eq!(outcome, Err(ShapeError::Buffer { input, expected: 1024, actual: 1023 }));
    assert_eq!(y, [1.0; 48]);
}
