//! The journal: what survives, and what it makes of damage.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use tidings::store::{Journal, JournalError, Store};

type Pair = (&'static str, Option<&'static str>);

fn write(journal: &mut Journal, pairs: &[Pair]) {
    let b = |s: &'static str| Bytes::from_static(s.as_bytes());
    let records: Vec<_> = pairs.iter().map(|(k, v)| (b(k), v.map(b))).collect();
    journal.write(&records).unwrap();
}

fn sync(journal: &mut Journal) {
    while let Some(work) = journal.begin_sync() {
        let outcome = work();
        journal.end_sync(outcome).unwrap();
    }
}

fn all(journal: &mut Journal) -> Vec<(Bytes, Bytes)> {
    journal.load(b"").unwrap()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
    expected.iter().map(|(k, v)| (Bytes::copy_from_slice(k.as_bytes()), Bytes::copy_from_slice(v.as_bytes()))).collect()
}

/// The journal as the next process finds it if this one is killed now: a copy of what the kernel has.
fn killed(path: &Path) -> Journal {
    let copy = path.with_extension("copy");
    for end in ["", ".new"] {
        let at = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        if at(path).exists() {
            fs::copy(at(path), at(&copy)).unwrap();
        }
    }
    Journal::open(copy).unwrap()
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    (dir, path)
}

#[test]
fn what_was_written_survives_without_a_close() {
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    write(&mut journal, &[("a", Some("1")), ("b", Some("2"))]);
    write(&mut journal, &[("a", None), ("c", Some("3"))]);
    assert_eq!(all(&mut killed(&path)), pairs(&[("b", "2"), ("c", "3")]));
}

#[test]
fn load_finds_a_prefix_in_key_order() {
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    write(&mut journal, &[("x/2", Some("b")), ("x/1", Some("a")), ("y", Some("c")), ("w", Some("d"))]);
    assert_eq!(journal.load(b"x/").unwrap(), pairs(&[("x/1", "a"), ("x/2", "b")]));
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tears_and_counted() {
    let (dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    write(&mut journal, &[("kept", Some("1"))]);
    let whole = fs::metadata(&path).unwrap().len();
    write(&mut journal, &[("torn", Some("2")), ("kept", None)]);
    let bytes = fs::read(&path).unwrap();
    for cut in whole as usize..bytes.len() {
        let copy = dir.path().join("copy");
        fs::write(&copy, &bytes[..cut]).unwrap();
        let mut journal = Journal::open(&copy).unwrap();
        assert_eq!(all(&mut journal), pairs(&[("kept", "1")]), "all or none, cut at {cut}");
        assert_eq!(journal.stats().torn_bytes, cut as u64 - whole);
        write(&mut journal, &[("after", Some("3"))]);
        drop(journal);
        assert_eq!(all(&mut Journal::open(&copy).unwrap()), pairs(&[("after", "3"), ("kept", "1")]));
    }
}

#[test]
fn damage_to_what_was_safe_is_refused_and_nothing_touched() {
    let (dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    write(&mut journal, &[("a", Some("1"))]);
    write(&mut journal, &[("b", Some("2"))]);
    let end = fs::metadata(&path).unwrap().len() as usize;
    drop(journal);
    let good = fs::read(&path).unwrap();
    for at in 0..end {
        let copy = dir.path().join("copy");
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        fs::write(&copy, &bad).unwrap();
        let refused = Journal::open(&copy).err().unwrap_or_else(|| panic!("accepted damage at {at}"));
        let expected =
            matches!(refused, JournalError::Corrupt { .. } | JournalError::Foreign { .. } | JournalError::Newer { .. });
        assert!(expected, "{at}: {refused}");
        assert_eq!(fs::read(&copy).unwrap(), bad);
    }
}

#[test]
fn damage_among_what_was_not_safe_yet_costs_only_that() {
    // After a power failure the pages behind the last sync may be there in any order.
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    write(&mut journal, &[("safe", Some("1"))]);
    sync(&mut journal);
    let safe = fs::metadata(&path).unwrap().len() as usize;
    write(&mut journal, &[("lost", Some("2"))]);
    write(&mut journal, &[("behind", Some("3"))]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[safe + 20] ^= 1;
    std::mem::forget(journal);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(all(&mut Journal::open(&path).unwrap()), pairs(&[("safe", "1")]));
}

#[test]
fn bytes_of_a_group_inside_a_value_do_not_pass_for_one() {
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    let header = fs::metadata(&path).unwrap().len() as usize;
    write(&mut journal, &[("a", Some("1"))]);
    sync(&mut journal);
    write(&mut journal, &[("b", Some("2"))]);
    // Real groups of this very file, one of which vouches for what is before it, as a value of the last one.
    let groups = Bytes::from(fs::read(&path).unwrap().split_off(header));
    let end = fs::metadata(&path).unwrap().len() as usize;
    journal.write(&[(Bytes::from_static(b"evil"), Some(groups))]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[end] ^= 1;
    std::mem::forget(journal);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(all(&mut Journal::open(&path).unwrap()), pairs(&[("a", "1"), ("b", "2")]));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_dir, path) = fresh();
    drop(Journal::open(&path).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 9;
    fs::write(&path, &bytes).unwrap();
    let refused = Journal::open(&path).err().unwrap();
    assert!(matches!(refused, JournalError::Newer { found: 9, .. }), "{refused}");
    assert!(refused.to_string().contains("made by a newer tidings"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn another_kind_of_file_is_left_alone() {
    let (_dir, path) = fresh();
    fs::write(&path, "a letter").unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
}

#[test]
fn the_file_stays_within_a_few_times_what_is_live() {
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path).unwrap();
    let value = Bytes::from(vec![7; 1000]);
    let key = |i: u32| Bytes::from((i % 50).to_be_bytes().to_vec());
    for i in 0..10_000 {
        journal.write(&[(key(i), Some(value.clone()))]).unwrap();
        if i % 500 == 0 {
            sync(&mut journal);
        }
    }
    sync(&mut journal);
    let stats = journal.stats();
    assert!(stats.compactions > 0);
    assert!(fs::metadata(&path).unwrap().len() < 2 << 20, "{stats:?}");
    let before = all(&mut journal);
    assert_eq!(before.len(), 50);
    assert_eq!(all(&mut killed(&path)), before);
}

/// A journal so wasteful that its next sync is a compaction.
fn wasteful(path: &Path) -> Journal {
    let mut journal = Journal::open(path).unwrap();
    let value = Bytes::from(vec![7; 100_000]);
    for _ in 0..20 {
        journal.write(&[(Bytes::from_static(b"big"), Some(value.clone()))]).unwrap();
    }
    journal
}

#[test]
fn what_is_written_during_a_compaction_is_in_the_new_file() {
    let (_dir, path) = fresh();
    let mut journal = wasteful(&path);
    let outcome = journal.begin_sync().unwrap()();
    write(&mut journal, &[("during", Some("1"))]);
    write(&mut journal, &[("big", None)]);
    journal.end_sync(outcome).unwrap();
    assert_eq!(journal.stats().compactions, 1);
    assert!(fs::metadata(&path).unwrap().len() < 200_000, "still the old file");
    assert_eq!(all(&mut killed(&path)), pairs(&[("during", "1")]));
    assert_eq!(all(&mut journal), pairs(&[("during", "1")]));
}

#[test]
fn a_compaction_cut_short_leaves_the_old_file_in_force() {
    let (_dir, path) = fresh();
    let mut journal = wasteful(&path);
    let outcome = journal.begin_sync().unwrap()();
    write(&mut journal, &[("during", Some("1"))]);
    assert_eq!(all(&mut killed(&path)).len(), 2);
    assert!(!path.with_extension("copy.new").exists(), "the unfinished file is removed");
    // The new file cannot be put in place.
    fs::remove_file(path.with_extension("new")).unwrap();
    journal.end_sync(outcome).unwrap_err();
    write(&mut journal, &[("after", Some("2"))]);
    assert_eq!(all(&mut journal).len(), 3);
    assert_eq!(all(&mut killed(&path)).len(), 3);
}

#[test]
fn a_failed_compaction_loses_nothing_and_is_tried_again() {
    let (dir, path) = fresh();
    let mut journal = wasteful(&path);
    // A directory stands where the new file has to be written.
    let obstacle = dir.path().join("journal.new");
    fs::create_dir(&obstacle).unwrap();
    let outcome = journal.begin_sync().unwrap()();
    journal.end_sync(outcome).unwrap_err();
    write(&mut journal, &[("after", Some("1"))]);
    fs::remove_dir(&obstacle).unwrap();
    sync(&mut journal);
    write(&mut journal, &[("last", Some("2"))]);
    sync(&mut journal);
    assert_eq!(journal.stats().compactions, 1);
    assert_eq!(all(&mut killed(&path)).len(), 3);
}

#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, path) = fresh();
    drop(Journal::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a map, through syncs and reopenings.
    #[test]
    fn it_behaves_as_a_map(ops in prop::collection::vec((0u8..8, prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0u8..10), 1..60)) {
        let (_dir, path) = fresh();
        let mut journal = Journal::open(&path).unwrap();
        let mut model = std::collections::BTreeMap::new();
        for (key, value, then) in ops {
            let key = Bytes::from(vec![key]);
            let value = value.map(Bytes::from);
            journal.write(&[(key.clone(), value.clone())]).unwrap();
            match value {
                Some(value) => drop(model.insert(key, value)),
                None => drop(model.remove(&key)),
            }
            match then {
                0 => sync(&mut journal),
                1 => {
                    drop(journal);
                    journal = Journal::open(&path).unwrap();
                }
                _ => {}
            }
            let expected: Vec<_> = model.clone().into_iter().collect();
            prop_assert_eq!(all(&mut journal), expected);
            let live: usize = model.iter().map(|(k, v)| 8 + k.len() + v.len()).sum();
            prop_assert_eq!(journal.stats().live_bytes, live as u64);
        }
    }
}
