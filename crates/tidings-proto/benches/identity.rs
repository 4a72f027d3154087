//! Agents' certificates: what verifying one costs, and what looking up a verified one does.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::identity::*;
use tidings_proto::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
/// As many as a network of some size has.
const KNOWN: u64 = 10_000;

type Port = fn(u8) -> Arc<dyn Crypto>;

fn keys(n: u8) -> (SecretKey, AgentSecret) {
    (SecretKey::from_bytes([n; 32]), AgentSecret::from_bytes([n; 32]))
}

fn sim(n: u8) -> Arc<dyn Crypto> {
    let (node, agent) = keys(n);
    Arc::new(SimCrypto::with_agent(&node, &agent))
}

#[cfg(feature = "aws-lc")]
fn real(n: u8) -> Arc<dyn Crypto> {
    let (node, agent) = keys(n);
    Arc::new(tidings_proto::crypto::AwsLc::with_agent(&node, &agent).expect("keys"))
}

const PORTS: &[(&str, Port)] = &[
    ("sim", sim),
    #[cfg(feature = "aws-lc")]
    ("real", real),
];

fn issue(crypto: &dyn Crypto, n: u64) -> AgentCertificate {
    let (public, _) = crypto.box_keypair(&[n as u8; 32]);
    let statement = Statement {
        agent: AgentId::own(crypto).expect("an agent"),
        node: NodeId(*blake3::hash(&n.to_le_bytes()).as_bytes()),
        serial: n,
        issued_ms: NOW.0,
        expires_ms: NOW.0 + 1_000_000,
        prekeys: vec![Prekey { id: n, key: public }],
        revoked: vec![],
    };
    AgentCertificate::issue(statement, crypto).expect("a certificate")
}

fn certificates(c: &mut Criterion) {
    for (name, port) in PORTS {
        let (crypto, one) = (port(1), issue(&*port(1), 1));
        let mut g = c.benchmark_group(format!("certificate/{name}"));
        g.bench_function("issue", |b| b.iter(|| issue(&*crypto, black_box(1))));
        g.throughput(Throughput::Elements(1));
        let (key, signature) = (one.agent_key(), crypto.agent_sign(one.id().as_bytes()).expect("a signature"));
        g.bench_function("signature_alone", |b| {
            b.iter(|| crypto.agent_verify(key, black_box(one.id().as_bytes()), &signature));
        });
        // All of it: parsing, hashing, the signature, and its place in the cache.
        g.bench_function("admit_new", |b| {
            b.iter_batched(
                Certificates::default,
                |mut cache| {
                    let admitted = cache.admit(black_box(one.bytes()), NOW, &*crypto);
                    (admitted, cache)
                },
                BatchSize::SmallInput,
            );
        });
    }
    let crypto = sim(1);
    let mut cache = Certificates::default();
    let known: Vec<_> = (0..KNOWN).map(|n| issue(&*crypto, n)).collect();
    for one in &known {
        assert!(cache.admit(one.bytes(), NOW, &*crypto).is_ok());
    }
    let mut g = c.benchmark_group("certificate/cached");
    let mut at = 0;
    g.bench_function("agent", |b| {
        b.iter(|| {
            at = (at + 7_919) % known.len();
            cache.agent(black_box(known[at].id()), &known[at].statement().node, NOW)
        });
    });
}

fn boxes(c: &mut Criterion) {
    for (name, port) in PORTS {
        let crypto = port(1);
        let (public, secret) = crypto.box_keypair(&[1; 32]);
        let boxed = crypto.box_seal(&public, &[2; 32], b"", &[7; 256]).expect("a box");
        let mut g = c.benchmark_group(format!("box/{name}"));
        g.bench_function("keypair", |b| b.iter(|| crypto.box_keypair(black_box(&[1; 32]))));
        g.bench_function("seal/256B", |b| b.iter(|| crypto.box_seal(&public, &[2; 32], b"", black_box(&[7; 256]))));
        g.bench_function("open/256B", |b| b.iter(|| crypto.box_open(&secret, b"", black_box(&boxed))));
        g.finish();
        let mut g = c.benchmark_group(format!("seal/{name}"));
        let sealed = crypto.seal(&[1; 32], &[2; 12], b"", &[7; 256]);
        g.bench_function("seal/256B", |b| b.iter(|| crypto.seal(&[1; 32], &[2; 12], b"", black_box(&[7; 256]))));
        g.bench_function("open/256B", |b| b.iter(|| crypto.open(&[1; 32], &[2; 12], b"", black_box(&sealed))));
    }
}

criterion_group!(identity, certificates, boxes);
criterion_main!(identity);
