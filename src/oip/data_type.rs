//! The element types of the protocol's tensors.

use crate::error::{ErrorKind, InferError, Result};

/// An element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum DataType {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

/// Every type with its name and, where all elements have one, its size in bytes.
const TYPES: [(DataType, &str, Option<usize>); 14] = [
    (DataType::Bool, "BOOL", Some(1)),
    (DataType::Uint8, "UINT8", Some(1)),
    (DataType::Uint16, "UINT16", Some(2)),
    (DataType::Uint32, "UINT32", Some(4)),
    (DataType::Uint64, "UINT64", Some(8)),
    (DataType::Int8, "INT8", Some(1)),
    (DataType::Int16, "INT16", Some(2)),
    (DataType::Int32, "INT32", Some(4)),
    (DataType::Int64, "INT64", Some(8)),
    (DataType::Fp16, "FP16", Some(2)),
    (DataType::Bf16, "BF16", Some(2)),
    (DataType::Fp32, "FP32", Some(4)),
    (DataType::Fp64, "FP64", Some(8)),
    (DataType::Bytes, "BYTES", None),
];

impl DataType {
    /// The type called `name`.
    ///
    /// # Errors
    /// `InvalidParameter` for a name that the protocol doesn't have.
    pub fn parse(name: &str) -> Result<Self> {
        TYPES.iter().find(|(_, known, _)| *known == name).map(|(data_type, _, _)| *data_type).ok_or_else(|| {
            let names = TYPES.map(|(_, name, _)| name).join(", ");
            InferError::new(ErrorKind::InvalidParameter, format!("no datatype is called {name:?}; they are {names}"))
        })
    }

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// Bytes of an element; none where they differ.
    pub fn size_bytes(self) -> Option<usize> {
        self.entry().2
    }

    /// By the name that a [`TensorInfo`](crate::backend::TensorInfo) has.
    pub(super) fn of_network(data_type: &str) -> Self {
        if data_type == "i64" { Self::Int64 } else { Self::Fp32 }
    }

    fn entry(self) -> &'static (Self, &'static str, Option<usize>) {
        &TYPES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for (data_type, name, size) in TYPES {
            assert_eq!(DataType::parse(name), Ok(data_type));
            assert_eq!((data_type.name(), data_type.size_bytes()), (name, size));
        }
        assert!(DataType::parse("FP8").is_err());
    }
}
