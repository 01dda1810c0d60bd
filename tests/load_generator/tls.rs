//! Over TLS everything arrives too, sessions are resumed when that is asked for and only then, and what goes wrong is told.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::stand_in::{FULL, StandIn, Vice, start_tls};
use super::transports::{Folder, Running, SHORT, all_goes_well, flood_goes_well, launch};
use super::{DEADLINE, figure, site};
use crate::certificate;
use crate::fault::Fault;
use crate::proxies::Proxied;
use crate::scenarios::{Site, chat, churn::churn};
use crate::servers::{Kind, Server};
use crate::transport::{Address, Sources, Via};

const BOTH: [Via; 2] = [Via::Tls, Via::TlsResumed];

/// A stand-in with this one of the versions of TLS, or with all.
fn over_tls(stand_in: StandIn, via: Via, duration: Duration) -> Site<'static> {
    let folder = Folder::new(&format!("tls-{:?}", std::thread::current().id()));
    let files = certificate::write(&folder.0).unwrap();
    let open = |path| BufReader::new(File::open(path).unwrap());
    let chain: Vec<_> =
        CertificateDer::pem_reader_iter(open(&files.certificate)).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.ticketer = ring::Ticketer::new().unwrap();
    let address = Address::Tcp(start_tls(stand_in, Arc::new(config)).0);
    let sources = Sources::towards(&address, &[]);
    site(address, via, sources, duration)
}

#[test]
fn over_tls_everything_arrives() {
    for via in BOTH {
        all_goes_well(&over_tls(StandIn::default(), via, SHORT));
        all_goes_well(&Site { text: 4096, ..over_tls(StandIn::default(), via, SHORT) });
    }
}

#[test]
fn over_tls_misbehaviour_is_found_too() {
    let bad = StandIn::with_vice(Vice::Doubles, 3);
    let outcome = chat::fanout(&over_tls(bad, Via::Tls, DEADLINE), 20, 16);
    assert!(matches!(outcome, Err(Fault::Repeated(_))), "{outcome:?}");
}

#[test]
fn over_tls_a_full_server_is_understood() {
    let told = match chat::fanout(&over_tls(StandIn::with_seats(9), Via::Tls, SHORT), 20, 4) {
        Ok(outcome) => outcome.notes.join("\n"),
        Err(Fault::Full(what)) => what,
        Err(fault) => panic!("{fault}"),
    };
    assert!(told.contains(FULL) && told.contains("with 9 clients"), "{told}");
}

#[test]
fn where_nobody_speaks_tls_that_is_said() {
    let parlor = Running::start(&[]);
    let site = site(parlor.address.clone(), Via::Tls, Sources::towards(&parlor.address, &[]), SHORT);
    let fault = chat::fanout(&site, 3, 1).unwrap_err();
    assert!(matches!(&fault, Fault::Lost(what) if what.contains("no TLS")), "{fault}");
}

/// Proxies in front of parlor pass the same checks, and both programs are watched; passed over where one is missing.
#[test]
fn the_bench_starts_proxies_in_front_of_parlor() {
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let launch = launch(Via::Tls);
        if let Err(missing) = kind.is_there(&launch) {
            assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{missing}");
            eprintln!("passed over: {missing}");
            continue;
        }
        let Proxied { proxy, watched, .. } = &Proxied::start(kind, &launch).unwrap();
        let sources = Sources::towards(&proxy.address, &[]);
        all_goes_well(&site(proxy.address.clone(), kind.via(Via::Tls), sources, SHORT));
        assert_eq!(watched.servers.len(), 2);
        assert!(watched.cpu() > proxy.process().cpu());
    }
}

/// The real one. Without the asking no session is resumed; with it nearly all are, but for those who come first.
#[test]
fn the_bench_starts_parlor_with_tls() {
    for via in BOTH {
        let server = Server::start(Kind::Parlor, &launch(via)).unwrap();
        let sources = Sources::towards(&server.address, &[]);
        let site = site(server.address.clone(), via, sources, SHORT);
        all_goes_well(&site);
        flood_goes_well(&site);
        let begin = Instant::now();
        let resumed = || figure(&churn(&site, 3).unwrap(), "resumed");
        match via {
            Via::Tls => assert_eq!(resumed(), 0.0),
            // Who has no ticket yet gets one.
            _ => {
                while resumed() < 50.0 {
                    assert!(begin.elapsed() < DEADLINE, "they have tickets by now");
                }
            }
        }
    }
}
