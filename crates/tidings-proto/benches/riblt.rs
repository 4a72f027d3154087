//! Rateless IBLTs: what it costs to make symbols of a set, to follow its changes, and to find a difference.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tidings_proto::anti_entropy::riblt::{Decoder, Key, Sketch};
use tidings_proto::rng::Rng;

const KEY: Key = Key(9);

fn items(n: usize, seed: u64) -> Vec<u64> {
    let mut rng = Rng::derive(&[1; 32], "bench", &seed.to_le_bytes());
    (0..n).map(|_| rng.next_u64()).collect()
}

fn sketch(of: &[&[u64]], count: usize) -> Sketch {
    let mut s = Sketch::new(KEY);
    of.iter().for_each(|l| l.iter().for_each(|i| s.add(*i)));
    s.extend(count, of.iter().flat_map(|l| l.iter().copied()));
    s
}

fn riblt(c: &mut Criterion) {
    let common = items(100_000, 0);
    let mut g = c.benchmark_group("riblt");
    g.sample_size(10);
    g.throughput(Throughput::Elements(common.len() as u64));
    g.bench_function("4096 symbols of 100 000 items", |b| b.iter(|| sketch(&[&common], 4_096)));
    g.throughput(Throughput::Elements(1));
    let mut s = sketch(&[&common], 4_096);
    g.bench_function("an item comes and goes", |b| {
        b.iter(|| {
            s.add(black_box(77));
            s.remove(black_box(77));
        })
    });
    for d in [1_000, 10_000] {
        let (theirs, ours) = (items(d / 2, 1), items(d / 2, 2));
        let most = d * 3 / 2;
        let (t, o) = (sketch(&[&common, &theirs], most), sketch(&[&common, &ours], most));
        let set: BTreeSet<u64> = common.iter().chain(&ours).copied().collect();
        g.throughput(Throughput::Elements(d as u64));
        g.bench_function(format!("{d} differences found"), |b| {
            b.iter_batched(
                || Decoder::new(KEY, most),
                |mut decoder| {
                    let found = decoder.take(t.symbols(), &o, |i| set.contains(&i)).expect("honest symbols");
                    assert!(found.is_some_and(|f| f.theirs.len() == d / 2));
                },
                BatchSize::LargeInput,
            )
        });
    }
    g.finish();
}

criterion_group!(benches, riblt);
criterion_main!(benches);
