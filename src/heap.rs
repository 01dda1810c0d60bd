//! Helps the allocator to give memory back to the system after a burst. Knows nothing of what the memory was for.
//!
//! glibc's allocator gives back what is free at the end of the heap. But it keeps some freed blocks of each small size
//! aside, which count as used, and one of them that lies at the end keeps all that is below it: after 3840 rooms whose
//! names have 64 KB each, 116 MB stayed, and now 3. With any other allocator this does nothing of note.

use std::hint::black_box;

/// Blocks up to this size are kept aside.
const SIZE_MAX: usize = 1040;

/// Sizes are rounded up to a multiple of this.
const SIZE_STEP: usize = 16;

/// So many of each size at most: 7, or 16 from glibc 2.42 on.
const KEPT_MAX: usize = 16;

/// A block of this size, when it is freed, has the allocator put free blocks together and look at the heap's end. And
/// where it lies shows where there is much room.
const LARGE: usize = 100 << 10;

/// Blocks within this distance of such a block lie low enough.
const NEAR: usize = 1 << 20;

/// So many blocks are taken out of the way at most, for each size, to get at some that lie low.
const HIGH_MAX: usize = 512;

/// Has other blocks kept aside than those that were used in the burst: such as lie low in the heap. Takes a millisecond
/// or two.
pub fn settle() {
    free_large();
    let large = black_box(Vec::<u8>::with_capacity(LARGE));
    let bound = large.as_ptr() as usize + NEAR;
    let (mut low, mut high) = (Vec::with_capacity(KEPT_MAX), Vec::with_capacity(HIGH_MAX));
    for size in (SIZE_STEP..=SIZE_MAX).step_by(SIZE_STEP) {
        // The first of them were kept aside until now. Then come those that lie between others, wherever that is.
        while low.len() < KEPT_MAX && high.len() < HIGH_MAX {
            let block: Vec<u8> = black_box(Vec::with_capacity(size - SIZE_STEP / 2));
            if (block.as_ptr() as usize) < bound { low.push(block) } else { high.push(block) }
        }
        // Those that are freed first are kept from now on.
        low.clear();
        high.clear();
    }
    drop(large);
    free_large();
}

fn free_large() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}
