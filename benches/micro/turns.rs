//! A turn of the hub: read, carry out, deliver, write. Only the sockets are made up.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use parlor::chat::ClientId;

use super::made_up::{Input, MadeUpHub, join, login, send};

/// A hub, and what each client is to send in every turn.
struct Scene {
    house: MadeUpHub,
    script: Vec<(ClientId, Input)>,
}

impl Scene {
    fn turn(&mut self) {
        for (client, input) in &self.script {
            self.house.send(*client, input);
        }
        self.house.turn();
    }
}

/// Rooms with so many members each; the clients, room after room.
fn house(rooms: usize, members: usize) -> (MadeUpHub, Vec<ClientId>) {
    let mut house = MadeUpHub::new(rooms * members + 1);
    let mut clients = Vec::new();
    for number in 0..rooms * members {
        let client = house.connect();
        house.ask(client, &(login(&format!("nick-{number}")) + &join(number / members)));
        clients.push(client);
    }
    (house, clients)
}

fn measure(
    group: &mut BenchmarkGroup<WallTime>,
    name: BenchmarkId,
    deliveries: usize,
    build: impl Fn() -> Scene,
) {
    let mut scene = None;
    group.throughput(Throughput::Elements(deliveries as u64));
    group.bench_function(name, |bencher| {
        let scene = scene.get_or_insert_with(&build);
        bencher.iter(|| scene.turn());
    });
    // Unless the name was not asked for: one more turn, to know that it does what its name says.
    if let Some(mut scene) = scene {
        let before = scene.house.hub.counters();
        scene.turn();
        let after = scene.house.hub.counters();
        assert_eq!((after.errors, after.deliveries - before.deliveries), (0, deliveries as u64));
    }
}

/// One client sends to a room of many in which it is not.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn, one client sends to a room");
    for (members, size) in [(1, "1 member"), (100, "100 members"), (10_000, "10,000 members")] {
        for (messages, amount) in [(1, "1 message"), (64, "64 messages")] {
            measure(&mut group, BenchmarkId::new(amount, size), members * messages, || {
                let (mut house, _) = house(1, members);
                let script = vec![(house.connect(), house.lay(&send(0).repeat(messages)))];
                Scene { house, script }
            });
        }
    }
}

/// Clients alone in their rooms send 16 messages each: a reply and a message for each request, for nobody else.
fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn, 16 pipelined SENDs of each client, alone in its room");
    for (clients, amount) in [(1, "1 client"), (50, "50 clients")] {
        measure(&mut group, BenchmarkId::from_parameter(amount), 16 * clients, || {
            let (mut house, members) = house(clients, 1);
            let members = members.into_iter().enumerate();
            let script = members.map(|(room, client)| (client, house.lay(&send(room).repeat(16)))).collect();
            Scene { house, script }
        });
    }
}

/// Everybody in every room says something.
fn rooms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn, everybody talks");
    for (rooms, members, name) in [(200, 10, "200 rooms of 10"), (4_000, 4, "4,000 rooms of 4")] {
        measure(&mut group, BenchmarkId::from_parameter(name), rooms * members * members, || {
            let (mut house, clients) = house(rooms, members);
            let lines: Vec<Input> = (0..rooms).map(|room| house.lay(&send(room))).collect();
            let room_by_room = clients.chunks(members).zip(&lines);
            let script = room_by_room.flat_map(|(clients, line)| clients.iter().map(|&c| (c, line.clone())));
            let script = script.collect();
            Scene { house, script }
        });
    }
}

pub fn bench(criterion: &mut Criterion) {
    fan_out(criterion);
    requests(criterion);
    rooms(criterion);
}
