//! parlor: a chat server in one thread and one poll loop.
//!
//! Clients connect over TCP or a Unix socket, send one JSON object a line, take a nickname, join rooms, and get what
//! others write there. There is no async runtime, no lock and no second thread.
//!
//! ```
//! use parlor::{Listen, Options, Server};
//!
//! let options = Options { listen: vec![Listen::tcp("127.0.0.1:0")], ..Options::default() };
//! let (sender, receiver) = std::sync::mpsc::channel();
//! // A server is bound and run in one thread.
//! let running = std::thread::spawn(move || {
//!     let server = Server::bind(&options)?;
//!     let _ = sender.send((server.addresses(), server.stopper()));
//!     server.run()
//! });
//! let (addresses, stopper) = receiver.recv().expect("the address is free");
//! println!("clients connect to {}", addresses[0]);
//! stopper.stop();
//! running.join().expect("the server does not panic")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The rest of this page is a tour of the source, from the poll down.
//!
//! # The life of one message
//!
//! Alice, Bob and Cem are in the room `hall`. Bob sends `{"action": "SEND MESSAGE", "room_id": "hall", "text": "hi"}`.
//! One turn of the loop does all that follows:
//!
//! ```text
//!      Bob's socket                                     the sockets of  Alice   Cem   Bob
//!           |                                                             ^      ^     ^
//!  kernel   |                                                             |      |     |
//! ==========|=============================================================|======|=====|====
//!  parlor   v                                                             |      |     |
//!      Poll::poll               server.rs    1                            |      |     |
//!           v                                                             |      |     |
//!      Loop::run                server.rs                                 |      |     |
//!        |-- take_events, route                                        |      |     |
//!        |     `-- Hub::event   hub.rs       2  "Bob can be read from"    |      |     |
//!        `-- Hub::turn          hub.rs                                    |      |     |
//!              |-- read_ready, read, read_requests   hub/read.rs          |      |     |
//!              |     |-- Transport::receive  3  bytes                     |      |     |
//!              |     `-- execute_lines, execute_each                      |      |     |
//!              |           |-- Lines::next   4  bytes -> a line           |      |     |
//!              |           `-- Dispatch::execute   5                      |      |     |
//!              |                 |-- protocol::parse  a line -> a Request |      |     |
//!              |                 |-- apply            which room is that? |      |     |
//!              |                 |-- Fanout::reply    RESPONSE -> Bob's outbox   |     |
//!              |                 `-- Fanout::say      GET MESSAGE -> the batch   |     |
//!              |-- flush        hub/write.rs                              |      |     |
//!              |     |-- write_to_room       6  the batch ----------------+------+     |
//!              |     `-- write_list, write   7  Bob's outbox --------------------------+
//!              |-- expire       hub/end.rs   8
//!              |-- write_list   hub/write.rs 8
//!              `-- reap         hub/end.rs   8
//! ```
//!
//! 1. `Loop::run` waits in `Poll::poll`. Every socket is registered edge-triggered: an event says that
//!    something has changed, and says it once.
//! 2. [`Hub::event`](hub::Hub::event) only makes a note: Bob's connection goes on the list of those to be read from.
//!    When all events of this poll are noted, [`Hub::turn`](hub::Hub::turn) does the work.
//! 3. `read_ready` takes the connections from that list. [`Transport::receive`](transport::Transport::receive) reads
//!    once, into one buffer that all clients share, and tells whether there may be more.
//! 4. [`Lines::next`](lines::Lines::next) finds the line ends. What is not used up is copied and kept for its
//!    client: as a rule an unfinished line; but whole lines too, where the client has had its share of the turn,
//!    has sent more than `--rate` allows, or does not take its replies.
//! 5. [`Dispatch::execute`](dispatch::Dispatch::execute) turns the line into a request, and carries it out on the
//!    tables ([`Chat`](chat::Chat)). [`Fanout::reply`](fanout::Fanout::reply) appends the RESPONSE to Bob's
//!    [`Outbox`](outbox::Outbox). [`Fanout::say`](fanout::Fanout::say) encodes the message once, into the
//!    [`Batch`](batch::Batch) of the room; Bob's outbox gets a *range* of that batch, behind his RESPONSE. Nothing has
//!    been written yet.
//! 6. When all have been read, `write_to_room` walks the members of the room that spoke last. Alice and Cem have
//!    nothing else to get, so they are written to straight from the batch.
//! 7. `write_list` writes to those that are listed: each for whom something was queued in this turn, was left
//!    over by the last one, or can go on because its socket has room again. Bob gets RESPONSE and message in
//!    one `write`. What a socket does not take stays in the outbox, and goes on when an event says that there
//!    is room.
//! 8. `expire` looks at the time-outs that have come up. (A client that seems idle is read from once more in the
//!    next turn, before it is ended.) A second `write_list` sends the last words of clients that had to go because
//!    memory was short, and pings. `reap` frees the slots of connections that were closed.
//!
//! What `strace` shows of it (descriptors 8, 9 and 10 are Alice, Bob and Cem; lines are folded here):
//!
//! ```text
//! epoll_wait(5, [{events=EPOLLIN|EPOLLOUT, data={u32=1, u64=1}}], 256, -1) = 1                     steps 1, 2
//! recvfrom(9, "{\"action\": \"SEND MESSAGE\", \"room_id\": \"hall\", \"text\": \"hi\"}\n",
//!          65536, 0, NULL, NULL) = 60                                                              steps 3 to 5
//! sendto(8, "{\"action\":\"GET MESSAGE\",\"room_id\":\"hall\",\"author\":\"Bob\",\"text\":\"hi\"}\n",
//!          69, MSG_NOSIGNAL, NULL, 0) = 69                                                         step 6
//! sendto(10, "{\"action\":\"GET MESSAGE\",\"room_id\":\"hall\",\"author\":\"Bob\",\"text\":\"hi\"}\n",
//!          69, MSG_NOSIGNAL, NULL, 0) = 69                                                         step 6
//! sendto(9, "{\"action\":\"RESPONSE\",\"request\":{\"action\": \"SEND MESSAGE\", \"room_id\": \"hall\",
//!          \"text\": \"hi\"},\"message\":\"OK\"}\n{\"action\":\"GET MESSAGE\",\"room_id\":\"hall\",
//!          \"author\":\"Bob\",\"text\":\"hi\"}\n", 176, MSG_NOSIGNAL, NULL, 0) = 176                   step 7
//! epoll_wait(5, ...                                                                                the next turn
//! ```
//!
//! One `recvfrom` and three `sendto`: that is all that the kernel is asked for. 60 bytes read into a buffer of 65536
//! mean that the socket is empty, so nobody asks again. To see it yourself: `strace -s 200 -e trace=network,/epoll_p?wait
//! target/release/parlor`.
//!
//! # Why everybody hears one order
//!
//! At any time at most one batch is *open* in the whole server: that of the room that was last written to. We say that
//! this room *speaks*. The outbox of each member knows up to which position of the open batch everything is queued for
//! it. Before a client gets a line of its own it is *caught up*: the part that it has not got is queued first.
//!
//! The batch is *sealed* when another room speaks, when somebody joins or leaves this one, when it has grown to 64 KB,
//! and when all have been read: after that, every member has been sent what was said, or has it queued. (When all have
//! been read, that is `write_to_room`: who has nothing else to get is written to straight from the batch.) In the first
//! three cases the batch is *closed* too, and another one is opened for whoever speaks next; after a turn it is closed
//! unless slow members still wait for it. So everybody gets the
//! lines in the order in which they were caused. [`fanout`] begins with an example of three people.
//!
//! # What bounds memory
//!
//! - An idle client owns one record ([`Connection`](connection::Connection)) and its entries in the tables,
//!   no buffer. Each room that it is in adds up to 230 bytes there, so `--max-rooms` is a bound of memory too.
//! - Input: at most one line and one read for a client. It is not read from while more than 64 KB, or
//!   `--max-pending` if that is less, waits of what it has caused itself: its replies, and its own messages
//!   coming back.
//! - Output: others' messages up to `--max-pending` for a client, or one line, however long. The bytes of a
//!   batch are there once, however many wait for them; each who waits has ranges of it.
//! - All together: what waits is counted in [`Memory`](batch::Memory), and long names of rooms are added to
//!   it. Past `--max-memory` the client for which most waits is disconnected, until the rest fits. What is
//!   shared or kept for its next use is not counted, and has bounds of its own: the read buffer, the scratch
//!   buffers, spare outboxes and spare batches.
//!
//! # The modules, in reading order
//!
//! None uses those that come after it, with three exceptions: the values of [`options`]; [`chat`] takes a
//! constant from [`heap`]; the hub and the server take from [`logging`] how often, and in what form, a thing
//! is logged. Each can be read, tested and benchmarked without those behind it.
//!
//! 1. [`lines`]: bytes become lines, with a limit.
//! 2. [`protocol`]: the wire. A line becomes a request (`request.rs`, `parameters.rs`, and `plain.rs`, a fast path that
//!    can be deleted); which names are allowed (`nickname.rs`); escapes (`text.rs`); what the server says (`reply.rs`,
//!    `disconnect.rs`); connections that begin with HTTP, TLS or a PROXY header (`foreign.rs`).
//! 3. [`chat`]: who is who and who is where, in two tables.
//! 4. [`transport`]: the contract between the hub and a socket.
//! 5. [`batch`] and [`outbox`]: what a room says, shared; and what waits for one client.
//! 6. [`budget`] and [`fanout`]: how much a turn may do; the outboxes of all clients, and the batch of the room that
//!    speaks. The heart of it.
//! 7. [`dispatch`]: a request is carried out. No I/O.
//! 8. [`deadlines`], [`ip_key`], [`connection`] and [`heap`]: time-outs of all kinds; what counts as one
//!    address; one client; how memory goes back to the system after a burst.
//! 9. [`hub`]: every connection, and what a turn does with them: `read.rs`, `write.rs`, `end.rs`, `memory.rs`, `report.rs`.
//! 10. [`proxy`] and [`server`]: the PROXY header; the poll loop, the listeners, the signals. Only here
//!     clients are polled, and the hub's time is read from a clock. (The log and the optional parts have
//!     polls or clocks of their own.)
//! 11. [`options`] and [`logging`]: the command line, and where the log goes. `main.rs` puts it all together.
//!
//! All modules are public, so that tests and benches can reach each by itself; what a user of the crate needs is at the
//! root.
//!
//! The optional parts, each behind the cargo feature of its name. The default build has nothing of them.
//! `web` and `tls` meet the rest in marked lines (`cfg`) of `server` and what is below it; `cluster` in
//! marked lines of `server`, `hub`, `connection`, `dispatch`, `chat` and `protocol/disconnect.rs`. A little that only
//! they need is always there, because the lines would not be fewer without it: pings, the work list of handshakes, and
//! counters for each action. Their options stand with the others, and `options/parts.rs` says which of them are built in.
//!
//! - `web`: the page, WebSocket, health and metrics. WebSocket is one more [`Transport`](transport::Transport).
//! - `tls`: likewise; it stands between a socket and the lines.
//! - `cluster`: several nodes as one server. A request can then also end in a question to Redis.
//! - `client`, with the feature `chat`: a client's half of the protocol, for `parlor-chat`.
//!
//! # What holds everywhere
//!
//! - Between two polls nothing blocks. The cost of a turn depends on what happened in it, not on how many
//!   clients are connected. There are two rare walks over all clients: `free_memory`, when `--max-memory` is
//!   passed, and `renew_lists`, when the last of many long room names has gone. SIGUSR1, a
//!   scrape of the metrics and the stop look at all clients too, and so does a node that loses its cluster.
//! - A turn has a bound of about 100 ms ([`budget`]). Writes that are left go first in the next turn, and
//!   nobody is read in it. Requests that are left keep their place.
//! - An edge-triggered poll says a thing once. Whoever stops before the kernel has said that there is no more
//!   (`WouldBlock`, or a read shorter than its buffer) is remembered.
//! - Nothing is removed while anything is walked: it is marked, and removed at the end of the turn.
//! - No input, no error of a socket and no shortage of descriptors panics, spins or stops the loop.
//!
//! # Exercises for the reader
//!
//! From easy to hard. `cargo test --test simulation --test protocol` tells whether all promises still hold.
//!
//! 1. **Break the order.** Take the call of `catch_up` out of [`Fanout::reply`](fanout::Fanout::reply). Say
//!    first who will hear what too early, then run the tests. One of the two finds it; why not the other? The
//!    second call, in [`Fanout::say`](fanout::Fanout::say), comes too late: the reply is queued by then.
//!    Begin with the example at the head of `src/fanout.rs`.
//! 2. **Count something.** Let `--stats` and SIGUSR1 also tell the longest text that was sent. Begin with
//!    [`RequestCounters`](dispatch::RequestCounters) in `src/dispatch.rs` and its way to the log, `src/hub/report.rs`.
//! 3. **A fifth action**, `WHO IS HERE`: the reply names the members of a room. Begin with
//!    [`Request`](protocol::Request) in `src/protocol/request.rs`, then `apply` in `src/dispatch.rs`; teach it to the
//!    model in `tests/model` too. How long may the reply become, and what must bound it?
//! 4. **The latest messages for those who join.** A room keeps its last 20 messages, and JOIN ROOM sends them behind
//!    its reply. Begin with `apply` and [`Fanout::close`](fanout::Fanout::close). A [`Batch`](batch::Batch) can
//!    be kept by cloning its handle; where does that memory count, and what lets go of it when there is too little?
//! 5. **Completions instead of readiness.** Nearly all CPU time goes into `write`. Let one `io_uring` submit all writes
//!    of a turn in one system call. Begin with [`Transport`](transport::Transport), `write_to_room` in
//!    `src/hub/write.rs` and `src/server.rs`. Which bytes may not move until the kernel is done with them? Measure with
//!    `cargo bench --bench load -- fanout-single rooms --before target/release/parlor-of-before`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod batch;
pub mod budget;
pub mod chat;
#[cfg(feature = "chat")]
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
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
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;
#[cfg(feature = "web")]
pub mod web;

pub use hub::Counters;
pub use options::{Listen, Options};
pub use server::{Ended, Server, Stopper};
