//! The tables against maps and sets.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn members(chat: &Chat, name: &str) -> BTreeSet<ClientId> {
    let members = chat.find_room(name).map_or(&[][..], |room| chat.members(room));
    members.iter().copied().collect()
}

#[test]
fn guests_get_a_nickname_that_nobody_has() {
    let mut chat = Chat::new(100, 9);
    chat.connect(0);
    assert_eq!(chat.nickname(0), b"guest-1");
    assert_eq!(chat.login(0, "guest-2"), Ok(()));
    chat.connect(1);
    assert_eq!(chat.nickname(1), b"guest-3");
    chat.check();
}

#[test]
fn nicknames_are_unique_and_free_again() {
    let mut chat = Chat::new(100, 9);
    chat.connect(0);
    chat.connect(1);
    assert_eq!(chat.login(0, "Bob"), Ok(()));
    assert_eq!(chat.login(0, "Bob"), Ok(()));
    assert_eq!(chat.login(1, "Bob"), Err(Refusal::NicknameInUse));
    assert_eq!(chat.login(1, "bob"), Ok(()));
    assert_eq!(chat.login(0, "Alice"), Ok(()));
    assert_eq!(chat.login(1, "Bob"), Ok(()));
    chat.disconnect(1);
    assert_eq!(chat.login(0, "Bob"), Ok(()));
    chat.check();
}

#[test]
fn a_room_left_empty_is_removed_with_its_name() {
    let mut chat = Chat::new(100, 9);
    chat.connect(0);
    let long = "x".repeat(1000);
    assert_eq!(chat.join(0, &long), Ok(()));
    assert_eq!(chat.join(0, "short"), Ok(()));
    assert_eq!(chat.long_name_bytes(), 1000 - UNCOUNTED_NAME_BYTES);
    assert_eq!(chat.long_name_bytes_of(0), chat.long_name_bytes());
    assert_eq!(chat.leave(0, &long), Ok(()));
    assert_eq!((chat.rooms_len(), chat.long_name_bytes()), (1, 0));
    assert_eq!(chat.leave(0, &long), Err(Refusal::RoomNotFound));
    chat.check();
}

#[test]
fn a_client_that_goes_has_left_everything() {
    let mut chat = Chat::new(100, 100);
    chat.connect(3);
    chat.connect(5);
    for room in 0..50 {
        chat.join(3, &format!("{room}")).unwrap();
        chat.join(5, &format!("{}", room * 2)).unwrap();
    }
    chat.disconnect(3);
    chat.check();
    assert_eq!(chat.rooms_len(), 50);
    chat.disconnect(5);
    chat.check();
    assert_eq!((chat.rooms_len(), chat.clients_len()), (0, 0));
}

proptest! {
    /// Against maps and sets: joins, leaves and disconnects in any order.
    #[test]
    fn like_a_set(steps in proptest::collection::vec((0u32..8, 0u8..12, 0u8..10), 0..400)) {
        let mut chat = Chat::new(100, 5);
        let mut rooms: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for client in 0..8 {
            chat.connect(client);
        }
        for (client, room, what) in steps {
            let name = format!("room {room}");
            let set = rooms.entry(name.clone()).or_default().clone();
            let joined = rooms.values().filter(|set| set.contains(&client)).count();
            match what {
                0..=4 => {
                    let fits = set.contains(&client) || joined < 5;
                    prop_assert_eq!(chat.join(client, &name), if fits { Ok(()) } else { Err(Refusal::TooManyRooms) });
                    if fits {
                        rooms.get_mut(&name).unwrap().insert(client);
                    }
                }
                5..=8 => {
                    let expected = match set.contains(&client) {
                        true => Ok(()),
                        false if set.is_empty() => Err(Refusal::RoomNotFound),
                        false => Err(Refusal::NotInThisRoom),
                    };
                    prop_assert_eq!(chat.leave(client, &name), expected);
                    rooms.get_mut(&name).unwrap().remove(&client);
                }
                _ => {
                    chat.disconnect(client);
                    chat.connect(client);
                    rooms.values_mut().for_each(|set| { set.remove(&client); });
                }
            }
            chat.check();
            for name in rooms.keys() {
                prop_assert_eq!(chat.find_room_for(client, name), chat.find_room(name));
            }
        }
        for (name, set) in rooms {
            prop_assert_eq!(members(&chat, &name), set);
        }
    }
}
