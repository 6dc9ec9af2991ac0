//! Boxes, masks, labels and scores drawn on a picture: legible at any size, a colour a class.

use std::io::Cursor;
use std::sync::LazyLock;

use ab_glyph::{FontRef, PxScale};
use image::{ImageFormat, Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;

use super::detect::{Detection, Mask};
use crate::error::{ErrorKind, InferError, Result};

/// DejaVu Sans, whose licence stands beside it.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../assets/fonts/DejaVuSans.ttf")).expect("the embedded font is whole")
});

/// The share of a full turn between neighbouring classes' hues: the golden section's, so that no two of many are close.
const HUE_STEP: f32 = 0.618_034;
const SATURATION: f32 = 0.75;
const VALUE: f32 = 0.95;
/// How much of its class's colour a covered pixel takes on.
const TINT: f32 = 0.45;

/// Files that a drawn picture may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
}

/// Draws `detections` on `picture`, the best last, so that it lies on top.
pub fn draw(picture: &mut RgbImage, detections: &[Detection]) {
    let shorter = picture.width().min(picture.height());
    let thickness = (shorter / 200).max(2);
    let text_height = (shorter as f32 / 28.0).max(12.0);
    for detection in detections.iter().rev() {
        if let Some(mask) = &detection.mask {
            tint(picture, mask, class_color(detection.index));
        }
    }
    for detection in detections.iter().rev() {
        let color = class_color(detection.index);
        draw_frame(picture, &detection.bounds, thickness, color);
        draw_caption(picture, detection, text_height, color);
    }
}

/// The picture as a file.
///
/// # Errors
/// `Internal` when it can't be encoded.
pub fn encode(picture: &RgbImage, format: PictureFormat) -> Result<Vec<u8>> {
    let format = match format {
        PictureFormat::Png => ImageFormat::Png,
        PictureFormat::Jpeg => ImageFormat::Jpeg,
    };
    let mut file = Cursor::new(Vec::new());
    let written = picture.write_to(&mut file, format);
    written.map_err(|error| InferError::new(ErrorKind::Internal, format!("the picture can't be encoded: {error}")))?;
    Ok(file.into_inner())
}

/// Mixes `color` into the pixels that `mask`, one of `picture`, covers.
fn tint(picture: &mut RgbImage, mask: &Mask, color: Rgb<u8>) {
    let mixed = |value: u8, ink: u8| (f32::from(value) * (1.0 - TINT) + f32::from(ink) * TINT).round() as u8;
    for [column, top, bottom] in mask.spans() {
        for row in top..bottom {
            let pixel = picture.get_pixel_mut(column, row);
            *pixel = Rgb(std::array::from_fn(|channel| mixed(pixel[channel], color[channel])));
        }
    }
}

/// Four bars, inside of the box's edges.
fn draw_frame(picture: &mut RgbImage, bounds: &[f32; 4], thickness: u32, color: Rgb<u8>) {
    let [left, top, right, bottom] = bounds.map(|edge| edge.round() as i32);
    let width = (right - left).max(1) as u32;
    let height = (bottom - top).max(1) as u32;
    let (across, down) = (thickness.min(width), thickness.min(height));
    let bars = [
        (left, top, width, down),
        (left, bottom - down as i32, width, down),
        (left, top, across, height),
        (right - across as i32, top, across, height),
    ];
    for (x, y, width, height) in bars {
        draw_filled_rect_mut(picture, Rect::at(x, y).of_size(width, height), color);
    }
}

/// Label and score on a bar of the class's colour: above the box, or inside of it where there is no room, and never beyond
/// the picture's edges as long as it fits.
fn draw_caption(picture: &mut RgbImage, detection: &Detection, text_height: f32, color: Rgb<u8>) {
    let caption = format!("{} {:.2}", detection.label, detection.score);
    let scale = PxScale::from(text_height);
    let (text_width, _) = text_size(scale, &*FONT, &caption);
    let padding = (text_height / 6.0).ceil() as u32;
    let (width, height) = (text_width + 2 * padding, text_height.ceil() as u32 + padding);
    let room = picture.width().saturating_sub(width) as i32;
    let x = (detection.bounds[0].round() as i32).clamp(0, room);
    let above = detection.bounds[1].round() as i32 - height as i32;
    let y = if above >= 0 { above } else { detection.bounds[1].round() as i32 };
    draw_filled_rect_mut(picture, Rect::at(x, y).of_size(width, height), color);
    draw_text_mut(picture, text_color(color), x + padding as i32, y, scale, &*FONT, &caption);
}

/// The same for a class in every picture.
fn class_color(class: usize) -> Rgb<u8> {
    let hue = (class as f32 * HUE_STEP).fract() * 6.0;
    let channel = |offset: f32| {
        let position = (offset + hue) % 6.0;
        let share = position.min(4.0 - position).clamp(0.0, 1.0);
        ((VALUE - VALUE * SATURATION * share) * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

/// Black on bright, white on dark, by the eye's weights (ITU-R BT.601).
fn text_color(Rgb([red, green, blue]): Rgb<u8>) -> Rgb<u8> {
    let luma = 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue);
    if luma > 128.0 { Rgb([0; 3]) } else { Rgb([255; 3]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(bounds: [f32; 4], index: usize) -> Detection {
        Detection { label: "WBC".into(), index, score: 0.98, bounds, mask: None }
    }

    #[test]
    fn a_box_is_framed_and_captioned() {
        let mut picture = RgbImage::from_pixel(200, 150, Rgb([7; 3]));
        draw(&mut picture, &[detection([50.0, 60.0, 120.0, 130.0], 0)]);
        let color = class_color(0);
        for (x, y) in [(50, 60), (119, 60), (50, 129), (119, 129), (85, 61), (51, 100)] {
            assert_eq!(*picture.get_pixel(x, y), color, "({x}, {y}) is on the frame");
        }
        assert_eq!(*picture.get_pixel(85, 100), Rgb([7; 3]), "the inside is left alone");
        assert_eq!(text_color(color), Rgb([255; 3]));
        let written = picture.pixels().filter(|pixel| pixel.0.iter().all(|value| *value > 200)).count();
        assert!(written > 30, "the caption is written in white: {written} pixels");
    }

    #[test]
    fn what_a_mask_covers_is_tinted() {
        let mut mask = Mask::new([150, 200]);
        mask.cover(70, 80, 100);
        let mut picture = RgbImage::from_pixel(200, 150, Rgb([7; 3]));
        let masked = Detection { mask: Some(mask), ..detection([50.0, 60.0, 120.0, 130.0], 0) };
        draw(&mut picture, &[masked]);
        // 0.55 of 7 and 0.45 of (242, 61, 61)
        assert_eq!((*picture.get_pixel(70, 80), *picture.get_pixel(70, 99)), (Rgb([113, 31, 31]), Rgb([113, 31, 31])));
        assert_eq!((*picture.get_pixel(70, 100), *picture.get_pixel(71, 80)), (Rgb([7; 3]), Rgb([7; 3])));
    }

    #[test]
    fn boxes_at_and_over_every_edge_are_drawn() {
        for bounds in [[0.0, 0.0, 3.0, 3.0], [-5.0, -5.0, 500.0, 500.0], [19.0, 9.0, 20.0, 10.0], [5.0, 5.0, 5.0, 5.0]]
        {
            for (width, height) in [(20, 10), (1, 1), (1, 300)] {
                let mut picture = RgbImage::new(width, height);
                draw(&mut picture, &[detection(bounds, 3)]);
                assert_eq!(picture.dimensions(), (width, height));
            }
        }
    }

    #[test]
    fn many_classes_have_colours_of_their_own() {
        let colors: std::collections::HashSet<_> = (0..80).map(|class| class_color(class).0).collect();
        assert_eq!(colors.len(), 80);
        assert_eq!(class_color(0), Rgb([242, 61, 61]));
    }

    #[test]
    fn a_picture_becomes_a_file_of_its_format() {
        let picture = RgbImage::from_pixel(8, 8, Rgb([9; 3]));
        for (format, expected) in [(PictureFormat::Png, ImageFormat::Png), (PictureFormat::Jpeg, ImageFormat::Jpeg)] {
            let file = encode(&picture, format).expect("encoded");
            assert_eq!(image::guess_format(&file).ok(), Some(expected));
        }
    }
}
