//! What comes in which order, and what is kept of it.

use super::*;
use crate::chat::Chat;

/// Three clients; 0 and 1 are in room "a", 1 and 2 in room "b".
fn chat() -> (Chat, RoomId, RoomId) {
    let mut chat = Chat::new(9);
    for client in 0..3 {
        chat.connect(client);
    }
    for (client, room) in [(0, "a"), (1, "a"), (1, "b"), (2, "b")] {
        chat.join(client, room).unwrap();
    }
    let (a, b) = (chat.find_room("a").unwrap(), chat.find_room("b").unwrap());
    (chat, a, b)
}

fn turn() -> Turn {
    let mut turn = Turn::default();
    (0..3).for_each(|client| turn.admit(client));
    turn
}

fn say(turn: &mut Turn, room: RoomId, own: Option<ClientId>, text: &str) {
    turn.message(room, 2, own, |out| out.extend_from_slice(format!("{text}\n").as_bytes()));
}

fn reply(turn: &mut Turn, client: ClientId, text: &str) {
    turn.reply(client, |out| out.extend_from_slice(format!("{text}\n").as_bytes()));
}

fn share(turn: &mut Turn, client: ClientId) -> String {
    turn.lay_out(client);
    String::from_utf8(turn.share_bytes().to_vec()).unwrap().replace('\n', " ")
}

fn settle_all(turn: &mut Turn, chat: &Chat) {
    while let Some(room) = turn.next_room() {
        turn.settle(room, chat.members(room));
    }
}

#[test]
fn everything_comes_in_the_order_in_which_it_was_caused() {
    let (chat, a, b) = chat();
    let mut turn = turn();
    reply(&mut turn, 1, "r1");
    say(&mut turn, a, Some(1), "a1");
    reply(&mut turn, 2, "R1");
    say(&mut turn, b, Some(2), "b1");
    reply(&mut turn, 2, "R2");
    reply(&mut turn, 1, "r2");
    say(&mut turn, b, Some(1), "b2");
    reply(&mut turn, 1, "r3");
    reply(&mut turn, 1, "r4");
    say(&mut turn, a, Some(1), "a2");
    settle_all(&mut turn, &chat);
    assert_eq!(share(&mut turn, 0), "a1 a2 ");
    assert_eq!(share(&mut turn, 1), "r1 a1 b1 r2 b2 r3 r4 a2 ");
    assert_eq!(share(&mut turn, 2), "R1 b1 R2 b2 ");
}

#[test]
fn a_burst_in_a_room_is_one_range_for_each_member() {
    let (chat, a, _) = chat();
    let mut turn = turn();
    for number in 0..64 {
        reply(&mut turn, 2, "ok");
        say(&mut turn, a, None, &format!("{number}"));
    }
    settle_all(&mut turn, &chat);
    turn.lay_out(0);
    assert_eq!(turn.layout.len(), 1);
    turn.lay_out(2);
    assert_eq!(turn.layout.len(), 1, "replies only are one range too");
}

#[test]
fn who_is_alone_in_a_room_gets_replies_and_own_messages_as_one_range() {
    let (mut chat, a, _) = chat();
    chat.leave(1, "a").unwrap();
    let mut turn = turn();
    let say = |turn: &mut Turn, own, text: &str| {
        turn.message(a, 1, own, |out| out.extend_from_slice(format!("{text}\n").as_bytes()));
    };
    for number in 0..16 {
        reply(&mut turn, 0, "ok");
        say(&mut turn, Some(0), &format!("{number}"));
    }
    turn.lay_out(0);
    assert_eq!(turn.layout.len(), 1);
    assert!(!turn.has_news(), "nobody else has to be told");
    assert_eq!(share(&mut turn, 0), (0..16).map(|number| format!("ok {number} ")).collect::<String>());
    // Now others write to its room too, from outside.
    say(&mut turn, None, "others'");
    reply(&mut turn, 0, "ok");
    say(&mut turn, Some(0), "own");
    say(&mut turn, None, "others' again");
    settle_all(&mut turn, &chat);
    assert!(share(&mut turn, 0).ends_with("ok 15 others' ok own others' again "));
}

/// A message can be three times as long as the reply that quotes it, and 32 bits have to count all of a buffer.
#[test]
fn a_long_message_is_no_part_of_the_reply() {
    let (mut chat, a, _) = chat();
    chat.leave(1, "a").unwrap();
    let mut turn = turn();
    let long = "x".repeat(2 * TURN_BYTES);
    reply(&mut turn, 0, &long);
    turn.message(a, 1, Some(0), |out| out.extend_from_slice(b"own\n"));
    assert_eq!((turn.replies.len(), turn.messages.len()), (long.len() + 1, 4));
    settle_all(&mut turn, &chat);
    assert_eq!(share(&mut turn, 0), format!("{long} own "));
}

#[test]
fn a_message_that_is_a_part_of_the_reply_is_the_clients_own() {
    let (mut turn, mut memory) = (turn(), Memory::default());
    let (_, a, _) = chat();
    reply(&mut turn, 0, "reply");
    turn.message(a, 1, Some(0), |out| out.extend_from_slice(b"own\n"));
    reply(&mut turn, 0, "again");
    let mut outbox = Outbox::default();
    turn.lay_out(0);
    turn.keep_rest("reply\no".len(), &mut outbox, &mut memory);
    assert_eq!((outbox.own_bytes(), outbox.others_bytes()), ("wn\nagain\n".len(), 0));
    outbox.cut(&mut memory);
    let mut out = Vec::new();
    outbox.write_to(&mut out, &mut Vec::new(), &mut memory).unwrap();
    assert_eq!(out, b"wn\n", "the rest of the line that had begun");
}

#[test]
fn who_joins_gets_what_comes_after_and_who_leaves_gets_what_came_before() {
    let (mut chat, a, _) = chat();
    let mut turn = turn();
    say(&mut turn, a, None, "before");
    turn.settle(a, chat.members(a));
    chat.join(2, "a").unwrap();
    chat.leave(0, "a").unwrap();
    say(&mut turn, a, None, "after");
    settle_all(&mut turn, &chat);
    assert_eq!(share(&mut turn, 0), "before ");
    assert_eq!(share(&mut turn, 1), "before after ");
    assert_eq!(share(&mut turn, 2), "after ");
}

#[test]
fn what_is_kept_is_kept_once_and_says_whose_it_is() {
    let (chat, a, _) = chat();
    let (mut turn, mut memory) = (turn(), Memory::default());
    reply(&mut turn, 0, "reply");
    say(&mut turn, a, Some(0), "own");
    say(&mut turn, a, None, "others'");
    settle_all(&mut turn, &chat);
    let mut outboxes = [Outbox::default(), Outbox::default()];
    turn.lay_out(0);
    turn.keep_rest("reply\no".len(), &mut outboxes[0], &mut memory);
    let held = memory.held();
    turn.lay_out(1);
    turn.keep_rest(0, &mut outboxes[1], &mut memory);
    assert!(memory.held() - held <= 40 * 32, "the chunk is shared: {} bytes more", memory.held() - held);
    assert_eq!((outboxes[0].own_bytes(), outboxes[0].others_bytes()), ("wn\n".len(), "others'\n".len()));
    assert_eq!((outboxes[1].own_bytes(), outboxes[1].others_bytes()), (0, "own\nothers'\n".len()));
    outboxes[0].cut(&mut memory);
    let mut out = Vec::new();
    outboxes[0].write_to(&mut out, &mut Vec::new(), &mut memory).unwrap();
    assert_eq!(out, b"wn\n", "the rest of the line that had begun");
    outboxes[1].cut(&mut memory);
    assert!(outboxes[1].is_empty(), "no line had begun");
    let clients = turn.take_clients();
    turn.clear(clients, &mut memory);
    assert_eq!(memory.held(), 0);
}
