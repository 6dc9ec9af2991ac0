//! Pictures' files, decoded and prepared: the first byte chooses what becomes of orientation, transparency and 16 bits, the rest is the file.
#![no_main]

use cenet_serve::manifest::{AlphaPolicy, Color, ExifPolicy, Filter, Layout, Preprocess, Resize, SixteenBitPolicy};
use cenet_serve::vision::decode::{DecodeLimits, DecodePolicy, decode, read_header};
use cenet_serve::vision::preprocess::Preprocessor;
use libfuzzer_sys::fuzz_target;

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 1 << 16 };

fuzz_target!(|data: &[u8]| {
    let Some((&choice, file)) = data.split_first() else { return };
    let header = read_header(file, &LIMITS);
    let Ok(picture) = decode(file, policy(choice), &LIMITS) else { return };
    let header = header.expect("what is decoded has a header");
    let sides = [header.width, header.height];
    assert!(u64::from(sides[0]) * u64::from(sides[1]) <= LIMITS.max_pixels, "{header:?}");
    assert!(sides == [picture.width(), picture.height()] || sides == [picture.height(), picture.width()], "{header:?}");
    let preprocessor = Preprocessor::new(&preprocess(choice));
    let mut tensor = vec![f32::NAN; preprocessor.tensor_len()];
    preprocessor.write(&picture, &mut tensor).expect("a picture with pixels");
    assert!(tensor.iter().all(|number| (0.0..=1.0).contains(number)), "every number is written");
});

fn policy(choice: u8) -> DecodePolicy {
    DecodePolicy {
        exif: if choice & 1 == 0 { ExifPolicy::Apply } else { ExifPolicy::Ignore },
        alpha: [AlphaPolicy::Drop, AlphaPolicy::White, AlphaPolicy::Black, AlphaPolicy::Drop]
            [usize::from(choice >> 1 & 3)],
        sixteen_bit: if choice & 8 == 0 { SixteenBitPolicy::Pillow } else { SixteenBitPolicy::Scale },
    }
}

fn preprocess(choice: u8) -> Preprocess {
    Preprocess {
        input: "input".into(),
        size: [7, 9],
        resize: if choice & 16 == 0 { Resize::ShorterSide { to: 8 } } else { Resize::Stretch },
        filter: [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos][usize::from(choice >> 5 & 3)],
        color: Color::Rgb,
        layout: if choice & 128 == 0 { Layout::Nchw } else { Layout::Nhwc },
        rescale: 1.0 / 255.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        exif: ExifPolicy::Apply,
        alpha: AlphaPolicy::Drop,
        sixteen_bit: SixteenBitPolicy::Pillow,
    }
}
