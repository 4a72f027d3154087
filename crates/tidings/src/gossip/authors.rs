//! Whose agent an author is, for readers that would rather know: what is being asked for is waited for by the reader, never
//! by the driver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tidings_proto::Node;
use tidings_proto::identity::{NodeId, Proof};
use tidings_proto::pubsub::Delivery;
use tidings_proto::wire::CertificateRef;

use crate::sync::lock;

/// The author of a batch.
#[derive(Clone)]
pub(crate) enum Author {
    /// What is known of it.
    Known(Proof),
    /// Its certificate is being asked for.
    Awaited(Arc<Awaited>),
}

impl Author {
    /// What is known now.
    pub(crate) fn proof(&self) -> Proof {
        match self {
            Author::Known(proof) => *proof,
            Author::Awaited(a) => lock(&a.state).0.unwrap_or(Proof::Pending),
        }
    }

    /// Whether its certificate is still on its way.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Author::Awaited(a) if lock(&a.state).0.is_none())
    }

    /// Ready when there is no use in waiting any longer.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let Author::Awaited(a) = self else { return Poll::Ready(()) };
        let mut state = lock(&a.state);
        if state.0.is_some() {
            return Poll::Ready(());
        }
        if !state.1.iter().any(|w| w.will_wake(cx.waker())) {
            state.1.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// An author whose certificate is being asked for.
#[derive(Default)]
pub(crate) struct Awaited {
    state: Mutex<(Option<Proof>, Vec<Waker>)>,
}

impl Awaited {
    fn settle(&self, proof: Proof) {
        let wakers = {
            let mut state = lock(&self.state);
            state.0 = Some(proof);
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The authors whose certificates are being asked for: as many as the core asks for, each until it says so.
#[derive(Default)]
pub(crate) struct Authors {
    awaited: BTreeMap<(CertificateRef, NodeId), Arc<Awaited>>,
}

impl Authors {
    /// The author of a delivery.
    pub(crate) fn of(&mut self, node: &Node, delivery: &Delivery) -> Author {
        match (node.author_of(delivery), node.author_pending(delivery)) {
            (Proof::Pending, Some(certificate)) => {
                Author::Awaited(self.awaited.entry((certificate, delivery.author())).or_default().clone())
            }
            (known, _) => Author::Known(known),
        }
    }

    /// A certificate is here, or is not to be waited for.
    pub(crate) fn settled(&mut self, node: &Node, certificate: CertificateRef) {
        let first = (certificate, NodeId([0; 32]));
        let last = (certificate, NodeId([255; 32]));
        let authors: Vec<NodeId> = self.awaited.range(first..=last).map(|((_, author), _)| *author).collect();
        for author in authors {
            if let Some(awaited) = self.awaited.remove(&(certificate, author)) {
                awaited.settle(node.agent_by(&author, certificate));
            }
        }
    }

    /// The node is gone: nothing more will be known.
    pub(crate) fn end(&mut self) {
        for awaited in std::mem::take(&mut self.awaited).into_values() {
            awaited.settle(Proof::Lacking);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_awaited_until_it_is_settled() {
        let awaited = Arc::new(Awaited::default());
        let author = Author::Awaited(awaited.clone());
        assert!(author.is_awaited());
        awaited.settle(Proof::Lacking);
        assert_eq!((author.is_awaited(), author.proof()), (false, Proof::Lacking));
    }
}
