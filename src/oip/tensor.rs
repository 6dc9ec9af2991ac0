//! A tensor as it travels: name, type, shape, and bytes whose number has been held against them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ndarray::ArrayD;

use super::DataType;
use crate::error::{ErrorKind, InferError, Result};

/// Elements of a `BYTES` tensor at most: each costs more memory than the few bytes that it may travel in.
pub const MAX_ELEMENTS: usize = 1 << 14;

/// A named tensor whose data fits its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The input's or output's name.
    pub name: String,
    /// The elements' type.
    pub data_type: DataType,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// The elements, the last axis the fastest.
    pub data: TensorData,
}

/// The elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Little-endian, each of the type's size.
    Raw(Bytes),
    /// Those of a `BYTES` tensor.
    Elements(Vec<Bytes>),
}

impl Tensor {
    /// A tensor of `data` as it travels in binary: little-endian numbers, or elements that each carry their length.
    ///
    /// # Errors
    /// `InvalidParameter` naming the tensor, when shape, type and data don't fit each other.
    pub fn from_binary(name: &str, data_type: DataType, shape: &[i64], data: Bytes) -> Result<Self> {
        let (shape, count) = checked_shape(name, shape)?;
        let data = match data_type.size_bytes() {
            Some(size) => {
                let expected = count.checked_mul(size);
                if expected != Some(data.len()) {
                    let message = format!(
                        "tensor {name:?} of {} {shape:?} comes with {} bytes, not with its own number of them",
                        data_type.name(),
                        data.len()
                    );
                    return Err(invalid(message));
                }
                TensorData::Raw(data)
            }
            None => TensorData::Elements(split_elements(name, count, data)?),
        };
        Ok(Self { name: name.to_owned(), data_type, shape, data })
    }

    /// A tensor of `elements`, of type `BYTES`.
    ///
    /// # Errors
    /// As [`Tensor::from_binary`].
    pub fn from_elements(name: &str, shape: &[i64], elements: Vec<Bytes>) -> Result<Self> {
        let (shape, count) = checked_shape(name, shape)?;
        require_few(name, count)?;
        require_count(name, &shape, count, elements.len())?;
        Ok(Self { name: name.to_owned(), data_type: DataType::Bytes, shape, data: TensorData::Elements(elements) })
    }

    /// A float32 tensor of `numbers`.
    ///
    /// # Errors
    /// As [`Tensor::from_binary`].
    pub fn from_f32(name: &str, shape: &[i64], numbers: &[f32]) -> Result<Self> {
        let (shape, count) = checked_shape(name, shape)?;
        require_count(name, &shape, count, numbers.len())?;
        let mut data = BytesMut::with_capacity(numbers.len() * 4);
        numbers.iter().for_each(|number| data.put_f32_le(*number));
        Ok(Self { name: name.to_owned(), data_type: DataType::Fp32, shape, data: TensorData::Raw(data.freeze()) })
    }

    /// What a network gave, as its type says: the backend gives every number as float32.
    pub(super) fn from_array(name: &str, data_type: DataType, array: &ArrayD<f32>) -> Self {
        let size = if data_type == DataType::Int64 { 8 } else { 4 };
        let mut data = BytesMut::with_capacity(array.len() * size);
        for number in array {
            if data_type == DataType::Int64 {
                data.put_i64_le(*number as i64);
            } else {
                data.put_f32_le(*number);
            }
        }
        let shape = array.shape().to_vec();
        Self { name: name.to_owned(), data_type, shape, data: TensorData::Raw(data.freeze()) }
    }

    /// The numbers of a float32 tensor.
    ///
    /// # Errors
    /// `InvalidParameter` for a tensor of another type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        match (&self.data, self.data_type) {
            (TensorData::Raw(data), DataType::Fp32) => {
                let (numbers, _) = data.as_chunks::<4>();
                Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
            }
            _ => Err(invalid(format!("tensor {:?} is of {}, FP32 is expected", self.name, self.data_type.name()))),
        }
    }

    /// The data as it travels in binary.
    pub fn to_binary(&self) -> Bytes {
        match &self.data {
            TensorData::Raw(data) => data.clone(),
            TensorData::Elements(elements) => {
                let mut data = BytesMut::with_capacity(elements.iter().map(|element| element.len() + 4).sum());
                for element in elements {
                    data.put_u32_le(element.len() as u32);
                    data.put_slice(element);
                }
                data.freeze()
            }
        }
    }
}

/// The axes' lengths, and how many elements they make.
fn checked_shape(name: &str, shape: &[i64]) -> Result<(Vec<usize>, usize)> {
    let lengths: Option<Vec<usize>> = shape.iter().map(|length| usize::try_from(*length).ok()).collect();
    let count = lengths.as_ref().and_then(|lengths| {
        // an axis of no length must not hide an overflow
        lengths.iter().try_fold(1_usize, |count, length| count.checked_mul((*length).max(1)))?;
        Some(lengths.iter().product())
    });
    match (lengths, count) {
        (Some(lengths), Some(count)) => Ok((lengths, count)),
        _ => Err(invalid(format!("the shape {shape:?} of tensor {name:?} can't be that of a tensor"))),
    }
}

fn require_count(name: &str, shape: &[usize], expected: usize, given: usize) -> Result<()> {
    if expected == given {
        return Ok(());
    }
    Err(invalid(format!("tensor {name:?} of shape {shape:?} has {expected} elements, {given} are given")))
}

fn require_few(name: &str, count: usize) -> Result<()> {
    if count <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(invalid(format!("tensor {name:?} has {count} BYTES elements, at most {MAX_ELEMENTS} are taken")))
}

/// Elements that each begin with their length, 4 bytes, little-endian.
fn split_elements(name: &str, count: usize, mut data: Bytes) -> Result<Vec<Bytes>> {
    require_few(name, count)?;
    let mut elements = Vec::new();
    while data.has_remaining() && elements.len() <= count {
        let length = data.try_get_u32_le().ok().map(|length| length as usize).filter(|length| *length <= data.len());
        let length = length.ok_or_else(|| {
            invalid(format!("an element of tensor {name:?} says that it is longer than what is left of the data"))
        })?;
        elements.push(data.split_to(length));
    }
    if elements.len() == count {
        return Ok(elements);
    }
    let more = if elements.len() > count { "more" } else { "fewer" };
    Err(invalid(format!("tensor {name:?} holds {more} elements than the {count} of its shape")))
}

fn invalid(message: String) -> InferError {
    InferError::new(ErrorKind::InvalidParameter, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn data_must_fit_its_shape() {
        let bytes = |length: usize| Bytes::from(vec![0; length]);
        let tensor = |shape: &[i64], length| Tensor::from_binary("x", DataType::Fp32, shape, bytes(length));
        tensor(&[2, 3], 24).expect("six numbers");
        tensor(&[0, 3], 0).expect("none");
        let too_many = [i64::MAX, 4];
        let overflow_hidden_by_zero = [i64::MAX, 4, 0];
        for (shape, length) in
            [(&[2, 3][..], 23), (&[2, 3], 28), (&[-1, 3], 12), (&too_many, 16), (&overflow_hidden_by_zero, 0)]
        {
            let refused = tensor(shape, length).expect_err("it doesn't fit");
            assert_eq!(refused.kind, ErrorKind::InvalidParameter, "{shape:?}");
        }
    }

    #[test]
    fn elements_must_say_their_true_lengths() {
        let elements = |data: &[u8]| {
            Tensor::from_binary("x", DataType::Bytes, &[2], Bytes::copy_from_slice(data)).map(|tensor| tensor.data)
        };
        let two = vec![Bytes::from_static(b"ab"), Bytes::new()];
        assert_eq!(elements(b"\x02\0\0\0ab\0\0\0\0"), Ok(TensorData::Elements(two)));
        for lie in [&b"\x02\0\0\0ab"[..], b"\x03\0\0\0ab\0\0\0\0", b"\xff\xff\xff\xffab", b"\x02\0", b"", &[0; 12]] {
            assert!(elements(lie).is_err(), "{lie:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_error_or_a_tensor_that_gives_them_back(
            data in prop::collection::vec(any::<u8>(), 0..64),
            shape in prop::collection::vec(-2i64..9, 0..4),
            of_bytes in any::<bool>(),
        ) {
            let data = Bytes::from(data);
            let data_type = if of_bytes { DataType::Bytes } else { DataType::Uint16 };
            if let Ok(tensor) = Tensor::from_binary("x", data_type, &shape, data.clone()) {
                prop_assert_eq!(tensor.to_binary(), data);
            }
        }
    }
}
