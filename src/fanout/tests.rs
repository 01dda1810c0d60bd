//! Everybody gets everything in the order in which it was caused, as if each line had been copied for each who gets it.

use super::*;
use proptest::prelude::*;
use std::io;

use crate::outbox::Scratch;
use crate::protocol::DisconnectReason;
use crate::transport::{Received, Sent, Transport};

const CLIENTS: u32 = 6;

#[derive(Clone, Debug)]
enum Step {
    Say(u32, u32),
    Reply(u32),
    Join(u32, u32),
    Leave(u32, u32),
    /// The end of a turn. Each client takes at most so many bytes.
    Flush(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, room) = (0..CLIENTS, 0u32..3);
    prop_oneof![
        8 => (client.clone(), room.clone()).prop_map(|(client, room)| Step::Say(client, room)),
        2 => client.clone().prop_map(Step::Reply),
        2 => (client.clone(), room.clone()).prop_map(|(client, room)| Step::Join(client, room)),
        1 => (client, room).prop_map(|(client, room)| Step::Leave(client, room)),
        2 => proptest::collection::vec(prop_oneof![Just(0), 0usize..60, Just(usize::MAX)], CLIENTS as usize)
            .prop_map(Step::Flush),
    ]
}

/// Takes so much, and no more.
struct Taking {
    room: usize,
    taken: Vec<u8>,
}

impl Transport for Taking {
    fn receive(&mut self, _buffer: &mut [u8]) -> io::Result<Received> {
        Ok(Received::Nothing)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(if taken == 0 { Sent::Blocked } else { Sent::Bytes(taken) })
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

/// The tables, the fan-out, what each client has got, and what it should have.
struct House {
    chat: Chat,
    fanout: Fanout,
    memory: Memory,
    got: Vec<Taking>,
    wanted: Vec<String>,
    number: u32,
}

impl House {
    fn new() -> House {
        let memory = Memory::default();
        let mut chat = Chat::new(10, 10);
        (0..CLIENTS).for_each(|client| chat.connect(client));
        let got = (0..CLIENTS).map(|_| Taking { room: 0, taken: Vec::new() }).collect();
        let wanted = vec![String::new(); CLIENTS as usize];
        House { fanout: Fanout::new(&memory), chat, memory, got, wanted, number: 0 }
    }

    fn reply(&mut self, client: u32) {
        self.number += 1;
        let line = format!("reply {}\n", self.number);
        self.wanted[client as usize] += &line;
        self.fanout.reply(&self.chat, client, |out| out.extend_from_slice(line.as_bytes()));
    }

    fn say(&mut self, client: u32, room: u32) {
        let Some(room) = self.chat.find_room(&room.to_string()) else { return };
        self.reply(client);
        let line = format!("message {}\n", self.number);
        for &member in self.chat.members(room) {
            self.wanted[member as usize] += &line;
        }
        self.fanout.say(&self.chat, client, room, |out| out.extend_from_slice(line.as_bytes()));
    }

    fn change(&mut self, client: u32, room: u32, join: bool) {
        let name = room.to_string();
        if self.fanout.speaking().is_some_and(|room| self.chat.find_room(&name) == Some(room)) {
            self.fanout.close(&self.chat);
        }
        let _ = if join { self.chat.join(client, &name) } else { self.chat.leave(client, &name) };
        self.reply(client);
    }

    fn flush(&mut self, room: &[usize]) {
        if let Some((room, batch, start, end)) = self.fanout.take_unsealed() {
            for &member in self.chat.members(room) {
                self.fanout.queue_range(member, &batch, start, end);
            }
        }
        for (transport, &room) in self.got.iter_mut().zip(room) {
            transport.room = room;
        }
        while let Some(client) = self.fanout.next_to_write() {
            let outbox = self.fanout.outbox_mut(client).unwrap();
            outbox.write_to(&mut self.got[client as usize], &mut Scratch::default()).unwrap();
            if outbox.is_empty() {
                self.fanout.release(client);
            }
        }
        self.fanout.end_of_flush(&self.chat);
        assert_eq!(self.fanout.check(), self.memory.bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn as_if_each_line_were_copied_for_each_who_gets_it(steps in proptest::collection::vec(step(), 0..120)) {
        let mut house = House::new();
        for step in steps {
            match step {
                Step::Say(client, room) => house.say(client, room),
                Step::Reply(client) => house.reply(client),
                Step::Join(client, room) => house.change(client, room, true),
                Step::Leave(client, room) => house.change(client, room, false),
                Step::Flush(room) => house.flush(&room),
            }
        }
        // Those for whom something waits are listed again by an event.
        (0..CLIENTS).for_each(|client| house.fanout.schedule_write(client));
        house.flush(&[usize::MAX; CLIENTS as usize]);
        for (got, wanted) in house.got.iter().zip(&house.wanted) {
            prop_assert_eq!(std::str::from_utf8(&got.taken).unwrap(), wanted);
        }
        prop_assert_eq!(house.memory.bytes(), 0, "nothing waits, and memory is held");
    }
}

#[test]
fn slow_members_share_what_their_room_says_over_many_turns() {
    let mut house = House::new();
    for client in 0..CLIENTS {
        house.change(client, 1, true);
    }
    for _ in 0..2000 {
        house.say(0, 1);
        house.flush(&[usize::MAX, 0, 0, 0, 0, 0]);
    }
    // 2000 messages in as many turns: one batch, and a few pieces for each.
    assert!(house.memory.bytes() < 100_000, "{} bytes", house.memory.bytes());
}
