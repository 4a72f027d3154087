//! Cards as text: one word, as tickets are, and all capitals and digits where a code wants them so.
//!
//! `tidingscard1` followed by lower-case base32 without padding of a card's bytes (`tidings_proto::identity::Card`) and the check that
//! tickets have.

use std::time::{SystemTime, UNIX_EPOCH};

use tidings_proto::crypto::AwsLc;
use tidings_proto::identity::{Card, CardError, SecretKey};
use tidings_proto::time::UnixMillis;

use crate::ticket::{TicketError, spell, unspell};

/// How every card begins.
pub(crate) const PREFIX: &str = "tidingscard1";
const DOMAIN: &str = "tidings 1 card text";

/// Why a text is no card that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardTextError {
    /// It does not begin as cards do.
    #[error("a card begins with {PREFIX}: copy the whole of what `tidings id --card` prints")]
    Prefix,
    /// Cut short, or altered.
    #[error("the card has been altered or cut short: copy it again, as one word")]
    Damaged,
    /// Correctly copied, and it does not hold.
    #[error(transparent)]
    Card(#[from] CardError),
}

pub(crate) fn write_card(bytes: Vec<u8>) -> String {
    spell(PREFIX, DOMAIN, bytes)
}

/// Whether a text is meant to be a card.
pub(crate) fn is_card(text: &str) -> bool {
    text.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

/// Reads a card and checks it: signed by its node, in time by this machine's clock. White space around it does no harm, nor do
/// capitals.
pub fn read_card(text: &str) -> Result<Card, CardTextError> {
    let bytes = unspell(PREFIX, DOMAIN, text).map_err(|e| match e {
        TicketError::Prefix => CardTextError::Prefix,
        _ => CardTextError::Damaged,
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    // The port's own key does not matter for verifying.
    let crypto = AwsLc::new(&SecretKey::from_bytes([0; 32])).ok_or(CardTextError::Damaged)?;
    Ok(Card::read(&bytes, now, &crypto)?)
}
