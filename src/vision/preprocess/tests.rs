use super::*;
use crate::manifest::{Align, AlphaPolicy, ExifPolicy, SixteenBitPolicy};

fn declared(size: [u32; 2], resize: Resize) -> Preprocess {
    Preprocess {
        input: "pixels".into(),
        size,
        resize,
        filter: Filter::Bilinear,
        color: Color::Rgb,
        layout: Layout::Nchw,
        rescale: 1.0 / 255.0,
        mean: [0.5, 0.25, 0.0],
        std: [0.5, 0.25, 2.0],
        exif: ExifPolicy::Apply,
        alpha: AlphaPolicy::Drop,
        sixteen_bit: SixteenBitPolicy::Pillow,
    }
}

fn tensor(preprocess: &Preprocess, picture: &RgbImage) -> Vec<f32> {
    let preprocessor = Preprocessor::new(preprocess);
    let mut tensor = vec![f32::NAN; preprocessor.tensor_len()];
    preprocessor.write(picture, &mut tensor).expect("a picture");
    tensor
}

/// Two pixels, red and 51/255 blue.
fn red_and_blue() -> RgbImage {
    RgbImage::from_raw(2, 1, vec![255, 0, 0, 0, 0, 51]).expect("six bytes")
}

fn assert_close(values: &[f32], expected: &[f32]) {
    assert_eq!(values.len(), expected.len());
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{values:?}");
    }
}

#[test]
fn planes_follow_each_other() {
    let values = tensor(&declared([1, 2], Resize::Stretch), &red_and_blue());
    assert_close(&values, &[1.0, -1.0, -1.0, -1.0, 0.0, 0.1]);
}

#[test]
fn interleaved_channels_stay_together() {
    let preprocess = Preprocess { layout: Layout::Nhwc, ..declared([1, 2], Resize::Stretch) };
    assert_close(&tensor(&preprocess, &red_and_blue()), &[1.0, -1.0, 0.0, -1.0, -1.0, 0.1]);
}

#[test]
fn blue_comes_first_with_the_tensors_own_mean() {
    let preprocess = Preprocess { color: Color::Bgr, ..declared([1, 2], Resize::Stretch) };
    assert_close(&tensor(&preprocess, &red_and_blue()), &[-1.0, -0.6, -1.0, -1.0, 0.5, 0.0]);
}

#[test]
fn a_letterbox_is_filled_and_a_crop_padded_with_black() {
    let white = RgbImage::from_pixel(4, 2, Rgb([255; 3]));
    let letterbox = Resize::Letterbox { align: Align::Center, fill: [9, 8, 7] };
    let (boxed, _) = Preprocessor::new(&declared([4, 4], letterbox)).resize(&white).expect("a picture");
    assert_eq!(
        (boxed.get_pixel(0, 0).0, boxed.get_pixel(3, 1).0, boxed.get_pixel(0, 3).0),
        ([9, 8, 7], [255; 3], [9, 8, 7])
    );
    let crop = declared([4, 4], Resize::ShorterSide { to: 2 });
    let (padded, _) = Preprocessor::new(&crop).resize(&white).expect("a picture");
    assert_eq!((padded.get_pixel(0, 0).0, padded.get_pixel(3, 2).0), ([0; 3], [255; 3]));
}

#[test]
fn extreme_pictures_are_resized() {
    for (width, height) in [(1, 1), (1, 5000), (65_535, 1), (30, 500)] {
        let picture = RgbImage::from_pixel(width, height, Rgb([255, 63, 0]));
        for resize in [Resize::ShorterSide { to: 256 }, Resize::Stretch] {
            let (resized, _) = Preprocessor::new(&declared([224, 224], resize)).resize(&picture).expect("a picture");
            assert!(resized.pixels().all(|pixel| pixel.0 == [255, 63, 0]), "{width}x{height} {resize:?}");
        }
    }
}

#[test]
fn wrong_lengths_and_empty_pictures_are_errors() {
    let preprocessor = Preprocessor::new(&declared([2, 2], Resize::Stretch));
    let kind =
        |picture: &RgbImage, length| preprocessor.write(picture, &mut vec![0.0; length]).map_err(|error| error.kind);
    assert_eq!(kind(&red_and_blue(), 11), Err(ErrorKind::Internal));
    assert_eq!(kind(&RgbImage::new(0, 0), 12), Err(ErrorKind::InvalidImage));
}
