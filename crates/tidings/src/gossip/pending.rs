//! Commands the core has not answered yet.

use std::sync::Arc;

use tidings_proto::discovery::Search;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{CommandError, Outgoing, Reply, Ticket};
use tidings_proto::messaging::{Delivered, Kept};
use tidings_proto::pubsub::{ReconciliationStats, TopicCapability};

use super::run::{Asked, Done};
use crate::publisher::{Outbox, Unsent};
use crate::subscription::{History, Queue};

/// What became of a direct message that was not refused.
pub(crate) enum Sending {
    /// Its receiver has it.
    Delivered(Delivered),
    /// Its receiver is away, and others keep it.
    Kept(Kept),
}

/// Who waits for an answer.
pub(crate) enum Waiting {
    /// A published message; kept to be tried again if there is no room for it yet.
    Publish(Arc<Outbox>, Unsent),
    /// The subscriptions of a topic.
    Subscribe(TopicId),
    /// A subscription that begins with history.
    Beginning(Arc<Queue>),
    /// Somebody who asked for history.
    History(Asked<History>),
    /// Somebody who had logs compared.
    Reconcile(Asked<ReconciliationStats>),
    /// Somebody who lets an agent publish.
    Capability(Asked<Result<TopicCapability, CommandError>>),
    /// Somebody who sent a direct message.
    Send(Asked<Result<Sending, CommandError>>),
    /// Somebody who looks for an agent.
    Search(Asked<Result<Search, CommandError>>),
    /// Somebody who wants to know whether it was done.
    Done(Done),
    /// Nobody.
    Nobody,
}

impl Waiting {
    /// A publish and the message to hand in for it.
    pub(crate) fn publish(outbox: Arc<Outbox>, unsent: Unsent) -> (Waiting, Outgoing) {
        let message = unsent.message.clone();
        (Waiting::Publish(outbox, unsent), message)
    }
}

/// Tickets are places in a table, used again after the answer: no search, no allocation once it has grown.
#[derive(Default)]
pub(crate) struct Pending {
    places: Vec<Option<Waiting>>,
    free: Vec<usize>,
}

impl Pending {
    /// A ticket for `waiting`.
    pub(crate) fn add(&mut self, waiting: Waiting) -> Ticket {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(waiting);
                place
            }
            None => {
                self.places.push(Some(waiting));
                self.places.len() - 1
            }
        };
        Ticket(place as u64)
    }

    /// Who waits for `ticket`; nobody if it was answered before.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let place = usize::try_from(ticket.0).ok()?;
        let waiting = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(waiting)
    }
}

/// An answer to whoever sent a direct message.
pub(crate) fn sent(reply: Reply) -> Result<Sending, CommandError> {
    match reply {
        Reply::Delivered(delivered) => Ok(Sending::Delivered(delivered)),
        Reply::Kept(kept) => Ok(Sending::Kept(kept)),
        Reply::Refused(error) => Err(error),
        // The core answers a message with nothing else.
        _ => Err(CommandError::Leaving),
    }
}

/// An answer to whoever looks for an agent.
pub(crate) fn search(reply: Reply) -> Result<Search, CommandError> {
    match reply {
        Reply::Located(search) => Ok(search),
        Reply::Refused(error) => Err(error),
        _ => Ok(Search::default()),
    }
}

/// An answer to whoever only wants to know whether it was done.
pub(crate) fn done(reply: Reply) -> Result<(), CommandError> {
    match reply {
        Reply::Refused(error) => Err(error),
        _ => Ok(()),
    }
}
