//! Topics as programs name them: by a name that everybody may know, or by a ticket that holds a private topic's secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use tidings_proto::identity::{TopicError, TopicId};
use tidings_proto::pubsub::TopicSecret;

use crate::ticket::{self, TicketError};

/// How every topic ticket begins.
const PREFIX: &str = "tidingstopic1";
const DOMAIN: &str = "tidings 1 topic ticket";

/// A private topic: its name and its secret. Whoever has the text can find the topic, read it and publish on it; it stands
/// wherever a topic's name may. `Display` shows the secret, `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct TopicTicket {
    name: String,
    secret: TopicSecret,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    secret: [u8; 32],
}

impl TopicTicket {
    /// A new private topic. Fails on a name that no topic can have, or if the operating system gives no randomness.
    pub fn generate(name: &str) -> Result<TopicTicket, TopicTicketError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| TopicTicketError::Random(error.to_string()))?;
        TopicTicket::new(name, TopicSecret::from_bytes(secret))
    }

    /// The private topic `name` with this secret.
    pub fn new(name: &str, secret: TopicSecret) -> Result<TopicTicket, TopicTicketError> {
        secret.topic(name)?;
        Ok(TopicTicket { name: name.into(), secret })
    }

    /// Reads a ticket. White space around it does no harm, nor do capitals.
    pub fn parse(text: &str) -> Result<TopicTicket, TopicTicketError> {
        let body = ticket::unspell(PREFIX, DOMAIN, text)?;
        let Body { name, secret } = minicbor::decode(&body).map_err(|_| TicketError::Format)?;
        TopicTicket::new(&name, TopicSecret::from_bytes(secret))
    }

    /// The topic's name, as members see it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic's id.
    pub fn id(&self) -> Result<TopicId, TopicError> {
        self.secret.topic(&self.name)
    }
}

impl fmt::Display for TopicTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = Body { name: self.name.clone(), secret: *self.secret.expose() };
        let bytes = minicbor::to_vec(&body).map_err(|_| fmt::Error)?;
        f.write_str(&ticket::spell(PREFIX, DOMAIN, bytes))
    }
}

impl fmt::Debug for TopicTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicTicket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for TopicTicket {
    type Err = TopicTicketError;

    fn from_str(s: &str) -> Result<Self, TopicTicketError> {
        TopicTicket::parse(s)
    }
}

/// Why there is no such topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicTicketError {
    /// The name cannot be a topic's.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// The text is no topic ticket.
    #[error("a topic that begins with {PREFIX} is a private topic's ticket, and this is none: {0}")]
    Ticket(#[from] TicketError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(String),
}

/// A topic as it was named.
pub(crate) struct Named {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) secret: Option<TopicSecret>,
}

/// The topic that a name or a ticket stands for.
pub(crate) fn named(text: &str) -> Result<Named, TopicTicketError> {
    let begins = text.trim_start().as_bytes().get(..PREFIX.len());
    if begins.is_some_and(|b| b.eq_ignore_ascii_case(PREFIX.as_bytes())) {
        let ticket = TopicTicket::parse(text)?;
        return Ok(Named { id: ticket.id()?, name: ticket.name.as_str().into(), secret: Some(ticket.secret) });
    }
    Ok(Named { id: TopicId::from_name(text)?, name: text.into(), secret: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> TopicTicket {
        TopicTicket::new("family", TopicSecret::from_bytes([7; 32])).expect("a name")
    }

    #[test]
    fn a_ticket_names_the_topic_wherever_a_name_may_stand() {
        let text = family().to_string();
        for text in [text.clone(), format!(" {}\n", text.to_uppercase())] {
            let named = named(&text).expect("a ticket");
            assert_eq!((Ok(named.id), &*named.name), (family().id(), "family"));
            assert!(named.secret.is_some());
        }
        let public = named("family").expect("a name");
        assert!(public.secret.is_none() && Ok(public.id) != family().id());
    }

    #[test]
    fn a_damaged_ticket_is_never_taken_for_a_name() {
        let text = family().to_string();
        let damaged = [&text[..text.len() - 1], &text.replace('a', "b"), PREFIX, "tidingstopic1!"];
        for text in damaged {
            let Err(TopicTicketError::Ticket(error)) = named(text) else { panic!("{text} was taken") };
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_two_are_alike_and_none_shows_its_secret_by_accident() {
        let (a, b) = (TopicTicket::generate("x").expect("random"), TopicTicket::generate("x").expect("random"));
        assert_ne!(a.id(), b.id());
        assert_eq!(format!("{a:?}"), "TopicTicket { name: \"x\", .. }");
        assert!(TopicTicket::generate("").is_err() && TopicTicket::generate(&"x".repeat(256)).is_err());
    }
}
