//! What a kernel is given to mix.

use super::weights::Line;

/// One panel of at most 16 channels, and the pixels to mix them for.
///
/// For pixel `p` and row `r`, with `x` the group's channels of `p`:
///
/// ```text
/// integer = start[r] + sum over k of weights[r][k] * x[k]
/// real    = integer * scale[r] + residual[p][r] * residual_scale + offset
/// y       = round(clamp(real, low, 255)), ties to even
/// ```
///
/// Safe to mix when `depth` bytes of each pixel can be read at `input`, `rows` at `residual` unless that is
/// null, and `rows` written at `output`, each pixel so many bytes after the one before as its stride says. The output
/// may lie over the residual, and over an input of the same stride whose group has one panel.
#[derive(Debug)]
pub(super) struct Tile<'a> {
    /// `depth / 2` lines.
    pub(super) weights: &'a [Line],
    /// Columns, a multiple of 4.
    pub(super) depth: usize,
    /// Channels of the panel, 1 to 16.
    pub(super) rows: usize,
    pub(super) pixels: usize,
    /// The group's first channel.
    pub(super) input: *const u8,
    pub(super) input_stride: usize,
    pub(super) residual: *const u8,
    pub(super) output: *mut u8,
    /// Of the residual and the output.
    pub(super) stride: usize,
    pub(super) start: &'a [i32; 16],
    pub(super) scale: &'a [f32; 16],
    pub(super) offset: f32,
    pub(super) residual_scale: f32,
    pub(super) low: f32,
}
