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

/// Draws `detections` on `picture`, the best last, so that it lies on top; captions above all, beside each other where there is
/// room.
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
        draw_frame(picture, &detection.bounds, thickness, class_color(detection.index));
    }
    for caption in captions(picture.dimensions(), detections, text_height).iter().rev() {
        caption.draw(picture, text_height);
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

/// Label and score on a bar of the class's colour.
struct Caption {
    text: String,
    color: Rgb<u8>,
    bar: Rect,
}

/// Each detection's caption. The best has the choice.
fn captions(size: (u32, u32), detections: &[Detection], text_height: f32) -> Vec<Caption> {
    let mut captions: Vec<Caption> = Vec::with_capacity(detections.len());
    for detection in detections {
        let text = format!("{} {:.2}", detection.label, detection.score);
        let (width, _) = text_size(PxScale::from(text_height), &*FONT, &text);
        let padding = padding(text_height);
        let bar = (width + 2 * padding, text_height.ceil() as u32 + padding);
        let taken: Vec<Rect> = captions.iter().map(|caption| caption.bar).collect();
        let bar = free_place(size, &detection.bounds, bar, &taken);
        captions.push(Caption { text, color: class_color(detection.index), bar });
    }
    captions
}

/// Where a bar of `width` and `height` lies: above the box, inside of it or below, from its left edge or up to its right one; the
/// first of these that touches none of `taken`, and the first that lies on the picture where all do. It doesn't reach beyond the
/// picture's sides as long as it fits.
fn free_place(size: (u32, u32), bounds: &[f32; 4], (width, height): (u32, u32), taken: &[Rect]) -> Rect {
    let [left, top, right, bottom] = bounds.map(|edge| edge.round() as i32);
    let room = |length: u32, bar: u32| length.saturating_sub(bar) as i32;
    let columns = [left, right - width as i32].map(|x| x.clamp(0, room(size.0, width)));
    let rows = [top - height as i32, top, bottom - height as i32, bottom];
    let places = rows.iter().flat_map(|y| columns.map(|x| Rect::at(x, *y).of_size(width, height)));
    let on_picture = |place: &Rect| (0..=room(size.1, height)).contains(&place.top());
    let mut places = places.filter(on_picture).peekable();
    let first = places.peek().copied();
    let free = places.find(|place| taken.iter().all(|other| other.intersect(*place).is_none()));
    free.or(first).unwrap_or_else(|| Rect::at(columns[0], top.clamp(0, room(size.1, height))).of_size(width, height))
}

impl Caption {
    fn draw(&self, picture: &mut RgbImage, text_height: f32) {
        draw_filled_rect_mut(picture, self.bar, self.color);
        let x = self.bar.left() + padding(text_height) as i32;
        let scale = PxScale::from(text_height);
        draw_text_mut(picture, text_color(self.color), x, self.bar.top(), scale, &*FONT, &self.text);
    }
}

/// Pixels between a bar's edges and its text.
fn padding(text_height: f32) -> u32 {
    (text_height / 6.0).ceil() as u32
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
    fn captions_make_room_for_each_other() {
        let bounds = [[50.0, 60.0, 120.0, 130.0], [55.0, 62.0, 120.0, 130.0], [50.0, 5.0, 90.0, 40.0]];
        let detections = bounds.map(|bounds| detection(bounds, 0));
        let bars: Vec<Rect> = captions((200, 150), &detections, 12.0).iter().map(|caption| caption.bar).collect();
        assert_eq!((bars[0].left(), bars[0].bottom()), (50, 59), "above the box, from its left edge");
        assert!(bars[2].top() >= 5, "inside where there is no room above");
        for (index, bar) in bars.iter().enumerate() {
            assert!(bars[..index].iter().all(|other| other.intersect(*bar).is_none()), "{bars:?}");
        }
        let heap: Vec<_> = (0..20).map(|_| detection([0.0, 0.0, 10.0, 10.0], 0)).collect();
        assert_eq!(captions((20, 10), &heap, 12.0).len(), 20, "a heap is written all the same");
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
