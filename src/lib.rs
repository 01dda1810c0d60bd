//! parlor: a chat server in one thread and one poll loop.
//!
//! Clients connect over TCP or a Unix socket, send one JSON object a line, take a nickname, join rooms, and get what
//! others write there. There is no async runtime, no lock and no second thread: a chat server is a pipe with
//! tables in the middle, and a loop is enough to turn it.
//!
//! ```
//! use parlor::{Listen, Options, Server};
//!
//! let options = Options { listen: vec![Listen::tcp("127.0.0.1:0")], ..Options::default() };
//! let server = Server::bind(&options)?;
//! println!("clients connect to {}", server.addresses()[0]);
//! let stopper = server.stopper();
//! let running = std::thread::spawn(|| server.run());
//! stopper.stop();
//! running.join().expect("the server does not panic")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The tour
//!
//! Bytes come in on a socket, become lines, become requests, change the tables, become lines for other clients, and go
//! out. The modules stand in that order; none knows those that drive it, and each can be read, tested and benchmarked
//! without them. In reading order:
//!
//! 1. [`lines`]: bytes become lines, with a limit.
//! 2. [`protocol`]: a line becomes a request; what the server says becomes lines.
//! 3. [`chat`]: who is who and who is where, in two tables whose records are found by name through
//!    [`chat::directory`].
//! 4. [`turn`]: what one turn of the loop has to say, written once and shared by all who get it. The heart of it.
//! 5. [`outbox`]: what the kernel would not take, kept once for all who wait for it.
//! 6. [`connection`]: one client: a stream, its unfinished input, its outbox.
//! 7. [`hub`]: every connection, and what a turn does with them: read, carry out, deliver, flush, end. With
//!    [`timers`], the time-outs, and [`slots`], the table in which connections lie.
//! 8. [`server`]: the poll loop, the listeners and the signals. The one place that polls and looks at the clock.
//! 9. [`options`] and [`logging`]: the command line, and where the log goes. `main.rs` puts it all together.
//!
//! All modules are public, so that tests and benches can reach each layer by itself; what a user of the crate needs
//! is at the root.
//!
//! # What holds everywhere
//!
//! - Between two polls nothing blocks, and the cost of a turn depends
//!   on what happened in it, not on how many clients are connected.
//! - An idle client owns no buffer.
//! - An edge-triggered poll says a thing once: whoever stops before the kernel has said `WouldBlock` is remembered.
//! - Nothing is removed while anything is walked: it is marked, and removed after.
//! - No input, no error of a socket and no shortage of descriptors panics, spins or stops the loop.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod batch;
pub mod budget;
pub mod chat;
#[cfg(feature = "chat")]
pub mod client;
pub mod connection;
pub mod deadlines;
pub mod dispatch;
pub mod fanout;
pub mod heap;
pub mod hub;
pub mod ip_key;
pub mod lines;
pub mod logging;
pub mod options;
pub mod outbox;
pub mod protocol;
pub mod proxy;
pub mod server;
pub mod transport;

pub use hub::Counters;
pub use options::{Listen, Options};
pub use server::{Address, Bound, Ended, Server, Stopper};
