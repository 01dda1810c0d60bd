//! Helps the allocator to give memory back to the system after a burst. Knows nothing of what the memory was for.
//!
//! glibc's allocator gives back what is free at the end of the heap. But it keeps some freed blocks of each small size
//! aside, which count as used, and one of them that lies at the end keeps all that is below it: after 3840 rooms whose
//! names have 64 KB each, 116 MB stayed, and now 3. Other allocators are left alone.

use std::hint::black_box;

/// Blocks of so many bytes or more are never kept aside.
pub const NEVER_KEPT_ASIDE: usize = 1040;

/// Sizes are rounded up to a multiple of this.
const SIZE_STEP: usize = 16;

/// So many of each size at most: 7, or 16 from glibc 2.42 on.
const KEPT_MAX: usize = 16;

/// A block of this size, when it is freed, has the allocator put free blocks together and look at the heap's end.
const LARGE: usize = 100 << 10;

/// So many of them are taken, to see where there is room. They are not written to, so they cost little.
const LARGE_MAX: usize = 500;

/// The lowest of them make room for the blocks that are kept aside from now on.
const LOWEST: usize = 6;

/// So many blocks are taken out of the way at most.
const HIGH_MAX: usize = 5000;

/// Has other blocks kept aside than those that were used in the burst: such as lie low in the heap. Takes a few
/// milliseconds.
pub fn settle() {
    if !cfg!(target_env = "gnu") {
        return;
    }
    drop(block(LARGE));
    let (mut low, mut high) = (Vec::with_capacity(KEPT_MAX), Vec::with_capacity(HIGH_MAX));
    high.extend((0..LARGE_MAX).map(|_| block(LARGE)));
    high.sort_by_key(|block| block.as_ptr());
    let bound = high.drain(..LOWEST).next_back().map(|block| block.as_ptr());
    // Larger ones first: they fill the holes that lie high, and the small ones then come from where they are to lie.
    let small = (SIZE_STEP..=NEVER_KEPT_ASIDE).rev().step_by(SIZE_STEP);
    for size in [8 << 10, 2 << 10].into_iter().chain(small) {
        while low.len() < KEPT_MAX && high.len() < HIGH_MAX {
            let block = block(size - SIZE_STEP / 2);
            if Some(block.as_ptr()) < bound { low.push(block) } else { high.push(block) }
        }
        // Of each size, those that are freed first are kept from now on.
        low.clear();
    }
    drop(high);
    drop(block(LARGE));
}

fn block(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}
