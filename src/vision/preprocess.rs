//! From an RGB picture to the model's input: resize, crop or letterbox, normalise, lay out. Pure functions of a [`Preprocess`].
//!
//! Resizing works on 8-bit values and gives Pillow's, antialiased; only the pixels that the crop keeps are computed.

mod resample;

use image::{Rgb, RgbImage};
use ndarray::Array3;

use super::geometry::Geometry;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::{Color, Filter, Layout, Preprocess, Resize};

/// A [`Preprocess`] made ready, with a table of the normalised value of each of 256 in each channel.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    size: [u32; 2],
    resize: Resize,
    filter: Filter,
    layout: Layout,
    /// The channel of the RGB pixel that each channel of the tensor takes.
    channels: [usize; 3],
    /// The value of each byte in each channel of the tensor.
    tables: [[f32; 256]; 3],
}

impl Preprocessor {
    /// Computes the tables for a declaration that a [`Manifest`](crate::manifest::Manifest) was parsed with.
    pub fn new(preprocess: &Preprocess) -> Self {
        let channel_table = |channel: usize| {
            let (mean, std) = (preprocess.mean[channel], preprocess.std[channel]);
            std::array::from_fn(|value| (value as f32 * preprocess.rescale - mean) / std)
        };
        Self {
            size: preprocess.size,
            resize: preprocess.resize,
            filter: preprocess.filter,
            layout: preprocess.layout,
            channels: if preprocess.color == Color::Bgr { [2, 1, 0] } else { [0, 1, 2] },
            tables: [channel_table(0), channel_table(1), channel_table(2)],
        }
    }

    /// The tensor's shape for one picture: `[3, H, W]` or `[H, W, 3]`.
    pub fn shape(&self) -> [usize; 3] {
        let [height, width] = self.size.map(|length| length as usize);
        match self.layout {
            Layout::Nchw => [3, height, width],
            Layout::Nhwc => [height, width, 3],
        }
    }

    /// Numbers in the tensor of one picture.
    pub fn tensor_len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Where a picture of `width` and `height` pixels comes to lie in the tensor.
    pub fn geometry(&self, width: u32, height: u32) -> Geometry {
        Geometry::new(&self.resize, self.size, width, height)
    }

    /// Writes the picture's tensor into `tensor`, in the order of [`Self::shape`], and says where the picture lies in it.
    ///
    /// # Errors
    /// `InvalidImage` for a picture without pixels, `Internal` when `tensor` has another length than [`Self::tensor_len`].
    pub fn write(&self, picture: &RgbImage, tensor: &mut [f32]) -> Result<Geometry> {
        if tensor.len() != self.tensor_len() {
            let message = format!("the tensor has {} numbers instead of {}", tensor.len(), self.tensor_len());
            return Err(InferError::new(ErrorKind::Internal, message));
        }
        let (resized, geometry) = self.resize(picture)?;
        match self.layout {
            Layout::Nchw => self.normalise_planar(&resized, tensor),
            Layout::Nhwc => self.normalise_interleaved(&resized, tensor),
        }
        Ok(geometry)
    }

    /// The picture's tensor, of [`Self::shape`], and where the picture lies in it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn tensor(&self, picture: &RgbImage) -> Result<(Array3<f32>, Geometry)> {
        let mut numbers = vec![0.0; self.tensor_len()];
        let geometry = self.write(picture, &mut numbers)?;
        let tensor = Array3::from_shape_vec(self.shape(), numbers);
        let tensor = tensor.map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
        Ok((tensor, geometry))
    }

    /// The picture at the tensor's size, before normalising: resized, cropped or padded, 8 bits a channel in RGB.
    ///
    /// # Errors
    /// `InvalidImage` for a picture without pixels.
    pub fn resize(&self, picture: &RgbImage) -> Result<(RgbImage, Geometry)> {
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Err(InferError::new(ErrorKind::InvalidImage, "the picture has no pixels"));
        }
        let geometry = self.geometry(width, height);
        let mut canvas = self.canvas(&geometry);
        resample::resample(picture, &geometry, self.filter, &mut canvas);
        Ok((canvas, geometry))
    }

    /// The tensor's pixels before the picture is laid on them.
    fn canvas(&self, geometry: &Geometry) -> RgbImage {
        let [height, width] = self.size;
        let fill = match self.resize {
            Resize::Letterbox { fill, .. } => fill,
            Resize::ShorterSide { .. } | Resize::Stretch => [0; 3],
        };
        if fill == [0; 3] || (geometry.across.kept, geometry.down.kept) == (width, height) {
            return RgbImage::new(width, height);
        }
        RgbImage::from_pixel(width, height, Rgb(fill))
    }

    fn normalise_planar(&self, pixels: &RgbImage, tensor: &mut [f32]) {
        let plane = tensor.len() / 3;
        let (first, rest) = tensor.split_at_mut(plane);
        let (second, third) = rest.split_at_mut(plane);
        let [a, b, c] = self.channels;
        let pixels = pixels.as_chunks::<3>().0;
        for (((pixel, first), second), third) in pixels.iter().zip(first).zip(second).zip(third) {
            *first = self.tables[0][usize::from(pixel[a])];
            *second = self.tables[1][usize::from(pixel[b])];
            *third = self.tables[2][usize::from(pixel[c])];
        }
    }

    fn normalise_interleaved(&self, pixels: &RgbImage, tensor: &mut [f32]) {
        for (pixel, values) in pixels.as_chunks::<3>().0.iter().zip(tensor.as_chunks_mut::<3>().0) {
            *values = std::array::from_fn(|channel| self.tables[channel][usize::from(pixel[self.channels[channel]])]);
        }
    }
}

#[cfg(test)]
mod tests;
