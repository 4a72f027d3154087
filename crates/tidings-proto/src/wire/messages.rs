//! What neighbours say of their overlays and topics: one struct a tag.

use minicbor::{Decode, Encode};

use crate::identity::{Addr, MAX_ADDRS, NodeId, PeerAddr, TopicId};

/// Most peers carried by one message.
pub const MAX_PEERS: usize = 16;
/// Most hashes of a size sketch.
pub const MAX_SKETCH: usize = 16;
/// Most topics named by one message (bounds a frame at some 4 KiB; more take several).
pub const MAX_TOPICS: usize = 128;
/// Longest path of a walk that is answered along the way it came.
pub const MAX_PATH: usize = 8;
/// Most announcements or requests in one message (512 × 24 bytes: a quarter of the longest body).
pub const MAX_IHAVES: usize = 512;
/// Most ranges of sequence numbers asked for in one message.
pub const MAX_RANGES: usize = 64;

/// The first 16 bytes of a batch id: enough that nobody else can make another batch with the same ones; only the
/// author of both could, by some 2^64 tries, and then only harms its own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ShortId(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

/// Which overlay a message is about: absent for the network's own.
pub type WireOverlay = Option<TopicId>;

/// The smallest hashes of member ids seen in one period: says how many members there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sketch {
    /// Which period the hashes belong to.
    #[n(0)]
    pub period: u64,
    /// Ascending, at most [`MAX_SKETCH`].
    #[n(1)]
    #[cbor(default)]
    pub hashes: Vec<u64>,
}

/// "I hold no more claim to this link": it may be closed by whoever holds none either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Release {}

/// Asks to be let into an overlay.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Join {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// The newcomer's addresses (its id is the link's).
    #[n(1)]
    pub me: PeerAddr,
    /// The newcomer's sketch.
    #[n(2)]
    #[cbor(default)]
    pub sketch: Sketch,
}

/// Carries a newcomer through the overlay to neighbours far from its contact.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ForwardJoin {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// Who wants in.
    #[n(1)]
    pub newcomer: PeerAddr,
    /// Hops left.
    #[n(2)]
    pub ttl: u8,
}

/// Asks to become neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Neighbor {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// The asker's addresses.
    #[n(1)]
    pub me: PeerAddr,
    /// The asker has no neighbour at all.
    #[n(2)]
    #[cbor(default)]
    pub urgent: bool,
    /// How many neighbours the asker has room for, this one included.
    #[n(3)]
    #[cbor(default)]
    pub room: u8,
    /// The asker's sketch.
    #[n(4)]
    #[cbor(default)]
    pub sketch: Sketch,
}

/// Answers [`Neighbor`] and [`Join`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NeighborReply {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// Whether both are neighbours now.
    #[n(1)]
    pub accept: bool,
    /// When refused: others to try.
    #[n(2)]
    #[cbor(default)]
    pub others: Vec<PeerAddr>,
    /// The answerer's sketch.
    #[n(3)]
    #[cbor(default)]
    pub sketch: Sketch,
    /// The answerer's addresses.
    #[n(4)]
    pub me: Option<PeerAddr>,
}

/// Ends being neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Disconnect {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// 0 made room for another, 1 left the overlay, 2 goodbye: the process ends, 3 exchanged: another is on its way.
    #[n(1)]
    #[cbor(default)]
    pub reason: u8,
    /// Who took the place, and has room for one more.
    #[n(2)]
    pub instead: Option<PeerAddr>,
}

/// Mixes passive views along a walk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shuffle {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// Hops left.
    #[n(1)]
    pub ttl: u8,
    /// The way it came: the origin first. The answer goes back along it.
    #[n(2)]
    pub path: Vec<NodeId>,
    /// A sample of the origin's views, the origin included.
    #[n(3)]
    pub peers: Vec<PeerAddr>,
    /// The origin's sketch.
    #[n(4)]
    #[cbor(default)]
    pub sketch: Sketch,
}

/// Answers [`Shuffle`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ShuffleReply {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// The way still to go: the origin first.
    #[n(1)]
    pub path: Vec<NodeId>,
    /// A sample of the answerer's views.
    #[n(2)]
    pub peers: Vec<PeerAddr>,
    /// The answerer's sketch.
    #[n(3)]
    #[cbor(default)]
    pub sketch: Sketch,
}

/// Tells a neighbour of the network's overlay which topics this node takes part in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Topics {
    /// Forget what was said before.
    #[n(0)]
    #[cbor(default)]
    pub fresh: bool,
    /// Joined.
    #[n(1)]
    #[cbor(default)]
    pub add: Vec<TopicId>,
    /// Left.
    #[n(2)]
    #[cbor(default)]
    pub remove: Vec<TopicId>,
}

/// Walks the network's overlay in search of a topic's members; a member that receives it lets the seeker in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TopicWalk {
    /// Which topic.
    #[n(0)]
    pub topic: TopicId,
    /// Who is looking.
    #[n(1)]
    pub seeker: PeerAddr,
    /// Hops left.
    #[n(2)]
    pub ttl: u8,
}

/// Answers a [`Join`] to a topic that this node is not in: members it knows of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TopicPeers {
    /// Which topic.
    #[n(0)]
    pub topic: TopicId,
    /// Members.
    #[n(1)]
    pub peers: Vec<PeerAddr>,
}

/// Asks to become neighbours in exchange: both ends are full and let one go, and those two are sent to each other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exchange {
    /// Which overlay.
    #[n(0)]
    pub overlay: WireOverlay,
    /// The asker's addresses.
    #[n(1)]
    pub me: PeerAddr,
    /// Whom the asker lets go: the receiver names it to whom it lets go itself.
    #[n(2)]
    pub old: PeerAddr,
    /// The asker wants nearer neighbours; otherwise it has found one again that it had lost.
    #[n(3)]
    #[cbor(default)]
    pub near: bool,
}

/// Carries a batch: the author's own bytes are the frame's payload.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Gossip {
    /// Links travelled, this one included. The one thing relays write.
    #[n(0)]
    pub hop: u16,
    /// Sent because it was asked for, not because the link is in the tree.
    #[n(1)]
    #[cbor(default)]
    pub pulled: bool,
}

/// One announced batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Announced {
    /// Which.
    #[n(0)]
    pub id: ShortId,
    /// Links it travelled to reach the announcer, plus one.
    #[n(1)]
    pub hop: u16,
    /// How long ago the announcer had it, in units of 100 µs.
    #[n(2)]
    pub held: u32,
}

/// Announces batches on lazy links.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct IHave {
    /// Of which topic.
    #[n(0)]
    pub topic: TopicId,
    /// At most [`MAX_IHAVES`].
    #[n(1)]
    pub batches: Vec<Announced>,
}

/// Makes a link part of the tree, and asks for batches.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Graft {
    /// Of which topic.
    #[n(0)]
    pub topic: TopicId,
    /// Batches wanted, at most [`MAX_IHAVES`].
    #[n(1)]
    #[cbor(default)]
    pub ids: Vec<ShortId>,
    /// The link becomes part of the tree; otherwise only the batches are wanted.
    #[n(2)]
    #[cbor(default)]
    pub eager: bool,
}

/// Takes a link out of the tree: only announcements travel it from now on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Prune {
    /// Of which topic.
    #[n(0)]
    pub topic: TopicId,
}

/// A range of one author's sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Range {
    /// Whose.
    #[n(0)]
    pub author: NodeId,
    /// Of which epoch.
    #[n(1)]
    pub epoch: u64,
    /// First wanted.
    #[n(2)]
    pub from: u64,
    /// Last wanted.
    #[n(3)]
    pub to: u64,
}

/// Asks for what is missing of some authors; answered by [`Gossip`] frames, as far as the log reaches.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Fetch {
    /// Of which topic.
    #[n(0)]
    pub topic: TopicId,
    /// At most [`MAX_RANGES`].
    #[n(1)]
    pub ranges: Vec<Range>,
}

/// A peer's own description of itself, cut to what a message may carry.
pub fn own_address(id: NodeId, addrs: &[Addr]) -> PeerAddr {
    PeerAddr { id, addrs: addrs[..addrs.len().min(MAX_ADDRS)].to_vec() }
}
