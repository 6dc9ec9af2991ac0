//! Pictures in, tensors out, scores named: pure functions.

pub mod decode;
pub mod geometry;
pub mod postprocess;
pub mod preprocess;
