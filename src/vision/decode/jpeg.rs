//! JPEG, straight to RGB, by the decoder that Pillow uses: the same bytes give the same pixels.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;
use image::metadata::Orientation;
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::orientation::orientation;
use super::pixels::cmyk_to_rgb;
use super::{Format, damaged, jpeg_markers, unsupported};
use crate::error::{ErrorKind, InferError, Result};

/// The application segment that holds EXIF or XMP, and what its payload begins with.
const METADATA: Marker = Marker::APP(1);
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Scans of one picture. Programs write about ten; one that changes nothing takes a few bytes, and is gone through in full all the same.
const MOST_SCANS: usize = 100;

/// A JPEG whose header was read.
pub(super) struct JpegPicture<'a> {
    bytes: &'a [u8],
    decoder: Decompress<&'a [u8]>,
}

impl<'a> JpegPicture<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let decoder = guarded(|| Decompress::with_markers(&[METADATA]).from_mem(bytes))?;
        Ok(Self { bytes, decoder })
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        // libjpeg takes no side above 65,500
        (self.decoder.width() as u32, self.decoder.height() as u32)
    }

    pub(super) fn orientation(&self) -> Orientation {
        let payload = |prefix| self.decoder.markers().find_map(|segment| segment.data.strip_prefix(prefix));
        orientation(payload(EXIF_PREFIX), payload(XMP_PREFIX))
    }

    pub(super) fn read(self) -> Result<RgbImage> {
        // libjpeg fills up with grey what a cut file lacks
        let scans = jpeg_markers::scans(self.bytes).ok_or_else(|| damaged(Format::Jpeg, "its end is missing"))?;
        if scans > MOST_SCANS {
            return Err(damaged(Format::Jpeg, format_args!("it has {scans} scans, more than {MOST_SCANS}")));
        }
        let (width, height) = self.dimensions();
        let mut rgb = RgbImage::new(width, height);
        match self.decoder.color_space() {
            ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK => self.read_inks(&mut rgb)?,
            _ => guarded(|| {
                let mut rows = self.decoder.rgb()?;
                rows.read_scanlines_into::<u8>(&mut rgb)?;
                rows.finish()
            })?,
        }
        Ok(rgb)
    }

    /// RGB from CMYK that is stored inverted, as Adobe's programs write it and as Pillow takes every JPEG of four channels.
    fn read_inks(self, rgb: &mut RgbImage) -> Result<()> {
        let stored: Vec<[u8; 4]> = guarded(|| {
            let mut rows = self.decoder.to_colorspace(ColorSpace::JCS_CMYK)?;
            let stored = rows.read_scanlines()?;
            rows.finish()?;
            Ok(stored)
        })?;
        for (pixel, inks) in rgb.pixels_mut().zip(stored) {
            pixel.0 = cmyk_to_rgb(inks.map(|inverted| 255 - inverted));
        }
        Ok(())
    }
}

/// libjpeg's fatal errors come as a panic with a message, by way of the decoder's own handler.
fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> Result<T> {
    // the decoder is gone with the panic
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| damaged(Format::Jpeg, error)),
        Err(payload) => Err(fatal(payload.as_ref())),
    }
}

fn fatal(payload: &(dyn Any + Send)) -> InferError {
    let Some(message) = payload.downcast_ref::<String>() else {
        return InferError::new(ErrorKind::Internal, "the JPEG decoder failed on this picture; please report it");
    };
    let message = message.trim_start_matches("libjpeg fatal error: ");
    let foreign = ["Unsupported", "not supported", "not implemented"].iter().any(|words| message.contains(words));
    if foreign { unsupported(Format::Jpeg, message) } else { damaged(Format::Jpeg, message) }
}
