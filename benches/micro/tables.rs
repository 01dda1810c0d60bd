//! Who is who and who is where, in a small house and in one of a million.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use parlor::chat::{Chat, ClientId};

/// As many clients as rooms, each client in a room of its own.
struct House {
    chat: Chat,
    /// In random order, so that a table larger than a cache is found outside of it. The names lie in memory in this
    /// order, as a name that comes in a request is at hand.
    visits: Vec<Visit>,
    next: usize,
}

struct Visit {
    client: ClientId,
    nickname: String,
    room: String,
}

fn room_name(number: ClientId) -> String {
    format!("\"room-{number}\"")
}

impl House {
    fn new(names: ClientId) -> Self {
        let mut chat = Chat::new(names as usize, 2);
        for client in 0..names {
            chat.connect(client);
            chat.login(client, &format!("nick-{client}")).expect("nobody has it");
            chat.join(client, &room_name(client)).expect("it is the first");
        }
        let visits = shuffled(names).into_iter();
        let visit = |client| Visit { client, nickname: format!("nick-{client}"), room: room_name(client) };
        House { chat, visits: visits.map(visit).collect(), next: 0 }
    }

    /// The next place to go to.
    fn step(&mut self) -> usize {
        self.next = (self.next + 1) % self.visits.len();
        self.next
    }
}

/// The numbers below `end` in an order that is random, and always the same.
fn shuffled(end: ClientId) -> Vec<ClientId> {
    let mut numbers: Vec<ClientId> = (0..end).collect();
    let mut state: u64 = 1;
    for last in (1..numbers.len()).rev() {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(last, (state >> 33) as usize % (last + 1));
    }
    numbers
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tables");
    group.throughput(Throughput::Elements(1));
    for (size, names) in [("1,000 names", 1_000), ("1,000,000 names", 1_000_000)] {
        // Built when it is first needed: a million names take a while.
        let mut house = None;

        group.bench_function(BenchmarkId::new("find a room", size), |bencher| {
            let house = house.get_or_insert_with(|| House::new(names));
            bencher.iter(|| {
                let at = house.step();
                black_box(house.chat.find_room(&house.visits[at].room))
            });
        });
        group.bench_function(BenchmarkId::new("join a room, and leave it", size), |bencher| {
            let house = house.get_or_insert_with(|| House::new(names));
            bencher.iter(|| {
                let client = house.visits[house.next].client;
                let at = house.step();
                let room = &house.visits[at].room;
                house.chat.join(client, room).expect("it may be in two");
                house.chat.leave(client, room).expect("it is in it");
            });
        });
        // Everyone takes the nickname that the one before has let go of.
        let mut free = String::from("nick-of-nobody");
        group.bench_function(BenchmarkId::new("log in", size), |bencher| {
            let house = house.get_or_insert_with(|| House::new(names));
            bencher.iter(|| {
                let at = house.step();
                let visit = &mut house.visits[at];
                house.chat.login(visit.client, &free).expect("nobody has it");
                std::mem::swap(&mut visit.nickname, &mut free);
            });
        });
        group.bench_function(BenchmarkId::new("connect, and disconnect", size), |bencher| {
            let house = house.get_or_insert_with(|| House::new(names));
            bencher.iter(|| {
                house.chat.connect(names);
                house.chat.disconnect(names);
            });
        });
    }
}
