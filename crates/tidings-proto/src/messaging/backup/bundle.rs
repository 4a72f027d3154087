//! A bundle: a session's opening and its only frame, to be opened long after, by the receiver alone.
//!
//! It is under a key of its own, so that nobody can play it as a session, nor a session's frames as a bundle.

use minicbor::{Decode, Encode};

use super::super::session::{Chain, Envelope, Opening, begin};
use super::{KEPT_FOR, decode};
use crate::crypto::{BoxSecret, Crypto};
use crate::identity::{CLOCKS_MS, MAX_CERTIFICATE, NodeId};
use crate::time::UnixMillis;
use crate::wire::{Envelopes, OpenSession};

/// What keepers keep.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub(super) struct Bundle {
    #[n(0)]
    pub(super) from: NodeId,
    #[n(1)]
    pub(super) open: OpenSession,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    opening: Vec<u8>,
    /// The number of the first message.
    #[n(3)]
    first: u64,
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

impl Bundle {
    /// Seals these messages, numbered from `first`, to a prekey.
    pub(super) fn seal(
        key: &[u8; 32],
        crypto: &dyn Crypto,
        open: OpenSession,
        (prekey, certificate): (&[u8], &[u8]),
        random: (&[u8; 32], &[u8; 32]),
        (first, messages): (u64, &[Envelope]),
    ) -> Option<Vec<u8>> {
        let (mut chain, opening) = begin(key, crypto, &open, prekey, certificate, random)?;
        let m = Envelopes { session: open.session, frame: 0, first };
        let sealed = chain.seal(key, crypto, &m, &minicbor::to_vec(messages).ok()?).to_vec();
        let bundle = Bundle { from: crypto.node_id(), open, opening: opening.to_vec(), first, sealed };
        minicbor::to_vec(bundle).ok()
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Bundle> {
        decode(bytes)
    }

    fn opening(&self) -> Option<Opening<'_>> {
        Opening::parse(&self.opening).filter(|o| o.certificate.len() <= MAX_CERTIFICATE)
    }

    /// Until when it is good.
    pub(super) fn until_ms(&self) -> u64 {
        self.open.at_ms.saturating_add(KEPT_FOR.0 / 1_000)
    }

    /// Whether it is, clocks apart.
    pub(super) fn is_in_time(&self, now: UnixMillis) -> bool {
        self.open.at_ms <= now.0.saturating_add(CLOCKS_MS)
            && self.until_ms().saturating_add(CLOCKS_MS) > now.0
            && self.open.epoch <= self.open.at_ms
    }

    /// Whether the node it says it is of has signed it.
    pub(super) fn is_signed(&self, key: &[u8; 32], crypto: &dyn Crypto) -> bool {
        self.opening().is_some_and(|o| o.is_of(key, crypto, &self.from, &self.open))
    }

    /// The sender's certificate.
    pub(super) fn certificate(&self) -> &[u8] {
        self.opening().map(|o| o.certificate).unwrap_or_default()
    }

    /// The messages, with their numbers, if they are what the sender has sealed.
    pub(super) fn open(&self, key: &[u8; 32], crypto: &dyn Crypto, secret: &BoxSecret) -> Option<Vec<(u64, Envelope)>> {
        let mut chain: Chain = self.opening()?.chain(crypto, &self.from, &self.open, secret)?;
        let m = Envelopes { session: self.open.session, frame: 0, first: self.first };
        let messages = chain.open(key, crypto, &self.from, &m, &self.sealed)?;
        let fits = self.first > 0 && self.first.checked_add(messages.len() as u64).is_some();
        fits.then(|| (self.first..).zip(messages).collect())
    }
}
