//! One suite for every transport. What only QUIC can show is in `transport_quic.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings::transport::{
    Inbound, Inbox, LinkLimits, MemoryNetwork, QuicConfig, QuicTransport, SendError, Transport, TransportEvent,
};
use tidings_proto::identity::{Network, NodeId, SecretKey};
use tidings_proto::wire::{Frame, Lane, LinkRefusal, MAX_DATAGRAM, MAX_FRAME};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// Makes nodes of one kind of transport that can reach each other.
trait Factory: Default {
    async fn start(&self, seed: u8, network: &str) -> Arc<dyn Transport>;
}

#[derive(Default)]
struct Quic;

impl Factory for Quic {
    async fn start(&self, seed: u8, network: &str) -> Arc<dyn Transport> {
        let config = QuicConfig {
            // A debug build on a busy machine takes its time.
            dial_timeout: Duration::from_secs(3),
            ..QuicConfig::new(SecretKey::from_bytes([seed; 32]), Network::from_name(network).unwrap())
        };
        QuicTransport::bind(config).await.unwrap()
    }
}

#[derive(Default)]
struct Memory(MemoryNetwork);

impl Factory for Memory {
    async fn start(&self, seed: u8, network: &str) -> Arc<dyn Transport> {
        self.0.join(NodeId([seed; 32]), Network::from_name(network).unwrap())
    }
}

struct Node {
    t: Arc<dyn Transport>,
    inbox: Inbox,
}

impl Node {
    fn id(&self) -> NodeId {
        self.t.local_peer_id()
    }

    fn dial(&self, other: &Node) {
        self.t.dial(other.id(), other.t.local_addrs());
    }

    async fn next(&mut self) -> Inbound {
        timeout(DEADLINE, self.inbox.recv()).await.expect("nothing came in time").expect("the inbox ended")
    }

    /// The next event that is no credit.
    async fn event(&mut self) -> Inbound {
        loop {
            match self.next().await {
                Inbound::Credit { .. } => {}
                event => return event,
            }
        }
    }

    async fn link_up(&mut self) -> (NodeId, bool) {
        match self.event().await {
            Inbound::LinkUp { peer, outbound, .. } => (peer, outbound),
            other => panic!("wanted LinkUp, got {other:?}"),
        }
    }

    async fn link_down(&mut self) -> (NodeId, LinkRefusal) {
        match self.event().await {
            Inbound::LinkDown { peer, reason } => (peer, reason),
            other => panic!("wanted LinkDown, got {other:?}"),
        }
    }

    async fn dial_failed(&mut self) -> (NodeId, LinkRefusal) {
        match self.event().await {
            Inbound::DialFailed { peer, reason } => (peer, reason),
            other => panic!("wanted DialFailed, got {other:?}"),
        }
    }

    async fn frame(&mut self) -> (NodeId, Lane, Bytes) {
        match self.event().await {
            Inbound::Frame { from, lane, bytes, .. } => (from, lane, bytes),
            other => panic!("wanted a frame, got {other:?}"),
        }
    }
}

async fn node_in<F: Factory>(factory: &F, seed: u8, network: &str) -> Node {
    let t = factory.start(seed, network).await;
    let inbox = t.attach(LinkLimits::default());
    Node { t, inbox }
}

async fn node<F: Factory>(factory: &F, seed: u8) -> Node {
    node_in(factory, seed, "test").await
}

/// Two linked nodes; the first dialed.
async fn pair<F: Factory>(factory: &F) -> (Node, Node) {
    let (mut a, mut b) = (node(factory, 1).await, node(factory, 2).await);
    a.dial(&b);
    assert_eq!(a.link_up().await, (b.id(), true));
    assert_eq!(b.link_up().await, (a.id(), false));
    (a, b)
}

fn frame(tag: u8, payload: usize) -> Frame {
    Frame::new(tag, &[0xa0], Bytes::from(vec![tag; payload]))
}

/// A small frame with a number in it.
fn numbered(n: u32) -> Bytes {
    Frame::new(1, &n.to_le_bytes(), Bytes::new()).to_bytes()
}

fn number(frame: &Bytes) -> u32 {
    u32::from_le_bytes(frame[8..12].try_into().unwrap())
}

async fn a_dial_brings_one_link_up_on_both_sides<F: Factory>(factory: F) {
    let (a, b) = pair(&factory).await;
    assert_eq!((a.t.stats().links, b.t.stats().links), (1, 1));
    assert_eq!((a.t.stats().dials, b.t.stats().dials), (1, 0));
    assert!(a.t.rtt(b.id()).is_some());
}

async fn what_a_dial_says_comes_before_anything_else<F: Factory>(factory: F) {
    let (mut a, mut b) = (node(&factory, 1).await, node(&factory, 2).await);
    let first: Vec<Frame> = (1..=3).map(|n| frame(n, 100)).collect();
    let left = a.t.dial_saying(b.id(), b.t.local_addrs(), first.clone());
    a.link_up().await;
    // A transport says it itself, or leaves it to the caller.
    for f in left {
        a.t.try_send_frame(b.id(), Lane::Control, f).unwrap();
    }
    a.t.send(b.id(), numbered(7)).unwrap();
    assert_eq!(b.link_up().await, (a.id(), false));
    for f in &first {
        assert_eq!(b.frame().await, (a.id(), Lane::Control, f.to_bytes()));
    }
    assert_eq!(number(&b.frame().await.2), 7);
}

async fn what_a_dial_says_is_not_said_to_another_network<F: Factory>(factory: F) {
    let (mut a, mut b) = (node(&factory, 1).await, node_in(&factory, 2, "another").await);
    a.t.dial_saying(b.id(), b.t.local_addrs(), vec![frame(1, 100)]);
    assert_eq!(a.dial_failed().await, (b.id(), LinkRefusal::WrongNetwork));
    let c = node_in(&factory, 3, "another").await;
    c.dial(&b);
    assert_eq!(b.link_up().await, (c.id(), false), "and nothing before it");
}

async fn dialing_a_linked_peer_reports_nothing<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    a.dial(&b);
    b.dial(&a);
    a.t.send(b.id(), numbered(7)).unwrap();
    assert_eq!(number(&b.frame().await.2), 7);
    assert_eq!((a.t.stats().dials, b.t.stats().dials), (1, 0));
}

async fn frames_keep_their_order_on_each_lane<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    let large = frame(9, 90 * 1024);
    for n in 0..5000 {
        for lane in Lane::STREAMS {
            a.t.try_send(b.id(), lane, numbered(n)).unwrap();
            if n == 2500 {
                a.t.try_send_frame(b.id(), lane, large.clone()).unwrap();
            }
        }
    }
    let mut next: BTreeMap<Lane, u32> = BTreeMap::new();
    let mut larges = 0;
    for _ in 0..3 * 5001 {
        let (from, lane, bytes) = b.frame().await;
        assert_eq!(from, a.id());
        if bytes.len() > 12 {
            assert_eq!(bytes, large.to_bytes());
            assert_eq!(next[&lane], 2501);
            larges += 1;
        } else {
            let next = next.entry(lane).or_default();
            assert_eq!(number(&bytes), *next);
            *next += 1;
        }
    }
    assert_eq!(larges, 3);
    assert_eq!(b.t.stats().frames_in, 3 * 5001);
    assert_eq!(a.t.stats().frame_bytes_out, b.t.stats().frame_bytes_in);
}

async fn more_than_a_stream_takes_at_once_follows_in_order<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    // The lane's stream is open when its first frame has arrived.
    a.t.try_send(b.id(), Lane::Data, numbered(0)).unwrap();
    assert_eq!(number(&b.frame().await.2), 0);
    let large = frame(9, 90 * 1024);
    for n in 1..=20 {
        a.t.try_send_frame(b.id(), Lane::Data, large.clone()).unwrap();
        a.t.try_send(b.id(), Lane::Data, numbered(n)).unwrap();
    }
    for n in 1..=20 {
        assert_eq!(b.frame().await.2, large.to_bytes());
        assert_eq!(number(&b.frame().await.2), n);
    }
}

async fn datagrams_travel_and_oversize_is_an_error<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    a.t.try_send(b.id(), Lane::Probe, Bytes::from_static(b"ping")).unwrap();
    match b.event().await {
        Inbound::Datagram { from, bytes } => assert_eq!((from, &bytes[..]), (a.id(), &b"ping"[..])),
        other => panic!("wanted a datagram, got {other:?}"),
    }
    a.t.try_send(b.id(), Lane::Probe, vec![0; MAX_DATAGRAM].into()).unwrap();
    let long = a.t.try_send(b.id(), Lane::Probe, vec![0; MAX_DATAGRAM + 1].into());
    assert!(matches!(long, Err(SendError::TooLarge { len, .. }) if len == MAX_DATAGRAM + 1));
}

async fn an_oversized_frame_is_an_error_and_queues_nothing<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    let long = a.t.send(b.id(), vec![1; MAX_FRAME + 1].into());
    assert_eq!(long, Err(SendError::TooLarge { len: MAX_FRAME + 1, max: MAX_FRAME }));
    a.t.send(b.id(), numbered(3)).unwrap();
    assert_eq!(number(&b.frame().await.2), 3);
}

async fn broadcast_gives_each_peers_result<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    let mut c = node(&factory, 3).await;
    a.dial(&c);
    a.link_up().await;
    c.link_up().await;
    let stranger = NodeId([9; 32]);
    let results = a.t.broadcast(&[b.id(), stranger, c.id()], numbered(5));
    assert_eq!(results, [(b.id(), Ok(())), (stranger, Err(SendError::NotLinked)), (c.id(), Ok(()))]);
    assert_eq!(b.frame().await.1, Lane::Control);
    assert_eq!(number(&c.frame().await.2), 5);
}

async fn close_flushes_control_and_tells_its_reason<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    // Many times what a new connection may have in flight.
    for n in 0..500u32 {
        let frame = Frame::new(1, &n.to_le_bytes(), Bytes::from_static(&[0; 400]));
        a.t.try_send_frame(b.id(), Lane::Control, frame).unwrap();
    }
    a.t.close(b.id(), LinkRefusal::Full);
    assert_eq!(a.t.send(b.id(), numbered(0)), Err(SendError::NotLinked));
    assert_eq!(a.link_down().await, (b.id(), LinkRefusal::Full));
    for n in 0..500 {
        assert_eq!(number(&b.frame().await.2), n);
    }
    assert_eq!(b.link_down().await, (a.id(), LinkRefusal::Full));
    a.dial(&b);
    assert_eq!(a.link_up().await, (b.id(), true));
    assert_eq!(b.link_up().await, (a.id(), false));
}

async fn a_wrong_network_is_refused_on_both_sides<F: Factory>(factory: F) {
    let mut a = node_in(&factory, 1, "ours").await;
    let mut b = node_in(&factory, 2, "theirs").await;
    let mut events = b.t.subscribe_events();
    a.dial(&b);
    assert_eq!(a.dial_failed().await, (b.id(), LinkRefusal::WrongNetwork));
    let event = timeout(DEADLINE, events.recv()).await.unwrap().unwrap();
    assert_eq!(event, TransportEvent::Refused { peer: Some(a.id()), reason: LinkRefusal::WrongNetwork });
    assert_eq!(b.t.stats().refused[&LinkRefusal::WrongNetwork], 1);
    assert_eq!((a.t.stats().links_up, b.t.stats().links_up), (0, 0));
    assert!(b.inbox.try_recv().is_none());
}

async fn a_full_node_refuses<F: Factory>(factory: F) {
    let t = factory.start(1, "test").await;
    let inbox = t.attach(LinkLimits { max_links: 1, ..LinkLimits::default() });
    let mut a = Node { t, inbox };
    let (mut b, mut c) = (node(&factory, 2).await, node(&factory, 3).await);
    b.dial(&a);
    b.link_up().await;
    a.link_up().await;
    c.dial(&a);
    assert_eq!(c.dial_failed().await, (a.id(), LinkRefusal::Full));
    assert_eq!(a.t.stats().refused[&LinkRefusal::Full], 1);
    assert_eq!(a.t.stats().links, 1);
}

async fn dials_at_the_same_time_make_one_link<F: Factory>(factory: F) {
    for round in 0..20 {
        let (mut a, mut b) = (node(&factory, 1).await, node(&factory, 2).await);
        a.dial(&b);
        b.dial(&a);
        let (peer, a_dialed) = a.link_up().await;
        assert_eq!(peer, b.id());
        let (peer, b_dialed) = b.link_up().await;
        assert_eq!(peer, a.id());
        assert_ne!(a_dialed, b_dialed, "round {round}: both ends must keep the same connection");
        for n in 0..100 {
            a.t.send(b.id(), numbered(n)).unwrap();
            b.t.send(a.id(), numbered(n)).unwrap();
        }
        for n in 0..100 {
            assert_eq!(number(&a.frame().await.2), n);
            assert_eq!(number(&b.frame().await.2), n);
        }
        // The loser is gone before anything is shut down, and nothing flapped.
        assert_eq!((a.t.stats().links_up, b.t.stats().links_up), (1, 1));
        tokio::join!(a.t.shutdown(), b.t.shutdown());
    }
}

async fn a_stuck_receiver_holds_back_its_lane_only<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    let mut c = node(&factory, 3).await;
    a.dial(&c);
    a.link_up().await;
    c.link_up().await;

    // b reads nothing: what its inbox, the windows and our queue hold is bounded.
    let data = frame(2, 60_000);
    let (mut sent, mut credit) = (0, 0);
    loop {
        match a.t.try_send_frame(b.id(), Lane::Data, data.clone()) {
            Ok(()) => sent += data.len(),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                assert!(sent - credit > Lane::Data.budget() - data.len(), "full before the budget is used up");
                // Full for good once no credit comes any more.
                let Ok(event) = timeout(Duration::from_millis(300), a.inbox.recv()).await else { break };
                match event.unwrap() {
                    Inbound::Credit { bytes, .. } => credit += bytes,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(sent < 32 << 20, "flow control must have stopped the sender");
    }
    let unread = b.t.stats().frame_bytes_in as usize;
    assert!(unread <= LinkLimits::default().inbox_bytes, "{unread} bytes unread");
    // Neither b's other lanes nor another peer are held back: all three arrive while b still reads nothing.
    let before = b.t.stats().frames_in;
    a.t.send(b.id(), numbered(1)).unwrap();
    a.t.try_send(b.id(), Lane::Bulk, numbered(2)).unwrap();
    a.t.try_send(c.id(), Lane::Data, numbered(3)).unwrap();
    assert_eq!(number(&c.frame().await.2), 3);
    let arrived = async {
        while b.t.stats().frames_in < before + 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, arrived).await.expect("the other lanes are held back too");

    let (mut data_bytes, mut others) = (0, Vec::new());
    while data_bytes < sent || others.len() < 2 {
        let (_, lane, bytes) = b.frame().await;
        match lane {
            Lane::Data => data_bytes += bytes.len(),
            _ => others.push((lane, number(&bytes))),
        }
    }
    others.sort();
    assert_eq!(others, [(Lane::Control, 1), (Lane::Bulk, 2)]);
    while credit < sent {
        if let Inbound::Credit { peer, lane: Lane::Data, bytes } = a.next().await {
            credit += if peer == b.id() { bytes } else { 0 };
        }
    }
    assert_eq!(credit, sent);
    // The whole budget is there again.
    for _ in 0..Lane::Data.budget() / data.len() {
        a.t.try_send_frame(b.id(), Lane::Data, data.clone()).unwrap();
    }
}

async fn credit_adds_up_to_what_was_sent<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    let mut owed: BTreeMap<Lane, usize> = BTreeMap::new();
    for n in 0..300 {
        for lane in Lane::STREAMS {
            let frame = frame(n as u8, n * 7);
            *owed.entry(lane).or_default() += frame.len();
            a.t.try_send_frame(b.id(), lane, frame).unwrap();
        }
    }
    for _ in 0..900 {
        b.frame().await;
    }
    while owed.values().any(|bytes| *bytes > 0) {
        match a.next().await {
            Inbound::Credit { peer, lane, bytes } => {
                assert_eq!(peer, b.id());
                let owed = owed.get_mut(&lane).unwrap();
                *owed = owed.checked_sub(bytes).expect("more credit than bytes sent");
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn detach_says_goodbye_and_attach_works_again<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    a.t.detach().await;
    assert_eq!(a.link_down().await, (b.id(), LinkRefusal::Goodbye));
    assert!(timeout(DEADLINE, a.inbox.recv()).await.unwrap().is_none(), "the inbox must end");
    assert_eq!(b.link_down().await, (a.id(), LinkRefusal::Goodbye));
    b.dial(&a);
    b.dial_failed().await;
    a.inbox = a.t.attach(LinkLimits::default());
    b.dial(&a);
    assert_eq!(a.link_up().await, (b.id(), false));
    assert_eq!(b.link_up().await, (a.id(), true));
}

async fn a_later_attachment_takes_over<F: Factory>(factory: F) {
    let (mut a, mut b) = pair(&factory).await;
    let inbox = a.t.attach(LinkLimits::default());
    assert_eq!(a.link_down().await, (b.id(), LinkRefusal::Goodbye));
    assert!(timeout(DEADLINE, a.inbox.recv()).await.unwrap().is_none());
    a.inbox = inbox;
    assert_eq!(b.link_down().await, (a.id(), LinkRefusal::Goodbye));
    a.dial(&b);
    a.link_up().await;
    b.link_up().await;
}

async fn a_peer_restarted_with_its_key_replaces_its_link<F: Factory>(factory: F) {
    let (a, mut b) = pair(&factory).await;
    // A second process with a's key, while b still holds the link to the first.
    let mut again = node(&factory, 1).await;
    again.dial(&b);
    assert_eq!(again.link_up().await, (b.id(), true));
    assert_eq!(b.link_down().await, (a.id(), LinkRefusal::Closed));
    assert_eq!(b.link_up().await, (a.id(), false));
    again.t.send(b.id(), numbered(4)).unwrap();
    assert_eq!(number(&b.frame().await.2), 4);
}

async fn a_restarted_peer_can_be_dialed_the_other_way<F: Factory>(factory: F) {
    // The link was dialed by the node that stays: the newcomer's dial still replaces it.
    let (mut a, b) = pair(&factory).await;
    let mut again = node(&factory, 2).await;
    again.dial(&a);
    assert_eq!(again.link_up().await, (a.id(), true));
    assert_eq!(a.link_down().await, (b.id(), LinkRefusal::Closed));
    assert_eq!(a.link_up().await, (b.id(), false));
}

async fn a_dial_to_nobody_fails_in_time<F: Factory>(factory: F) {
    let mut a = node(&factory, 1).await;
    let gone = node(&factory, 2).await;
    let (id, addrs) = (gone.id(), gone.t.local_addrs());
    gone.t.shutdown().await;
    drop(gone);
    let before = std::time::Instant::now();
    a.t.dial(id, addrs);
    assert_eq!(a.dial_failed().await, (id, LinkRefusal::Timeout));
    assert!(before.elapsed() < Duration::from_secs(4), "the dial time-out is 3 s");
    assert_eq!(a.t.stats().dials_failed[&LinkRefusal::Timeout], 1);
}

async fn a_dial_to_oneself_fails<F: Factory>(factory: F) {
    let mut a = node(&factory, 1).await;
    a.t.dial(a.id(), a.t.local_addrs());
    assert_eq!(a.dial_failed().await, (a.id(), LinkRefusal::WrongPeer));
}

async fn observers_see_links_come_and_go<F: Factory>(factory: F) {
    let (mut a, mut b) = (node(&factory, 1).await, node(&factory, 2).await);
    let mut events = a.t.subscribe_events();
    a.dial(&b);
    a.link_up().await;
    b.link_up().await;
    b.t.close(a.id(), LinkRefusal::Closed);
    a.link_down().await;
    let peer = b.id();
    let wanted = [
        TransportEvent::LinkUp { peer, outbound: true },
        TransportEvent::LinkDown { peer, reason: LinkRefusal::Closed },
    ];
    for event in wanted {
        assert_eq!(timeout(DEADLINE, events.recv()).await.unwrap().unwrap(), event);
    }
}

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Memory::default()).await;
            })*
        }
        mod quic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Quic).await;
            })*
        }
    };
}

suite! {
    a_dial_brings_one_link_up_on_both_sides,
    what_a_dial_says_comes_before_anything_else,
    what_a_dial_says_is_not_said_to_another_network,
    dialing_a_linked_peer_reports_nothing,
    frames_keep_their_order_on_each_lane,
    more_than_a_stream_takes_at_once_follows_in_order,
    datagrams_travel_and_oversize_is_an_error,
    an_oversized_frame_is_an_error_and_queues_nothing,
    broadcast_gives_each_peers_result,
    close_flushes_control_and_tells_its_reason,
    a_wrong_network_is_refused_on_both_sides,
    a_full_node_refuses,
    dials_at_the_same_time_make_one_link,
    a_stuck_receiver_holds_back_its_lane_only,
    credit_adds_up_to_what_was_sent,
    detach_says_goodbye_and_attach_works_again,
    a_later_attachment_takes_over,
    a_peer_restarted_with_its_key_replaces_its_link,
    a_restarted_peer_can_be_dialed_the_other_way,
    a_dial_to_nobody_fails_in_time,
    a_dial_to_oneself_fails,
    observers_see_links_come_and_go,
}
