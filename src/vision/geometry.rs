//! Which part of a picture lands where in the tensor, for every way to resize. Detection maps boxes and masks back through it.

use crate::manifest::{Align, Resize};

/// How a picture comes to lie in the tensor, axis by axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Along the rows.
    pub across: Axis,
    /// Along the columns.
    pub down: Axis,
}

/// One axis: all of the picture is resized, a part of that is kept, and the part laid somewhere in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Pixels of the original.
    pub length: u32,
    /// Pixels that all of it is resized to.
    pub resized: u64,
    /// How many of them lie before the first that is kept.
    pub skipped: u64,
    /// How many are kept.
    pub kept: u32,
    /// Where in the tensor the first of them lies.
    pub start: u32,
}

impl Geometry {
    /// How a picture of `width` and `height` gets to `size`, the tensor's height and width. All of them in pixels and above zero.
    pub fn new(resize: &Resize, size: [u32; 2], width: u32, height: u32) -> Self {
        let [tensor_height, tensor_width] = size;
        match *resize {
            Resize::ShorterSide { to } => {
                let (resized_width, resized_height) = shorter_side(width, height, to);
                Self {
                    across: Axis::center(width, resized_width, tensor_width),
                    down: Axis::center(height, resized_height, tensor_height),
                }
            }
            Resize::Stretch => {
                Self { across: Axis::whole(width, 0, tensor_width), down: Axis::whole(height, 0, tensor_height) }
            }
            Resize::Letterbox { align, .. } => {
                let (inner_width, inner_height) = fitting(width, height, tensor_width, tensor_height);
                let offset = |room: u32| if align == Align::Center { room / 2 } else { 0 };
                Self {
                    across: Axis::whole(width, offset(tensor_width - inner_width), inner_width),
                    down: Axis::whole(height, offset(tensor_height - inner_height), inner_height),
                }
            }
        }
    }

    /// The point of the original that a point of the tensor shows, both in pixels from the upper left corner. A point in the
    /// tensor's filled border lies outside the original.
    pub fn to_source(&self, x: f64, y: f64) -> (f64, f64) {
        (self.across.to_source(x), self.down.to_source(y))
    }
}

impl Axis {
    fn whole(length: u32, start: u32, kept: u32) -> Self {
        Self { length, resized: kept.into(), skipped: 0, kept, start }
    }

    /// Resized to `resized` pixels, of which the middle `crop` are kept, or which lie in the middle of more. torchvision rounds the
    /// crop's offset half to even and the border's down.
    fn center(length: u32, resized: u64, crop: u32) -> Self {
        let Some(rest) = resized.checked_sub(crop.into()) else {
            // Less than `crop`, so it fits.
            let resized = resized as u32;
            return Self::whole(length, (crop - resized) / 2, resized);
        };
        let skipped = (rest as f64 / 2.0).round_ties_even() as u64;
        Self { length, resized, skipped, kept: crop, start: 0 }
    }

    /// The place on the tensor, or beside it, that shows a place on the original.
    pub fn to_tensor(&self, place: f64) -> f64 {
        place * self.resized as f64 / f64::from(self.length) - self.skipped as f64 + f64::from(self.start)
    }

    /// The place on the original that a place on the tensor shows.
    pub fn to_source(&self, place: f64) -> f64 {
        (place - f64::from(self.start) + self.skipped as f64) * f64::from(self.length) / self.resized as f64
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
        assert_eq!((even.across.skipped, even.down.skipped), (58, 16));
        let odd = Geometry::new(&IMAGENET, [224, 224], 343, 256);
        assert_eq!((odd.across.skipped, odd.across.kept), (60, 224));
        assert_eq!(odd.to_source(0.0, 224.0), (60.0, 240.0));
        assert_eq!(odd.across.to_tensor(61.5), 1.5);
    }

    #[test]
    fn a_picture_smaller_than_the_crop_lies_in_the_middle() {
        let geometry = Geometry::new(&Resize::ShorterSide { to: 100 }, [224, 225], 50, 50);
        let axis = Axis { length: 50, resized: 100, skipped: 0, kept: 100, start: 62 };
        assert_eq!(geometry, Geometry { across: axis, down: axis });
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_ratio() {
        let geometry = Geometry::new(&CENTER, [320, 320], 640, 427);
        // 427 / 2 = 213.5 -> 214, leaving 106 rows
        assert_eq!(geometry.across, Axis { length: 640, resized: 320, skipped: 0, kept: 320, start: 0 });
        assert_eq!(geometry.down, Axis { length: 427, resized: 214, skipped: 0, kept: 214, start: 53 });
        let corner = Resize::Letterbox { align: Align::TopLeft, fill: [0; 3] };
        assert_eq!(Geometry::new(&corner, [320, 320], 640, 427).down.start, 0);
        assert_eq!(Geometry::new(&CENTER, [320, 320], 1, 10_000).across.kept, 1);
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
            let Geometry { across, down } = Geometry::new(&resize, size, width, height);
            for (axis, length) in [(across, size[1]), (down, size[0])] {
                prop_assert!(axis.kept > 0 && axis.start + axis.kept <= length);
                prop_assert!(axis.skipped + u64::from(axis.kept) <= axis.resized);
            }
        }
    }
}
