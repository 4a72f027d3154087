use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const KEY: Key = Key(0x5eed);

fn rng(seed: u64) -> Rng {
    Rng::derive(&[7; 32], "riblt", &seed.to_le_bytes())
}

/// Two sets: what both have, what they have, what we have.
struct Sets {
    common: Vec<u64>,
    theirs: Vec<u64>,
    ours: Vec<u64>,
}

impl Sets {
    fn draw(common: usize, theirs: usize, ours: usize, seed: u64) -> Sets {
        let mut rng = rng(seed);
        let mut draw = |n| (0..n).map(|_| rng.next_u64()).collect();
        Sets { common: draw(common), theirs: draw(theirs), ours: draw(ours) }
    }

    fn sketch(&self, theirs: bool, count: usize) -> Sketch {
        let mut s = Sketch::new(KEY);
        let own = if theirs { &self.theirs } else { &self.ours };
        let all: Vec<u64> = self.common.iter().chain(own).copied().collect();
        all.iter().for_each(|i| s.add(*i));
        s.extend(count, all);
        s
    }

    fn ours(&self) -> BTreeSet<u64> {
        self.common.iter().chain(&self.ours).copied().collect()
    }

    /// Reconciles `step` symbols at a time: how many it took.
    fn reconcile(&self, most: usize, step: usize) -> Result<(usize, Difference), RibltError> {
        let (theirs, ours) = (self.sketch(true, most), self.sketch(false, most));
        let set = self.ours();
        let mut d = Decoder::new(KEY, most);
        while d.taken() < most {
            let from = d.taken();
            let to = (from + step).min(most);
            if let Some(mut found) = d.take(&theirs.symbols()[from..to], &ours, |i| set.contains(&i))? {
                found.theirs.sort_unstable();
                found.ours.sort_unstable();
                return Ok((d.taken(), found));
            }
        }
        Err(RibltError::TooMany(most))
    }

    fn difference(&self) -> Difference {
        let sorted = |l: &[u64]| {
            let mut l = l.to_vec();
            l.sort_unstable();
            l
        };
        Difference { theirs: sorted(&self.theirs), ours: sorted(&self.ours) }
    }
}

#[test]
fn equal_sets_need_one_symbol() {
    let sets = Sets::draw(1_000, 0, 0, 1);
    assert_eq!(sets.reconcile(8, 1).unwrap(), (1, Difference::default()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_difference_is_found_whatever_it_is(
        common in 0usize..300, theirs in 0usize..120, ours in 0usize..120, step in 1usize..40, seed: u64,
    ) {
        let sets = Sets::draw(common, theirs, ours, seed);
        let (_, found) = sets.reconcile(2_000, step).unwrap();
        prop_assert_eq!(found, sets.difference());
    }

    #[test]
    fn symbols_travel_as_they_are(common in 0usize..2_000, from in 0usize..200, seed: u64) {
        let s = Sets::draw(common, 0, 0, seed).sketch(true, 300);
        let bytes = encode(&s.symbols()[from..], from, s.items());
        prop_assert_eq!(decode(&bytes, from, s.items(), 300).unwrap(), &s.symbols()[from..]);
        prop_assert_eq!(decode(&bytes, from, s.items(), 299 - from), Err(RibltError::Malformed));
    }

    #[test]
    fn garbage_is_refused_or_read_and_never_panics(bytes: Vec<u8>, from: usize, items: u64) {
        if let Ok(symbols) = decode(&bytes, from % 1_000_000, items, 64) {
            prop_assert!(symbols.len() <= bytes.len() / 13);
            let mut ours = Sketch::new(KEY);
            ours.extend(64, []);
            let _ = Decoder::new(KEY, 64).take(&symbols, &ours, |_| false);
        }
    }
}

#[test]
fn a_sketch_follows_its_set() {
    let sets = Sets::draw(500, 0, 300, 3);
    let mut s = sets.sketch(true, 200);
    sets.ours.iter().for_each(|i| s.add(*i));
    assert_eq!(s.symbols(), sets.sketch(false, 200).symbols(), "what is added is as if it had been there");
    sets.ours.iter().for_each(|i| s.remove(*i));
    assert_eq!(s.symbols(), sets.sketch(true, 200).symbols());
    assert_eq!(s.items(), 500);
    s.extend(700, sets.common.iter().copied());
    assert_eq!(s.symbols(), sets.sketch(true, 700).symbols(), "made in two steps or in one");
}

/// Symbols for each difference, over some seeds, one symbol at a time: mean and worst.
fn overhead(d: usize, seeds: u64) -> (f64, f64) {
    let of = |seed| {
        let sets = Sets::draw(100, d / 2, d - d / 2, seed);
        sets.reconcile(4 * d + 64, 1).unwrap().0 as f64 / d as f64
    };
    let all: Vec<f64> = (0..seeds).map(of).collect();
    (all.iter().sum::<f64>() / seeds as f64, all.iter().copied().fold(0.0, f64::max))
}

#[test]
fn it_takes_as_many_symbols_as_the_paper_says() {
    let (mean, worst) = overhead(1_000, 20);
    assert!(mean <= 1.40 && worst <= 1.50, "{mean:.3}, {worst:.3} at a thousand differences");
    let (mean, _) = overhead(64, 60);
    assert!(mean <= 1.80, "{mean:.3} at sixty-four");
    let (mean, _) = overhead(8, 200);
    assert!(mean <= 1.80, "{mean:.3} at eight");
}

#[test]
fn a_symbol_takes_thirteen_or_fourteen_bytes() {
    let s = Sets::draw(100_000, 0, 0, 5).sketch(true, 2_000);
    let bytes = encode(s.symbols(), 0, s.items()).len() as f64 / 2_000.0;
    assert!(bytes <= 14.0, "{bytes:.2} bytes a symbol");
}

#[test]
fn more_differences_than_allowed_are_given_up() {
    let sets = Sets::draw(10, 500, 500, 6);
    assert_eq!(sets.reconcile(600, 50), Err(RibltError::TooMany(600)));
    let (s, mut d) = (sets.sketch(false, 700), Decoder::new(KEY, 600));
    let endless = vec![Symbol { sum: 1, check: 2, count: 3 }; 601];
    assert_eq!(d.take(&endless, &s, |_| false), Err(RibltError::TooMany(600)));
    assert_eq!(d.taken(), 0, "nothing is kept of it");
}

#[test]
fn lies_are_noticed() {
    let sets = Sets::draw(50, 10, 10, 7);
    let (mut theirs, ours) = (sets.sketch(true, 100), sets.sketch(false, 100));
    let set = sets.ours();
    let tell = |symbols: &[Symbol]| Decoder::new(KEY, 100).take(symbols, &ours, |i| set.contains(&i));
    // Something taken out that was never in: as if we alone had what we do not have.
    theirs.remove(0xbad);
    assert_eq!(tell(theirs.symbols()), Err(RibltError::Lied));
    theirs.add(0xbad);
    // Something that is in twice: as if they alone had what we have, too.
    theirs.add(sets.common[0]);
    assert_eq!(tell(theirs.symbols()), Err(RibltError::Lied));
    theirs.remove(sets.common[0]);
    // A symbol further on that does not belong.
    let mut odd = theirs.symbols().to_vec();
    odd[90].sum ^= 1;
    assert!(matches!(tell(&odd), Err(RibltError::Lied) | Ok(None)));
    assert!(tell(theirs.symbols()).unwrap().is_some(), "the truth");
}

#[test]
fn symbols_by_another_key_lead_nowhere() {
    let sets = Sets::draw(50, 5, 5, 8);
    let mut other = Sketch::new(Key(1));
    other.extend(100, sets.common.iter().chain(&sets.theirs).copied());
    let set = sets.ours();
    let ours = sets.sketch(false, 100);
    let mut d = Decoder::new(KEY, 100);
    assert!(!matches!(d.take(other.symbols(), &ours, |i| set.contains(&i)), Ok(Some(_))));
    let mine = Decoder::new(Key(1), 100).take(other.symbols(), &ours, |i| set.contains(&i));
    assert_eq!(mine, Err(RibltError::Malformed), "our own sketch must be by that key");
}

#[test]
fn the_mapping_is_pinned() {
    let mut at = KEY.symbols(42);
    let indices: Vec<u64> = (0..8)
        .map(|_| {
            let i = at.at;
            at.step();
            i
        })
        .collect();
    assert_eq!((indices[0], KEY.check(42)), (0, KEY.check(42)));
    assert!(indices.is_sorted() && indices.windows(2).all(|w| w[0] < w[1]));
    let mut h = blake3::Hasher::new();
    for item in 0..100u64 {
        let mut at = KEY.symbols(mix(item));
        h.update(&KEY.check(mix(item)).to_le_bytes());
        for _ in 0..20 {
            at.step();
            h.update(&at.at.to_le_bytes());
        }
    }
    assert_eq!(h.finalize().to_hex()[..16], *"7e9116cc2fa8c777");
}
