//! The processor's counter of time, which takes less to read than any clock.
#![allow(unsafe_code, reason = "an instruction of the processor that no safe call reads")]

/// Reads a counter that never stops, has the same rate on all processors, and at least half a tick
/// a nanosecond. `None` where no such counter is known. It is read out of order, a few nanoseconds
/// early or late.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
pub(crate) fn ticks() -> Option<u64> {
    use std::arch::x86_64::_rdtsc;
    use std::sync::OnceLock;

    static STEADY: OnceLock<bool> = OnceLock::new();
    // SAFETY: every x86-64 processor has the instruction.
    STEADY.get_or_init(is_steady).then(|| unsafe { _rdtsc() })
}

/// Whether the processor says that its time stamp counter is invariant (Intel SDM, volume 3,
/// "Invariant TSC").
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[cold]
fn is_steady() -> bool {
    use std::arch::x86_64::__cpuid;

    const HIGHEST: u32 = 0x8000_0000;
    const POWER: u32 = 0x8000_0007;
    __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx & 1 << 8 != 0
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) fn ticks() -> Option<u64> {
    None
}
