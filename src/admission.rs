//! Who may come in: every picture of a request gets a permit before anything is decoded, and what it takes in memory a share of
//! one budget; or the request is turned away at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ErrorKind, InferError, Rejection, Result};

/// How much a request matters, by its sender's word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// As most.
    #[default]
    Normal,
    /// Finds a place and the network before the others.
    High,
}

/// The part of the places that stays free for high priority: one in so many.
const RESERVED_PART: usize = 8;

/// A bound on the pictures in flight: of one model, or of the whole server.
#[derive(Debug)]
pub struct Admission {
    /// What is bounded, for messages.
    place: String,
    /// What a request that finds no place is told as.
    full: Rejection,
    limit: usize,
    all: Arc<Semaphore>,
    /// The places that normal priority may take.
    shared: Arc<Semaphore>,
}

/// Leave to have some pictures in flight; given back when dropped.
#[derive(Debug)]
#[must_use = "the pictures are in flight only while the permit is held"]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] [Option<OwnedSemaphorePermit>; 2]);

impl Admission {
    /// A bound on the pictures of the whole server.
    pub fn in_all(limit: usize) -> Self {
        Self::new("in all".into(), Rejection::ServerFull, limit)
    }

    /// A bound on those of one model.
    pub fn in_model(name: &str, limit: usize) -> Self {
        Self::new(format!("in model {name}"), Rejection::QueueFull, limit)
    }

    /// Lets `limit` pictures be in flight at once; an eighth of them, where there are eight, only with high priority. `place`
    /// completes the sentence "so many images are in flight ...".
    fn new(place: String, full: Rejection, limit: usize) -> Self {
        let shared = limit - limit / RESERVED_PART;
        Self { place, full, limit, all: Arc::new(Semaphore::new(limit)), shared: Arc::new(Semaphore::new(shared)) }
    }

    /// Leave for `pictures` at once, or for none of them.
    ///
    /// # Errors
    /// `InvalidRequest` when so many can never be let in, `Overloaded` when they can't now.
    pub fn admit(&self, pictures: usize, priority: Priority) -> Result<Permit> {
        let most = if priority == Priority::High { self.limit } else { self.limit - self.limit / RESERVED_PART };
        if pictures > most {
            let message = format!("{pictures} images in one request, at most {most} are taken; send fewer");
            return Err(InferError::new(ErrorKind::InvalidRequest, message));
        }
        let full = || {
            let message = format!("{} images are in flight {} already; try again in a moment", self.limit, self.place);
            InferError::new(ErrorKind::Overloaded, message).because(self.full)
        };
        let shared = match priority {
            Priority::High => None,
            Priority::Normal => Some(take(&self.shared, pictures).ok_or_else(full)?),
        };
        let all = take(&self.all, pictures).ok_or_else(full)?;
        Ok(Permit([Some(all), shared]))
    }

    /// Pictures in flight now.
    pub fn in_flight(&self) -> usize {
        self.limit - self.all.available_permits()
    }

    /// Pictures in flight at most.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// Bytes that a unit of [`MemoryBudget`] stands for: the semaphore counts to no more than `u32::MAX` at a time.
const BUDGET_UNIT_BYTES: u64 = 1024;

/// A bound on the bytes of request bodies and decoded pictures that are held at once. Clones share one budget.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    limit_bytes: u64,
    units_in_all: usize,
    units: Arc<Semaphore>,
}

/// A part of the memory budget; given back when dropped.
#[derive(Debug)]
#[must_use = "the memory is accounted for only while the share is held"]
pub struct MemoryShare(OwnedSemaphorePermit);

impl MemoryShare {
    /// Gives back what is over `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let kept = usize::try_from(units(bytes)).unwrap_or(usize::MAX);
        drop(self.0.split(self.0.num_permits().saturating_sub(kept)));
    }
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        let units = usize::try_from(units(limit_bytes)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { limit_bytes, units_in_all: units, units: Arc::new(Semaphore::new(units)) }
    }

    /// A share of `bytes`, rounded up to whole KiB.
    ///
    /// # Errors
    /// `PayloadTooLarge` when there is never so much, `Overloaded` when there isn't now.
    pub fn take(&self, bytes: u64) -> Result<MemoryShare> {
        if bytes > self.limit_bytes {
            let message = format!("the request needs {bytes} bytes of memory, the server has {}", self.limit_bytes);
            return Err(InferError::new(ErrorKind::PayloadTooLarge, message));
        }
        let wanted = usize::try_from(units(bytes)).unwrap_or(usize::MAX);
        take(&self.units, wanted).map(MemoryShare).ok_or_else(|| {
            let message = "the memory set aside for bodies and pictures is in use; try again in a moment";
            InferError::new(ErrorKind::Overloaded, message).because(Rejection::Memory)
        })
    }

    /// Bytes of it that are in use now.
    pub fn used_bytes(&self) -> u64 {
        self.units_in_all.saturating_sub(self.units.available_permits()) as u64 * BUDGET_UNIT_BYTES
    }

    /// Bytes of it in all.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(BUDGET_UNIT_BYTES)
}

fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_many_owned(u32::try_from(permits).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
        outcome.expect_err("turned away").kind
    }

    #[test]
    fn all_or_none() {
        let admission = Admission::in_model("m", 3);
        let two = admission.admit(2, Priority::Normal).expect("two of three fit");
        assert_eq!(kind(admission.admit(2, Priority::Normal)), ErrorKind::Overloaded, "only one is left");
        let one = admission.admit(1, Priority::Normal).expect("one is left");
        assert_eq!(admission.in_flight(), 3);
        drop(two);
        let _again = admission.admit(2, Priority::Normal).expect("two came back");
        drop(one);
    }

    #[test]
    fn more_than_ever_fit_is_the_callers_fault() {
        assert_eq!(kind(Admission::in_model("m", 3).admit(4, Priority::High)), ErrorKind::InvalidRequest);
        assert_eq!(kind(Admission::in_model("m", 8).admit(8, Priority::Normal)), ErrorKind::InvalidRequest);
    }

    #[test]
    fn high_priority_finds_a_place_when_normal_does_not() {
        let admission = Admission::in_model("m", 16);
        let _crowd = admission.admit(14, Priority::Normal).expect("all but the reserved ones");
        assert_eq!(kind(admission.admit(1, Priority::Normal)), ErrorKind::Overloaded);
        let _urgent = admission.admit(2, Priority::High).expect("the reserved ones");
        assert_eq!(kind(admission.admit(1, Priority::High)), ErrorKind::Overloaded, "bounded all the same");
    }

    #[test]
    fn a_refused_request_holds_nothing() {
        let admission = Admission::in_model("m", 16);
        let urgent = admission.admit(16, Priority::High).expect("all");
        assert_eq!(kind(admission.admit(1, Priority::Normal)), ErrorKind::Overloaded);
        drop(urgent);
        let _all = admission.admit(14, Priority::Normal).expect("nothing was kept by the refused one");
    }

    #[test]
    fn memory_is_shared_out_in_kibibytes() {
        let budget = MemoryBudget::new(4096);
        assert_eq!(kind(budget.take(4097)), ErrorKind::PayloadTooLarge);
        let first = budget.take(3000).expect("three of four");
        assert_eq!((budget.used_bytes(), budget.limit_bytes()), (3072, 4096));
        assert_eq!(kind(budget.take(1025)), ErrorKind::Overloaded);
        let _second = budget.take(1024).expect("the last");
        drop(first);
        let mut third = budget.take(2049).expect("three came back");
        third.shrink_to(1000);
        let _fourth = budget.take(2048).expect("two more came back");
    }
}
