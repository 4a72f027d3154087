//! The crypto port: the real one and the simulated one have the same sizes and refuse the same forgeries.

use tidings_proto::crypto::*;
use tidings_proto::identity::{AgentId, AgentSecret, SecretKey};

type Port = fn(u8) -> Box<dyn Crypto>;

fn sim(n: u8) -> Box<dyn Crypto> {
    Box::new(SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &AgentSecret::from_bytes([n + 100; 32])))
}

#[cfg(feature = "aws-lc")]
fn real(n: u8) -> Box<dyn Crypto> {
    let (node, agent) = (SecretKey::from_bytes([n; 32]), AgentSecret::from_bytes([n + 100; 32]));
    Box::new(AwsLc::with_agent(&node, &agent).unwrap())
}

fn ports() -> Vec<Port> {
    vec![
        sim,
        #[cfg(feature = "aws-lc")]
        real,
    ]
}

/// `bytes` with one bit of it flipped, for some of its bytes, both ends among them.
fn tampered(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = (bytes.len() / 40).max(1);
    (0..bytes.len()).step_by(step).chain([bytes.len() - 1]).map(|at| {
        let mut b = bytes.to_vec();
        b[at] ^= 1;
        b
    })
}

/// Shorter, longer, and empty.
fn misfits(bytes: &[u8]) -> [Vec<u8>; 3] {
    [bytes[..bytes.len() - 1].to_vec(), [bytes, &[0]].concat(), vec![]]
}

#[test]
fn an_agents_signature_is_accepted() {
    for port in ports() {
        let (agent, other) = (port(1), port(2));
        let (key, signature) = (agent.agent_key().unwrap(), agent.agent_sign(b"said").unwrap());
        assert_eq!((key.len(), signature.len()), (AGENT_KEY_LEN, AGENT_SIGNATURE_LEN));
        assert!(other.agent_verify(key, b"said", &signature));
    }
}

#[test]
fn an_agents_signature_is_for_its_words_only() {
    for port in ports() {
        let agent = port(1);
        let signature = agent.agent_sign(b"said").unwrap();
        assert!(!agent.agent_verify(agent.agent_key().unwrap(), b"never said", &signature));
    }
}

#[test]
fn an_agents_signature_is_no_others() {
    for port in ports() {
        let (agent, other) = (port(1), port(2));
        let signature = agent.agent_sign(b"said").unwrap();
        assert!(!agent.agent_verify(other.agent_key().unwrap(), b"said", &signature));
    }
}

#[test]
fn an_agents_signature_is_refused_with_any_byte_changed() {
    for port in ports() {
        let agent = port(1);
        let (key, signature) = (agent.agent_key().unwrap(), agent.agent_sign(b"said").unwrap());
        for bad in tampered(&signature).chain(misfits(&signature)) {
            assert!(!agent.agent_verify(key, b"said", &bad));
        }
    }
}

#[test]
fn an_agents_signature_is_refused_under_a_key_with_any_byte_changed() {
    for port in ports() {
        let agent = port(1);
        let (key, signature) = (agent.agent_key().unwrap(), agent.agent_sign(b"said").unwrap());
        for bad in tampered(key).chain(misfits(key)) {
            assert!(!agent.agent_verify(&bad, b"said", &signature));
        }
    }
}

#[cfg(feature = "aws-lc")]
#[test]
fn a_key_in_another_encoding_is_refused() {
    // What X.509 puts before an ML-DSA-65 key.
    const HEADER: &[u8] = b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x03\x82\x07\xa1\x00";
    let agent = real(1);
    let signature = agent.agent_sign(b"said").unwrap();
    let encoded = [HEADER, agent.agent_key().unwrap()].concat();
    assert!(!agent.agent_verify(&encoded, b"said", &signature));
}

#[test]
fn a_node_without_an_agents_key_signs_as_none() {
    let key = SecretKey::from_bytes([1; 32]);
    let ports: Vec<Box<dyn Crypto>> = vec![
        Box::new(SimCrypto::new(&key)),
        #[cfg(feature = "aws-lc")]
        Box::new(AwsLc::new(&key).unwrap()),
    ];
    for port in ports {
        assert!(port.agent_key().is_none() && port.agent_sign(b"said").is_none() && AgentId::own(&*port).is_none());
    }
}

#[test]
fn one_agent_on_two_nodes_has_one_key() {
    let agent = AgentSecret::from_bytes([9; 32]);
    let nodes = [1, 2].map(|n| SecretKey::from_bytes([n; 32]));
    let sims = nodes.each_ref().map(|n| SimCrypto::with_agent(n, &agent));
    assert_ne!(sims[0].node_id(), sims[1].node_id());
    assert_eq!(AgentId::own(&sims[0]), AgentId::own(&sims[1]));
    #[cfg(feature = "aws-lc")]
    {
        let real = nodes.each_ref().map(|n| AwsLc::with_agent(n, &agent).unwrap());
        assert_eq!(AgentId::own(&real[0]), AgentId::own(&real[1]));
    }
}

const KEY: [u8; 32] = [3; 32];
const NONCE: [u8; 12] = [4; 12];

#[test]
fn what_was_sealed_opens() {
    for port in ports() {
        for plain in [&b""[..], b"text", &[7; 1000]] {
            let sealed = port(1).seal(&KEY, &NONCE, b"aad", plain);
            assert_eq!(sealed.len(), plain.len() + TAG_LEN);
            assert_eq!(port(2).open(&KEY, &NONCE, b"aad", &sealed).as_deref(), Some(plain));
        }
    }
}

#[test]
fn what_was_sealed_is_hidden() {
    for port in ports() {
        let (plain, port) = ([7; 200], port(1));
        let sealed = port.seal(&KEY, &NONCE, b"aad", &plain);
        assert!(!sealed.windows(8).any(|w| plain.windows(8).any(|p| p == w)));
    }
}

#[test]
fn a_seal_opens_only_as_it_was_made() {
    for port in ports() {
        let port = port(1);
        let sealed = port.seal(&KEY, &NONCE, b"aad", b"text");
        assert!(port.open(&[5; 32], &NONCE, b"aad", &sealed).is_none(), "another key");
        assert!(port.open(&KEY, &[5; 12], b"aad", &sealed).is_none(), "another nonce");
        assert!(port.open(&KEY, &NONCE, b"bbd", &sealed).is_none(), "bound to something else");
        for bad in tampered(&sealed).chain(misfits(&sealed)) {
            assert!(port.open(&KEY, &NONCE, b"aad", &bad).is_none());
        }
    }
}

#[test]
fn what_was_boxed_opens_for_its_receiver() {
    for port in ports() {
        let (receiver, sender) = (port(1), port(2));
        let (public, secret) = receiver.box_keypair(&[1; 32]);
        assert_eq!(public.len(), BOX_KEY_LEN);
        let boxed = sender.box_seal(&public, &[2; 32], b"aad", b"text").unwrap();
        assert_eq!(boxed.len(), 4 + BOX_OVERHEAD);
        assert_eq!(receiver.box_open(&secret, b"aad", &boxed).as_deref(), Some(&b"text"[..]));
    }
}

#[test]
fn a_box_opens_for_nobody_else() {
    for port in ports() {
        let port = port(1);
        let (public, _) = port.box_keypair(&[1; 32]);
        let (_, another) = port.box_keypair(&[3; 32]);
        let boxed = port.box_seal(&public, &[2; 32], b"aad", b"text").unwrap();
        assert!(port.box_open(&another, b"aad", &boxed).is_none());
    }
}

#[test]
fn a_box_opens_only_as_it_was_made() {
    for port in ports() {
        let port = port(1);
        let (public, secret) = port.box_keypair(&[1; 32]);
        let boxed = port.box_seal(&public, &[2; 32], b"aad", b"text").unwrap();
        assert!(port.box_open(&secret, b"bbd", &boxed).is_none(), "bound to something else");
        for bad in tampered(&boxed).chain(misfits(&boxed)) {
            assert!(port.box_open(&secret, b"aad", &bad).is_none());
        }
    }
}

#[test]
fn nothing_is_boxed_for_what_is_no_key() {
    for port in ports() {
        let port = port(1);
        let (public, _) = port.box_keypair(&[1; 32]);
        for bad in misfits(&public) {
            assert!(port.box_seal(&bad, &[2; 32], b"", b"text").is_none());
        }
    }
}

#[cfg(feature = "aws-lc")]
#[test]
fn nothing_is_boxed_for_a_key_that_gives_everybody_the_same_secret() {
    let port = real(1);
    let (mut public, _) = port.box_keypair(&[1; 32]);
    public[1184..].fill(0);
    assert!(port.box_seal(&public, &[2; 32], b"", b"text").is_none());
}

#[test]
fn a_secret_of_another_kind_opens_nothing() {
    for port in ports() {
        let port = port(1);
        let (public, secret) = port.box_keypair(&[1; 32]);
        let boxed = port.box_seal(&public, &[2; 32], b"", b"text").unwrap();
        for bad in misfits(secret.expose()) {
            assert!(port.box_open(&BoxSecret::from_bytes(&bad), b"", &boxed).is_none());
        }
    }
}

#[test]
fn a_secret_survives_its_bytes() {
    for port in ports() {
        let port = port(1);
        let (public, secret) = port.box_keypair(&[1; 32]);
        let boxed = port.box_seal(&public, &[2; 32], b"", b"text").unwrap();
        assert!(port.box_open(&BoxSecret::from_bytes(secret.expose()), b"", &boxed).is_some());
    }
}

#[test]
fn the_simulated_port_repeats() {
    let boxed = |p: &dyn Crypto| p.box_seal(&p.box_keypair(&[1; 32]).0, &[2; 32], b"", b"text");
    assert_eq!(boxed(&*sim(1)), boxed(&*sim(2)));
    assert_eq!(sim(1).agent_sign(b"said"), sim(1).agent_sign(b"said"));
}

#[test]
fn secrets_are_not_printed() {
    let (_, secret) = sim(1).box_keypair(&[0x61; 32]);
    let printed = format!("{secret:?}{:?}", AgentSecret::from_bytes([0x61; 32]));
    assert_eq!(printed, "BoxSecret(…)AgentSecret(…)");
}
