//! That a server is full, or the generator out of ports, is an answer: what was measured is told, and why it is no more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::stand_in::{FULL, StandIn, start};
use super::{DEADLINE, site, usual};
use crate::fault::Fault;
use crate::measure::Outcome;
use crate::scenarios::capacity::{Search, capacity};
use crate::scenarios::slow::slow;
use crate::scenarios::{Site, chat, churn::churn, idle::idle, requests::requests};
use crate::transport::{Address, Sources, Via};

fn with_seats(seats: usize) -> SocketAddr {
    start(StandIn::with_seats(seats)).0
}

const SHORT: Duration = Duration::from_millis(300);

fn figure(outcome: &Outcome, name: &str) -> f64 {
    let figure = outcome.figures.iter().find(|figure| figure.name == name);
    figure.unwrap_or_else(|| panic!("no figure {name}")).value
}

/// Whether a note has the server's own words and the number of clients.
fn tells(outcome: &Outcome, words: &str, clients: usize) -> bool {
    let number = format!("with {clients} clients");
    outcome.notes.iter().any(|note| note.contains(words) && note.contains(&number))
}

#[test]
fn a_full_server_is_measured_with_those_that_it_lets_in() {
    let outcome = chat::fanout(&usual(with_seats(9), SHORT), 20, 4).unwrap();
    assert!(tells(&outcome, FULL, 9) && figure(&outcome, "deliveries") > 0.0, "{:?}", outcome.notes);

    // Three rooms of four and one of two.
    let outcome = chat::rooms(&usual(with_seats(14), SHORT), 100, 4, 1).unwrap();
    assert!(tells(&outcome, FULL, 14) && figure(&outcome, "deliveries") > 0.0, "{:?}", outcome.notes);

    let outcome = requests(&usual(with_seats(3), SHORT), 10, 2).unwrap();
    assert!(tells(&outcome, FULL, 3) && figure(&outcome, "requests") > 0.0, "{:?}", outcome.notes);

    let outcome = slow(&usual(with_seats(24), SHORT), 20, 100.0, 0.5).unwrap();
    assert!(tells(&outcome, FULL, 24), "{:?}", outcome.notes);
    assert_eq!(figure(&outcome, "slow clients"), 3.0);
}

/// Whether the limit lies in the first half of them, at its end, or in the second.
#[test]
fn idle_clients_are_counted_as_far_as_they_come() {
    for seats in [7, 20, 33] {
        let outcome = idle(&usual(with_seats(seats), Duration::from_millis(50)), 40).unwrap();
        assert!(tells(&outcome, FULL, seats), "{:?}", outcome.notes);
        assert_eq!(figure(&outcome, "clients"), seats as f64);
    }
}

#[test]
fn capacity_keeps_what_it_has_found_when_the_server_is_full() {
    let bound = Duration::from_millis(20);
    let search = Search { receivers: 5, bound, most_clients: 100, step: 10 };
    let outcome = capacity(&usual(with_seats(26), Duration::from_millis(20)), search).unwrap();
    assert!(figure(&outcome, "deliveries held") >= 0.0);
    assert_eq!(
        figure(&outcome, "clients in one room"),
        25.0,
        "one seat is the publisher's: {:?}",
        outcome.notes
    );
    assert!(tells(&outcome, FULL, 26), "{:?}", outcome.notes);
}

#[test]
fn churn_tells_what_it_has_measured_until_the_server_was_full() {
    // Some cycles come through before the first is refused: with as many seats as clients that is only a matter of how
    // soon the stand-in notices that somebody has left.
    let address = with_seats(6);
    let begin = Instant::now();
    loop {
        match churn(&usual(address, Duration::from_secs(1)), 6) {
            Ok(outcome) if outcome.notes.iter().any(|note| note.contains(FULL)) => {
                assert!(figure(&outcome, "cycles") > 0.0);
                break;
            }
            Ok(_) | Err(Fault::Full(_)) => assert!(begin.elapsed() < DEADLINE, "it was never full"),
            Err(fault) => panic!("{fault}"),
        }
    }
}

#[test]
fn a_server_that_lets_nobody_in_is_a_fault_with_its_words() {
    for outcome in [
        chat::fanout(&usual(with_seats(0), SHORT), 5, 1),
        idle(&usual(with_seats(0), SHORT), 10),
        churn(&usual(with_seats(0), SHORT), 3),
    ] {
        let fault = outcome.unwrap_err();
        assert!(matches!(&fault, Fault::Full(why) if why.contains(FULL)), "{fault}");
        assert!(!fault.is_wrong());
    }
}

/// Sources that nobody else uses: the bench itself stays below 127.0.1.
fn ports(last: u8, count: u16) -> Sources {
    Sources::exactly(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 1, last))], 21_000..21_000 + count)
}

#[test]
fn a_generator_without_ports_says_so_and_goes_on_with_what_it_has() {
    let address = start(StandIn::default()).0;
    let short = site(Address::Tcp(address), Via::Tcp, ports(1, 8), SHORT);
    let outcome = chat::fanout(&short, 20, 4).unwrap();
    let wanted = format!("out of local ports towards {address}; give --source, or fewer clients");
    assert!(tells(&outcome, &wanted, 8), "{:?}", outcome.notes);
}

/// Ports that are taken by others do what those do that have been used a moment ago.
#[test]
fn a_churn_that_is_bounded_by_its_own_ports_says_so() {
    let (address, stand_in) = start(StandIn::default());
    let taker = std::thread::spawn(move || {
        while stand_in.lock().unwrap().deliveries < 5 {
            std::thread::yield_now();
        }
        let mut left: Vec<u16> = (21_000..21_003).collect();
        let mut taken = Vec::new();
        while !left.is_empty() {
            left.retain(|port| match connect_from(Ipv4Addr::new(127, 0, 1, 2), *port, address) {
                Ok(socket) => {
                    taken.push(socket);
                    false
                }
                Err(_) => true,
            });
        }
        taken
    });
    let few = site(Address::Tcp(address), Via::Tcp, ports(2, 3), DEADLINE);
    let outcome = churn(&few, 1).unwrap();
    let bounded = |note: &String| note.contains("TIME_WAIT") && note.contains("out of local ports");
    assert!(outcome.notes.iter().any(bounded), "{:?}", outcome.notes);
    assert!(figure(&outcome, "cycles") > 0.0);
    drop(taker.join());
}

fn connect_from(source: Ipv4Addr, port: u16, to: SocketAddr) -> std::io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((source, port)).into())?;
    socket.connect(&to.into())?;
    Ok(socket)
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fault = chat::fanout(&usual(nobody, SHORT), 2, 1).unwrap_err();
    assert!(matches!(&fault, Fault::Lost(what) if what.contains(&nobody.to_string())), "{fault}");
}

/// The stand-in never frees a name, as a server that has not noticed yet that somebody has gone.
#[test]
fn a_swarm_does_not_need_the_names_of_the_one_before() {
    let address = start(StandIn::default()).0;
    let site: Site<'_> = usual(address, Duration::from_millis(50));
    for _ in 0..3 {
        chat::fanout(&site, 5, 1).unwrap();
        chat::rooms(&site, 3, 2, 1).unwrap();
        churn(&site, 3).unwrap();
    }
}
