//! Hash chains: saying "this still holds" in sixteen bytes (Lamport, CACM 1981; for freshness of signed statements, Micali's
//! Novomodo, 1996).
//!
//! The owner draws a secret value, hashes it again and again, and signs the last one, the *anchor*, with its record. The value
//! before the anchor, shown later, can only come from the owner, and so on back to the secret. Hashes are bound to the
//! record's key: a search for one owner's value is of no use against another's.
//!
//! Sixteen bytes: a forger needs 2^128 tries, while the record lives; that two values collide helps nobody.

use crate::identity::RecordKey;
use crate::wire::ChainValue;

/// Most refreshes of one record; then it is signed anew (at a TTL of 15 min, once in eight hours; a guess).
pub const MAX_STEPS: u16 = 64;

/// The chain of one record, known to its owner alone.
pub struct Chain(Vec<ChainValue>);

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chain(…)")
    }
}

impl Chain {
    /// The chain that ends in `secret`.
    pub fn new(key: &RecordKey, secret: &[u8; 32]) -> Chain {
        let mut last = [0; 16];
        last.copy_from_slice(&secret[..16]);
        let mut values = vec![ChainValue(last)];
        for _ in 0..MAX_STEPS {
            let next = hash(key, values.last().unwrap_or(&ChainValue(last)));
            values.push(next);
        }
        values.reverse();
        Chain(values)
    }

    /// What is signed with the record.
    pub fn anchor(&self) -> ChainValue {
        self.0[0]
    }

    /// The value of a refresh; none past the chain's end.
    pub fn value(&self, step: u16) -> Option<ChainValue> {
        self.0.get(usize::from(step)).copied()
    }
}

fn hash(key: &RecordKey, value: &ChainValue) -> ChainValue {
    let mut h = blake3::Hasher::new_derive_key("tidings 1 refresh");
    h.update(key.as_bytes());
    h.update(&value.0);
    let mut first = [0; 16];
    first.copy_from_slice(&h.finalize().as_bytes()[..16]);
    ChainValue(first)
}

/// Whether `value` lies `steps` before `known` in the chain of the record with this key.
pub fn leads(key: &RecordKey, value: ChainValue, steps: u16, known: ChainValue) -> bool {
    if steps > MAX_STEPS {
        return false;
    }
    let mut at = value;
    for _ in 0..steps {
        at = hash(key, &at);
    }
    at == known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_leads_to_those_before_and_no_other() {
        let key = RecordKey([1; 32]);
        let chain = Chain::new(&key, &[7; 32]);
        let (anchor, third) = (chain.anchor(), chain.value(3).expect("a value"));
        assert!(leads(&key, third, 3, anchor));
        assert!(leads(&key, chain.value(5).expect("a value"), 2, third));
        assert!(!leads(&key, third, 2, anchor));
        assert!(!leads(&key, ChainValue([0; 16]), 3, anchor));
        assert!(!leads(&RecordKey([2; 32]), third, 3, anchor));
        assert!(chain.value(MAX_STEPS).is_some() && chain.value(MAX_STEPS + 1).is_none());
        assert!(leads(&key, chain.value(MAX_STEPS).expect("a value"), MAX_STEPS, anchor));
    }
}
