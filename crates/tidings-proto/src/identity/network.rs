//! The network a node belongs to: strangers with another name or secret never become neighbours.

use std::fmt;
use std::str::FromStr;

/// Longest network name or secret, in bytes (a guess: a sentence).
const MAX_NETWORK: usize = 128;

/// A network's key, derived from its public name or from its secret. The handshake proves that both ends hold it
/// without showing it. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    key: [u8; 32],
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Nothing after the optional `secret:`.
    #[error("a network needs a name, or secret:… with something behind it")]
    Empty,
    /// Too long.
    #[error("the network's name or secret has {0} bytes, the limit is {MAX_NETWORK}")]
    TooLong(usize),
}

impl Network {
    /// A network anyone can join who knows its name.
    pub fn from_name(name: &str) -> Result<Self, NetworkError> {
        check(name)?;
        Ok(Network { key: blake3::derive_key("tidings 1 network name", name.as_bytes()) })
    }

    /// A network only those can join who hold the secret.
    pub fn from_secret(secret: &[u8]) -> Self {
        Network { key: blake3::derive_key("tidings 1 network secret", secret) }
    }

    /// From a key carried by a ticket or kept in a data directory.
    pub const fn from_key(key: [u8; 32]) -> Self {
        Network { key }
    }

    /// The key itself: whoever holds it can join. Handle with care.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// A key for one purpose, so that no two uses of the network's key can be confused.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.key)
    }
}

fn check(s: &str) -> Result<(), NetworkError> {
    match s.len() {
        0 => Err(NetworkError::Empty),
        n if n > MAX_NETWORK => Err(NetworkError::TooLong(n)),
        _ => Ok(()),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `secret:…` is a secret, everything else a name.
    fn from_str(s: &str) -> Result<Self, NetworkError> {
        match s.strip_prefix("secret:") {
            Some(secret) => {
                check(secret)?;
                Ok(Network::from_secret(secret.as_bytes()))
            }
            None => Network::from_name(s),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network(…)")
    }
}
