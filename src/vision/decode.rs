//! From a file's bytes to upright RGB pixels, equal to what Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives.
//!
//! The format is recognised by content. The header is read and held against the limits before anything of the picture's size is
//! allocated. A file that is cut off or damaged is refused whole: no half-grey picture is ever answered. Lossless formats come out
//! exactly as in Pillow; JPEG and lossy WebP within a mean of 0.5 of 255. Animations give their first frame.

mod bitmap;
mod gif;
mod jpeg;
mod jpeg_markers;
mod pixels;
mod riff;
mod still;

use std::fmt;

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::{AlphaPolicy, ExifPolicy, Preprocess, SixteenBitPolicy};

/// The formats that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// All colour types and depths, interlaced or not.
    Png,
    /// Lossy and lossless.
    WebP,
    /// GIF87a and GIF89a.
    Gif,
    /// Windows bitmaps.
    Bmp,
    /// Grey, RGB and CMYK in 8 and 16 bits; the first page.
    Tiff,
}

/// The formats' names for messages.
const FORMATS: &str = "JPEG, PNG, WebP, GIF, BMP or TIFF";

impl Format {
    /// Recognises a format by a file's first bytes.
    ///
    /// # Errors
    /// `EmptyBody` without any byte, `UnsupportedImage` when the bytes begin no format that is decoded.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(InferError::new(
                ErrorKind::EmptyBody,
                format!("the body is empty; send a picture as {FORMATS}"),
            ));
        }
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            Ok(ImageFormat::Gif) => Ok(Self::Gif),
            Ok(ImageFormat::Bmp) => Ok(Self::Bmp),
            Ok(ImageFormat::Tiff) => Ok(Self::Tiff),
            _ => Err(InferError::new(
                ErrorKind::UnsupportedImage,
                format!("the bytes are no picture in a known format; send {FORMATS}"),
            )),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}

/// What becomes of orientation, transparency and 16-bit grey.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodePolicy {
    /// What becomes of a camera's orientation tag.
    pub exif: ExifPolicy,
    /// What becomes of transparency.
    pub alpha: AlphaPolicy,
    /// What becomes of 16-bit grey pictures.
    pub sixteen_bit: SixteenBitPolicy,
}

impl From<&Preprocess> for DecodePolicy {
    fn from(preprocess: &Preprocess) -> Self {
        Self { exif: preprocess.exif, alpha: preprocess.alpha, sixteen_bit: preprocess.sixteen_bit }
    }
}

/// What a decoder may take for a pixel: four channels of 16 bits.
const DECODER_BYTES_PER_PIXEL: u64 = 8;

/// How large a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width times height that is decoded at most, in pixels.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 50 megapixels: 150 MB of RGB.
    fn default() -> Self {
        Self { max_pixels: 50_000_000 }
    }
}

impl DecodeLimits {
    /// Bytes that a decoder may allocate for itself, 16 MiB for tables and metadata included.
    fn decoder_bytes(self) -> u64 {
        self.max_pixels.saturating_mul(DECODER_BYTES_PER_PIXEL).saturating_add(16 << 20)
    }

    fn check(self, format: Format, (width, height): (u32, u32)) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(damaged(format, "it has no pixels"));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(too_large(width, height, self));
        }
        Ok(())
    }
}

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format, recognised by content.
    pub format: Format,
    /// Width as stored, before orientation, in pixels.
    pub width: u32,
    /// Height as stored, before orientation, in pixels.
    pub height: u32,
}

impl Header {
    /// What the picture takes in memory while it is decoded, at most: four channels of 16 bits a pixel.
    pub fn decoded_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * DECODER_BYTES_PER_PIXEL
    }
}

/// Reads only the header: the way to know a picture's size before it takes memory.
///
/// # Errors
/// As [`decode`], except for damage behind the header.
pub fn read_header(bytes: &[u8], limits: &DecodeLimits) -> Result<Header> {
    let picture = Opened::open(bytes, limits)?;
    let (width, height) = picture.dimensions();
    Ok(Header { format: picture.format(), width, height })
}

/// Decodes a file to RGB, upright unless `policy` says otherwise.
///
/// # Errors
/// `EmptyBody`; `UnsupportedImage` when the format is unknown or is a variant that isn't decoded; `ImageTooLarge` above `limits`;
/// `InvalidImage` when the file is cut off or damaged.
pub fn decode(bytes: &[u8], policy: DecodePolicy, limits: &DecodeLimits) -> Result<RgbImage> {
    let picture = Opened::open(bytes, limits)?;
    let (orientation, upright) = picture.read(policy)?;
    if policy.exif == ExifPolicy::Ignore || orientation == Orientation::NoTransforms {
        return Ok(upright);
    }
    let mut turned = DynamicImage::ImageRgb8(upright);
    turned.apply_orientation(orientation);
    Ok(turned.into_rgb8())
}

/// A picture whose header was read and found within the limits.
enum Opened<'a> {
    Jpeg(Box<jpeg::JpegPicture<'a>>),
    Gif(Box<gif::GifPicture<'a>>),
    Still(still::StillPicture<'a>),
}

impl<'a> Opened<'a> {
    fn open(bytes: &'a [u8], limits: &DecodeLimits) -> Result<Self> {
        let format = Format::of(bytes)?;
        let picture = match format {
            Format::Jpeg => Self::Jpeg(Box::new(jpeg::JpegPicture::open(bytes)?)),
            Format::Gif => Self::Gif(Box::new(gif::GifPicture::open(bytes, limits)?)),
            _ => Self::Still(still::StillPicture::open(format, bytes, limits)?),
        };
        limits.check(format, picture.dimensions())?;
        Ok(picture)
    }

    fn format(&self) -> Format {
        match self {
            Self::Jpeg(_) => Format::Jpeg,
            Self::Gif(_) => Format::Gif,
            Self::Still(picture) => picture.format(),
        }
    }

    fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::Jpeg(picture) => picture.dimensions(),
            Self::Gif(picture) => picture.dimensions(),
            Self::Still(picture) => picture.dimensions(),
        }
    }

    fn read(self, policy: DecodePolicy) -> Result<(Orientation, RgbImage)> {
        match self {
            Self::Jpeg(picture) => Ok((picture.orientation(), picture.read()?)),
            Self::Gif(picture) => Ok((Orientation::NoTransforms, picture.read(policy.alpha)?)),
            Self::Still(mut picture) => Ok((picture.orientation(), picture.read(policy)?)),
        }
    }
}

/// The picture's file is cut off or corrupt.
fn damaged(format: Format, reason: impl fmt::Display) -> InferError {
    InferError::new(
        ErrorKind::InvalidImage,
        format!("the {format} picture is damaged or cut off ({reason}); send the whole file, or save it anew"),
    )
}

/// The picture is fine, but a variant of its format that isn't decoded.
fn unsupported(format: Format, reason: impl fmt::Display) -> InferError {
    InferError::new(
        ErrorKind::UnsupportedImage,
        format!("this variant of {format} is not decoded ({reason}); save the picture as 8-bit RGB in PNG or JPEG"),
    )
}

fn too_large(width: u32, height: u32, limits: DecodeLimits) -> InferError {
    InferError::new(
        ErrorKind::ImageTooLarge,
        format!("the picture has {width}x{height} pixels, more than {} in all; send it smaller", limits.max_pixels),
    )
}

#[cfg(test)]
mod tests;
