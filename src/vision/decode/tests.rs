use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

/// A small picture whose four corners differ.
fn drawn(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, (x * y % 200) as u8])
    })
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture.clone()).write_to(&mut bytes, format).expect("encoding into memory");
    bytes.into_inner()
}

fn kind(bytes: &[u8]) -> Option<ErrorKind> {
    decode(bytes, DecodePolicy::default(), &DecodeLimits::default()).err().map(|error| error.kind)
}

const ALL: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

#[test]
fn lossless_formats_come_back_as_drawn() {
    let picture = drawn(33, 20);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff] {
        let decoded = decode(&encoded(&picture, format), DecodePolicy::default(), &DecodeLimits::default());
        assert_eq!(decoded.as_ref(), Ok(&picture), "{format:?}");
    }
}

#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    let whole = encoded(&drawn(64, 48), ImageFormat::Jpeg);
    assert_eq!(kind(&whole), None);
    assert_eq!(kind(&[&whole[..], b"junk"].concat()), None);
    for length in (0..whole.len()).step_by(16).chain([whole.len() - 1]) {
        assert!(kind(&whole[..length]).is_some(), "cut at {length} of {}", whole.len());
    }
}

#[test]
fn every_format_cut_is_refused_as_damaged() {
    for format in ALL {
        let whole = encoded(&drawn(160, 120), format);
        assert_eq!(kind(&whole), None, "{format:?}");
        for percent in [10, 50, 90] {
            let cut = &whole[..whole.len() * percent / 100];
            assert_eq!(kind(cut), Some(ErrorKind::InvalidImage), "{format:?} cut at {percent} %");
        }
    }
}

#[test]
fn no_picture_and_no_bytes_are_told_apart() {
    assert_eq!(kind(b""), Some(ErrorKind::EmptyBody));
    assert_eq!(kind(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), Some(ErrorKind::UnsupportedImage));
    let message = Format::of(b"%PDF-1.7").expect_err("no picture").message;
    assert!(message.contains("JPEG, PNG, WebP, GIF, BMP or TIFF"), "{message}");
}

#[test]
fn a_claimed_size_above_the_limit_is_refused_by_the_header() {
    let mut bomb = encoded(&drawn(2, 2), ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 39, 16, 0, 0, 39, 16]); // 10000 x 10000
    let checksum = png_checksum(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(kind(&bomb), Some(ErrorKind::ImageTooLarge));
}

/// CRC-32 as PNG has it.
fn png_checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn every_format_is_held_against_the_limit() {
    let limits = DecodeLimits { max_pixels: 63 * 48 };
    for format in ALL {
        let bytes = encoded(&drawn(64, 48), format);
        let refusal = decode(&bytes, DecodePolicy::default(), &limits).expect_err("too large");
        assert_eq!(refusal.kind, ErrorKind::ImageTooLarge, "{format:?}");
        let header = read_header(&bytes, &DecodeLimits { max_pixels: 64 * 48 }).expect("within the limit");
        assert_eq!((header.width, header.height), (64, 48), "{format:?}");
    }
}

/// An APP1 segment with an orientation tag, to stand behind a JPEG's first marker.
fn exif_segment(orientation: u8) -> Vec<u8> {
    let tiff = [b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], b"\0\0\0\0\0\0"].concat();
    let payload = [b"Exif\0\0", &tiff[..]].concat();
    [&[0xFF, 0xE1, 0, payload.len() as u8 + 2], &payload[..]].concat()
}

#[test]
fn orientation_is_applied_or_ignored() {
    let plain = encoded(&drawn(64, 48), ImageFormat::Jpeg);
    let stored = decode(&plain, DecodePolicy::default(), &DecodeLimits::default()).expect("a whole file");
    for orientation in 1..=8 {
        let bytes = [&plain[..2], &exif_segment(orientation), &plain[2..]].concat();
        let upright = decode(&bytes, DecodePolicy::default(), &DecodeLimits::default()).expect("a whole file");
        let (x, y) = stored_position(orientation, 5, 9, upright.dimensions());
        assert_eq!(upright.get_pixel(5, 9), stored.get_pixel(x, y), "orientation {orientation}");
        let ignoring = DecodePolicy { exif: ExifPolicy::Ignore, ..DecodePolicy::default() };
        assert_eq!(decode(&bytes, ignoring, &DecodeLimits::default()).as_ref(), Ok(&stored));
    }
}

/// Where the upright pixel is stored, by the table of the Exif standard: which side row 0 and column 0 are.
fn stored_position(orientation: u8, x: u32, y: u32, (width, height): (u32, u32)) -> (u32, u32) {
    let (right, below) = (width - 1 - x, height - 1 - y);
    match orientation {
        1 => (x, y),
        2 => (right, y),
        3 => (right, below),
        4 => (x, below),
        5 => (y, x),
        6 => (y, right),
        7 => (below, right),
        _ => (below, x),
    }
}

#[test]
fn transparency_follows_the_policy() {
    let picture = RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, 0]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(picture).write_to(&mut bytes, ImageFormat::Png).expect("encoding into memory");
    let first_pixel = |alpha| {
        let policy = DecodePolicy { alpha, ..DecodePolicy::default() };
        decode(bytes.get_ref(), policy, &DecodeLimits::default()).expect("a whole file").get_pixel(0, 0).0
    };
    assert_eq!(first_pixel(AlphaPolicy::Drop), [10, 20, 30]);
    assert_eq!(first_pixel(AlphaPolicy::White), [255, 255, 255]);
    assert_eq!(first_pixel(AlphaPolicy::Black), [0, 0, 0]);
}

#[test]
fn sixteen_bit_grey_follows_the_policy() {
    let grey =
        image::ImageBuffer::<image::Luma<u16>, _>::from_raw(3, 1, vec![100, 0x1234, 0xFFFF]).expect("three values");
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageLuma16(grey).write_to(&mut bytes, ImageFormat::Png).expect("encoding into memory");
    let reds = |sixteen_bit| {
        let policy = DecodePolicy { sixteen_bit, ..DecodePolicy::default() };
        let decoded = decode(bytes.get_ref(), policy, &DecodeLimits::default()).expect("a whole file");
        decoded.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(reds(SixteenBitPolicy::Pillow), [100, 255, 255]);
    assert_eq!(reds(SixteenBitPolicy::Scale), [0, 0x12, 0xFF]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_never_panic(format in 0usize..6, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        const MAGIC: [&[u8]; 6] =
            [&[0xFF, 0xD8, 0xFF], b"\x89PNG\r\n\x1a\n", b"RIFF\0\x01\0\0WEBPVP8 ", b"GIF89a", b"BM", b"II*\0"];
        prop_assert!(kind(&[MAGIC[format], &tail].concat()).is_some());
    }

    #[test]
    fn mutated_pictures_never_panic(
        format in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(&drawn(24, 17), ALL[format]);
        for (index, value) in changes {
            let position = index.index(bytes.len());
            bytes[position] = value;
        }
        let limits = DecodeLimits { max_pixels: 1_000_000 };
        if let Ok(picture) = decode(&bytes, DecodePolicy::default(), &limits) {
            prop_assert!(u64::from(picture.width()) * u64::from(picture.height()) <= limits.max_pixels);
        }
    }
}
