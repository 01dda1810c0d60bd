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
        let Some(certificates) =
            self.certificates.as_mut().filter(|certificates| certificates.look_at <= now)
        else {
            return;
        };
        certificates.look_at = now + LOOK_EVERY;
        if let Some(complaint) = certificates.acceptor.complaint(Moment::now()) {
            log::warn!("{complaint}");
        }
    }

    /// When to look next.
    pub(super) fn next_look_at_certificates(&self) -> Option<Duration> {
        self.certificates.as_ref().map(|certificates| certificates.look_at)
    }
}
