//! The nearest pixel as Pillow finds it.

use image::RgbImage;

use crate::vision::geometry::{Axis, Geometry};

/// Takes for each pixel of the geometry's part of `canvas` the one of `picture` that its centre falls on.
pub(super) fn resample(picture: &RgbImage, geometry: &Geometry, canvas: &mut RgbImage) {
    let row_len = 3 * picture.width() as usize;
    let columns: Vec<usize> = places(&geometry.across).collect();
    for (place, row) in places(&geometry.down).zip(super::target_rows(geometry, canvas)) {
        let (pixels, _) = picture.as_raw()[place * row_len..][..row_len].as_chunks::<3>();
        for (pixel, column) in row.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            *pixel = pixels[*column];
        }
    }
}

/// Where the kept pixels of an axis come from. Pillow adds the step up from the first pixel on; a product would be rounded
/// otherwise.
fn places(axis: &Axis) -> impl Iterator<Item = usize> + use<> {
    let Axis { length, resized, skipped, kept, .. } = *axis;
    let step = f64::from(length) / resized as f64;
    let centers = std::iter::successors(Some(step * 0.5), move |center| Some(center + step));
    let last = length as usize - 1;
    centers.skip(skipped as usize).take(kept as usize).map(move |center| (center as usize).min(last))
}
