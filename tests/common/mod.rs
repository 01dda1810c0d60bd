//! What the tests share.

// Each test program uses another part of this.
#![allow(dead_code)]

pub mod corpora;
pub mod random;
pub mod requests;
