//! Resampling with Pillow's kernels.

use std::fmt::Display;

use fast_image_resize::images::{CroppedImageMut, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Filter;
use crate::vision::geometry::{Geometry, SourceBox, TargetBox};

/// Resamples the geometry's part of `picture` onto its part of `canvas`; the rest of `canvas` stays as it is.
///
/// # Errors
/// `Internal` when the geometry reaches beyond the picture or the canvas.
pub(super) fn resample(picture: &RgbImage, geometry: &Geometry, filter: Filter, canvas: &mut RgbImage) -> Result<()> {
    match reach(filter) {
        Some(reach) => rows_first(picture, geometry, filter, reach, canvas),
        None => onto(picture, geometry.source, geometry.target, filter, canvas),
    }
}

/// How far a kernel reaches, in pixels; none for a single pixel.
///
/// Between two passes values are rounded and cut off at 0 and 255, so the passes' order shows. The library takes the columns
/// first, Pillow the rows.
fn reach(filter: Filter) -> Option<f64> {
    match filter {
        Filter::Nearest => None,
        Filter::Bilinear => Some(1.0),
        Filter::Bicubic => Some(2.0),
        Filter::Lanczos => Some(3.0),
    }
}

/// Resamples along the rows into a strip of the rows that are needed, then along the columns.
fn rows_first(
    picture: &RgbImage,
    geometry: &Geometry,
    filter: Filter,
    reach: f64,
    canvas: &mut RgbImage,
) -> Result<()> {
    let (source, target) = (geometry.source, geometry.target);
    let scale = source.height / f64::from(target.height);
    let margin = reach * scale.max(1.0) + 1.0;
    let first = (source.top - margin).floor().max(0.0);
    let last = (source.top + source.height + margin).ceil().min(f64::from(picture.height()));
    let rows = SourceBox { top: first, height: last - first, ..source };
    let mut strip = RgbImage::new(target.width, rows.height as u32);
    let whole_strip = TargetBox { left: 0, top: 0, width: target.width, height: strip.height() };
    onto(picture, rows, whole_strip, filter, &mut strip)?;
    let columns =
        SourceBox { left: 0.0, top: source.top - first, width: f64::from(target.width), height: source.height };
    onto(&strip, columns, target, filter, canvas)
}

/// Resamples `source` of `picture` onto `target` of `canvas`.
fn onto(picture: &RgbImage, source: SourceBox, target: TargetBox, filter: Filter, canvas: &mut RgbImage) -> Result<()> {
    let options =
        ResizeOptions::new().resize_alg(algorithm(filter)).crop(source.left, source.top, source.width, source.height);
    let from = ImageRef::new(picture.width(), picture.height(), picture, PixelType::U8x3).map_err(internal)?;
    let (width, height) = canvas.dimensions();
    let mut to = Image::from_slice_u8(width, height, canvas, PixelType::U8x3).map_err(internal)?;
    let mut part =
        CroppedImageMut::new(&mut to, target.left, target.top, target.width, target.height).map_err(internal)?;
    Resizer::new().resize(&from, &mut part, &options).map_err(internal)
}

fn algorithm(filter: Filter) -> ResizeAlg {
    match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    }
}

fn internal(error: impl Display) -> InferError {
    InferError::new(ErrorKind::Internal, format!("resizing failed: {error}"))
}
