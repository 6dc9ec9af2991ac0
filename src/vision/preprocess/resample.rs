//! Resizing as Pillow's `Image.resize` does it with 8-bit RGB pictures, to the bit.
//!
//! The algorithm is that of Pillow's `Resample.c` (MIT-CMU licence), written anew: weights in fixed point, one axis after the
//! other, rounded to 8 bits in between. The weights are those of the whole picture's resize, though only the pixels that the crop
//! keeps are computed. Memory is bounded for a picture of any shape.

mod columns;
mod nearest;
mod rows;
mod weights;

use image::RgbImage;

use self::rows::Taps;
use self::weights::{HALF, Kernel, clip};
use crate::manifest::Filter;
use crate::vision::geometry::{Axis, Geometry};

/// Resamples the geometry's part of `picture` onto its part of `canvas`; the rest of `canvas` stays as it is. `geometry` is
/// one of `picture`, for a tensor of `canvas`'s size.
pub(super) fn resample(picture: &RgbImage, geometry: &Geometry, filter: Filter, canvas: &mut RgbImage) {
    match Kernel::of(filter) {
        None => nearest::resample(picture, geometry, canvas),
        Some(kernel) if shrinks_mostly_in_height(geometry) => columns_first(picture, geometry, kernel, canvas),
        Some(kernel) => rows_first(picture, geometry, kernel, canvas),
    }
}

/// Whether Pillow takes the columns first, since version 13; the rounding in between makes it visible.
fn shrinks_mostly_in_height(geometry: &Geometry) -> bool {
    let shrunk = |axis: &Axis| i64::from(axis.length) - axis.resized as i64;
    let height = shrunk(&geometry.down);
    height > 0 && height > 2 * shrunk(&geometry.across)
}

/// Holds no more than the picture or the canvas: what would be stretched before it shrinks comes columns first.
fn rows_first(picture: &RgbImage, geometry: &Geometry, kernel: Kernel, canvas: &mut RgbImage) {
    let row_len = 3 * geometry.across.kept as usize;
    let windows: Vec<_> = (0..geometry.down.kept).map(|position| kernel.window(&geometry.down, position)).collect();
    let first = windows.iter().map(|window| window.first).min().unwrap_or(0);
    let end = windows.iter().map(|window| window.first + window.weights.len()).max().unwrap_or(0);
    let mut strip = vec![0; (end - first) * row_len];
    rows::resample(picture, first..end, &geometry.across, kernel, &mut strip);
    let mut sums = vec![0; row_len];
    for (window, row) in windows.iter().zip(target_rows(geometry, canvas)) {
        sums.fill(HALF);
        columns::add(&strip[(window.first - first) * row_len..], &window.weights, &mut sums);
        clip_all(&sums, row);
    }
}

fn columns_first(picture: &RgbImage, geometry: &Geometry, kernel: Kernel, canvas: &mut RgbImage) {
    let row_len = 3 * picture.width() as usize;
    let taps = Taps::new(&geometry.across, kernel, 0..geometry.across.kept);
    let mut sums = vec![0; row_len];
    let mut line = vec![0; taps.reach.max(row_len)];
    for (position, row) in target_rows(geometry, canvas).enumerate() {
        let window = kernel.window(&geometry.down, position as u32);
        sums.fill(HALF);
        columns::add(&picture.as_raw()[window.first * row_len..], &window.weights, &mut sums);
        clip_all(&sums, &mut line);
        taps.apply([&line], &mut [row]);
    }
}

fn clip_all(sums: &[i32], bytes: &mut [u8]) {
    for (byte, sum) in bytes.iter_mut().zip(sums) {
        *byte = clip(*sum);
    }
}

/// The rows of `canvas` that the picture fills, each from its first filled pixel to its last.
fn target_rows<'a>(geometry: &Geometry, canvas: &'a mut RgbImage) -> impl Iterator<Item = &'a mut [u8]> + use<'a> {
    let Geometry { across, down } = *geometry;
    let row_len = 3 * canvas.width() as usize;
    let filled = 3 * across.start as usize..3 * (across.start + across.kept) as usize;
    let rows = canvas.chunks_exact_mut(row_len).skip(down.start as usize).take(down.kept as usize);
    rows.map(move |row| &mut row[filled.clone()])
}
