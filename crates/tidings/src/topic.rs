//! Topics as programs name them: by a name that everybody may know, or by a ticket that holds a private topic's secret, who
//! may publish, or both.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use tidings_proto::identity::{AgentId, TopicError, TopicId};
use tidings_proto::pubsub::{PolicyError, TopicPolicy, TopicSecret, TopicTerms};

use crate::ticket::{self, TicketError};

/// How every topic ticket begins.
const PREFIX: &str = "tidingstopic1";
const DOMAIN: &str = "tidings 1 topic ticket";

/// A topic that is more than a name: private, with a policy that says who may publish, or both. Whoever has the text of a
/// private topic's ticket can find and read it, and publish on it if the policy lets it; it stands wherever a topic's name may.
/// `Display` shows the secret, `Debug` does not.
///
/// The policy is part of what the topic is: a ticket with another one is of another topic.
#[derive(Clone, PartialEq, Eq)]
pub struct TopicTicket {
    name: String,
    terms: TopicTerms,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    name: String,
    #[n(1)]
    secret: Option<Secret>,
    #[n(2)]
    owner: Option<AgentId>,
    #[n(3)]
    #[cbor(default)]
    publishers: Vec<AgentId>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Secret(#[cbor(with = "minicbor::bytes")] [u8; 32]);

impl TopicTicket {
    /// A new private topic. Fails on a name that no topic can have, or if the operating system gives no randomness.
    pub fn generate(name: &str) -> Result<TopicTicket, TopicTicketError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| TopicTicketError::Random(error.to_string()))?;
        TopicTicket::new(name, TopicSecret::from_bytes(secret))
    }

    /// The private topic `name` with this secret.
    pub fn new(name: &str, secret: TopicSecret) -> Result<TopicTicket, TopicTicketError> {
        TopicTicket::with(name, TopicTerms { secret: Some(secret), policy: None })
    }

    /// The topic `name`, which everybody may find and read, to be given a policy: without one it is the name's own.
    pub fn open(name: &str) -> Result<TopicTicket, TopicTicketError> {
        TopicTicket::with(name, TopicTerms::default())
    }

    fn with(name: &str, terms: TopicTerms) -> Result<TopicTicket, TopicTicketError> {
        terms.topic(name)?;
        Ok(TopicTicket { name: name.into(), terms })
    }

    /// The same with an owner: nobody may publish but the owner, the [publishers](TopicTicket::publishers), and whom the owner
    /// gives a [`Capability`](crate::Capability).
    pub fn owner(self, owner: AgentId) -> Result<TopicTicket, TopicTicketError> {
        let listed = self.policy().map_or(Vec::new(), |p| p.publishers().to_vec());
        self.governed(Some(owner), listed)
    }

    /// The same with agents that may publish, in the place of those it had: nobody else may but the owner, if there is one,
    /// and whom that lets. At most [`MAX_PUBLISHERS`](tidings_proto::pubsub::MAX_PUBLISHERS).
    pub fn publishers(self, agents: impl IntoIterator<Item = AgentId>) -> Result<TopicTicket, TopicTicketError> {
        let owner = self.policy().and_then(TopicPolicy::owner);
        self.governed(owner, agents)
    }

    fn governed(
        self,
        owner: Option<AgentId>,
        publishers: impl IntoIterator<Item = AgentId>,
    ) -> Result<TopicTicket, TopicTicketError> {
        let policy = Some(Arc::new(TopicPolicy::new(owner, publishers)?));
        TopicTicket::with(&self.name, TopicTerms { policy, ..self.terms })
    }

    /// Who may publish; anyone if there is none.
    pub fn policy(&self) -> Option<&TopicPolicy> {
        self.terms.policy.as_deref()
    }

    /// Whether only who has the ticket can find and read the topic.
    pub fn is_private(&self) -> bool {
        self.terms.secret.is_some()
    }

    /// Reads a ticket. White space around it does no harm, nor do capitals.
    pub fn parse(text: &str) -> Result<TopicTicket, TopicTicketError> {
        let body = ticket::unspell(PREFIX, DOMAIN, text)?;
        let Body { name, secret, owner, publishers } = minicbor::decode(&body).map_err(|_| TicketError::Format)?;
        let secret = secret.map(|s| TopicSecret::from_bytes(s.0));
        let ticket = TopicTicket::with(&name, TopicTerms { secret, policy: None })?;
        if owner.is_none() && publishers.is_empty() { Ok(ticket) } else { ticket.governed(owner, publishers) }
    }

    /// The topic's name, as members see it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic's id.
    pub fn id(&self) -> Result<TopicId, TopicError> {
        self.terms.topic(&self.name)
    }
}

impl fmt::Display for TopicTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = Body {
            name: self.name.clone(),
            secret: self.terms.secret.map(|s| Secret(*s.expose())),
            owner: self.policy().and_then(TopicPolicy::owner),
            publishers: self.policy().map_or(Vec::new(), |p| p.publishers().to_vec()),
        };
        let bytes = minicbor::to_vec(&body).map_err(|_| fmt::Error)?;
        f.write_str(&ticket::spell(PREFIX, DOMAIN, bytes))
    }
}

impl fmt::Debug for TopicTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("TopicTicket");
        s.field("name", &self.name);
        if let Some(policy) = self.policy() {
            s.field("policy", policy);
        }
        s.finish_non_exhaustive()
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
    #[error("a topic that begins with {PREFIX} is a topic's ticket, and this is none: {0}")]
    Ticket(#[from] TicketError),
    /// There is no such policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Only a ticket with an owner has anything to be let publish on.
    #[error("this topic has no owner: anybody may publish on it, or those alone whom its ticket lists")]
    NoOwner,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(String),
}

/// A topic as it was named.
pub(crate) struct Named {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) terms: TopicTerms,
}

/// The topic that a name or a ticket stands for.
pub(crate) fn named(text: &str) -> Result<Named, TopicTicketError> {
    let begins = text.trim_start().as_bytes().get(..PREFIX.len());
    if begins.is_some_and(|b| b.eq_ignore_ascii_case(PREFIX.as_bytes())) {
        let ticket = TopicTicket::parse(text)?;
        return Ok(Named { id: ticket.id()?, name: ticket.name.as_str().into(), terms: ticket.terms });
    }
    Ok(Named { id: TopicId::from_name(text)?, name: text.into(), terms: TopicTerms::default() })
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
            assert!(named.terms.secret.is_some());
        }
        let public = named("family").expect("a name");
        assert!(public.terms == TopicTerms::default() && Ok(public.id) != family().id());
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
    fn a_policy_travels_in_the_ticket_and_makes_another_topic() {
        let agents = |n: u8| (0..n).map(|n| AgentId([n; 32]));
        let open = TopicTicket::open("family").expect("a name");
        let all = [
            family(),
            open.clone(),
            family().owner(AgentId([1; 32])).expect("an owner"),
            open.clone().owner(AgentId([1; 32])).expect("an owner"),
            family().publishers(agents(3)).expect("few"),
            family().publishers(agents(64)).expect("not too many").owner(AgentId([1; 32])).expect("an owner"),
        ];
        for (i, ticket) in all.iter().enumerate() {
            assert_eq!(TopicTicket::parse(&ticket.to_string()).as_ref(), Ok(ticket));
            assert!(all[..i].iter().all(|other| other.id() != ticket.id()));
        }
        assert_eq!(open.id(), TopicId::from_name("family"));
        assert_eq!(open.clone().publishers(agents(65)), Err(TopicTicketError::Policy(PolicyError::TooMany(65))));
        assert_eq!(open.publishers([]), Err(TopicTicketError::Policy(PolicyError::Nobody)));
    }

    #[test]
    fn no_two_are_alike_and_none_shows_its_secret_by_accident() {
        let (a, b) = (TopicTicket::generate("x").expect("random"), TopicTicket::generate("x").expect("random"));
        assert_ne!(a.id(), b.id());
        assert_eq!(format!("{a:?}"), "TopicTicket { name: \"x\", .. }");
        assert!(TopicTicket::generate("").is_err() && TopicTicket::generate(&"x".repeat(256)).is_err());
    }
}
