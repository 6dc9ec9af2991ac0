//! Who may come in: every picture of a request gets a permit before anything is decoded, or the request is turned away at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ErrorKind, InferError, Result};

/// A bound on the pictures in flight, over all requests.
#[derive(Debug)]
pub struct Admission {
    pictures: Arc<Semaphore>,
    limit: usize,
}

/// Leave to have some pictures in flight; given back when dropped.
#[derive(Debug)]
#[must_use = "the pictures are in flight only while the permit is held"]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Admission {
    /// Lets `limit` pictures be in flight at once.
    pub fn new(limit: usize) -> Self {
        Self { pictures: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Leave for `pictures` at once, or for none of them.
    ///
    /// # Errors
    /// `InvalidRequest` when so many can never be let in, `Overloaded` when they can't now.
    pub fn admit(&self, pictures: usize) -> Result<Permit> {
        if pictures > self.limit {
            let message = format!("{pictures} images in one request, at most {} are taken; send fewer", self.limit);
            return Err(InferError::new(ErrorKind::InvalidRequest, message));
        }
        let permits = u32::try_from(pictures).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.pictures).try_acquire_many_owned(permits);
        permit.map(Permit).map_err(|_| {
            let message = format!("{} images are in flight already; try again in a moment", self.limit);
            InferError::new(ErrorKind::Overloaded, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none() {
        let admission = Admission::new(3);
        let two = admission.admit(2).expect("two of three fit");
        assert_eq!(admission.admit(2).expect_err("only one is left").kind, ErrorKind::Overloaded);
        let one = admission.admit(1).expect("one is left");
        drop(two);
        let _again = admission.admit(2).expect("two came back");
        drop(one);
    }

    #[test]
    fn more_than_ever_fit_is_the_callers_fault() {
        assert_eq!(Admission::new(3).admit(4).expect_err("never fits").kind, ErrorKind::InvalidRequest);
    }
}
