//! The driver's side of publishing: which topics have something to send, and what the core had no room for.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_proto::io::{Command, CommandError, Reply, Ticket};
use tidings_proto::pubsub::MAX_WAITING_BYTES;

use super::pending::{Pending, Waiting};
use super::run::Run;
use crate::publisher::{Outbox, PublishError, Unsent};

/// With this many bytes in the core a topic's messages are handed in one at a time: a small one must not pass a large
/// one that the core has no room for. Half of what the core takes, because its own count includes what is around the
/// messages.
const CAREFUL: usize = MAX_WAITING_BYTES / 2;

/// Topics with something to send, and messages between the queue and the core.
#[derive(Default)]
pub(crate) struct Publishing {
    /// Topics with something in their queue.
    ready: Vec<Arc<Outbox>>,
    /// What the core refused for want of room in this turn, in order.
    refused: Vec<(Arc<Outbox>, Unsent)>,
    taken: VecDeque<Unsent>,
}

impl Publishing {
    /// Hands waiting messages in. A topic that is full is tried with one message: something has happened, or there
    /// would be no turn.
    pub(crate) fn turn(&mut self, run: &Run, pending: &mut Pending, mut hand_in: impl FnMut(Ticket, Command)) {
        run.take_ready(&mut self.ready);
        self.ready.retain(|outbox| {
            let room = if outbox.is_full() { 0 } else { CAREFUL.saturating_sub(outbox.held()) };
            let left = outbox.take(room, &mut self.taken);
            for unsent in self.taken.drain(..) {
                let (topic, size, durable) = (outbox.topic, unsent.size(), unsent.durable);
                let (waiting, message) = Waiting::publish(outbox.clone(), unsent);
                outbox.handed_in(size);
                let command = match durable {
                    true => Command::PublishDurable { topic, message },
                    false => Command::Publish { topic, message },
                };
                hand_in(pending.add(waiting), command);
            }
            left
        });
    }

    /// The core answered a message.
    pub(crate) fn answered(&mut self, outbox: Arc<Outbox>, unsent: Unsent, reply: Reply) {
        let size = unsent.size();
        let answer = match reply {
            Reply::Refused(CommandError::QueueFull { .. }) => {
                outbox.refused(size);
                outbox.set_full(true);
                self.refused.push((outbox, unsent));
                return;
            }
            Reply::Published(published) => {
                outbox.set_full(false);
                outbox.published(size, published.neighbors, unsent.durable);
                Ok(published)
            }
            Reply::Refused(error) => {
                outbox.refused(size);
                Err(PublishError::Refused(error))
            }
            _ => Err(PublishError::Stopped),
        };
        outbox.answered(1);
        // Whoever published may not want to know.
        let _ = unsent.answer.send(answer);
    }

    /// Ends the turn: what was refused goes back to the front of its queue. Whether there is more to hand in that
    /// the core has room for.
    pub(crate) fn settle(&mut self) -> bool {
        while let Some((outbox, unsent)) = self.refused.pop() {
            if !outbox.put_back(unsent) {
                self.ready.push(outbox);
            }
        }
        self.ready.iter().any(|outbox| !outbox.is_full())
    }
}
