//! Browsers: the page, WebSocket, health and metrics. An optional part, behind the feature `web`.
//!
//! In reading order:
//!
//! 1. [`frames`] and [`utf8`]: RFC 6455's frames, and whether a text that still comes is UTF-8.
//! 2. [`incoming`]: a client's frames become the lines that the hub carries out.
//! 3. [`outgoing`]: the lines that the hub has for a client become frames.
//!
//! 4. [`hosts`], [`request`], [`response`] and [`site`]: what is served over HTTP, and the way from there to WebSocket.
//!
//! 5. [`socket`]: a client over WebSocket, as the hub sees it.
//! 6. [`page`]: the page's files.
//! 7. [`metrics`]: what the server counts, for Prometheus.
//! 8. [`door`]: connections that are not WebSockets, or not yet.
//!
//! None of them knows the poll; a member over WebSocket has the same outbox with the same lines as one over TCP.

pub mod base64;
pub mod door;
pub mod frames;
pub mod hosts;
pub mod incoming;
pub mod metrics;
pub mod outgoing;
pub mod page;
pub mod request;
pub mod response;
pub mod site;
pub mod socket;
pub mod utf8;
