//! The table of all messages: their tags, and what of each is checked when it is decoded.

use bytes::Bytes;

use super::capabilities::{AskCapabilities, Capability, MAX_CAPABILITIES_ASKED};
use super::certificates::{AskCertificates, Certificate, Certified, MAX_CERTIFICATES_ASKED, NoCertificates};
use super::circuits::{CircuitAck, CircuitOpened, CircuitPiece, CloseCircuit, OpenCircuit};
use super::direct::{CloseSession, Envelopes, OpenSession, Receipt};
use super::foaf::{Deposit, Found, LackProof, MAX_WHEREABOUTS, NotFound, Seek};
use super::large::{Chunk, Have, Lack, Unwant, Want, asks_ok};
use super::messages::*;
use super::probes::{Ack, Alive, Nack, Neighbors, Ping, PingReq, RelayedPing, Suspect};
use super::reach::{AskReach, Reached};
use super::reconcile::{AskSymbols, Bundle, Compare, Differ, Offer, Pull, Ranges, Same, Served, Symbols, WantItems};
use super::records::{MAX_NAMED, MAX_RECORDS, Records, RecordsHeld, RecordsLazy, RecordsWanted, RecordsWave};
use super::rendezvous::{Holds, LookUp, MAX_HAVE, Register, Registered, VouchReached, statements_ok, vouch_ok};
use super::roles::VouchFor;
use super::routing::{Envelope, RelayAck, Reserve, Reserved, envelope_ok};
use super::{Frame, Header, WireError};
use crate::anti_entropy::{MAX_BUNDLE, MAX_ITEMS, MAX_SYMBOLS, MAX_WANTED};
use crate::records::MAX_TOLD;

macro_rules! messages {
    ($($(#[$doc:meta])* $tag:literal $name:ident $check:expr;)*) => {
        /// Any message, decoded.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant carries the struct of the same name")]
        pub enum Message {
            $($name($name),)*
        }

        impl Message {
            /// The tag on the wire.
            pub fn tag(&self) -> u8 {
                match self { $(Message::$name(_) => $tag,)* }
            }

            /// The message's name, for counters and traces.
            pub fn name(&self) -> &'static str {
                match self { $(Message::$name(_) => stringify!($name),)* }
            }

            /// Encodes the message with the raw payload behind it.
            pub fn frame_with(&self, payload: Bytes) -> Frame {
                let mut body = Vec::with_capacity(128);
                let done = match self { $(Message::$name(m) => minicbor::encode(m, &mut body),)* };
                debug_assert!(done.is_ok(), "encoding into memory cannot fail");
                Frame::new(self.tag(), &body, payload)
            }

            /// Decodes a body. `Ok(None)` for a tag this version does not know.
            pub fn decode(header: Header, body: &[u8]) -> Result<Option<Message>, WireError> {
                let tag = header.tag;
                match tag {
                    $($tag => {
                        let mut d = minicbor::Decoder::new(body);
                        let m: $name = d.decode().map_err(|_| WireError::Body(tag))?;
                        if d.position() != body.len() {
                            return Err(WireError::Body(tag));
                        }
                        let within: fn(&$name) -> bool = $check;
                        if !within(&m) {
                            return Err(WireError::Limit(tag));
                        }
                        Ok(Some(Message::$name(m)))
                    })*
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$name> for Message {
            fn from(m: $name) -> Message { Message::$name(m) }
        })*
    };
}

fn sketch_ok(s: &Sketch) -> bool {
    s.hashes.len() <= MAX_SKETCH && s.hashes.is_sorted()
}

messages! {
    1 Release |_| true;
    10 Join |m| sketch_ok(&m.sketch);
    11 ForwardJoin |_| true;
    12 Neighbor |m| sketch_ok(&m.sketch);
    13 NeighborReply |m| sketch_ok(&m.sketch) && m.others.len() <= MAX_PEERS;
    14 Disconnect |_| true;
    15 Shuffle |m| sketch_ok(&m.sketch) && m.peers.len() <= MAX_PEERS && m.path.len() <= MAX_PATH;
    16 ShuffleReply |m| sketch_ok(&m.sketch) && m.peers.len() <= MAX_PEERS && m.path.len() <= MAX_PATH;
    17 Topics |m| m.add.len() <= MAX_TOPICS && m.remove.len() <= MAX_TOPICS;
    18 TopicWalk |_| true;
    19 TopicPeers |m| m.peers.len() <= MAX_PEERS;
    20 Exchange |_| true;
    30 Gossip |_| true;
    31 IHave |m| m.batches.len() <= MAX_IHAVES;
    32 Graft |m| m.ids.len() <= MAX_IHAVES;
    33 Prune |_| true;
    34 Fetch |m| m.ranges.len() <= MAX_RANGES;
    35 Bundle |m| m.batches.len() <= MAX_BUNDLE;
    40 Ping |_| true;
    41 Ack |_| true;
    42 PingReq |_| true;
    43 Nack |_| true;
    44 RelayedPing |_| true;
    45 Alive |_| true;
    46 Suspect |_| true;
    47 Neighbors |m| m.peers.len() <= MAX_PEERS;
    50 Compare |m| m.young.as_ref().is_none_or(|y| y.len() <= MAX_TOLD);
    51 Same |_| true;
    52 Differ |_| true;
    53 Ranges |m| m.streams.valid();
    54 Pull |m| m.ranges.len() <= MAX_WANTED;
    55 AskSymbols |m| m.count as usize <= MAX_SYMBOLS;
    56 Symbols |_| true;
    57 WantItems |m| m.items.len() <= MAX_ITEMS;
    58 Offer |_| true;
    59 Served |_| true;
    60 Want |m| asks_ok(&m.asks);
    61 Have |m| m.chunks.within();
    62 Chunk |_| true;
    63 Lack |m| asks_ok(&m.asks);
    64 Unwant |m| asks_ok(&m.asks);
    70 Records |m| m.full.len() <= MAX_RECORDS && m.fresh.len() <= MAX_RECORDS;
    71 RecordsHeld |m| m.ids.len() <= MAX_NAMED;
    72 RecordsWanted |m| m.ids.len() <= MAX_NAMED && m.keys.len() <= MAX_NAMED;
    73 RecordsLazy |_| true;
    74 RecordsWave |_| true;
    80 Certified |_| true;
    81 AskCertificates |m| m.certificates.len() <= MAX_CERTIFICATES_ASKED;
    82 Certificate |_| true;
    83 NoCertificates |m| m.certificates.len() <= MAX_CERTIFICATES_ASKED;
    85 Seek |_| true;
    86 Found |_| true;
    87 NotFound |_| true;
    88 Deposit |m| m.whereabouts.len() <= MAX_WHEREABOUTS;
    89 LackProof |_| true;
    92 Register |m| m.statement.len() <= MAX_WHEREABOUTS;
    93 Registered |m| statements_ok(&m.members);
    94 LookUp |m| m.have.len() <= MAX_HAVE;
    95 Holds |m| statements_ok(&m.statements);
    96 AskReach |_| true;
    97 Reached |_| true;
    98 VouchReached |m| vouch_ok(m);
    100 VouchFor |_| true;
    104 AskCapabilities |m| m.capabilities.len() <= MAX_CAPABILITIES_ASKED;
    105 Capability |_| true;
    108 OpenSession |_| true;
    109 Envelopes |_| true;
    110 Receipt |_| true;
    111 CloseSession |_| true;
    112 Envelope envelope_ok;
    113 RelayAck |_| true;
    114 Reserve |_| true;
    115 Reserved |_| true;
    116 OpenCircuit |_| true;
    117 CircuitOpened |_| true;
    118 CircuitPiece |_| true;
    119 CircuitAck |_| true;
    120 CloseCircuit |_| true;
}

impl Message {
    /// Encodes the message as a frame without payload.
    pub fn frame(&self) -> Frame {
        self.frame_with(Bytes::new())
    }

    /// Parses a whole frame. `Ok(None)` for an unknown tag: skip it.
    pub fn parse(bytes: Bytes) -> Result<Option<(Message, Bytes)>, WireError> {
        let (header, body, payload) = Header::parse(bytes)?;
        Ok(Message::decode(header, &body)?.map(|m| (m, payload)))
    }
}
