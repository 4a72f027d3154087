//! Two sets, one of which has to find out how they differ: what coded symbols cost, without a network around them.
//!
//! The code is the node's own: the responder's sketches, the asker's decoding, the messages as they are encoded. Half of the
//! difference is on either side.

use tidings_proto::anti_entropy::riblt::{Decoder, Key, encode};
use tidings_proto::anti_entropy::session::{Decoding, first};
use tidings_proto::anti_entropy::{Digest, Mirror, Sketches};
use tidings_proto::time::UnixMillis;
use tidings_proto::wire::{AskSymbols, Compare, Differ, Message, Same, SetTag, ShortId, Symbols};

use crate::figures::{Measured, Worst};
use crate::options::{Options, Scenario};
use crate::runner::{Outcome, spent_us};

const WALL: UnixMillis = UnixMillis(1_700_000_000_000);
const SET: SetTag = SetTag(u64::MAX);
const SESSION: u32 = 0xffff;
/// Differences decoded while the time is taken.
const TIMED: usize = 200_000;

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Reconcile { items, diff } = options.scenario else { unreachable!("chosen by the caller") };
    let id = |n: usize| {
        let mut h = blake3::Hasher::new();
        h.update(&seed.to_le_bytes());
        h.update(&(n as u64).to_le_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&h.finalize().as_bytes()[..16]);
        ShortId(id)
    };
    // Both have what is in the middle; the first half of the difference is theirs alone, the other ours.
    let half = diff / 2;
    let all: Vec<ShortId> = (0..items + diff - half).map(id).collect();
    let (theirs, ours) = (&all[..items], &all[half..]);
    let digest = |ids: &[ShortId]| {
        let mut d = Digest::default();
        ids.iter().for_each(|id| d.add(id));
        d
    };
    let (mine, other) = (digest(ours), digest(theirs));
    let compare = Compare {
        set: SET,
        session: SESSION,
        from: WALL.0,
        span: 300_000,
        sum: mine.sum,
        count: mine.count,
        young: None,
    };
    let mut bytes = Message::from(compare).frame().len();
    let mut out = Measured::default();
    let mut broken = Vec::new();
    let mut trace = blake3::Hasher::new();
    let equal = bytes + Message::from(Same { session: SESSION }).frame().len();
    out.value("bytes_when_equal", equal as f64, Worst::Largest);
    if mine == other {
        broken.extend((diff > 0).then(|| "two different sets have the same digest".to_owned()));
        return Outcome { measured: out, trace: *trace.finalize().as_bytes(), broken };
    }
    let answer =
        Differ { session: SESSION, from: WALL.0, sum: other.sum, count: other.count, streams: u64::from(u16::MAX) };
    bytes += Message::from(answer).frame().len();

    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&seed.to_le_bytes());
    let mut sketches = Sketches::new(secret);
    let (mut decoding, mut as_of, mut symbols, mut rounds) = (None::<Decoding>, None, Vec::new(), 1);
    let mut count = first(mine, other);
    let found = loop {
        let at = symbols.len();
        let ask = AskSymbols { set: SET, session: SESSION, from: WALL.0, first: at as u32, count: count as u32, as_of };
        let Some(s) = sketches.whole(WALL, as_of, (at, count), || theirs.to_vec()) else { break None };
        let reply =
            Symbols { set: SET, session: SESSION, key: s.key, items: s.items, as_of: s.as_of, first: at as u32 };
        let payload = encode(&s.symbols, at, s.items);
        trace.update(&payload);
        bytes += Message::from(ask).frame().len() + Message::from(reply).frame_with(payload.into()).len();
        rounds += 1;
        as_of = Some(s.as_of);
        let decoding = decoding.get_or_insert_with(|| Decoding::new(s.key, s.items, ours.iter().copied()));
        symbols.extend_from_slice(&s.symbols);
        match decoding.take(&s.symbols) {
            Ok(None) => count = decoding.next(),
            Ok(Some(found)) => break Some(found),
            Err(_) => break None,
        }
    };
    let right = found.as_ref().is_some_and(|f| {
        let named: std::collections::BTreeSet<Option<ShortId>> =
            f.theirs.iter().map(|i| sketches.id(decoding.as_ref().map_or(0, Decoding::key), *i)).collect();
        named.len() == half && all[..half].iter().all(|id| named.contains(&Some(*id))) && f.ours.len() == diff - half
    });
    if !right {
        broken.push("the difference was not found, or a wrong one was".to_owned());
    }
    out.value("failures", f64::from(u8::from(!right)), Worst::Largest);
    let used = decoding.as_ref().map_or(0, Decoding::used);
    out.value("overhead", used as f64 / diff as f64, Worst::Largest);
    out.value("overhead_sent", symbols.len() as f64 / diff as f64, Worst::Largest);
    out.value("bytes", bytes as f64, Worst::Largest);
    out.value("bytes_per_difference", bytes as f64 / diff as f64, Worst::Largest);
    out.value("rounds", f64::from(rounds), Worst::Largest);
    if let Some(d) = decoding {
        // Once more, timed: the decoding alone, with our own symbols made before.
        let mut own = Mirror::new(d.key(), ours.iter().copied());
        own.extend(used);
        let sketch = own.sketch().clone();
        // The system tells a thread's time in steps of some milliseconds.
        let times = (TIMED / diff).max(1);
        let before = spent_us();
        for _ in 0..times {
            let mut decoder = Decoder::new(Key(d.key()), used);
            if !matches!(decoder.take(&symbols[..used], &sketch, |item| own.has(item)), Ok(Some(_))) {
                broken.push("what decoded in parts does not decode in one".to_owned());
                break;
            }
        }
        out.value("decode_items_per_s", (diff * times) as f64 / (spent_us() - before) * 1e6, Worst::Smallest);
    }
    Outcome { measured: out, trace: *trace.finalize().as_bytes(), broken }
}
