//! Every sentence of the protocol's description that can be tested, over real sockets: the modules follow its sections,
//! and each test is named after what it holds the server to.

#[path = "../common/mod.rs"]
mod common;
#[path = "../model/mod.rs"]
mod model;

mod conversation;
mod delivery;
mod disconnects;
mod errors;
mod foreign;
mod json;
mod replies;
mod requests;
mod the_model;
mod transport;
