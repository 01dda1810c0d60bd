//! Browsers' side of the server, over real sockets: HTTP, WebSocket, health and metrics.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod ends;
mod hostile;
mod http;
mod metrics;
mod proxies;
mod strangers;
mod websocket;

use common::TestServer;
use parlor::options::{Listen, Options};

/// Where the listeners of [`server`] stand among its addresses.
const LINES: usize = 0;
const HTTP: usize = 1;
const METRICS: usize = 2;

/// A server for lines, browsers and metrics.
fn server(change: impl FnOnce(&mut Options)) -> TestServer {
    TestServer::with(|options| {
        let web = ["http:127.0.0.1:0", "metrics:127.0.0.1:0"].map(|listen| listen.parse::<Listen>().unwrap());
        options.listen.extend(web);
        change(options);
    })
}
