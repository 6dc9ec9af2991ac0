//! The weights of a rewritten network, apart from its graph: each session of it reads the same ones, and none makes a copy.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::model::onnx::tensor_proto::{DataLocation, DataType};
use crate::model::onnx::{ModelProto, StringStringEntryProto, TensorProto};

/// Tensors of fewer bytes stay in the graph.
const LEAST_BYTES: usize = 1024;

/// A network in two parts.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Split {
    /// An ONNX file without the weights.
    pub(in crate::model) graph: Arc<[u8]>,
    pub(in crate::model) weights: Arc<[Weight]>,
}

/// A tensor that doesn't change.
#[derive(Debug, Clone)]
pub(in crate::model) struct Weight {
    pub(in crate::model) name: String,
    pub(in crate::model) value: Arc<DynValue>,
    pub(super) layout: Layout,
}

/// What the bytes of a tensor stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    numbers: Numbers,
    shape: Vec<usize>,
}

/// Kinds of numbers that weights are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Numbers {
    F32,
    I8,
    U8,
}

impl Split {
    /// `model`, in two parts.
    ///
    /// # Errors
    /// When the runtime makes no tensor of a weight.
    pub(super) fn of(mut model: ModelProto) -> io::Result<Self> {
        let tensors = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        let weights = tensors.filter_map(|tensor| Weight::taken_from(tensor).transpose()).collect::<io::Result<_>>()?;
        Ok(Self { graph: model.encode_to_vec().into(), weights })
    }
}

impl Split {
    /// In one part again: an ONNX file.
    ///
    /// # Errors
    /// When the runtime doesn't give a weight's numbers.
    pub(super) fn whole(&self) -> io::Result<Vec<u8>> {
        let mut model = ModelProto::decode(&*self.graph).map_err(io::Error::other)?;
        let weights: HashMap<_, _> = self.weights.iter().map(|weight| (weight.name.as_str(), weight)).collect();
        for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if let Some(weight) = weights.get(tensor.name()) {
                tensor.raw_data = Some(weight.bytes()?.to_vec());
                tensor.data_location = None;
                tensor.external_data.clear();
            }
        }
        Ok(model.encode_to_vec())
    }
}

impl Weight {
    /// Takes the numbers out of `tensor`, where that is worth while.
    fn taken_from(tensor: &mut TensorProto) -> io::Result<Option<Self>> {
        let Some(layout) = Layout::of(tensor) else { return Ok(None) };
        let fits = |bytes: &Vec<u8>| bytes.len() >= LEAST_BYTES && Some(bytes.len()) == layout.bytes();
        let Some(bytes) = tensor.raw_data.take_if(|bytes| fits(bytes)) else { return Ok(None) };
        tensor.data_location = Some(DataLocation::External as i32);
        // the runtime wants a place to be named that is there, and doesn't look into it: it is given the tensor
        tensor.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some(".".into()) }];
        let weight = Self::read(tensor.name().to_owned(), layout, |target| {
            target.copy_from_slice(&bytes);
            Ok(())
        });
        weight.map(Some)
    }

    /// The weight `name`, whose bytes `fill` writes.
    ///
    /// # Errors
    /// Those of `fill`, and when the runtime makes no tensor of them.
    pub(super) fn read(
        name: String,
        layout: Layout,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let value = match layout.numbers {
            Numbers::F32 => tensor::<f32>(&layout.shape, fill),
            Numbers::I8 => tensor::<i8>(&layout.shape, fill),
            Numbers::U8 => tensor::<u8>(&layout.shape, fill),
        };
        Ok(Self { name, value: Arc::new(value?), layout })
    }

    /// Its numbers, as this machine has them in memory.
    ///
    /// # Errors
    /// When the runtime doesn't give them.
    pub(super) fn bytes(&self) -> io::Result<&[u8]> {
        match self.layout.numbers {
            Numbers::F32 => numbers::<f32>(&self.value),
            Numbers::I8 => numbers::<i8>(&self.value),
            Numbers::U8 => numbers::<u8>(&self.value),
        }
    }
}

impl Layout {
    fn of(tensor: &TensorProto) -> Option<Self> {
        let numbers = match DataType::try_from(tensor.data_type()).ok()? {
            DataType::Float => Numbers::F32,
            DataType::Int8 => Numbers::I8,
            DataType::Uint8 => Numbers::U8,
            _ => return None,
        };
        let shape = tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        Some(Self { numbers, shape })
    }

    /// How many bytes a tensor takes; none where that is more than can be.
    pub(super) fn bytes(&self) -> Option<usize> {
        let bytes = match self.numbers {
            Numbers::F32 => 4,
            Numbers::I8 | Numbers::U8 => 1,
        };
        self.shape.iter().try_fold(bytes, |product: usize, &size| product.checked_mul(size))
    }
}

fn tensor<T>(shape: &[usize], fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<DynValue>
where
    T: PrimitiveTensorElementType + Pod + fmt::Debug,
{
    let mut numbers = vec![T::zeroed(); shape.iter().product()];
    fill(cast_slice_mut(&mut numbers))?;
    Ok(Tensor::from_array((shape, numbers)).map_err(io::Error::other)?.into_dyn())
}

fn numbers<T: PrimitiveTensorElementType + Pod>(value: &DynValue) -> io::Result<&[u8]> {
    Ok(cast_slice(value.try_extract_tensor::<T>().map_err(io::Error::other)?.1))
}
