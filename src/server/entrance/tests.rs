//! Who may wait, and who goes for others.

use super::*;
use crate::server::socket::Unix;
use mio::net::UnixStream;

const READABLE: Event = Event { readable: true, writable: false, hung_up: false, urgent: false };

/// An entrance in which as many wait for their PROXY header as may, and their peers. The keys count from 0.
fn full() -> (Entrance, Vec<UnixStream>) {
    let mut entrance = Entrance::default();
    let peers = (0..WAITING_MAX).map(|_| comes(&mut entrance, Duration::ZERO)).collect();
    (entrance, peers)
}

fn comes(entrance: &mut Entrance, now: Duration) -> UnixStream {
    let (stream, peer) = UnixStream::pair().unwrap();
    let socket = Socket::Unix(Unix::new(stream));
    let entrant = Entrant { socket, peer: Peer::Unix, spoken: Spoken::Lines, reason: None };
    entrance.add(entrant, Stage::Proxy(Vec::new()), now);
    peer
}

fn place_from(entrance: &Entrance) -> Option<Duration> {
    entrance.place_from(true, Spoken::Lines)
}

#[test]
fn those_who_wait_for_the_server_stay_and_so_do_those_who_have_just_come() {
    let (mut entrance, _peers) = full();
    assert_eq!(place_from(&entrance), Some(YOUNG_FOR));
    assert_eq!(entrance.place_from(false, Spoken::Lines), Some(Duration::ZERO), "it has nothing to wait for");
    for key in (0..WAITING_MAX).filter(|key| ![3, 5].contains(key)) {
        entrance.event(key, READABLE);
    }
    let _two_more = [3, 5].map(|goes| {
        assert_eq!(place_from(&entrance), Some(YOUNG_FOR));
        let peer = comes(&mut entrance, YOUNG_FOR);
        assert_eq!(entrance.len(), WAITING_MAX);
        assert!(entrance.waiting.get(goes).is_none_or(|new| new.since == YOUNG_FOR), "{goes} stays");
        peer
    });
    assert_eq!(place_from(&entrance), Some(2 * YOUNG_FOR), "only the two that have come last let it wait");
    let keys: Vec<usize> = entrance.waiting.iter().map(|(key, _)| key).collect();
    keys.into_iter().for_each(|key| entrance.event(key, READABLE));
    assert_eq!(place_from(&entrance), None);
    // They are looked at, and wait for nobody then.
    assert!(entrance.next_entrant(YOUNG_FOR).is_none());
    assert_eq!(place_from(&entrance), Some(YOUNG_FOR));
}

/// Who sends his part bit by bit keeps the server waiting, whatever has just come of it.
#[test]
fn whoever_takes_many_steps_goes_for_others() {
    let (mut entrance, _peers) = full();
    for step in 0..=STEPS_MAX {
        for key in 0..WAITING_MAX {
            entrance.event(key, READABLE);
        }
        assert_eq!(place_from(&entrance).is_some(), step == STEPS_MAX, "step {step}");
        if step < STEPS_MAX {
            assert!(entrance.next_entrant(Duration::ZERO).is_none());
        }
    }
}
