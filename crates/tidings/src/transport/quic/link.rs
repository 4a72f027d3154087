//! One link over one QUIC connection: a task that watches over it, and one for each lane in use and direction.
//!
//! A lane is a unidirectional stream for each direction, opened at its first frame and kept as long as the link.
//! Its first byte is the lane's; frames follow back to back.
//!
//! Frames are written where they are queued, by whoever sends them, as long as the stream takes them at once: with little
//! traffic a task of its own would be woken for each. The lane's writer opens the stream and writes when it has to wait.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ReadError, RecvStream, SendDatagramError, SendStream};
use rustls::NamedGroup;
use tidings_proto::identity::Addr;
use tidings_proto::wire::{Lane, LinkRefusal, MAX_DATAGRAM};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::codes;
use crate::transport::SendError;
use crate::transport::cutter::Cutter;
use crate::transport::hub::{Carried, Carrier, Hub, Link, Refusal};
use crate::transport::inbox::parking::{Mutex, lock};
use crate::transport::lane_queue::LaneQueue;
use crate::transport::stats::add;

/// How long a closing link may take to flush its control lane: a few round trips on a slow path (a guess).
const FLUSH: Duration = Duration::from_millis(200);

/// Chunks taken from a stream at once; each is at most one packet's payload.
const CHUNKS: usize = 16;

/// A connection, and the streams of its lanes while nobody waits to write on them.
pub(super) struct QuicCarrier {
    conn: Connection,
    /// Whoever writes on a lane has taken its stream out or holds the lock, before it takes from the lane's queue: so
    /// frames stay in order.
    streams: Arc<Streams>,
}

/// The sending streams of a link's lanes, once they are open.
#[derive(Default)]
pub(super) struct Streams([Mutex<Option<SendStream>>; 3]);

impl Streams {
    fn take(&self, lane: Lane) -> Option<SendStream> {
        lock(&self.0[lane as usize]).take()
    }

    fn put(&self, lane: Lane, stream: SendStream) {
        *lock(&self.0[lane as usize]) = Some(stream);
    }
}

impl QuicCarrier {
    /// What carries a link over `conn`, with `streams` that the link's tasks share.
    pub(super) fn new(conn: Connection, streams: Arc<Streams>) -> QuicCarrier {
        QuicCarrier { conn, streams }
    }
}

impl Carrier for QuicCarrier {
    fn datagram(&self, bytes: Bytes) -> Result<(), SendError> {
        let len = bytes.len();
        let max = self.conn.max_datagram_size().unwrap_or(0).min(MAX_DATAGRAM);
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        self.conn.send_datagram(bytes).map_err(|error| match error {
            SendDatagramError::ConnectionLost(_) => SendError::NotLinked,
            _ => SendError::TooLarge { len, max },
        })
    }

    fn rtt(&self) -> Duration {
        self.conn.rtt()
    }

    fn addr(&self) -> Option<Addr> {
        let addr = self.conn.remote_address();
        // A socket for both families shows IPv4 peers as mapped.
        Some(Addr::Socket(SocketAddr::new(addr.ip().to_canonical(), addr.port())))
    }

    fn wire_bytes(&self) -> (u64, u64) {
        let stats = self.conn.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    fn acknowledgements(&self) -> u64 {
        self.conn.stats().frame_rx.acks
    }

    fn key_exchange(&self) -> Option<NamedGroup> {
        key_exchange(&self.conn)
    }

    fn write_now(&self, queue: &LaneQueue) -> Option<usize> {
        let mut stream = lock(&self.streams.0[queue.lane() as usize]);
        // None: not open yet, or the writer waits for room.
        let stream = stream.as_mut()?;
        let mut pieces = Vec::with_capacity(2);
        queue.take(&mut pieces);
        let mut bytes = 0;
        while !pieces.is_empty() {
            // Polled once. What cannot be written at once, or fails, is for the writer to wait for and to see.
            let Some(Ok(written)) = stream.write_chunks(&mut pieces).now_or_never() else { break };
            pieces.drain(..written.chunks);
            bytes += written.bytes;
        }
        queue.written(bytes);
        if !pieces.is_empty() {
            queue.put_back(&mut pieces);
        }
        Some(bytes)
    }
}

/// The group a connection's keys come from.
pub(super) fn key_exchange(conn: &Connection) -> Option<NamedGroup> {
    let data = conn.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Some(data.negotiated_key_exchange_group)
}

/// The two control streams of a connection whose hellos were exchanged on them.
pub(super) struct Control {
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    /// Those of the link's carrier.
    pub(super) streams: Arc<Streams>,
}

/// What one side of a lane ended with.
enum Ended {
    /// The stream or the connection ended; the watcher knows why.
    Stream,
    /// The peer broke the protocol.
    Broken(LinkRefusal),
}

/// Carries the link until it ends.
pub(super) async fn run(hub: Arc<Hub>, conn: Connection, carried: Carried, control: Control) {
    let link = &carried.link;
    let streams = control.streams;
    let mut readers = JoinSet::new();
    let mut writers = JoinSet::new();
    streams.put(Lane::Control, control.send);
    writers.spawn(write_lane(link.clone(), Lane::Control, conn.clone(), streams.clone()));
    readers.spawn(read_lane(hub.clone(), link.clone(), Lane::Control, control.recv));
    let refusal = watch(&hub, &conn, link, &streams, &mut readers, &mut writers).await;
    match refusal {
        Some(refusal) => {
            if !link.flow.is_down() {
                // The peer broke the protocol: nothing it sends counts any more.
                let Refusal::Link(reason) = refusal else { return };
                hub.ended(link, reason);
            } else {
                flush(link, &mut writers).await;
            }
            conn.close(codes::code(refusal), b"");
        }
        None => {
            link.flow.drain();
            while readers.join_next().await.is_some() {}
            let error = conn.closed().await;
            let reason = match codes::refusal(&error) {
                Refusal::Link(reason) => reason,
                Refusal::Duplicate => LinkRefusal::Closed,
            };
            hub.ended(link, reason);
        }
    }
}

/// Serves the connection; `None` when it is gone, otherwise why it must be closed.
async fn watch(
    hub: &Arc<Hub>,
    conn: &Connection,
    link: &Arc<Link>,
    streams: &Arc<Streams>,
    readers: &mut JoinSet<Ended>,
    writers: &mut JoinSet<()>,
) -> Option<Refusal> {
    let mut accept = pin!(conn.accept_uni());
    let mut datagram = pin!(conn.read_datagram());
    loop {
        tokio::select! {
            biased;
            () = link.wake.notified() => {
                let (lanes, close) = link.take_work();
                // Control has its writer from the start: the hello went out on its stream.
                for lane in lanes.into_iter().filter(|lane| *lane != Lane::Control) {
                    writers.spawn(write_lane(link.clone(), lane, conn.clone(), streams.clone()));
                }
                if close.is_some() {
                    return close;
                }
            }
            received = &mut datagram => {
                let Ok(bytes) = received else { return None };
                datagram.set(conn.read_datagram());
                add(&hub.counters.datagrams_in, 1);
                if !link.queue.datagram(&link.flow, bytes) {
                    add(&hub.counters.datagrams_dropped, 1);
                }
            }
            stream = &mut accept => {
                let Ok(recv) = stream else { return None };
                accept.set(conn.accept_uni());
                readers.spawn(read_stream(hub.clone(), link.clone(), recv));
            }
            Some(ended) = readers.join_next(), if !readers.is_empty() => {
                if let Ok(Ended::Broken(reason)) = ended {
                    return Some(Refusal::Link(reason));
                }
            }
        }
    }
}

/// Waits, for a bounded time, until the peer has what is queued on the control lane.
async fn flush(link: &Link, writers: &mut JoinSet<()>) {
    for lane in &link.lanes {
        lane.finish();
    }
    let control_done = async {
        // Data and bulk may end first, or never: only control is waited for.
        while !link.lanes[Lane::Control as usize].is_flushed() {
            if writers.join_next().await.is_none() {
                return;
            }
        }
    };
    // Past the time, what is left is lost, as the peer is not taking it.
    let _ = timeout(FLUSH, control_done).await;
}

/// Opens the lane's stream if need be, and writes what is queued that could not be written where it was queued.
async fn write_lane(link: Arc<Link>, lane: Lane, conn: Connection, streams: Arc<Streams>) {
    let queue = &link.lanes[lane as usize];
    if lane != Lane::Control {
        // Without a stream the connection is gone: the watcher sees it too.
        let Some(stream) = open_lane(&conn, lane).await else { return };
        streams.put(lane, stream);
    }
    drop(conn);
    let mut pieces = Vec::new();
    while queue.ready().await {
        let Some(mut stream) = streams.take(lane) else { return };
        queue.take(&mut pieces);
        let mut rest = &mut pieces[..];
        while !rest.is_empty() {
            let Ok(written) = stream.write_chunks(rest).await else { return };
            rest = &mut rest[written.chunks..];
            queue.written(written.bytes);
            link.queue.credit(&link.flow, lane, written.bytes);
        }
        pieces.clear();
        streams.put(lane, stream);
    }
    let Some(mut stream) = streams.take(lane) else { return };
    if lane == Lane::Control && stream.finish().is_ok() {
        let _ = stream.stopped().await;
        queue.set_flushed();
    }
}

/// A new stream for a lane, its lane byte written.
pub(super) async fn open_lane(conn: &Connection, lane: Lane) -> Option<SendStream> {
    let mut stream = conn.open_uni().await.ok()?;
    // Control first, bulk last.
    stream.set_priority(-(lane as i32)).ok()?;
    stream.write_all(&[lane as u8]).await.ok()?;
    Some(stream)
}

/// Reads a stream the peer opened, if it is one of ours.
async fn read_stream(hub: Arc<Hub>, link: Arc<Link>, mut recv: RecvStream) -> Ended {
    let mut lane = [0];
    if recv.read_exact(&mut lane).await.is_err() {
        return Ended::Stream;
    }
    match Lane::from_byte(lane[0]) {
        Some(lane @ (Lane::Data | Lane::Bulk)) if link.claim_stream(lane) => read_lane(hub, link, lane, recv).await,
        // A second stream for a lane would break its order.
        Some(Lane::Control | Lane::Data | Lane::Bulk) => Ended::Broken(LinkRefusal::Protocol),
        _ => {
            // For a newer peer's sake; dropping the stream tells it to stop.
            add(&hub.counters.unknown_streams, 1);
            Ended::Stream
        }
    }
}

async fn read_lane(hub: Arc<Hub>, link: Arc<Link>, lane: Lane, mut recv: RecvStream) -> Ended {
    let mut cutter = Cutter::default();
    let mut frames = Vec::new();
    loop {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let read = match recv.read_chunks(&mut chunks).await {
            Ok(Some(read)) => read,
            Ok(None) | Err(ReadError::ConnectionLost(_)) => return Ended::Stream,
            Err(_) => return Ended::Broken(LinkRefusal::Protocol),
        };
        // What was read waits here as long as the driver is behind; meanwhile flow control holds the peer back.
        link.flow.may_read(lane).await;
        let cut = chunks[..read].iter_mut().try_for_each(|chunk| cutter.feed(std::mem::take(chunk), &mut frames));
        add(&hub.counters.frames_in, frames.len());
        add(&hub.counters.frame_bytes_in, frames.iter().map(Bytes::len).sum());
        link.queue.frames(&link.flow, lane, frames.drain(..));
        if let Err(error) = cut {
            tracing::debug!(peer = %link.peer().short(), %error, "closing the link: not a frame");
            return Ended::Broken(match error {
                tidings_proto::wire::WireError::Version(_) => LinkRefusal::Version,
                _ => LinkRefusal::Protocol,
            });
        }
        if frames.capacity() > 64 {
            frames = Vec::new();
        }
    }
}
