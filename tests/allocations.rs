//! What is allocated: nothing while everybody talks, and little for a client that is silent.
//!
//! One test after the other, in one function: the allocator counts for the whole process.

#[path = "../benches/made_up/mod.rs"]
mod made_up;

use std::alloc::System;

use made_up::{Input, MadeUpHub, join, login, send};
use parlor::chat::ClientId;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Turns after which every buffer has the size that it needs.
const WARM_UP: usize = 20;
const TURNS: usize = 100;

/// The test harness has a thread of its own, which may allocate just then. What the hub allocates it allocates each time.
const ATTEMPTS: usize = 3;

/// What an idle client may take: logged in, and in one room of ten.
const IDLE_BYTES_MAX: usize = 300;

#[test]
fn allocations() {
    assert!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))) > 0, "the allocator does not count");
    fan_out();
    pipelined_requests();
    room_chatter();
    idle_clients();
}

/// 64 messages to 1000 members, one of whom sends them.
fn fan_out() {
    let (mut hub, clients) = house(1, 1000);
    let burst = hub.lay(&send(0).repeat(64));
    steady(&mut hub, &[(clients[0], burst)], 64 * 1000);
}

/// 50 clients, each alone in its room, send 16 requests at once. That fills several turns of the hub.
fn pipelined_requests() {
    let (mut hub, clients) = house(50, 1);
    let script = clients.iter().enumerate();
    let script: Vec<_> = script.map(|(room, &client)| (client, hub.lay(&send(room).repeat(16)))).collect();
    steady(&mut hub, &script, 50 * 16);
}

/// Everybody in 200 rooms of 10 says something.
fn room_chatter() {
    let (mut hub, clients) = house(200, 10);
    let script = clients.iter().enumerate();
    let script: Vec<_> = script.map(|(number, &client)| (client, hub.lay(&send(number / 10)))).collect();
    steady(&mut hub, &script, 200 * 10 * 10);
}

/// The difference between two sizes, so that what the house itself takes does not count. Both are a little less than a
/// power of two, as tables that double like it least.
fn idle_clients() {
    let [fewer, more] = [8_000, 16_000].map(|clients| {
        let before = allocated_bytes();
        let (hub, _) = house(clients / 10, 10);
        let bytes = allocated_bytes() - before;
        assert_eq!(hub.hub.chat().clients_len(), clients);
        bytes
    });
    let bytes = (more - fewer) / 8_000;
    println!("an idle client takes {bytes} bytes");
    assert!(bytes <= IDLE_BYTES_MAX, "an idle client takes {bytes} bytes, more than {IDLE_BYTES_MAX}");
}

/// Rooms with so many members each; the clients, room after room.
fn house(rooms: usize, members: usize) -> (MadeUpHub, Vec<ClientId>) {
    let mut hub = MadeUpHub::new(rooms * members);
    let mut clients = Vec::with_capacity(rooms * members);
    for number in 0..rooms * members {
        let client = hub.connect();
        hub.ask(client, &(login(&format!("nick-{number}")) + &join(number / members)));
        clients.push(client);
    }
    (hub, clients)
}

/// Turns in which the same is sent again and again allocate nothing.
fn steady(hub: &mut MadeUpHub, script: &[(ClientId, Input)], deliveries_per_turn: u64) {
    let mut turns = |count| {
        for _ in 0..count {
            for (client, input) in script {
                hub.send(*client, input);
            }
            hub.turn();
        }
        hub.hub.counters()
    };
    turns(WARM_UP);
    let mut allocations = usize::MAX;
    for _ in 0..ATTEMPTS {
        let before = turns(0);
        let mut after = before;
        allocations = allocations.min(allocations_of(|| after = turns(TURNS)));
        let deliveries = after.deliveries - before.deliveries;
        assert_eq!((after.errors, deliveries), (0, deliveries_per_turn * TURNS as u64));
    }
    assert_eq!(allocations, 0, "in {TURNS} turns of {deliveries_per_turn} deliveries");
}

/// How often the task asks the allocator for memory.
fn allocations_of(task: impl FnOnce()) -> usize {
    let before = ALLOCATOR.stats();
    task();
    let change = ALLOCATOR.stats() - before;
    change.allocations + change.reallocations
}

fn allocated_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
