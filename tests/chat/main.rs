//! The terminal client as a process, against real servers and against a made-up one. A client without a screen has
//! pipes; the screen is looked at through a pseudo-terminal and a terminal emulator.

// Not all of them is used here.
#[allow(dead_code)]
#[path = "../common/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../common/random.rs"]
mod random;
#[cfg(feature = "cluster")]
#[allow(dead_code)]
#[path = "../common/redis.rs"]
mod redis;

#[cfg(feature = "cluster")]
mod cluster;
mod filter;
mod hostile;
mod running;
mod screen;
mod terminal;
#[cfg(feature = "tls")]
mod tls;
mod usage;
