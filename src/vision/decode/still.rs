//! PNG, WebP, BMP and TIFF through the `image` crate's decoders, brought to 8-bit RGB.

use std::io::Cursor;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, ImageResult, Limits, RgbImage};

use super::bitmap::Bitmap;
use super::orientation::orientation;
use super::pixels::{blend, unmultiplied};
use super::{DecodeLimits, DecodePolicy, Format, chunks, damaged, riff, tiff, unsupported};
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::SixteenBitPolicy;

/// Where a PNG's head has its depth and colour type.
const PNG_KIND: Range<usize> = 24..26;

/// The colour type whose samples are places in a palette.
const INDEXED: u8 = 3;

/// A picture whose header was read.
pub(super) struct StillPicture<'a> {
    format: Format,
    bytes: &'a [u8],
    decoder: Box<dyn ImageDecoder + 'a>,
}

impl<'a> StillPicture<'a> {
    pub(super) fn open(format: Format, bytes: &'a [u8], limits: &DecodeLimits) -> Result<Self> {
        let mut allocation = Limits::no_limits();
        allocation.max_alloc = Some(limits.decoder_bytes());
        let mut decoder =
            calmly(format, || open(format, bytes, allocation.clone()).map_err(|error| refused(format, &error)))?;
        limits.check(format, decoder.dimensions())?;
        decoder.set_limits(allocation).map_err(|error| refused(format, &error))?;
        check_whole(format, bytes)?;
        Ok(Self { format, bytes, decoder })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    /// The orientation tag; a tag that can't be read counts as none.
    pub(super) fn orientation(&self) -> Orientation {
        match self.format {
            Format::Png => orientation(chunks::exif(self.bytes), chunks::xmp(self.bytes)),
            Format::WebP => orientation(riff::exif(self.bytes), riff::xmp(self.bytes)),
            // a TIFF is what EXIF is written in
            Format::Tiff => orientation(Some(self.bytes), None),
            _ => Orientation::NoTransforms,
        }
    }

    pub(super) fn read(self, policy: DecodePolicy) -> Result<RgbImage> {
        let (format, bytes) = (self.format, self.bytes);
        let mut rgb = calmly(format, || self.read_rgb(policy))?;
        if format == Format::Bmp
            && let Some(bitmap) = Bitmap::open(bytes)
        {
            bitmap.widen_as_pillow(&mut rgb);
        }
        Ok(rgb)
    }

    fn read_rgb(self, policy: DecodePolicy) -> Result<RgbImage> {
        let (format, (width, height), color) = (self.format, self.decoder.dimensions(), self.decoder.color_type());
        let keyed = color == ColorType::La16 && format == Format::Png && self.bytes.get(PNG_KIND) == Some(&[16, 0]);
        let mut rgb = RgbImage::new(width, height);
        if color == ColorType::Rgb8 {
            self.decoder.read_image_boxed(&mut rgb).map_err(|error| refused(format, &error))?;
            return Ok(rgb);
        }
        let bytes = usize::try_from(self.decoder.total_bytes()).map_err(|error| unsupported(format, error))?;
        let mut samples = vec![0; bytes];
        self.decoder.read_image_boxed(&mut samples).map_err(|error| refused(format, &error))?;
        if format == Format::Tiff && tiff::is_premultiplied(self.bytes) {
            unmultiply(&mut samples, color);
        }
        if keyed {
            each(&samples, &mut rgb, |sample| keyed_grey(sample, policy));
            return Ok(rgb);
        }
        convert(&samples, color, policy, &mut rgb).ok_or_else(|| unsupported(format, format_args!("{color:?}")))?;
        Ok(rgb)
    }
}

/// Refuses what a decoder would fill up, or take for something else.
fn check_whole(format: Format, bytes: &[u8]) -> Result<()> {
    match format {
        Format::Bmp => Bitmap::open(bytes).map_or(Ok(()), |bitmap| bitmap.check()),
        Format::Tiff => tiff::check(bytes),
        // the decoder would break down over it
        Format::Png if bytes.get(PNG_KIND.end - 1) == Some(&INDEXED) && !chunks::palette_is_whole(bytes) => {
            Err(damaged(format, "its palette ends amid a colour"))
        }
        Format::WebP if !riff::is_complete(bytes) => Err(damaged(format, "its end is missing")),
        _ => Ok(()),
    }
}

/// A decoder that breaks down over a file takes nothing else with it, and the file is at fault.
fn calmly<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // the decoder is gone with the panic
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(format, "its decoder broke down over it")))
}

fn open(format: Format, bytes: &[u8], limits: Limits) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let reader = Cursor::new(bytes);
    Ok(match format {
        Format::WebP => Box::new(WebPDecoder::new(Cursor::new(riff::for_decoder(bytes)))?),
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

/// Takes back that colours were multiplied by their opacity; of 16 bits, the upper ones count.
fn unmultiply(samples: &mut [u8], color: ColorType) {
    match color {
        ColorType::Rgba8 => {
            for [r, g, b, opacity] in samples.as_chunks_mut::<4>().0 {
                [*r, *g, *b] = unmultiplied([*r, *g, *b], *opacity);
            }
        }
        ColorType::Rgba16 => {
            for sample in samples.as_chunks_mut::<8>().0 {
                let [r, g, b, opacity] = upper_bytes(sample);
                let [r, g, b] = unmultiplied([r, g, b], opacity);
                let deep = [r, g, b, opacity].map(|value| u16::from_be_bytes([value, value]).to_ne_bytes());
                sample.copy_from_slice(deep.as_flattened());
            }
        }
        _ => {}
    }
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

/// 16-bit grey of which one value is transparent.
fn keyed_grey(&[a, b, opacity, _]: &[u8; 4], policy: DecodePolicy) -> [u8; 3] {
    blend([grey_of_16_bits(u16::from_ne_bytes([a, b]), policy.sixteen_bit); 3], opacity, policy.alpha)
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
