//! Decoded pixels against Pillow's, picture by picture: lossless formats exactly, lossy ones within a mean of 0.5 of 255.

use cenet_serve::error::ErrorKind;
use cenet_serve::vision::decode::{DecodeLimits, DecodePolicy, decode};

#[expect(dead_code, reason = "each test uses its part")]
mod fixtures;

use fixtures::Fixtures;

/// Variants that are refused, with a sentence that says so.
const REFUSED: [&str; 1] = ["tiff_palette.tif"];

fn is_lossy(file: &str) -> bool {
    ["jpeg_", "webp_lossy", "tiff_jpeg"].iter().any(|prefix| file.starts_with(prefix))
        && !file.starts_with("webp_lossless")
}

/// Mean and largest difference of two pictures' bytes.
fn difference(ours: &[u8], theirs: &[u8]) -> (f64, u8) {
    let differences = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (sum as f64 / ours.len() as f64, differences.max().unwrap_or(0))
}

#[test]
fn pixels_equal_pillows() {
    let fixtures = Fixtures::load();
    let mut failures = Vec::new();
    for picture in fixtures.pictures.iter().filter(|picture| !REFUSED.contains(&picture.file.as_str())) {
        let ours = match decode(&fixtures.bytes(picture), DecodePolicy::default(), &DecodeLimits::default()) {
            Ok(ours) => ours,
            Err(error) => {
                failures.push(format!("{}: {error}", picture.file));
                continue;
            }
        };
        let theirs = fixtures.decoded(picture);
        if ours.dimensions() != theirs.dimensions() {
            failures.push(format!("{}: {:?} instead of {:?}", picture.file, ours.dimensions(), theirs.dimensions()));
            continue;
        }
        let (mean, most) = difference(&ours, &theirs);
        println!("{:34} mean {mean:.4}  most {most}", picture.file);
        if mean >= 0.5 || (most > 0 && !is_lossy(&picture.file)) {
            failures.push(format!("{}: mean difference {mean:.3}, largest {most}", picture.file));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn variants_that_are_not_decoded_say_so() {
    let fixtures = Fixtures::load();
    for file in REFUSED {
        let picture = fixtures.pictures.iter().find(|picture| picture.file == file).expect("a picture of that name");
        let refusal = decode(&fixtures.bytes(picture), DecodePolicy::default(), &DecodeLimits::default())
            .expect_err("a variant that isn't decoded");
        assert_eq!(refusal.kind, ErrorKind::UnsupportedImage, "{refusal}");
    }
}

#[test]
fn a_cut_picture_is_never_answered() {
    let fixtures = Fixtures::load();
    for picture in fixtures.pictures.iter().filter(|picture| picture.width > 30 && picture.height > 30) {
        let bytes = fixtures.bytes(picture);
        for percent in [10, 50, 90] {
            let cut = &bytes[..bytes.len() * percent / 100];
            let Ok(ours) = decode(cut, DecodePolicy::default(), &DecodeLimits::default()) else { continue };
            // What is missing may lie behind the first frame's pixels; then nothing of it may differ.
            let whole = decode(&bytes, DecodePolicy::default(), &DecodeLimits::default()).expect("a whole file");
            assert!(picture.file.contains("animated"), "{} cut at {percent} % is answered", picture.file);
            assert!(ours == whole, "{} cut at {percent} % is answered with other pixels", picture.file);
        }
    }
}
