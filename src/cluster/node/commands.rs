//! The commands that are not a client's question, and how any gets into the queue.

use super::{Node, RENEW_EVERY};
use crate::cluster::keys;
use crate::cluster::question::{About, Asked};
use crate::cluster::resp;

/// With each renewal of the lease a part of the nicknames is kept from expiring, so that all have had their turn after
/// so many: two hours.
const RENEWALS_PER_ROUND: usize = 3600;

impl Node {
    /// Puts a question into the queue.
    pub(super) fn tell(&mut self, about: About, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.output.len();
        write(&mut self.output);
        let echo = if let About::Client { echo, .. } = &about { echo.len() } else { 0 };
        let bytes = self.output.len() - before + echo;
        self.waiting_bytes += bytes;
        self.queue.push_back(Asked { about, bytes, at: self.now });
    }

    pub(super) fn tell_claim(&mut self, about: About, name: &[u8], serial: u64, old: Option<&[u8]>) {
        let keys = &self.config.keys;
        let (own, nodes, life) = (keys.node(self.id), keys.nodes(), keys::NICKNAME_S.to_string());
        let (new, old) = (keys.nickname(name), old.map(|old| keys.nickname(old)));
        let holder = keys::holder(self.id, serial);
        let mut arguments: Vec<&[u8]> = vec![b"EVAL", keys::CLAIM.as_bytes()];
        arguments.push(if old.is_some() { b"2" } else { b"1" });
        arguments.push(&new);
        arguments.extend(old.as_deref());
        arguments.extend([holder.as_bytes(), own.as_bytes(), nodes.as_bytes(), life.as_bytes()]);
        self.tell(about, |out| resp::command(out, &arguments));
    }

    pub(super) fn tell_free(&mut self, about: About, name: &[u8], serial: u64) {
        let (key, holder) = (self.config.keys.nickname(name), keys::holder(self.id, serial));
        self.tell(about, |out| {
            resp::command(out, &[b"EVAL", keys::FREE.as_bytes(), b"1", &key, holder.as_bytes()]);
        });
    }

    pub(super) fn tell_refresh(&mut self, about: About, key: &[u8]) {
        let life = keys::NICKNAME_S.to_string();
        self.tell(about, |out| resp::command(out, &[b"EXPIRE", key, life.as_bytes()]));
    }

    pub(super) fn tell_channel(&mut self, about: About, command: &[&[u8]], room: &[u8]) {
        let prefix = self.rooms_prefix.clone();
        self.tell(about, |out| {
            resp::begin(out, command.len() + 1);
            command.iter().for_each(|word| resp::blob(out, &[word]));
            resp::blob(out, &[&prefix, room]);
        });
    }

    pub(super) fn renew_lease(&mut self) {
        self.renew_at = self.now + RENEW_EVERY;
        let (key, life) = (self.config.keys.node(self.id), keys::LEASE_MS.to_string());
        self.tell(About::Lease, |out| {
            resp::command(out, &[b"SET", key.as_bytes(), b"1", b"XX", b"PX", life.as_bytes()]);
        });
    }

    /// Keeps the next few nicknames from expiring.
    pub(super) fn refresh_nicknames(&mut self) {
        for _ in 0..=self.clients.len() / RENEWALS_PER_ROUND {
            self.refreshed = if self.refreshed < self.clients.len() { self.refreshed + 1 } else { 0 };
            let client = self.clients.get(self.refreshed).and_then(Option::as_ref);
            if let Some(name) = client.and_then(|client| client.claimed.clone()) {
                let key = self.config.keys.nickname(&name);
                self.tell_refresh(About::Refresh, &key);
            }
        }
    }
}
