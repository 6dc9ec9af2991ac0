//! Pictures in, tensors out, scores named: pure functions.

pub mod decode;
pub mod detect;
pub mod draw;
pub mod geometry;
pub mod postprocess;
pub mod preprocess;
