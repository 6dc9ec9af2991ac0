//! Pixel arithmetic with Pillow's rounding.

use crate::manifest::AlphaPolicy;

/// `a * b / 255`, rounded to nearest: Pillow's `MULDIV255`.
pub(super) fn scaled_product(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Pillow's conversion without colour management: black is taken away from white, then each ink's share of the rest.
pub(super) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = 255 - k;
    [c, m, y].map(|ink| white - scaled_product(ink, white))
}

/// A colour that was multiplied by its opacity, as Pillow takes that back.
pub(super) fn unmultiplied(color: [u8; 3], alpha: u8) -> [u8; 3] {
    match alpha {
        0 => [0; 3],
        alpha => color.map(|value| (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8),
    }
}

/// A colour under the policy for transparency; `alpha` 0 is transparent, 255 opaque.
pub(super) fn blend(color: [u8; 3], alpha: u8, policy: AlphaPolicy) -> [u8; 3] {
    let background = match policy {
        AlphaPolicy::Drop => return color,
        AlphaPolicy::White => 255,
        AlphaPolicy::Black => 0,
    };
    color.map(|value| over(value, background, alpha))
}

/// `value` over `background`, rounded to nearest.
fn over(value: u8, background: u8, alpha: u8) -> u8 {
    let (value, background, alpha) = (u32::from(value), u32::from(background), u32::from(alpha));
    ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scaled_product_rounds_to_nearest() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let exact = f64::from(a) * f64::from(b) / 255.0;
                assert_eq!(scaled_product(a, b), exact.round() as u8, "{a} * {b}");
            }
        }
    }

    #[test]
    fn inks_darken_white() {
        assert_eq!(cmyk_to_rgb([0, 0, 0, 0]), [255, 255, 255]);
        assert_eq!(cmyk_to_rgb([0, 0, 0, 255]), [0, 0, 0]);
        assert_eq!(cmyk_to_rgb([255, 0, 0, 0]), [0, 255, 255]);
    }

    #[test]
    fn what_was_multiplied_comes_back() {
        assert_eq!(unmultiplied([10, 20, 30], 255), [10, 20, 30]);
        assert_eq!(unmultiplied([10, 20, 200], 128), [19, 39, 255]);
        assert_eq!(unmultiplied([10, 20, 30], 0), [0, 0, 0]);
    }

    #[test]
    fn transparency_shows_the_background() {
        assert_eq!(blend([10, 20, 30], 0, AlphaPolicy::Drop), [10, 20, 30]);
        assert_eq!(blend([10, 20, 30], 0, AlphaPolicy::White), [255, 255, 255]);
        assert_eq!(blend([10, 20, 30], 0, AlphaPolicy::Black), [0, 0, 0]);
        assert_eq!(blend([10, 20, 30], 255, AlphaPolicy::White), [10, 20, 30]);
        assert_eq!(blend([0, 100, 255], 128, AlphaPolicy::White), [127, 177, 255]);
    }
}
