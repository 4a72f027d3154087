//! Reasons as QUIC carries them: application close codes, and what other ends of a connection mean.

use quinn::{ConnectionError, TransportErrorCode, VarInt};
use tidings_proto::wire::LinkRefusal;

use crate::transport::hub::Refusal;

const CLOSED: u32 = 0;
const GOODBYE: u32 = 1;
const WRONG_NETWORK: u32 = 2;
const VERSION: u32 = 3;
const FULL: u32 = 4;
const PROTOCOL: u32 = 5;
const DUPLICATE: u32 = 6;

/// The TLS alert "no application protocol" (RFC 7301): the peer speaks no version of ours.
const NO_APPLICATION_PROTOCOL: u8 = 120;
/// The TLS alerts about certificates (RFC 8446, 6.2: bad, unsupported, revoked, expired, unknown; unknown CA;
/// access denied): whoever answered holds another key.
const CERTIFICATE_ALERTS: [u8; 7] = [42, 43, 44, 45, 46, 48, 49];

/// The close code that tells the peer.
pub(super) fn code(refusal: Refusal) -> VarInt {
    VarInt::from_u32(match refusal {
        Refusal::Duplicate => DUPLICATE,
        Refusal::Link(LinkRefusal::Goodbye) => GOODBYE,
        Refusal::Link(LinkRefusal::WrongNetwork) => WRONG_NETWORK,
        Refusal::Link(LinkRefusal::Version) => VERSION,
        Refusal::Link(LinkRefusal::Full) => FULL,
        Refusal::Link(LinkRefusal::Protocol) => PROTOCOL,
        Refusal::Link(_) => CLOSED,
    })
}

/// Why a connection ended.
pub(super) fn refusal(error: &ConnectionError) -> Refusal {
    let reason = match error {
        ConnectionError::ApplicationClosed(close) => match u32::try_from(close.error_code.into_inner()) {
            Ok(GOODBYE) => LinkRefusal::Goodbye,
            Ok(WRONG_NETWORK) => LinkRefusal::WrongNetwork,
            Ok(VERSION) => LinkRefusal::Version,
            Ok(FULL) => LinkRefusal::Full,
            Ok(PROTOCOL) => LinkRefusal::Protocol,
            Ok(DUPLICATE) => return Refusal::Duplicate,
            // What a newer peer says beyond this: it closed the link.
            _ => LinkRefusal::Closed,
        },
        ConnectionError::ConnectionClosed(close) => transport(close.error_code),
        ConnectionError::TransportError(error) => transport(error.code),
        // The peer's endpoint answered that it knows this connection no more: it restarted.
        ConnectionError::Reset | ConnectionError::TimedOut => LinkRefusal::Silent,
        ConnectionError::VersionMismatch => LinkRefusal::Version,
        ConnectionError::LocallyClosed => LinkRefusal::Closed,
        _ => LinkRefusal::Error,
    };
    Refusal::Link(reason)
}

fn transport(code: TransportErrorCode) -> LinkRefusal {
    let alert = u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok());
    match alert {
        Some(NO_APPLICATION_PROTOCOL) => LinkRefusal::Version,
        Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => LinkRefusal::WrongPeer,
        Some(_) => LinkRefusal::Protocol,
        None if code == TransportErrorCode::CONNECTION_REFUSED => LinkRefusal::Full,
        None if code == TransportErrorCode::NO_VIABLE_PATH => LinkRefusal::Silent,
        None if code == TransportErrorCode::NO_ERROR => LinkRefusal::Closed,
        None => LinkRefusal::Error,
    }
}

/// Why a handshake failed.
pub(super) fn connecting(error: &ConnectionError) -> Refusal {
    match refusal(error) {
        Refusal::Link(LinkRefusal::Silent) => Refusal::Link(LinkRefusal::Timeout),
        other => other,
    }
}
