//! Which part of a picture lands where in the tensor, for every way to resize. Detection maps boxes back through it.

use crate::manifest::{Align, Resize};

/// A rectangle of the original picture and the rectangle of the tensor that it is resized onto.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// What is sampled, in pixels of the original; its edges may lie between pixels.
    pub source: SourceBox,
    /// What it fills, in pixels of the tensor.
    pub target: TargetBox,
}

/// A rectangle of the original picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceBox {
    /// Distance from the picture's left edge.
    pub left: f64,
    /// Distance from the picture's upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// A rectangle of the tensor, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetBox {
    /// Distance from the tensor's left edge.
    pub left: u32,
    /// Distance from the tensor's upper edge.
    pub top: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Geometry {
    /// How a picture of `width` and `height` gets to `size`, the tensor's height and width. All of them in pixels and above zero.
    pub fn new(resize: &Resize, size: [u32; 2], width: u32, height: u32) -> Self {
        let [tensor_height, tensor_width] = size;
        let (x, y) = match *resize {
            Resize::ShorterSide { to } => {
                let (resized_width, resized_height) = shorter_side(width, height, to);
                (Span::center(width, resized_width, tensor_width), Span::center(height, resized_height, tensor_height))
            }
            Resize::Stretch => (Span::whole(width, 0, tensor_width), Span::whole(height, 0, tensor_height)),
            Resize::Letterbox { align, .. } => {
                let (inner_width, inner_height) = fitting(width, height, tensor_width, tensor_height);
                let offset = |room: u32| if align == Align::Center { room / 2 } else { 0 };
                (
                    Span::whole(width, offset(tensor_width - inner_width), inner_width),
                    Span::whole(height, offset(tensor_height - inner_height), inner_height),
                )
            }
        };
        Self {
            source: SourceBox { left: x.from, top: y.from, width: x.length, height: y.length },
            target: TargetBox { left: x.to, top: y.to, width: x.target_length, height: y.target_length },
        }
    }

    /// The point of the original that a point of the tensor shows, both in pixels from the upper left corner. A point in the
    /// tensor's filled border lies outside the original.
    pub fn to_source(&self, x: f64, y: f64) -> (f64, f64) {
        let (source, target) = (&self.source, &self.target);
        (
            source.left + (x - f64::from(target.left)) * source.width / f64::from(target.width),
            source.top + (y - f64::from(target.top)) * source.height / f64::from(target.height),
        )
    }
}

/// One axis of a [`Geometry`].
struct Span {
    from: f64,
    length: f64,
    to: u32,
    target_length: u32,
}

impl Span {
    fn whole(length: u32, to: u32, target_length: u32) -> Self {
        Self { from: 0.0, length: f64::from(length), to, target_length }
    }

    /// Resized to `resized` pixels, of which the middle `crop` are kept, or which lie in the middle of more. torchvision rounds the
    /// crop's offset half to even and the border's down.
    fn center(length: u32, resized: u64, crop: u32) -> Self {
        let Some(rest) = resized.checked_sub(crop.into()) else {
            // Less than `crop`, so it fits.
            let resized = resized as u32;
            return Self::whole(length, (crop - resized) / 2, resized);
        };
        let scale = f64::from(length) / resized as f64;
        let from = (rest as f64 / 2.0).round_ties_even() * scale;
        let kept = if rest == 0 { f64::from(length) } else { f64::from(crop) * scale };
        // Rounding must not push the box over the picture's edge.
        Self { from, length: kept.min(f64::from(length) - from), to: 0, target_length: crop }
    }
}

/// torchvision's `Resize(to)`: width and height with the shorter side at `to`, the longer rounded down.
fn shorter_side(width: u32, height: u32, to: u32) -> (u64, u64) {
    let long = |short: u32, long: u32| (u64::from(to) * u64::from(long)) / u64::from(short);
    if width <= height { (to.into(), long(width, height)) } else { (long(height, width), to.into()) }
}

/// The largest width and height with the picture's aspect ratio that fit, at least one pixel each.
fn fitting(width: u32, height: u32, tensor_width: u32, tensor_height: u32) -> (u32, u32) {
    let scale = (f64::from(tensor_width) / f64::from(width)).min(f64::from(tensor_height) / f64::from(height));
    let fit = |length: u32, most: u32| ((f64::from(length) * scale).round_ties_even() as u32).clamp(1, most);
    (fit(width, tensor_width), fit(height, tensor_height))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IMAGENET: Resize = Resize::ShorterSide { to: 256 };
    const CENTER: Resize = Resize::Letterbox { align: Align::Center, fill: [0; 3] };

    #[test]
    fn the_shorter_side_is_exact_and_the_longer_rounded_down() {
        assert_eq!(shorter_side(500, 375, 256), (341, 256));
        assert_eq!(shorter_side(375, 500, 256), (256, 341));
        assert_eq!(shorter_side(7, 7, 224), (224, 224));
        assert_eq!(shorter_side(1, 65_535, 256), (256, 16_776_960));
    }

    #[test]
    fn the_crops_offset_is_rounded_half_to_even() {
        // (341 - 224) / 2 = 58.5 -> 58; (343 - 224) / 2 = 59.5 -> 60
        let even = Geometry::new(&IMAGENET, [224, 224], 341, 256);
        assert_eq!((even.source.left, even.source.top), (58.0, 16.0));
        let odd = Geometry::new(&IMAGENET, [224, 224], 343, 256);
        assert_eq!((odd.source.left, odd.source.width), (60.0, 224.0));
    }

    #[test]
    fn a_picture_smaller_than_the_crop_lies_in_the_middle() {
        let geometry = Geometry::new(&Resize::ShorterSide { to: 100 }, [224, 225], 50, 50);
        assert_eq!(geometry.target, TargetBox { left: 62, top: 62, width: 100, height: 100 });
        assert_eq!(geometry.source, SourceBox { left: 0.0, top: 0.0, width: 50.0, height: 50.0 });
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_ratio() {
        let geometry = Geometry::new(&CENTER, [320, 320], 640, 427);
        // 427 / 2 = 213.5 -> 214, leaving 106 rows
        assert_eq!(geometry.target, TargetBox { left: 0, top: 53, width: 320, height: 214 });
        let corner = Resize::Letterbox { align: Align::TopLeft, fill: [0; 3] };
        assert_eq!(Geometry::new(&corner, [320, 320], 640, 427).target.top, 0);
        assert_eq!(Geometry::new(&CENTER, [320, 320], 1, 10_000).target.width, 1);
    }

    #[test]
    fn tensor_corners_map_back_to_the_original() {
        let geometry = Geometry::new(&CENTER, [320, 320], 640, 480);
        assert_eq!(geometry.to_source(0.0, 40.0), (0.0, 0.0));
        assert_eq!(geometry.to_source(320.0, 280.0), (640.0, 480.0));
    }

    fn any_resize() -> impl Strategy<Value = Resize> {
        prop_oneof![(1u32..2000).prop_map(|to| Resize::ShorterSide { to }), Just(Resize::Stretch), Just(CENTER)]
    }

    proptest! {
        #[test]
        fn boxes_stay_inside(resize in any_resize(), size in [1u32..1000, 1u32..1000], width in 1u32..70_000, height in 1u32..70_000) {
            let Geometry { source, target } = Geometry::new(&resize, size, width, height);
            prop_assert!(source.left >= 0.0 && source.left + source.width <= f64::from(width));
            prop_assert!(source.top >= 0.0 && source.top + source.height <= f64::from(height));
            prop_assert!(source.width > 0.0 && source.height > 0.0 && target.width > 0 && target.height > 0);
            prop_assert!(target.left + target.width <= size[1] && target.top + target.height <= size[0]);
        }
    }
}
