//! Agreeing on a key with a one-time X25519 key: for what 1216 bytes of X-Wing would be too much for (`discovery/foaf`).

#[cfg(feature = "aws-lc")]
pub(super) mod real {
    use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree as library_agree};

    fn private(secret: &[u8; 32]) -> Option<PrivateKey> {
        PrivateKey::from_private_key(&X25519, secret).ok()
    }

    pub(in crate::crypto) fn public(secret: &[u8; 32]) -> Option<[u8; 32]> {
        private(secret)?.compute_public_key().ok()?.as_ref().try_into().ok()
    }

    pub(in crate::crypto) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        let theirs = UnparsedPublicKey::new(&X25519, public);
        // The library refuses keys with which everybody would agree on zeros.
        library_agree(&private(secret)?, theirs, (), |agreed| agreed.try_into().map_err(|_| ())).ok()
    }
}

pub(super) mod sim {
    const MASK: [u8; 32] = *b"simulated agreements, not X25519";

    pub(in crate::crypto) fn public(secret: &[u8; 32]) -> [u8; 32] {
        let mut out = *secret;
        out.iter_mut().zip(MASK).for_each(|(b, m)| *b ^= m);
        out
    }

    pub(in crate::crypto) fn agree(secret: &[u8; 32], theirs: &[u8; 32]) -> Option<[u8; 32]> {
        if theirs == &[0; 32] {
            return None;
        }
        let mut both = [public(secret), *theirs];
        both.sort_unstable();
        let mut h = blake3::Hasher::new_keyed(&MASK);
        h.update(&both[0]).update(&both[1]);
        Some(*h.finalize().as_bytes())
    }
}
