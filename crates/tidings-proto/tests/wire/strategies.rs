//! Random messages.

use super::*;

pub(super) fn node_id() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId)
}

pub(super) fn topic_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 32]>().prop_map(TopicId)
}

fn address() -> impl Strategy<Value = Addr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Addr::Socket((ip, port).into())),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Addr::Socket((ip, port).into())),
    ]
}

pub(super) fn peer_addr() -> impl Strategy<Value = PeerAddr> {
    (node_id(), vec(address(), 0..=MAX_ADDRS)).prop_map(|(id, addrs)| PeerAddr { id, addrs })
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (any::<u64>(), vec(any::<u64>(), 0..=MAX_SKETCH)).prop_map(|(period, mut hashes)| {
        hashes.sort_unstable();
        Sketch { period, hashes }
    })
}

fn overlay() -> impl Strategy<Value = WireOverlay> {
    proptest::option::of(topic_id())
}

fn short_id() -> impl Strategy<Value = ShortId> {
    any::<[u8; 16]>().prop_map(ShortId)
}

/// Any message within the limits.
/// The failure detector's.
fn detection() -> impl Strategy<Value = Message> {
    let n = any::<u64>;
    prop_oneof![
        (any::<u32>(), n(), any::<Option<u64>>()).prop_map(|(seq, incarnation, suspected)| Ping {
            seq,
            incarnation,
            suspected
        }
        .into()),
        (any::<u32>(), n()).prop_map(|(seq, incarnation)| Ack { seq, incarnation }.into()),
        (n(), node_id()).prop_map(|(nonce, target)| PingReq { nonce, target }.into()),
        n().prop_map(|nonce| Nack { nonce }.into()),
        (n(), node_id()).prop_map(|(nonce, requester)| RelayedPing { nonce, requester }.into()),
        (n(), node_id(), node_id(), n(), any::<u8>()).prop_map(|(nonce, who, requester, incarnation, b)| {
            Alive { nonce, who, requester, incarnation, signature: [b; 64] }.into()
        }),
        (node_id(), n()).prop_map(|(peer, incarnation)| Suspect { peer, incarnation }.into()),
        (n(), vec(peer_addr(), 0..=MAX_PEERS)).prop_map(|(incarnation, peers)| Neighbors { incarnation, peers }.into()),
    ]
}

/// Those about the contents of large messages.
fn contents() -> impl Strategy<Value = Message> {
    let content = || any::<[u8; 32]>().prop_map(ContentId);
    let chunks = || vec(0..MAX_CHUNKS as u32, 0..40).prop_map(|numbers| numbers.into_iter().collect::<ChunkSet>());
    let asks = move || vec((content(), chunks()).prop_map(|(content, chunks)| Ask { content, chunks }), 0..=MAX_ASKS);
    prop_oneof![
        asks().prop_map(|asks| Want { asks }.into()),
        (content(), chunks()).prop_map(|(content, chunks)| Have { content, chunks }.into()),
        (content(), any::<u32>()).prop_map(|(content, index)| Chunk { content, index }.into()),
        asks().prop_map(|asks| Lack { asks }.into()),
        asks().prop_map(|asks| Unwant { asks }.into()),
    ]
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    let peers = || vec(peer_addr(), 0..=MAX_PEERS);
    let path = || vec(node_id(), 0..=MAX_PATH);
    let announced = (short_id(), any::<u16>(), any::<u32>()).prop_map(|(id, hop, held)| Announced { id, hop, held });
    let range = (node_id(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(author, epoch, from, to)| Range {
        author,
        epoch,
        from,
        to,
    });
    prop_oneof![
        Just(Message::from(Release {})),
        (overlay(), peer_addr(), sketch()).prop_map(|(overlay, me, sketch)| Join { overlay, me, sketch }.into()),
        (overlay(), peer_addr(), any::<u8>()).prop_map(|(overlay, newcomer, ttl)| ForwardJoin {
            overlay,
            newcomer,
            ttl
        }
        .into()),
        (overlay(), peer_addr(), any::<bool>(), any::<u8>(), sketch())
            .prop_map(|(overlay, me, urgent, room, sketch)| Neighbor { overlay, me, urgent, room, sketch }.into()),
        (overlay(), any::<bool>(), peers(), sketch(), proptest::option::of(peer_addr())).prop_map(
            |(overlay, accept, others, sketch, me)| NeighborReply { overlay, accept, others, sketch, me }.into()
        ),
        (overlay(), any::<u8>(), proptest::option::of(peer_addr())).prop_map(|(overlay, reason, instead)| Disconnect {
            overlay,
            reason,
            instead
        }
        .into()),
        (overlay(), any::<u8>(), path(), peers(), sketch()).prop_map(|(overlay, ttl, path, peers, sketch)| Shuffle {
            overlay,
            ttl,
            path,
            peers,
            sketch
        }
        .into()),
        (overlay(), path(), peers(), sketch()).prop_map(|(overlay, path, peers, sketch)| ShuffleReply {
            overlay,
            path,
            peers,
            sketch
        }
        .into()),
        (any::<bool>(), vec(topic_id(), 0..=MAX_TOPICS), vec(topic_id(), 0..=MAX_TOPICS))
            .prop_map(|(fresh, add, remove)| Topics { fresh, add, remove }.into()),
        (topic_id(), peer_addr(), any::<u8>()).prop_map(|(topic, seeker, ttl)| TopicWalk { topic, seeker, ttl }.into()),
        (topic_id(), peers()).prop_map(|(topic, peers)| TopicPeers { topic, peers }.into()),
        (overlay(), peer_addr(), peer_addr(), any::<bool>()).prop_map(|(overlay, me, old, near)| Exchange {
            overlay,
            me,
            old,
            near
        }
        .into()),
        (any::<u16>(), any::<bool>()).prop_map(|(hop, pulled)| Gossip { hop, pulled }.into()),
        (topic_id(), vec(announced, 0..=MAX_IHAVES)).prop_map(|(topic, batches)| IHave { topic, batches }.into()),
        (topic_id(), vec(short_id(), 0..=MAX_IHAVES), any::<bool>()).prop_map(|(topic, ids, eager)| Graft {
            topic,
            ids,
            eager
        }
        .into()),
        topic_id().prop_map(|topic| Prune { topic }.into()),
        (topic_id(), vec(range, 0..=MAX_RANGES)).prop_map(|(topic, ranges)| Fetch { topic, ranges }.into()),
        discovery::message(),
        direct::message(),
        detection(),
        reconciliation(),
        contents(),
        certificates(),
    ]
}

/// Those about agents' certificates.
fn certificates() -> impl Strategy<Value = Message> {
    let one = || any::<[u8; 16]>().prop_map(CertificateRef);
    let some = move || vec(one(), 0..=MAX_CERTIFICATES_ASKED);
    prop_oneof![
        one().prop_map(|certificate| Certified { certificate }.into()),
        some().prop_map(|certificates| AskCertificates { certificates }.into()),
        Just(Certificate {}.into()),
        (topic_id(), vec(any::<[u8; 16]>().prop_map(CapabilityRef), 0..=MAX_CAPABILITIES_ASKED))
            .prop_map(|(topic, capabilities)| AskCapabilities { topic, capabilities }.into()),
        any::<(u64, u64, u64)>().prop_map(|(messages, bytes, at_ms)| VouchFor { messages, bytes, at_ms }.into()),
        Just(Capability {}.into()),
        some().prop_map(|certificates| NoCertificates { certificates }.into()),
        records(),
    ]
}

fn streams() -> impl Strategy<Value = Streams> {
    vec((node_id(), any::<u64>(), any::<u32>(), any::<u32>()), 0..60).prop_map(|all| {
        let mut s = Streams::default();
        for (author, epoch, from, len) in all {
            s.add(StreamTag::new(&author, epoch), from.into(), u64::from(from) + u64::from(len));
        }
        s
    })
}

/// Those about the network's records.
fn records() -> impl Strategy<Value = Message> {
    let set = || any::<u8>().prop_map(SetId);
    let refresh =
        || (any::<u16>(), any::<[u8; 16]>()).prop_map(|(step, value)| Refresh { step, value: ChainValue(value) });
    let full = (set(), any::<u16>(), any::<u32>(), proptest::option::of(refresh()))
        .prop_map(|(set, len, age, refresh)| FullRecord { set, len, age, refresh });
    let fresh = (set(), any::<u64>(), any::<u32>(), refresh()).prop_map(|(set, key, age, refresh)| FreshRecord {
        set,
        key,
        age,
        refresh,
    });
    let ids = || vec(any::<u32>(), 0..60);
    prop_oneof![
        (vec(full, 0..40), vec(fresh, 0..40)).prop_map(|(full, fresh)| Records { full, fresh }.into()),
        any::<u32>().prop_map(|id| RecordsWave { id }.into()),
        ids().prop_map(|ids| RecordsHeld { ids }.into()),
        (ids(), vec((set(), any::<u64>()), 0..40), any::<bool>()).prop_map(|(ids, keys, eager)| RecordsWanted {
            ids,
            keys,
            eager
        }
        .into()),
        Just(Message::from(RecordsLazy {})),
    ]
}

/// Anti-entropy's.
fn reconciliation() -> impl Strategy<Value = Message> {
    let n = any::<u64>;
    let id = || (any::<u64>().prop_map(SetTag), any::<u32>());
    let wanted = (node_id(), n(), n(), n()).prop_map(|(author, epoch, from, to)| Wanted {
        stream: StreamTag::new(&author, epoch),
        from,
        to,
    });
    let changed = || (n(), any::<i8>()).prop_map(|(sum, count)| Change { sum, count });
    let asks = (any::<u32>(), 0..=MAX_SYMBOLS as u32, any::<Option<u64>>());
    prop_oneof![
        (id(), n(), n(), n(), n(), proptest::option::of(vec(changed(), 0..=MAX_TOLD))).prop_map(
            |((set, session), from, span, sum, count, young)| {
                Compare { set, session, from, span, sum, count, young }.into()
            }
        ),
        any::<u32>().prop_map(|session| Same { session }.into()),
        (any::<u32>(), n(), n(), n(), n()).prop_map(|(session, from, sum, count, streams)| Differ {
            session,
            from,
            sum,
            count,
            streams
        }
        .into()),
        (id(), n(), n(), streams()).prop_map(|((set, session), from, span, streams)| Ranges {
            set,
            session,
            from,
            span,
            streams
        }
        .into()),
        (id(), vec(wanted, 0..40)).prop_map(|((set, session), ranges)| Pull { set, session, ranges }.into()),
        (id(), n(), asks).prop_map(|((set, session), from, (first, count, as_of))| {
            AskSymbols { set, session, from, first, count, as_of }.into()
        }),
        (id(), n(), n(), n(), any::<u32>()).prop_map(|((set, session), key, items, as_of, first)| {
            Symbols { set, session, key, items, as_of, first }.into()
        }),
        (id(), n(), vec(n(), 0..60))
            .prop_map(|((set, session), key, items)| WantItems { set, session, key, items }.into()),
        vec((any::<u32>(), any::<u16>(), n()).prop_map(|(len, hop, held)| Bundled { len, hop, held }), 0..60)
            .prop_map(|batches| Bundle { batches }.into()),
        (id(), n()).prop_map(|((set, session), count)| Offer { set, session, count }.into()),
        (id(), n(), any::<bool>())
            .prop_map(|((set, session), count, more)| Served { set, session, count, more }.into()),
    ]
}
