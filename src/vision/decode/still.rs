//! PNG, WebP, BMP and TIFF through the `image` crate's decoders, brought to 8-bit RGB.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, ImageResult, Limits, RgbImage};

use super::pixels::blend;
use super::{DecodeLimits, DecodePolicy, Format, damaged, unsupported};
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::SixteenBitPolicy;

/// A picture whose header was read.
pub(super) struct StillPicture<'a> {
    format: Format,
    decoder: Box<dyn ImageDecoder + 'a>,
}

impl<'a> StillPicture<'a> {
    pub(super) fn open(format: Format, bytes: &'a [u8], limits: &DecodeLimits) -> Result<Self> {
        let mut allocation = Limits::no_limits();
        allocation.max_alloc = Some(limits.decoder_bytes());
        let mut decoder = open(format, bytes, allocation.clone()).map_err(|error| refused(format, &error))?;
        limits.check(format, decoder.dimensions())?;
        decoder.set_limits(allocation).map_err(|error| refused(format, &error))?;
        Ok(Self { format, decoder })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    /// The orientation tag; a tag that can't be read counts as none.
    pub(super) fn orientation(&mut self) -> Orientation {
        self.decoder.orientation().unwrap_or(Orientation::NoTransforms)
    }

    pub(super) fn read(self, policy: DecodePolicy) -> Result<RgbImage> {
        let (format, (width, height), color) = (self.format, self.decoder.dimensions(), self.decoder.color_type());
        let mut rgb = RgbImage::new(width, height);
        if color == ColorType::Rgb8 {
            self.decoder.read_image_boxed(&mut rgb).map_err(|error| refused(format, &error))?;
            return Ok(rgb);
        }
        let bytes = usize::try_from(self.decoder.total_bytes()).map_err(|error| unsupported(format, error))?;
        let mut samples = vec![0; bytes];
        self.decoder.read_image_boxed(&mut samples).map_err(|error| refused(format, &error))?;
        convert(&samples, color, policy, &mut rgb).ok_or_else(|| unsupported(format, format_args!("{color:?}")))?;
        Ok(rgb)
    }
}

fn open(format: Format, bytes: &[u8], limits: Limits) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let reader = Cursor::new(bytes);
    Ok(match format {
        Format::WebP => Box::new(WebPDecoder::new(reader)?),
        Format::Bmp => Box::new(BmpDecoder::new(reader)?),
        Format::Tiff => Box::new(TiffDecoder::new(reader)?),
        _ => Box::new(PngDecoder::with_limits(reader, limits)?),
    })
}

/// Samples of any integer colour type to RGB; none for a colour type that isn't decoded.
fn convert(samples: &[u8], color: ColorType, policy: DecodePolicy, rgb: &mut RgbImage) -> Option<()> {
    let alpha = policy.alpha;
    match color {
        ColorType::L8 => each(samples, rgb, |&[grey]| [grey; 3]),
        ColorType::La8 => each(samples, rgb, |&[grey, opacity]| blend([grey; 3], opacity, alpha)),
        ColorType::Rgba8 => each(samples, rgb, |&[r, g, b, opacity]| blend([r, g, b], opacity, alpha)),
        ColorType::L16 => {
            each(samples, rgb, |&[a, b]| [grey_of_16_bits(u16::from_ne_bytes([a, b]), policy.sixteen_bit); 3]);
        }
        ColorType::La16 => each(samples, rgb, |sample: &[u8; 4]| {
            let [grey, opacity] = upper_bytes(sample);
            blend([grey; 3], opacity, alpha)
        }),
        ColorType::Rgb16 => each(samples, rgb, |sample: &[u8; 6]| upper_bytes(sample)),
        ColorType::Rgba16 => each(samples, rgb, |sample: &[u8; 8]| {
            let [r, g, b, opacity] = upper_bytes(sample);
            blend([r, g, b], opacity, alpha)
        }),
        _ => return None,
    }
    Some(())
}

/// Writes a pixel for every `SIZE` bytes.
fn each<const SIZE: usize>(samples: &[u8], rgb: &mut RgbImage, pixel: impl Fn(&[u8; SIZE]) -> [u8; 3]) {
    for (to, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<SIZE>().0) {
        *to = pixel(from);
    }
}

/// The upper bytes of `CHANNELS` samples in the machine's byte order.
fn upper_bytes<const BYTES: usize, const CHANNELS: usize>(sample: &[u8; BYTES]) -> [u8; CHANNELS] {
    const { assert!(BYTES == 2 * CHANNELS) };
    std::array::from_fn(|channel| u16::from_ne_bytes([sample[2 * channel], sample[2 * channel + 1]]).to_be_bytes()[0])
}

/// Pillow takes 16-bit grey for a count and cuts it off at 255.
fn grey_of_16_bits(value: u16, policy: SixteenBitPolicy) -> u8 {
    match policy {
        SixteenBitPolicy::Pillow => value.min(255) as u8,
        SixteenBitPolicy::Scale => value.to_be_bytes()[0],
    }
}

fn refused(format: Format, error: &ImageError) -> InferError {
    match error {
        ImageError::Unsupported(reason) => unsupported(format, reason),
        ImageError::Limits(reason) => InferError::new(
            ErrorKind::ImageTooLarge,
            format!("the {format} picture takes more memory than allowed ({reason}); send it smaller"),
        ),
        other => damaged(format, other),
    }
}
