//! A few numbers at a time: one trait over the machine's registers, so that each loop is written once.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache lines of `numbers`, which are needed soon.
#[inline(always)]
pub(crate) fn prefetch<T>(numbers: &[T]) {
    prefetch_share(numbers.as_ptr(), numbers.len(), [0, 1]);
}

/// Asks for the cache lines of one of `parts` neighbouring parts, about the same size, of the `len` numbers at `start`. They needn't be there.
#[inline(always)]
pub(crate) fn prefetch_share<T>(start: *const T, len: usize, [part, parts]: [usize; 2]) {
    for at in (part * len / parts..(part + 1) * len / parts).step_by(LINE / size_of::<T>()) {
        prefetch_line(start.wrapping_add(at));
    }
}

/// Asks for the cache line at `at`, which is needed soon. It needn't be there.
#[inline(always)]
pub(crate) fn prefetch_line<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which no address makes fail
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A register of `LANES` float32 numbers.
///
/// # Safety
/// Every method may be called only on a machine that has the implementation's instructions, from a function compiled
/// for them; the pointers' contracts are each method's own.
pub(crate) unsafe trait Vector: Copy {
    /// Numbers that it holds.
    const LANES: usize;

    /// Reads `LANES` numbers from `from`, which may be unaligned.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads `LANES` whole numbers from `from`, which may be unaligned.
    unsafe fn load_whole(from: *const i16) -> Self;
    /// Writes `LANES` numbers to `to`, which may be unaligned.
    unsafe fn store(self, to: *mut f32);
    /// Reads `count` numbers, fewer than `LANES`, from `from`, and fills up with zeros.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Writes the first `count` numbers, fewer than `LANES`, to `to`.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// `LANES` times `value`.
    unsafe fn splat(value: f32) -> Self;
    /// Lane by lane.
    unsafe fn add(self, other: Self) -> Self;
    /// Lane by lane.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * factor + addend`, lane by lane.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The larger of each lane and 0; what is no number stays.
    unsafe fn relu(self) -> Self;
    /// The nearest to each lane from `low` to `high`; what is no number stays.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![expect(clippy::undocumented_unsafe_blocks, reason = "each passes its caller's contract on to one instruction")]

    use std::arch::x86_64::*;

    use super::Vector;

    /// AVX2's mask of the first `count` of eight lanes.
    #[inline(always)]
    unsafe fn first_lanes(count: usize) -> __m256i {
        const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast()) }
    }

    // SAFETY: each method is one instruction of AVX-512F, on the lanes that the trait names.
    unsafe impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_whole(from: *const i16) -> Self {
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, self) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm512_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            unsafe { _mm512_sub_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, factor, addend) }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // of two operands of which one is no number the instruction gives the second
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), self) }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // as above
            unsafe { _mm512_min_ps(high, _mm512_max_ps(low, self)) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe { _mm512_reduce_add_ps(self) }
        }
    }

    // SAFETY: each method is an instruction or a few of AVX2 and FMA, on the lanes that the trait names.
    unsafe impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_whole(from: *const i16) -> Self {
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            unsafe { _mm256_maskload_ps(from, first_lanes(count)) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm256_maskstore_ps(to, first_lanes(count), self) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            unsafe { _mm256_sub_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            unsafe { _mm256_fmadd_ps(self, factor, addend) }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // of two operands of which one is no number the instruction gives the second
            unsafe { _mm256_max_ps(_mm256_setzero_ps(), self) }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // as above
            unsafe { _mm256_min_ps(high, _mm256_max_ps(low, self)) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe {
                let halves = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
                let pairs = _mm_hadd_ps(halves, halves);
                _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs))
            }
        }
    }
}

/// Four numbers in plain Rust, which every compiler puts into a register of its machine.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; 4]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| combine(self.0[lane], other.0[lane])))
    }
}

// SAFETY: plain Rust runs on every machine.
unsafe impl Vector for Plain {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: `LANES` numbers may be read, by the caller's word; an array has no more alignment than its numbers.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_whole(from: *const i16) -> Self {
        // SAFETY: `LANES` numbers may be read, by the caller's word.
        Self(unsafe { from.cast::<[i16; 4]>().read_unaligned() }.map(f32::from))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: `LANES` numbers may be written, by the caller's word.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: `count` numbers may be read, by the caller's word.
        Self(std::array::from_fn(|lane| if lane < count { unsafe { from.add(lane).read() } } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: `count` numbers may be written, by the caller's word.
        (0..count).for_each(|lane| unsafe { to.add(lane).write(self.0[lane]) });
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|value| if value < 0.0 { 0.0 } else { value }))
    }
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        let above = self.zip(low, |value, low| if value < low { low } else { value });
        above.zip(high, |value, high| if value > high { high } else { value })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
}
