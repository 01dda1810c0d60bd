//! The hub of a node: what the engine says comes before what clients say, and what is lost with the link is told to
//! all. See [`crate::cluster`].

use super::{Hub, Notice};
use crate::chat::ClientId;
use crate::cluster::{self, Node};
use crate::connection::{Phase, Reading};
use crate::deadlines::Moment;
use crate::protocol::DisconnectReason;
use crate::transport::Transport;

impl<T: Transport> Hub<T> {
    /// Makes this server one of several nodes. To be called before clients connect.
    pub fn join_cluster(&mut self, mut node: Node) {
        if self.options.max_line > cluster::MAX_LINE_BYTES {
            log::warn!("--max-line is {} bytes in a cluster", cluster::MAX_LINE_BYTES);
            self.options.max_line = cluster::MAX_LINE_BYTES;
        }
        node.count_in(&self.memory, self.options.max_memory);
        self.dispatch.chat.set_guest_prefix(cluster::guests(node.id()));
        self.dispatch.cluster = Some(node.into());
    }

    /// The node, for whoever has its socket.
    pub fn node_mut(&mut self) -> Option<&mut Node> {
        self.dispatch.cluster.as_deref_mut()
    }

    /// See [`Hub::node_mut`].
    pub fn node(&self) -> Option<&Node> {
        self.dispatch.cluster.as_deref()
    }

    /// Whether clients are served: a node that has lost its engine ends everybody.
    pub fn is_linked(&self) -> bool {
        self.dispatch.cluster.as_ref().is_none_or(|node| node.is_up())
    }

    /// The link's part of a turn, before anybody is read from.
    pub(super) fn hear_engine(&mut self) {
        let (now, is_free) = (self.now, !self.writes_are_left);
        let Some(node) = self.node_mut() else { return };
        node.check_lease();
        if is_free {
            self.hear_all();
        }
        let Some(node) = self.node_mut() else { return };
        node.check_time();
        if node.take_lost(now) {
            self.end_all();
        }
        for client in self.dispatch.retry() {
            self.go_on(client);
        }
        if self.stop_at.is_none()
            && let Some(Some(asked_at)) = self.node_mut().map(|node| node.stop_asked_at())
        {
            debug_assert!(asked_at <= now);
            self.stop(now.into());
        }
        if let Some(node) = self.node_mut() {
            node.recount();
        }
    }

    /// Hears what has come from the engine, as far as the turn's budget goes.
    fn hear_all(&mut self) {
        let Some(node) = self.node_mut() else { return };
        let was_up = node.is_up();
        let mut input = node.take_input();
        loop {
            let heard = match input.value() {
                Ok(None) => break,
                Ok(Some(value)) => self.dispatch.hear(&value),
                Err(_) => Err("the engine does not speak RESP3".into()),
            };
            self.dispatch.fanout.budget.spend_request(0);
            match heard {
                Ok(client) => client.into_iter().for_each(|client| self.go_on(client)),
                Err(why) => {
                    self.node_mut().into_iter().for_each(|node| node.lose(&*why));
                    break;
                }
            }
            // Where memory is short, each answer gives some back: one is heard in any turn.
            if self.dispatch.fanout.budget.requests_are_over() || self.has_little_memory() {
                break;
            }
        }
        let Some(node) = self.node_mut() else { return };
        node.put_back(input);
        if node.is_up() && !was_up {
            let guests = cluster::guests(node.id());
            self.dispatch.chat.set_guest_prefix(guests);
        }
    }

    /// The client's request has got its reply.
    fn go_on(&mut self, client: ClientId) {
        self.notify(Notice::Executed(client));
        if let Some(connection) = self.connections.get_mut(client as usize)
            && connection.reading == Reading::Asking
        {
            connection.reading = Reading::HeldBack;
            self.resume(client);
        }
    }

    /// What was missed cannot be known, so nobody is kept in ignorance.
    fn end_all(&mut self) {
        let is_active = |connection: &super::Connection<T>| connection.phase == Phase::Active;
        let active = self.connections.iter().filter(|(_, connection)| is_active(connection));
        let clients: Vec<ClientId> = active.map(|(slot, _)| slot as ClientId).collect();
        for client in clients {
            self.disconnect(client, DisconnectReason::ClusterLinkLost);
        }
    }

    /// The server is to stop: answers that clients wait for are waited for first, for as long as `--drain` says. When
    /// it was asked to stop, as soon as it may; the node has left the cluster then.
    pub(super) fn leave_cluster(&mut self, now: Moment) -> Option<Moment> {
        let (drain, is_stopping) = (self.options.drain, self.stop_at.is_some());
        let Some(node) = self.node_mut().filter(|_| !is_stopping) else { return Some(now) };
        let asked_at = node.ask_to_stop(now);
        if node.is_up() && node.asking_len() > 0 && now < asked_at + drain {
            return None;
        }
        node.leave();
        Some(asked_at)
    }

    /// Whether clients have to wait for the link: no client is read while input of it waits, and none when the server
    /// only waits for the last answers.
    pub(super) fn is_engine_first(&self) -> bool {
        self.dispatch
            .cluster
            .as_ref()
            .is_some_and(|node| node.has_input() || self.stop_at.is_none() && node.stop_asked_at().is_some())
    }

    /// When the hub has to look at the node. When the link has to be looked at is told by [`Node::deadline`], on the
    /// node's own clock.
    pub(super) fn engine_deadline(&self) -> Option<Moment> {
        let node = self.dispatch.cluster.as_ref()?;
        if node.has_input() || node.is_lost() {
            return Some(Moment::default());
        }
        match self.stop_at {
            Some(stop_at) => Some(stop_at).filter(|_| node.is_leaving_cluster()),
            None => node.stop_asked_at().map(|asked_at| asked_at + self.options.drain),
        }
    }

    /// Whether the engine has still to be told that this node goes.
    pub(super) fn is_leaving_cluster(&self) -> bool {
        let in_time = self.stop_at.is_some_and(|stop_at| self.now < stop_at);
        in_time && self.dispatch.cluster.as_ref().is_some_and(|node| node.is_leaving_cluster())
    }

    /// Whether a loss of the link is so recent that its last words may still be under way.
    pub(super) fn is_telling_all(&self) -> bool {
        self.dispatch
            .cluster
            .as_ref()
            .is_some_and(|node| !node.is_up() || node.has_told_after(self.now.before(super::end::LINGER)))
    }

    /// Bytes that wait for the engine because of this client alone.
    pub(super) fn parked_bytes(&self, client: ClientId) -> usize {
        self.dispatch.cluster.as_ref().map_or(0, |node| node.held_for(client))
    }

    /// Panics if the node does not agree with the connections. What it has told to be counted, in bytes. For tests.
    pub(super) fn check_node(&self) -> usize {
        let Some(node) = &self.dispatch.cluster else { return 0 };
        node.check();
        for (slot, connection) in &self.connections {
            let is_asking = connection.phase == Phase::Active && connection.reading == Reading::Asking;
            assert_eq!(
                is_asking,
                node.is_asking(slot as ClientId),
                "client {slot}: {:?}",
                connection.reading
            );
        }
        node.counted_bytes()
    }
}
