//! Keeps panics from unwinding into ONNX Runtime, where they would end the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ort::{Error, Result};

use super::NAME;

/// Runs `work`; a panic becomes an error and never unwinds into C.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // what `work` was changing doesn't outlive the run: a half-written output goes with the error
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        Err(Error::new(format!("{NAME} panicked: {}", message.unwrap_or("without a message"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded::<()>(|| panic!("a kernel's defect {}", 7)).expect_err("it panicked");
        assert!(error.message().contains("a kernel's defect 7"), "{error}");
        let error = guarded::<()>(|| panic!("plain")).expect_err("it panicked");
        assert!(error.message().contains("plain"), "{error}");
        assert!(guarded(|| Ok(7)).is_ok_and(|value| value == 7));
    }
}
