//! What others may send: each bad input is refused or counted, and the node works afterwards.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::*;
use tidings_proto::identity::{Network, NodeId, PeerAddr, TopicId};
use tidings_proto::io::*;
use tidings_proto::node::Error;
use tidings_proto::pubsub::{BatchHeader, MAX_MESSAGE};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// A node with two neighbours, in the network's overlay and on the topic, and an author known by one batch.
struct Scene {
    d: Driven,
    friend: Fake,
    rogue: Fake,
    author: Fake,
    good: u64,
}

impl Scene {
    fn new() -> Scene {
        let mut s =
            Scene { d: Driven::on_topic(), friend: Fake::new(1), rogue: Fake::new(2), author: Fake::new(9), good: 0 };
        s.d.neighbor(&s.friend);
        s.d.neighbor(&s.rogue);
        s.works();
        s
    }

    /// A good batch comes through.
    fn works(&mut self) {
        self.good += 1;
        let payload = format!("good {}", self.good);
        let b = self.author.batch(self.good, payload.as_bytes());
        self.d.bring(&self.friend, &b);
        assert_eq!(self.d.payloads().last().expect("nothing is delivered"), payload.as_bytes());
    }

    /// Does something, and says which counters it moved, those of traffic aside.
    fn counted(&mut self, what: impl FnOnce(&mut Scene)) -> BTreeMap<String, u64> {
        let before = numbers(&self.d);
        what(self);
        let after = numbers(&self.d);
        let moved = after.into_iter().map(|(k, v)| {
            let b = before[&k];
            (k, v - b)
        });
        moved.filter(|(k, v)| *v > 0 && !k.ends_with("s_in") && !k.ends_with("_out")).collect()
    }

    /// The rogue's frame moves exactly this counter, by one; nothing is delivered, and the node works.
    fn counts(&mut self, counter: &str, what: impl FnOnce(&mut Scene)) {
        let delivered = self.d.delivered().len();
        assert_eq!(self.counted(what), BTreeMap::from([(counter.to_string(), 1)]));
        assert_eq!(self.d.delivered().len(), delivered, "something was delivered");
        self.works();
    }

    fn refuses(&mut self, bytes: impl Into<Bytes>, error: WireError) {
        let (bytes, from) = (bytes.into(), self.rogue.id);
        self.counts("frames_malformed", |s| {
            assert_eq!(s.d.frame(&s.rogue, Lane::Control, bytes), Err(Error::Wire { from, error }));
        });
    }

    fn says_in_vain(&mut self, counter: &str, message: impl Into<Message>) {
        let message = message.into();
        self.counts(counter, |s| s.d.say(&s.rogue, message));
    }

    fn brings_in_vain(&mut self, counter: &str, batch: Bytes) {
        self.counts(counter, |s| s.d.frame(&s.rogue, Lane::Data, gossip_bytes(batch).to_bytes()).unwrap());
    }

    /// A stranger: linked, and no neighbour.
    fn stranger(&mut self) -> Fake {
        let stranger = Fake::new(30);
        self.d.link(&stranger);
        stranger
    }
}

fn numbers(d: &Driven) -> BTreeMap<String, u64> {
    serde_json::from_value(serde_json::to_value(d.counters()).unwrap()).unwrap()
}

fn other_topic() -> TopicId {
    TopicId::from_name("other").unwrap()
}

fn short(n: u8) -> ShortId {
    ShortId([n; 16])
}

fn range(author: &Fake, from: u64, to: u64) -> Range {
    Range { author: author.id, epoch: 1, from, to }
}

fn sketch() -> Sketch {
    Sketch::default()
}

mod frames;

mod batches;

mod tree_messages;

mod membership_messages;

mod the_driver;

mod after_leaving;
