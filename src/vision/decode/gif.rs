//! The first frame of a GIF, laid on its screen as Pillow lays it.

use std::num::NonZeroU64;

use gif::{DecodeOptions, Decoder, DecodingError, MemoryLimit};
use image::RgbImage;

use super::pixels::blend;
use super::{DecodeLimits, Format, damaged};
use crate::error::{InferError, Result};
use crate::manifest::AlphaPolicy;

/// A GIF whose screen and first frame's header were read.
pub(super) struct GifPicture<'a> {
    decoder: Decoder<&'a [u8]>,
    frame: Frame,
    /// The screen, or more where the frame reaches beyond it.
    dimensions: (u32, u32),
}

/// Where the first frame lies, in pixels, and its transparent colour.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    transparent: Option<u8>,
}

impl<'a> GifPicture<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &DecodeLimits) -> Result<Self> {
        let mut options = DecodeOptions::new();
        if let Some(bytes) = NonZeroU64::new(limits.decoder_bytes()) {
            options.set_memory_limit(MemoryLimit::Bytes(bytes));
        }
        // extensions that nobody knows are passed over
        options.allow_unknown_blocks(true);
        let mut decoder = options.read_info(bytes).map_err(refused)?;
        let info = decoder.next_frame_info().map_err(refused)?;
        let info = info.ok_or_else(|| damaged(Format::Gif, "it has no frame"))?;
        let frame = Frame {
            left: info.left.into(),
            top: info.top.into(),
            width: info.width.into(),
            height: info.height.into(),
            transparent: info.transparent,
        };
        let reach = (u32::from(info.left) + u32::from(info.width), u32::from(info.top) + u32::from(info.height));
        let dimensions = (reach.0.max(decoder.width().into()), reach.1.max(decoder.height().into()));
        Ok(Self { decoder, frame, dimensions })
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.dimensions
    }

    pub(super) fn read(mut self, alpha: AlphaPolicy) -> Result<RgbImage> {
        let mut indices = vec![0; self.frame.width * self.frame.height];
        self.decoder.read_into_buffer(&mut indices).map_err(refused)?;
        let colors = self.colors(alpha)?;
        let ground = colors[usize::from(self.frame.transparent.unwrap_or(0))];
        let mut rgb = RgbImage::from_pixel(self.dimensions.0, self.dimensions.1, image::Rgb(ground));
        if indices.is_empty() {
            return Ok(rgb);
        }
        let stride = self.dimensions.0 as usize * 3;
        let rows = rgb.chunks_exact_mut(stride).skip(self.frame.top);
        for (row, indices) in rows.zip(indices.chunks_exact(self.frame.width)) {
            let row = row[self.frame.left * 3..].as_chunks_mut::<3>().0;
            for (pixel, index) in row.iter_mut().zip(indices) {
                *pixel = colors[usize::from(*index)];
            }
        }
        Ok(rgb)
    }

    /// Every index's colour; black where the file's table is shorter.
    fn colors(&self, alpha: AlphaPolicy) -> Result<[[u8; 3]; 256]> {
        let table = self.decoder.palette().map_err(refused)?;
        let mut colors = [[0; 3]; 256];
        for (color, entry) in colors.iter_mut().zip(table.as_chunks::<3>().0) {
            *color = *entry;
        }
        if let Some(index) = self.frame.transparent {
            let color = &mut colors[usize::from(index)];
            *color = blend(*color, 0, alpha);
        }
        Ok(colors)
    }
}

fn refused(error: DecodingError) -> InferError {
    damaged(Format::Gif, error)
}
