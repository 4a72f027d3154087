//! An agent's key under a passphrase, as one word that can be kept, copied and typed.
//!
//! `tidingskey1` followed by lower-case base32 without padding of
//!
//! ```text
//! 0        version          1
//! 1..5     memory           u32 little endian, KiB   what Argon2id was told
//! 5..9     passes           u32 little endian
//! 9        lanes            u8
//! 10..26   salt             random
//! 26..74   sealed           ChaCha20-Poly1305 of the key's 32 bytes, with 0..26 as associated data
//! 74..78   check            as in tickets
//! ```
//!
//! The key of the seal is Argon2id's (RFC 9106) of passphrase and salt; a new salt each time, so that one nonce, all zero, serves
//! once under each. The check tells a word that was miscopied from a passphrase that is wrong. Nothing in it says whose
//! key it is.
//!
//! Invariant: what a word asks Argon2id for is bounded before any of it is done.

use argon2::{Algorithm, Argon2, Params, Version};
use tidings_proto::crypto::{AwsLc, Crypto, TAG_LEN};
use tidings_proto::identity::{AgentSecret, SecretKey};

use crate::ticket::{TicketError, spell, unspell};

const PREFIX: &str = "tidingskey1";
const DOMAIN: &str = "tidings 1 sealed key";
/// The version this one writes, and the only one it reads.
const VERSION: u8 = 1;
/// RFC 9106's second recommended choice, for machines without 2 GiB to spare.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
/// The most that a word may ask for: some ten seconds (a guess).
const MOST: Cost = Cost { memory_kib: 256 * 1024, passes: 16, lanes: 16 };
/// Fewest characters of a passphrase: shorter ones are tried out in no time, whatever Argon2id costs (a guess).
pub const MIN_PASSPHRASE: usize = 8;
const SALT: usize = 16;
const HEAD: usize = 10 + SALT;
const LEN: usize = HEAD + 32 + TAG_LEN;

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u8,
}

/// Why a key cannot be sealed, or a word not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedKeyError {
    /// It does not begin as sealed keys do.
    #[error("an exported key begins with {PREFIX}: is it the file that `tidings id export` wrote?")]
    Prefix,
    /// Cut short, or altered.
    #[error("the exported key is damaged: copy it again, whole")]
    Damaged,
    /// Correctly copied, and not understood.
    #[error("the exported key has version {found}, this tidings knows {VERSION}: update it")]
    Newer {
        /// Its version.
        found: u8,
    },
    /// It would take more memory or time than any export of ours.
    #[error("the exported key asks for more memory or time than it should: it was not made by tidings")]
    Cost,
    /// The passphrase is not the one it was exported with.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// The passphrase is too short to protect anything.
    #[error("a passphrase needs {MIN_PASSPHRASE} characters at least: some random words are best")]
    Short,
    /// The key cannot be used, or the system has no memory or no randomness.
    #[error("the key cannot be sealed or opened: {0}")]
    Failed(String),
}

/// Seals an agent's key. Takes some tenths of a second and 64 MiB, on purpose.
pub fn seal_agent_key(secret: &AgentSecret, passphrase: &str) -> Result<String, SealedKeyError> {
    seal(secret, passphrase, COST)
}

fn seal(secret: &AgentSecret, passphrase: &str, cost: Cost) -> Result<String, SealedKeyError> {
    if passphrase.chars().count() < MIN_PASSPHRASE {
        return Err(SealedKeyError::Short);
    }
    let random = crate::os_random().map_err(SealedKeyError::Failed)?;
    let mut out = Vec::with_capacity(LEN);
    out.push(VERSION);
    out.extend_from_slice(&cost.memory_kib.to_le_bytes());
    out.extend_from_slice(&cost.passes.to_le_bytes());
    out.push(cost.lanes);
    out.extend_from_slice(&random[..SALT]);
    let key = derive(passphrase, &random[..SALT], cost)?;
    let sealed = cipher()?.seal(&key, &[0; 12], &out, secret.expose());
    out.extend_from_slice(&sealed);
    Ok(spell(PREFIX, DOMAIN, out))
}

/// Opens what [`seal_agent_key`] made. White space around it does no harm, nor do capitals.
pub fn open_agent_key(text: &str, passphrase: &str) -> Result<AgentSecret, SealedKeyError> {
    let body = unspell(PREFIX, DOMAIN, text).map_err(|e| match e {
        TicketError::Prefix => SealedKeyError::Prefix,
        _ => SealedKeyError::Damaged,
    })?;
    let version = *body.first().ok_or(SealedKeyError::Damaged)?;
    if version != VERSION {
        return Err(SealedKeyError::Newer { found: version });
    }
    if body.len() != LEN {
        return Err(SealedKeyError::Damaged);
    }
    let (head, sealed) = body.split_at(HEAD);
    let number = |at: usize| head[at..at + 4].iter().rev().fold(0_u32, |n, b| n << 8 | u32::from(*b));
    let cost = Cost { memory_kib: number(1), passes: number(5), lanes: head[9] };
    if cost.memory_kib > MOST.memory_kib || cost.passes > MOST.passes || cost.lanes > MOST.lanes {
        return Err(SealedKeyError::Cost);
    }
    let key = derive(passphrase, &head[10..], cost)?;
    let opened = cipher()?.open(&key, &[0; 12], head, sealed).ok_or(SealedKeyError::Passphrase)?;
    let secret: [u8; 32] = opened.try_into().map_err(|_| SealedKeyError::Damaged)?;
    Ok(AgentSecret::from_bytes(secret))
}

fn derive(passphrase: &str, salt: &[u8], cost: Cost) -> Result<[u8; 32], SealedKeyError> {
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes.into(), Some(32)).map_err(|_| SealedKeyError::Cost)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(|e| SealedKeyError::Failed(e.to_string()))?;
    Ok(key)
}

/// The port that seals; the key it signs with is not used.
fn cipher() -> Result<AwsLc, SealedKeyError> {
    AwsLc::new(&SecretKey::from_bytes([0; 32])).ok_or_else(|| SealedKeyError::Failed("no cipher".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 32, passes: 1, lanes: 1 };
    const PHRASE: &str = "correct horse";

    fn sealed() -> String {
        seal(&AgentSecret::from_bytes([7; 32]), PHRASE, CHEAP).unwrap()
    }

    /// The word of these bytes, changed, with a check that fits.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut body = unspell(PREFIX, DOMAIN, &sealed()).unwrap();
        change(&mut body);
        spell(PREFIX, DOMAIN, body)
    }

    fn error(text: &str) -> SealedKeyError {
        open_agent_key(text, PHRASE).unwrap_err()
    }

    #[test]
    fn opens_with_its_passphrase() {
        let text = format!("  {}\n", sealed().to_ascii_uppercase());
        assert_eq!(open_agent_key(&text, PHRASE).unwrap().expose(), &[7; 32]);
    }

    #[test]
    fn opens_with_no_other() {
        for phrase in ["correct hors", "correct horse ", ""] {
            assert_eq!(open_agent_key(&sealed(), phrase).unwrap_err(), SealedKeyError::Passphrase, "{phrase:?}");
        }
    }

    #[test]
    fn is_another_word_each_time() {
        assert_ne!(sealed(), sealed());
    }

    #[test]
    fn a_short_passphrase_is_refused() {
        let short = seal(&AgentSecret::from_bytes([7; 32]), "seven77", CHEAP);
        assert_eq!(short.unwrap_err(), SealedKeyError::Short);
    }

    #[test]
    fn a_miscopied_word_is_damaged_and_not_the_passphrase_wrong() {
        let text = sealed();
        for at in PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(error(&String::from_utf8(bytes).unwrap()), SealedKeyError::Damaged, "{at}");
            assert_eq!(error(&text[..at]), SealedKeyError::Damaged, "{at}");
        }
    }

    #[test]
    fn whatever_is_changed_on_purpose_does_not_open() {
        for at in 10..LEN {
            assert_eq!(error(&changed(|b| b[at] ^= 1)), SealedKeyError::Passphrase, "{at}");
        }
        assert_eq!(error(&changed(|b| b[5] += 1)), SealedKeyError::Passphrase, "the passes");
    }

    #[test]
    fn something_else_is_not_taken_for_a_key() {
        assert_eq!(error("tidings1aaaa"), SealedKeyError::Prefix);
    }

    #[test]
    fn a_newer_version_says_so() {
        assert_eq!(error(&changed(|b| b[0] = 2)), SealedKeyError::Newer { found: 2 });
    }

    #[test]
    fn a_word_cannot_ask_for_all_memory_or_time() {
        for at in [4, 8, 9] {
            assert_eq!(error(&changed(|b| b[at] = 200)), SealedKeyError::Cost, "{at}");
        }
        assert_eq!(error(&changed(|b| b[9] = 0)), SealedKeyError::Cost, "no lanes");
    }
}
