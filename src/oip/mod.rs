//! The Open Inference Protocol (KServe V2) without its wires: tensors in, tensors out, and what is told of server and models. The faces
//! translate between these types and JSON, binary bodies or protobuf.
//!
//! A model takes its network's one input as a float32 batch, prepared by the caller; or, under the same name, a `BYTES` tensor of
//! pictures' files, which are decoded and preprocessed as `/classify` does it.

mod classification;
mod data_type;
mod infer;
mod metadata;
mod repository;
mod request;
mod tensor;

pub use data_type::DataType;
pub use metadata::{ModelMetadata, ModelStatistics, PLATFORM, ServerMetadata, TensorMetadata};
pub use repository::{IndexEntry, ModelState, refuse_parameters};
pub use request::{RequestedOutput, TensorRequest, TensorResponse, priority};
pub use tensor::{MAX_ELEMENTS, Tensor, TensorData};
