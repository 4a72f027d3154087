//! One turn of a node.

use tidings_proto::Node;
use tidings_proto::io::{Input, Output, Reply};

use super::{Network, Told, What};

impl Network {
    /// One turn of a node: an input, then everything it wants done.
    pub(super) fn turn(&mut self, n: u32, input: Input) {
        if self.slots[n as usize].puppet {
            return self.told.push((n, Told::Puppet(input)));
        }
        let now = self.clocks_of(n);
        // One list for all turns: they are many.
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.push(input);
        while let Some(input) = inputs.pop() {
            let Some(node) = self.slots[n as usize].node.as_mut() else { break };
            // What a node refuses, it counts.
            let _ = node.handle(now, input);
            while let Some(out) = self.slots[n as usize].node.as_mut().and_then(Node::poll) {
                self.output(n, out, &mut inputs);
            }
        }
        inputs.clear();
        self.inputs = inputs;
        let slot = &mut self.slots[n as usize];
        if let Some((at, _)) = slot.node.as_ref().and_then(Node::deadline) {
            let at = at.0.max(self.now);
            if at < slot.wake {
                slot.wake = at;
                self.schedule(at, n, What::Tick { at });
            }
        }
    }

    fn output(&mut self, n: u32, out: Output, inputs: &mut Vec<Input>) {
        match out {
            Output::Send { peer, lane, frame } => self.send(n, peer, lane, frame, inputs),
            Output::Datagram { peer, bytes } => self.datagram(n, peer, bytes),
            Output::Dial { peer, addrs, first } => self.dial(n, peer, &addrs, first),
            Output::Close { peer, reason } => self.close(n, peer, reason, inputs),
            Output::Event(e) => self.told.push((n, Told::Event(e))),
            Output::Reply { ticket, reply: Reply::Located(found) } => {
                self.told.push((n, Told::Located(ticket, found)));
            }
            Output::Reply { ticket, reply: Reply::Delivered(d) } => self.told.push((n, Told::Sent(ticket, Ok(d)))),
            Output::Reply { ticket, reply: Reply::Kept(k) } => self.told.push((n, Told::Kept(ticket, k))),
            Output::Reply { ticket, reply: Reply::Refused(why) } => self.told.push((n, Told::Sent(ticket, Err(why)))),
            Output::Reply { .. } => self.told.push((n, Told::Reply)),
            Output::Store { ticket, records } => self.store(n, ticket, records, inputs),
            Output::Load { ticket, prefix } => self.load(n, ticket, &prefix, inputs),
            Output::Append { ticket, topic, records, sync } => self.append(n, ticket, topic, records, sync, inputs),
            Output::ReadLog { ticket, topic, query } => self.read_log(n, ticket, &topic, &query, inputs),
        }
    }
}
