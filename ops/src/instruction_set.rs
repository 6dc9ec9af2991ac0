//! Which instructions this machine has for the kernels.

use std::sync::atomic::{AtomicU8, Ordering};

/// The place of the best set that [`InstructionSet::best`] gives.
static LIMIT: AtomicU8 = AtomicU8::new(0);

/// Instructions that a kernel is written for, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// 16 numbers at a time.
    Avx512,
    /// 8 numbers at a time, with fused multiply-add.
    Avx2,
    /// What the compiler makes of plain Rust.
    Portable,
}

impl InstructionSet {
    /// The best that this machine has, and that isn't better than the limit; asked once, then remembered by the standard library.
    pub fn best() -> Self {
        let limit = LIMIT.load(Ordering::Relaxed);
        Self::available().find(|set| *set as u8 >= limit).unwrap_or(Self::Portable)
    }

    /// Lets [`InstructionSet::best`] give nothing better than `self` from now on, in the whole process: for comparison.
    pub fn limit(self) {
        LIMIT.store(self as u8, Ordering::Relaxed);
    }

    /// All that this machine has, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Avx512, Self::Avx2, Self::Portable].into_iter().filter(|set| set.is_available())
    }

    /// Whether this machine has it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
    }

    /// Whether this machine has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Portable
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Portable => "portable",
        }
    }
}
