//! Pictures in, tensors out, scores named: pure functions.
