//! JPEG, straight to RGB.

use image::RgbImage;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::pixels::cmyk_to_rgb;
use super::{Format, damaged, jpeg_markers, unsupported};
use crate::error::{InferError, Result};

/// A JPEG whose header was read.
pub(super) struct JpegPicture<'a> {
    bytes: &'a [u8],
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    /// How the file stores colours.
    stored: ColorSpace,
    dimensions: (u32, u32),
}

impl<'a> JpegPicture<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(refused)?;
        let info = decoder.info().ok_or_else(|| damaged(Format::Jpeg, "it has no header"))?;
        let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
        Ok(Self { bytes, decoder, stored, dimensions: (info.width.into(), info.height.into()) })
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.dimensions
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms)
    }

    pub(super) fn read(mut self) -> Result<RgbImage> {
        // The decoder fills up with grey what a cut file lacks.
        if !jpeg_markers::is_complete(self.bytes) {
            return Err(damaged(Format::Jpeg, "its end is missing"));
        }
        match self.stored {
            ColorSpace::CMYK => Ok(self.read_inks()?.rgb(|stored| stored)),
            ColorSpace::YCCK => Ok(self.read_inks()?.rgb(|[y, cb, cr, k]| ycc_to_cmy(y, cb, cr, k))),
            _ => self.read_rgb(),
        }
    }

    fn read_rgb(&mut self) -> Result<RgbImage> {
        let (width, height) = self.dimensions;
        let mut rgb = RgbImage::new(width, height);
        self.decoder.decode_into(&mut rgb).map_err(refused)?;
        Ok(rgb)
    }

    /// The four stored channels, not converted.
    fn read_inks(&mut self) -> Result<Inks> {
        self.decoder.set_options(self.decoder.options().jpeg_set_out_colorspace(self.stored));
        let (width, height) = self.dimensions;
        let mut stored = vec![0; width as usize * height as usize * 4];
        self.decoder.decode_into(&mut stored).map_err(refused)?;
        Ok(Inks { stored, width, height })
    }
}

/// Pixels of four channels as stored.
struct Inks {
    stored: Vec<u8>,
    width: u32,
    height: u32,
}

impl Inks {
    /// RGB from CMYK that is stored inverted, as Adobe's programs write it and as Pillow takes every JPEG of four channels.
    fn rgb(&self, to_cmyk: impl Fn([u8; 4]) -> [u8; 4]) -> RgbImage {
        let mut rgb = RgbImage::new(self.width, self.height);
        for (pixel, stored) in rgb.pixels_mut().zip(self.stored.as_chunks::<4>().0) {
            let [c, m, y, k] = to_cmyk(*stored).map(|inverted| 255 - inverted);
            pixel.0 = cmyk_to_rgb([c, m, y, k]);
        }
        rgb
    }
}

/// libjpeg's YCCK to CMYK: the inks are what RGB lacks, K passes.
fn ycc_to_cmy(y: u8, cb: u8, cr: u8, k: u8) -> [u8; 4] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    let [c, m, yellow] = rgb.map(|value| 255 - value.round().clamp(0.0, 255.0) as u8);
    [c, m, yellow, k]
}

fn refused(error: DecodeErrors) -> InferError {
    match error {
        DecodeErrors::Unsupported(scheme) => unsupported(Format::Jpeg, format_args!("{scheme:?}")),
        other => damaged(Format::Jpeg, format_args!("{other}")),
    }
}
