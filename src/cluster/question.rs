//! What is asked of the engine, and what can be learnt from its answers. No state: only types.

use std::borrow::Cow;
use std::rc::Rc;

use super::keys::NodeId;
use crate::chat::ClientId;
use crate::deadlines::Moment;
use crate::dispatch::Action;

/// What a request needs to know of the engine. Rooms and nicknames are in their canonical spelling.
#[derive(Debug)]
pub enum Question<'a> {
    /// Is this nickname free? Then it is the client's.
    Claim(Rc<[u8]>),
    /// Back to the nickname of a guest: the claimed one is to be free.
    BeGuest(Rc<[u8]>),
    /// The first member on this node: subscribe.
    Join(Rc<[u8]>),
    /// The last member on this node: unsubscribe.
    Leave(Rc<[u8]>),
    /// Does this room, which has no members here, have any elsewhere?
    Find(Rc<[u8]>),
    /// A message is to be published. `subscribed`: this node is, so somebody must be reached.
    Send {
        /// The room.
        room: Cow<'a, str>,
        /// The text as the client wrote it.
        text: &'a str,
        /// Whether this node is subscribed when the engine carries it out.
        subscribed: bool,
    },
}

/// An answer to a request that waited for the engine.
#[derive(Debug)]
pub struct Answer {
    /// Who asked; `None` if it has gone since.
    pub client: Option<ClientId>,
    /// What was asked for.
    pub action: Action,
    /// The request, as it goes back.
    pub echo: Vec<u8>,
    /// What came of it.
    pub outcome: Answered,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The nickname is the client's.
    Named(Rc<[u8]>),
    /// Somebody has it.
    NicknameInUse,
    /// The room is subscribed to.
    Joined(Rc<[u8]>),
    /// The room is not subscribed to any more.
    Left(Rc<[u8]>),
    /// The message is out.
    Sent,
    /// No node has members in the room.
    RoomNotFound,
    /// Others have members in the room.
    NotInThisRoom,
}

/// What the engine has said.
#[derive(Debug)]
pub enum Heard<'a> {
    /// Something that concerns no client.
    Nothing,
    /// The answer to a client's question.
    Answer(Answer),
    /// A message in a room.
    Message {
        /// The room's name.
        room: &'a [u8],
        /// The whole line for its members.
        line: &'a [u8],
        /// The client of this node that has sent it.
        sender: Option<ClientId>,
        /// If it is the answer for that client, too: its reply goes first.
        answer: Option<Answer>,
    },
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub about: About,
    /// How many bytes of the command and its echo wait for the answer.
    pub bytes: usize,
    pub at: Moment,
}

/// What a question is about.
#[derive(Debug)]
pub(super) enum About {
    /// A request of a client.
    Client { client: ClientId, serial: u64, action: Action, echo: Vec<u8>, what: What },
    /// A room without members here is unsubscribed from.
    Unsubscribe(Rc<[u8]>),
    /// A nickname is freed: nothing to be learnt.
    Free,
    /// The lease is renewed.
    Lease,
    /// A nickname is kept from expiring.
    Refresh,
    /// What has to be known before the link stands.
    Greeting(Step),
}

/// What a client's question is about.
#[derive(Debug)]
pub(super) enum What {
    Claim(Rc<[u8]>),
    BeGuest(Rc<[u8]>),
    Join(Rc<[u8]>),
    Leave(Rc<[u8]>),
    Find,
    /// `answered`: its own publication was here first.
    Send {
        subscribed: bool,
        answered: bool,
    },
}

/// The steps of the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Hello,
    Select,
    Policy,
    PolicyFromInfo,
    DeleteOldLease,
    TakeId(NodeId),
    Subscribe,
    Publish,
    CountSubscribers,
    Unsubscribe,
    Claim,
    Refresh,
    Free,
}

impl About {
    /// What the answer is, if it is not an ordinary reply but a push: its first word.
    pub fn push(&self) -> Option<&'static str> {
        match self {
            About::Client { what: What::Join(_), .. } | About::Greeting(Step::Subscribe) => Some("subscribe"),
            About::Client { what: What::Leave(_), .. }
            | About::Unsubscribe(_)
            | About::Greeting(Step::Unsubscribe) => Some("unsubscribe"),
            _ => None,
        }
    }
}
