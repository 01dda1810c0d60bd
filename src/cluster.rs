//! Several nodes as one server: rooms span them, a nickname is unique on all of them. One Redis or Valkey joins them.
//!
//! ```text
//! a client's line ─► dispatch ─ask─► node ═══ question ══► engine
//!                                     │ ▲                    │
//!   reply, then message ◄─── hear ────┘ ╚═ answer, message ══╝══► the other nodes
//! ```
//!
//! A request that the tables of this node cannot answer makes its client wait for the engine, as if by `--rate`; all
//! others go on. A message is delivered when it comes back from the engine, like those of other nodes, so all members
//! of a room get one order. When the link is lost nobody can know what was missed, and every client is told.
//!
//! In reading order: [`resp`], the engine's protocol; [`url`] and [`keys`], names; [`question`], what is asked;
//! [`node`], the state of the link; `dispatch.rs`, requests and answers on the tables; `hub/link.rs`, a turn's part
//! of it; [`link`], the socket; [`clock`]. All but the last two are free of I/O and driven by the hub's time.

pub mod clock;
mod dispatch;
pub mod keys;
pub mod link;
pub mod node;
pub mod question;
pub mod resp;
pub mod url;

pub use dispatch::MAX_LINE_BYTES;
pub use keys::guests;
pub use link::Link;
pub use node::{Config, Node};
pub use question::Question;
pub use url::Url;
