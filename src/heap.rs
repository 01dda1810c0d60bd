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

/// A block of this size, when it is freed, has the allocator put free blocks together and look at the heap's end.
const LARGE: usize = 100 << 10;

/// Has other blocks kept aside than those that were used in the burst: such as lie as low in the heap as there is room.
/// Takes a fraction of a millisecond.
pub fn settle() {
    free_large();
    for size in (SIZE_STEP..=SIZE_MAX).step_by(SIZE_STEP) {
        let mut old: Vec<Vec<u8>> = Vec::with_capacity(2 * KEPT_MAX);
        old.extend((0..2 * KEPT_MAX).map(|_| black_box(Vec::with_capacity(size - SIZE_STEP / 2))));
        // The first of them were kept aside until now. Those that are freed first are kept from now on.
        let new = old.split_off(KEPT_MAX);
        drop(new);
        drop(old);
    }
    free_large();
}

fn free_large() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}
