//! The endpoint's UDP socket.
//!
//! The library sets aside a buffer for everything that one call may receive: so many slots, each as long as the largest datagram
//! times the datagrams that the kernel may hand over in one piece. Such a piece is never longer than 64 KiB, so with
//! datagrams as large as those between nodes of one machine six sevenths of it would never be used: 13 MiB a node, which count
//! as used where the system gives memory in large pages.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// What the kernel hands over in one piece is shorter than this.
const PIECE: usize = 1 << 16;

/// A socket that says how many datagrams of the largest size one piece can hold.
#[derive(Debug)]
struct Pieces {
    socket: Arc<dyn AsyncUdpSocket>,
    largest: u16,
}

/// The socket for an endpoint whose datagrams have at most `largest` bytes.
pub(super) fn of(socket: std::net::UdpSocket, largest: u16) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    Ok(Arc::new(Pieces { socket: TokioRuntime.wrap_udp_socket(socket)?, largest }))
}

impl AsyncUdpSocket for Pieces {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        let fit = PIECE.div_ceil(usize::from(self.largest).max(1));
        self.socket.max_receive_segments().min(fit)
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_holds_the_longest_piece_and_hardly_more() {
        for largest in [1_200, 1_472, 6_500, 60_000] {
            let socket = of(std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), largest).unwrap();
            let whole = TokioRuntime.wrap_udp_socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            let (ours, most) = (socket.max_receive_segments(), whole.max_receive_segments());
            let slot = ours * usize::from(largest);
            assert!(slot >= PIECE || ours == most, "{largest}: {ours} of {most}");
            assert!(slot < PIECE + usize::from(largest), "{largest}: {slot}");
        }
    }
}
