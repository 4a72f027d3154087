//! Tickets as people copy and mangle them.

use std::net::SocketAddr;

use proptest::prelude::*;
use tidings::{JoinTarget, MAX_TICKET_PEERS, Network, NodeId, PeerAddr, Ticket, TicketError, parse_join};

fn peer() -> impl Strategy<Value = PeerAddr> {
    let addrs = prop::collection::vec(any::<SocketAddr>().prop_map(plain), 0..5);
    (any::<[u8; 32]>(), addrs).prop_map(|(id, addrs)| PeerAddr { id: NodeId(id), addrs })
}

/// Flow labels and scopes mean nothing to another machine and do not travel.
fn plain(addr: SocketAddr) -> tidings::Addr {
    SocketAddr::new(addr.ip(), addr.port()).into()
}

fn ticket() -> impl Strategy<Value = Ticket> {
    (any::<[u8; 32]>(), prop::collection::vec(peer(), 1..=MAX_TICKET_PEERS))
        .prop_map(|(key, peers)| Ticket::new(Network::from_key(key), peers))
}

fn example() -> Ticket {
    let peer = PeerAddr { id: NodeId([7; 32]), addrs: vec![plain("192.0.2.7:4242".parse().unwrap())] };
    Ticket::new(Network::from_key([9; 32]), [peer])
}

proptest! {
    #[test]
    fn a_ticket_survives_its_text(ticket in ticket()) {
        let text = ticket.to_string();
        prop_assert!(text.starts_with("tidings1"));
        prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        prop_assert_eq!(&Ticket::parse(&text).unwrap(), &ticket);
        prop_assert_eq!(Ticket::parse(&format!("  {}\n", text.to_uppercase())).unwrap(), ticket);
    }

    #[test]
    fn one_wrong_character_is_noticed(ticket in ticket(), at in any::<prop::sample::Index>(), c in "[a-z2-7]") {
        let mut text = ticket.to_string();
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != c);
        text.replace_range(at..=at, &c);
        prop_assert!(Ticket::parse(&text).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in "\\PC*") {
        prop_assert!(Ticket::parse(&text).is_err());
        let prefixed = format!("tidings1{text}");
        prop_assert!(Ticket::parse(&prefixed).is_err());
        let _ = parse_join(&text);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let text = example().to_string();
    let cases = [
        ("", TicketError::Prefix),
        ("village", TicketError::Prefix),
        ("tidings1", TicketError::Encoding),
        ("tidings1!!", TicketError::Encoding),
        (&text[..text.len() - 1], TicketError::Encoding),
        (&text[..text.len() - 8], TicketError::Check),
    ];
    for (text, error) in cases {
        assert_eq!(Ticket::parse(text).unwrap_err(), error, "{text}");
    }
    let nobody = Ticket::new(Network::from_key([9; 32]), []).to_string();
    assert_eq!(Ticket::parse(&nobody).unwrap_err(), TicketError::NoPeers);
}

#[test]
fn the_text_of_a_ticket_stays_as_it_is() {
    // Tickets are kept in files and notes: a change of format needs a new prefix.
    assert_eq!(
        example().to_string(),
        "tidings1qjmcacijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijqgbfqiaha4dqobyha4dqobyha4\
         dqobyha4dqobyha4dqobyha4dqobyha6ayeakgyaaaebyqsjtqrz4g"
    );
}

#[test]
fn debug_does_not_show_the_network_key() {
    let shown = format!("{:?}", example());
    assert!(shown.contains("Network(…)") && !shown.contains("9, 9"), "{shown}");
}

#[test]
fn a_join_target_is_a_ticket_or_a_peer() {
    let ticket = example();
    assert_eq!(parse_join(&ticket.to_string()).unwrap(), JoinTarget::Ticket(ticket.clone()));
    let id = NodeId([7; 32]);
    let target = parse_join(&format!("{id}@192.0.2.7:4242")).unwrap();
    assert_eq!(target.peers(), &ticket.peers[..]);
    assert!(target.network().is_none());
    assert!(matches!(parse_join("somewhere"), Err(TicketError::NeitherNor(_))));
    assert!(matches!(parse_join("abc@192.0.2.7:4242"), Err(TicketError::Node(_))));
    assert!(matches!(parse_join(&format!("{id}@here")), Err(TicketError::Addr(_))));
}
