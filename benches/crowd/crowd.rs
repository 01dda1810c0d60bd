//! Many clients in rooms of ten: how they come, what they say, and how they leave.

use parlor::chat::ClientId;

use super::made_up::{Input, MadeUpHub, join, login, send};
use super::stopwatch::{Rounds, Stopwatch};

const MEMBERS: usize = 10;

/// A source of numbers, each below what it is asked with; always the same sequence.
pub fn random() -> impl FnMut(usize) -> usize {
    let mut state: u64 = 1;
    move |end| {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    }
}

/// As the poll loop does: so many are accepted in one turn at most, and so many events taken.
const ACCEPTS_PER_TURN: usize = 256;
const EVENTS_PER_TURN: usize = 1024;

const TALK_ROUNDS: usize = 40;
const MESSAGES_PER_ROUND: usize = 500;

const CHANGE_ROUNDS: usize = 100;
const CHANGES_PER_ROUND: usize = 100;

/// Client number `n` is in room `n % rooms`, so that the members of a room do not lie next to each other.
pub struct Crowd {
    hub: MadeUpHub,
    rooms: usize,
    /// By number.
    clients: Vec<ClientId>,
    /// All numbers, in an order that is random and always the same, for everything that is done to clients. Each of
    /// them has been out of the caches when its turn comes, unless all clients fit in.
    order: Vec<u32>,
    next: usize,
    /// What the clients of one turn are to send.
    inputs: Vec<Input>,
}

impl Crowd {
    /// Nobody yet. All memory of the bench's own is taken here, but for the little that a turn's input takes.
    pub fn new(size: usize) -> Self {
        let mut order: Vec<u32> = (0..size as u32).collect();
        let mut random = random();
        for last in (1..size).rev() {
            order.swap(last, random(last + 1));
        }
        Crowd {
            hub: MadeUpHub::new(size),
            rooms: size / MEMBERS,
            clients: vec![0; size],
            order,
            next: 0,
            inputs: Vec::with_capacity(EVENTS_PER_TURN),
        }
    }

    /// Everybody comes.
    pub fn build(&mut self, stopwatch: &mut Stopwatch) -> Rounds {
        let mut rounds = Rounds::default();
        let numbers: Vec<u32> = (0..self.clients.len() as u32).collect();
        for numbers in numbers.chunks(ACCEPTS_PER_TURN) {
            self.come(numbers, stopwatch, &mut rounds);
        }
        let (clients, rooms) = (self.hub.hub.chat().clients_len(), self.hub.hub.chat().rooms_len());
        assert_eq!((clients, rooms), (self.clients.len(), self.rooms));
        rounds
    }

    /// Somebody says something, in a turn of its own, again and again. For each delivery.
    pub fn talk(&mut self, stopwatch: &mut Stopwatch) -> Rounds {
        let mut rounds = Rounds::default();
        for _ in 0..TALK_ROUNDS {
            let numbers = self.choose(MESSAGES_PER_ROUND);
            self.lay(&numbers, |number, rooms| send(number % rooms));
            let before = self.hub.hub.counters();
            let turns = stopwatch.time(|| {
                for (&number, input) in numbers.iter().zip(&self.inputs) {
                    self.hub.send(self.clients[number as usize], input);
                    self.hub.turn();
                }
            });
            let deliveries = self.hub.hub.counters().deliveries - before.deliveries;
            assert!(deliveries >= (numbers.len() * MEMBERS) as u64, "{deliveries}");
            rounds.add(&[turns], deliveries as usize);
        }
        rounds
    }

    /// Some leave, and as many come, again and again. For each who leaves, and for each who comes.
    pub fn change(&mut self, stopwatch: &mut Stopwatch) -> (Rounds, Rounds) {
        let (mut leaving, mut coming) = (Rounds::default(), Rounds::default());
        for _ in 0..CHANGE_ROUNDS {
            let numbers = self.choose(CHANGES_PER_ROUND);
            self.leave(&numbers, stopwatch, &mut leaving);
            self.come(&numbers, stopwatch, &mut coming);
        }
        (leaving, coming)
    }

    /// Everybody leaves.
    pub fn empty(&mut self, stopwatch: &mut Stopwatch) -> Rounds {
        let mut rounds = Rounds::default();
        let order = self.order.clone();
        for numbers in order.chunks(EVENTS_PER_TURN) {
            self.leave(numbers, stopwatch, &mut rounds);
        }
        assert!(self.hub.hub.is_empty());
        rounds
    }

    /// Connect in one turn, and log in and join in the next.
    fn come(&mut self, numbers: &[u32], stopwatch: &mut Stopwatch, rounds: &mut Rounds) {
        let connecting = stopwatch.time(|| {
            for &number in numbers {
                self.clients[number as usize] = self.hub.connect();
            }
            self.hub.turn();
        });
        self.lay(numbers, |number, rooms| login(&format!("nick-{number}")) + &join(number % rooms));
        let joining = stopwatch.time(|| {
            for (&number, input) in numbers.iter().zip(&self.inputs) {
                self.hub.send(self.clients[number as usize], input);
            }
            self.hub.turn();
        });
        assert_eq!(self.hub.hub.counters().errors, 0);
        rounds.add(&[connecting, joining], numbers.len());
    }

    fn leave(&mut self, numbers: &[u32], stopwatch: &mut Stopwatch, rounds: &mut Rounds) {
        let leaving = stopwatch.time(|| {
            for &number in numbers {
                self.hub.hang_up(self.clients[number as usize]);
            }
            self.hub.turn();
        });
        rounds.add(&[leaving], numbers.len());
    }

    /// The next clients in the order.
    fn choose(&mut self, count: usize) -> Vec<u32> {
        let count = count.min(self.order.len());
        let chosen = (0..count).map(|index| self.order[(self.next + index) % self.order.len()]).collect();
        self.next = (self.next + count) % self.order.len();
        chosen
    }

    /// Writes what each is going to send.
    fn lay(&mut self, numbers: &[u32], lines: impl Fn(usize, usize) -> String) {
        self.hub.clear_input();
        self.inputs.clear();
        for &number in numbers {
            self.inputs.push(self.hub.lay(&lines(number as usize, self.rooms)));
        }
    }
}
