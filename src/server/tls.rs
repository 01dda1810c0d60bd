//! Certificates in the loop: read at the start, read again on SIGHUP, and looked at once a day.

use std::io;
use std::time::Duration;

use super::Loop;
use super::entrance::Entrant;
use super::socket::Socket;
use crate::batch::Memory;
use crate::options::{Options, Spoken};
use crate::tls::expiry::Moment;
use crate::tls::{Acceptor, Files};

/// How often their age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was read, and where.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    acceptor: Acceptor,
    /// On the clock of the hub.
    look_at: Duration,
}

impl Certificates {
    /// Reads them, if the options name any.
    ///
    /// # Errors
    /// The fault, in one line.
    pub fn load(options: &Options) -> io::Result<Option<Certificates>> {
        let Some(files) = Files::of(options) else { return Ok(None) };
        let acceptor =
            Acceptor::load(&files).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        Ok(Some(Certificates { files, acceptor, look_at: Duration::ZERO }))
    }

    /// When the server's certificate expires.
    #[cfg(feature = "web")]
    pub fn expires_at(&self) -> Option<Moment> {
        self.acceptor.expires_at()
    }

    /// What is to be told of the certificate's age, if it is time to look. `now` is on the clock of the hub.
    fn look(&mut self, now: Duration, today: Moment) -> Option<String> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK_EVERY;
        self.acceptor.complaint(today)
    }

    /// Puts a connection into TLS.
    fn begin(&self, entrant: Entrant, memory: &Memory) -> Result<Entrant, rustls::Error> {
        let Entrant { socket, spoken, .. } = entrant;
        let tls = self.acceptor.begin(socket, spoken == Spoken::Https, memory)?;
        Ok(Entrant { socket: Socket::Tls(Box::new(tls)), ..entrant })
    }
}

impl Loop {
    /// Puts a connection into TLS if that is spoken on its listener. `None` if that cannot be.
    pub(super) fn encrypt(&self, entrant: Entrant) -> Option<Entrant> {
        if !entrant.spoken.is_encrypted() {
            return Some(entrant);
        }
        let peer = entrant.peer;
        let begun = self.certificates.as_ref()?.begin(entrant, self.hub.memory());
        begun.inspect_err(|error| log::error!("{peer}: no TLS: {error}")).ok()
    }

    /// Reads the certificates again, for new connections. Whatever is wrong with them, the old ones stay then.
    pub(super) fn reload_certificates(&mut self) {
        let Some(certificates) = &mut self.certificates else {
            return log::info!("SIGHUP: there is nothing to read again");
        };
        match Acceptor::load(&certificates.files) {
            Ok(acceptor) => {
                certificates.acceptor = acceptor;
                certificates.look_at = Duration::ZERO;
                log::info!("SIGHUP: the certificates have been read again; new connections get the new ones");
            }
            Err(why) => log::error!("SIGHUP: the old certificates stay: {why}"),
        }
    }

    /// Tells of a certificate that expires soon, if it is time to look.
    pub(super) fn look_at_certificates(&mut self, now: Duration) {
        let certificates = self.certificates.as_mut();
        if let Some(complaint) = certificates.and_then(|certificates| certificates.look(now, Moment::now())) {
            log::warn!("{complaint}");
        }
    }

    /// When to look next.
    pub(super) fn next_look_at_certificates(&self) -> Option<Duration> {
        self.certificates.as_ref().map(|certificates| certificates.look_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 24 * 60 * 60;

    /// Certificates that expire on the first of March 2030, in files of their own.
    fn certificates() -> Certificates {
        let directory = std::env::temp_dir().join(format!("parlor-look-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["chat.example".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let [cert_file, key_file] = ["cert", "key"].map(|name| directory.join(name));
        std::fs::write(&cert_file, parameters.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let options = Options { tls_cert: Some(cert_file), tls_key: Some(key_file), ..Options::default() };
        let certificates = Certificates::load(&options).unwrap().unwrap();
        std::fs::remove_dir_all(directory).unwrap();
        certificates
    }

    #[test]
    fn their_age_is_told_once_a_day_in_the_last_two_weeks_and_ever_after() {
        let mut certificates = certificates();
        let expires_at = certificates.acceptor.expires_at().unwrap();
        // Twenty days before, and then every hour for 22 days.
        let begin = expires_at.0 - 20 * DAY_S;
        let mut told = Vec::new();
        for hour in 0..22 * 24 {
            let now = Duration::from_secs(hour * 60 * 60);
            if let Some(complaint) = certificates.look(now, Moment(begin + now.as_secs())) {
                assert_eq!(hour % 24, 0, "{complaint}");
                told.push(complaint);
            }
        }
        let what = |complaint: &String| complaint.rsplit_once(" on 2030-03-01").unwrap().1.to_owned();
        let before = (0..=14).rev().map(|days| format!(", in {days} days"));
        assert_eq!(told.iter().map(what).collect::<Vec<_>>(), before.chain(["".into()]).collect::<Vec<_>>());
        assert!(told.last().unwrap().contains("has expired"));
        // After new ones have been read it is looked at at once.
        certificates.look_at = Duration::ZERO;
        assert!(certificates.look(Duration::from_secs(1), expires_at).is_some());
        assert!(certificates.look(Duration::from_secs(2), expires_at).is_none());
    }
}
