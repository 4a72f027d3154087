//! What the log keeps, gives back, and makes of damage, crashes and failing media.

use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use tidings_proto::log::LogPlace;

use super::*;
use crate::sync::lock;

const TOPIC: TopicId = TopicId([7; 32]);
const LIMITS: LogLimits = LogLimits { max_age: Duration::from_secs(3600), max_bytes: 4 << 20 };

/// What a medium takes whole or not at all.
const PAGE: usize = 4096;

fn fresh() -> (tempfile::TempDir, SegmentLog) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (dir, log)
}

fn open(dir: &Path) -> SegmentLog {
    SegmentLog::new(dir.join("log"), LIMITS)
}

fn record(n: u64, size: usize) -> LogRecord {
    let mut bytes = vec![n as u8; size];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    LogRecord { at: UnixMillis(1000 + n), messages: 2, bytes: bytes.into() }
}

fn stored(log: &mut SegmentLog, records: &[LogRecord]) {
    log.append(&TOPIC, records).unwrap();
    log.sync(&[TOPIC]).into_iter().for_each(|r| r.unwrap());
}

fn all(log: &mut SegmentLog, query: LogQuery) -> Vec<LogRecord> {
    let (mut records, mut after) = (Vec::new(), query.after);
    loop {
        let page = log.read(&TOPIC, &LogQuery { after, ..query.clone() }).unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
}

fn everything(log: &mut SegmentLog) -> Vec<u64> {
    all(log, LogQuery::default()).iter().map(|r| r.at.0 - 1000).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("log").join(hex(TOPIC.as_bytes()))).unwrap().into_iter().map(|f| f.1).collect()
}

/// A medium that fails when told to, and remembers what was safe.
#[derive(Default)]
struct Faulty {
    full: AtomicBool,
    torn: AtomicBool,
    no_sync: AtomicBool,
    /// What a crash of the machine leaves of each file, by inode: what the last sync made safe.
    safe: Mutex<BTreeMap<u64, Vec<u8>>>,
}

fn no_space() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

fn whole(file: &File) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

impl Medium for Faulty {
    fn reserve(&self, file: &File, len: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(no_space()) } else { file.set_len(len) }
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.torn.load(Ordering::Relaxed) {
            Kernel.write(file, &bytes[..bytes.len() - 1], at)?;
            return Err(no_space());
        }
        Kernel.write(file, bytes, at)?;
        if at == 0 {
            // The head of a new file, which is forced before the file has its name.
            lock(&self.safe).insert(file.metadata()?.ino(), whole(file));
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.no_sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("worn out"));
        }
        lock(&self.safe).insert(file.metadata()?.ino(), whole(file));
        Ok(())
    }
}

fn faulty() -> (tempfile::TempDir, SegmentLog, Arc<Faulty>) {
    let (dir, mut log) = fresh();
    let medium = Arc::<Faulty>::default();
    log.medium = medium.clone();
    (dir, log, medium)
}

#[test]
fn what_was_appended_comes_back_in_order_also_after_a_restart() {
    let (dir, mut log) = fresh();
    for n in 0..10 {
        log.append(&TOPIC, &[record(2 * n, 100), record(2 * n + 1, 60_000)]).unwrap();
    }
    assert_eq!(everything(&mut log), (0..20).collect::<Vec<_>>());
    drop(log);
    let mut log = open(dir.path());
    assert_eq!(everything(&mut log), (0..20).collect::<Vec<_>>());
    assert_eq!(all(&mut log, LogQuery::default())[1], record(1, 60_000));
    stored(&mut log, &[record(20, 100)]);
    assert_eq!(everything(&mut open(dir.path())), (0..21).collect::<Vec<_>>());
}

#[test]
fn a_page_ends_and_the_next_goes_on_there() {
    let (_dir, mut log) = fresh();
    (0..50).for_each(|n| log.append(&TOPIC, &[record(n, 20_000)]).unwrap());
    let query = LogQuery { page_bytes: 100_000, ..LogQuery::default() };
    let first = log.read(&TOPIC, &query).unwrap();
    assert!((5..=12).contains(&first.records.len()), "{}", first.records.len());
    assert_eq!(all(&mut log, query).len(), 50);
}

#[test]
fn times_are_found_whatever_the_order_they_came_in() {
    let (_dir, mut log) = fresh();
    let order = (0..60).map(|n| (n * 37) % 60);
    order.for_each(|n| log.append(&TOPIC, &[record(n, 10_000)]).unwrap());
    let query = LogQuery { since: UnixMillis(1010), until: UnixMillis(1019), ..LogQuery::default() };
    let mut found: Vec<u64> = all(&mut log, query).iter().map(|r| r.at.0 - 1000).collect();
    found.sort();
    assert_eq!(found, (10..20).collect::<Vec<_>>());
}

#[test]
fn the_last_messages_are_found_from_the_end() {
    let (_dir, mut log) = fresh();
    (0..60).for_each(|n| log.append(&TOPIC, &[record(n, 30_000)]).unwrap());
    let found = all(&mut log, LogQuery { last: Some(20), ..LogQuery::default() });
    // Two messages a batch; a block holds three of these batches.
    assert!((10..13).contains(&found.len()), "{}", found.len());
    assert_eq!(found.last().unwrap().at.0, 1059);
    assert!(all(&mut log, LogQuery { last: Some(0), ..LogQuery::default() }).is_empty());
}

#[test]
fn topics_are_kept_apart() {
    let (_dir, mut log) = fresh();
    let other = TopicId([8; 32]);
    log.append(&TOPIC, &[record(1, 100)]).unwrap();
    log.append(&other, &[record(2, 100)]).unwrap();
    assert_eq!(log.sync(&[TOPIC, other]), [Ok(()), Ok(())]);
    assert_eq!(everything(&mut log), [1]);
    assert_eq!(log.read(&other, &LogQuery::default()).unwrap().records, [record(2, 100)]);
}

#[test]
fn a_topic_stays_within_its_bytes_and_gives_the_space_back() {
    let (dir, mut log) = fresh();
    for n in 0..400 {
        stored(&mut log, &[record(n, 60_000)]);
        assert!(log.bytes(&TOPIC) <= LIMITS.max_bytes);
    }
    let on_disk: u64 = segments(dir.path()).iter().map(|p| fs::metadata(p).unwrap().len()).sum();
    assert_eq!(on_disk, log.bytes(&TOPIC));
    let kept = everything(&mut log);
    assert_eq!(kept, (400 - kept.len() as u64..400).collect::<Vec<_>>(), "the newest are kept");
    assert!(kept.len() > 40, "{} of some 66 that fit", kept.len());
}

#[test]
fn what_is_too_old_goes() {
    let (dir, mut log) = fresh();
    stored(&mut log, &[record(1, 100)]);
    log.trim(UnixMillis(3_600_000 + 1001));
    assert_eq!(everything(&mut log), [1]);
    log.trim(UnixMillis(3_600_000 + 1002));
    assert!(everything(&mut log).is_empty() && segments(dir.path()).is_empty());
    stored(&mut log, &[record(2, 100)]);
    assert_eq!(everything(&mut log), [2]);
}

#[test]
fn old_files_of_topics_not_used_go_unless_they_cannot_be_read() {
    let (dir, mut log) = fresh();
    stored(&mut log, &[record(1, 100)]);
    drop(log);
    let path = segments(dir.path()).remove(0);
    let good = fs::read(&path).unwrap();
    let log = open(dir.path());
    log.sweep(SystemTime::now() + LIMITS.max_age).unwrap();
    assert!(path.exists(), "the margin");
    let late = SystemTime::now() + LIMITS.max_age + MARGIN + Duration::from_secs(1);
    fs::write(&path, &good[..1000]).unwrap();
    log.sweep(late).unwrap();
    assert!(path.exists(), "it cannot be read");
    fs::write(&path, &good).unwrap();
    log.sweep(late).unwrap();
    assert!(!path.exists());
}

#[test]
fn only_its_owner_can_read_it() {
    let (dir, mut log) = fresh();
    stored(&mut log, &[record(1, 100)]);
    let path = segments(dir.path()).remove(0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
}

/// What a new log says of a file that was changed, and that it leaves it alone.
fn refusal(dir: &Path, bytes: &[u8]) -> String {
    let path = segments(dir).remove(0);
    fs::write(&path, bytes).unwrap();
    let mut log = open(dir);
    let error = log.append(&TOPIC, &[record(9, 100)]).unwrap_err();
    assert!(matches!(&error, LogError::Unusable(why) if why.contains(path.to_str().unwrap())), "{error}");
    assert_eq!(log.read(&TOPIC, &LogQuery::default()), Err(error.clone()));
    drop(log);
    assert_eq!(fs::read(&path).unwrap(), bytes, "touched");
    error.to_string()
}

fn one_good_file() -> (tempfile::TempDir, Vec<u8>) {
    let (dir, mut log) = fresh();
    (0..4).for_each(|n| stored(&mut log, &[record(n, 500)]));
    drop(log);
    let bytes = fs::read(segments(dir.path()).remove(0)).unwrap();
    (dir, bytes)
}

#[test]
fn a_file_that_was_cut_is_refused_wherever_it_was_cut() {
    let (dir, good) = one_good_file();
    for len in [200, 1000, 1500, 5000, good.len() / 2, good.len() - 1] {
        let why = refusal(dir.path(), &good[..len]);
        assert!(why.contains("was cut"), "{len}: {why}");
    }
}

#[test]
fn damage_to_what_was_stored_is_refused() {
    let (dir, good) = one_good_file();
    // Header, first group, and the four groups with what vouches for all but the last.
    for at in (0..2000).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        refusal(dir.path(), &bad);
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (dir, mut bytes) = one_good_file();
    bytes[16] = 9;
    assert!(refusal(dir.path(), &bytes).contains("made by a newer tidings"));
}

#[test]
fn another_kind_of_file_and_another_topics_are_refused() {
    let (dir, good) = one_good_file();
    assert!(refusal(dir.path(), b"a letter").contains("no part of this topic's message log"));
    let other = dir.path().join("log").join(hex(&[8; 32]));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("0000000000000001.log"), good).unwrap();
    let error = open(dir.path()).append(&TopicId([8; 32]), &[]).unwrap_err();
    assert!(error.to_string().contains("no part of this topic's"), "{error}");
}

#[test]
fn a_bad_file_costs_only_its_topic_its_log() {
    let (dir, good) = one_good_file();
    refusal(dir.path(), &good[..1000]);
    let mut log = open(dir.path());
    let other = TopicId([8; 32]);
    log.append(&TOPIC, &[]).unwrap_err();
    log.append(&other, &[record(1, 100)]).unwrap();
    assert_eq!(log.sync(&[other]), [Ok(())]);
}

#[test]
fn a_full_medium_refuses_and_loses_nothing_and_works_again_when_there_is_room() {
    let (dir, mut log, medium) = faulty();
    let mut kept = 0;
    medium.full.store(false, Ordering::Relaxed);
    stored(&mut log, &[record(kept, 60_000)]);
    medium.full.store(true, Ordering::Relaxed);
    let refused = loop {
        match log.append(&TOPIC, &[record(kept + 1, 60_000)]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::Failed(_)), "{refused}");
    assert!(refused.to_string().contains("nothing already stored is lost"));
    assert_eq!(log.sync(&[TOPIC]), [Ok(())]);
    assert_eq!(everything(&mut open(dir.path())), (0..=kept).collect::<Vec<_>>());
    medium.full.store(false, Ordering::Relaxed);
    stored(&mut log, &[record(kept + 1, 60_000)]);
    assert_eq!(everything(&mut log), (0..=kept + 1).collect::<Vec<_>>());
}

#[test]
fn a_write_cut_short_leaves_nothing_behind() {
    let (dir, mut log, medium) = faulty();
    stored(&mut log, &[record(1, 500)]);
    medium.torn.store(true, Ordering::Relaxed);
    let error = log.append(&TOPIC, &[record(2, 500)]).unwrap_err();
    assert!(matches!(error, LogError::Failed(_)), "{error}");
    assert_eq!(everything(&mut open(dir.path())), [1]);
    medium.torn.store(false, Ordering::Relaxed);
    stored(&mut log, &[record(3, 100)]);
    assert_eq!(everything(&mut open(dir.path())), [1, 3]);
}

#[test]
fn after_a_failed_sync_it_is_in_doubt_and_the_log_goes_on_elsewhere() {
    let (dir, mut log, medium) = faulty();
    stored(&mut log, &[record(1, 500)]);
    log.append(&TOPIC, &[record(2, 500)]).unwrap();
    medium.no_sync.store(true, Ordering::Relaxed);
    assert!(matches!(log.sync(&[TOPIC])[..], [Err(LogError::Doubtful(_))]));
    assert_eq!(everything(&mut log), [1], "what is in doubt is not read");
    medium.no_sync.store(false, Ordering::Relaxed);
    stored(&mut log, &[record(3, 500)]);
    assert_eq!(everything(&mut log), [1, 3]);
    assert_eq!(segments(dir.path()).len(), 2);
    let after = everything(&mut open(dir.path()));
    assert!(after == [1, 3] || after == [1, 2, 3], "{after:?}");
}

#[test]
fn a_sync_that_fails_between_segments_is_told_to_who_asks_next() {
    let (_dir, mut log, medium) = faulty();
    stored(&mut log, &[record(1, 100)]);
    log.append(&TOPIC, &[record(2, 60_000)]).unwrap();
    medium.no_sync.store(true, Ordering::Relaxed);
    while log.append(&TOPIC, &[record(3, 60_000)]).is_ok() {}
    medium.no_sync.store(false, Ordering::Relaxed);
    assert!(matches!(log.sync(&[TOPIC])[..], [Err(LogError::Doubtful(_))]), "what was lost passes for stored");
    assert_eq!(log.sync(&[TOPIC]), [Ok(())]);
}

#[test]
fn a_topic_may_be_asked_about_before_anything_is_stored() {
    let (dir, mut log) = fresh();
    log.append(&TOPIC, &[]).unwrap();
    assert_eq!(log.sync(&[TOPIC]), [Ok(())]);
    assert_eq!(log.read(&TOPIC, &LogQuery::default()), Ok(LogPage::default()));
    assert!(!dir.path().join("log").exists());
}

#[test]
fn places_of_what_was_deleted_are_passed_over() {
    let (_dir, mut log) = fresh();
    (0..10).for_each(|n| stored(&mut log, &[record(n, 60_000)]));
    let next = log.read(&TOPIC, &LogQuery::default()).unwrap().next.unwrap();
    assert!(next > LogPlace { part: 0, offset: 0 });
    (10..200).for_each(|n| stored(&mut log, &[record(n, 60_000)]));
    let rest = all(&mut log, LogQuery { after: Some(next), ..LogQuery::default() });
    assert_eq!(rest.last().unwrap().at.0, 1199);
}

/// A log on a machine that may die.
struct Run {
    dir: tempfile::TempDir,
    medium: Arc<Faulty>,
    /// So many records a sync covered.
    safe: usize,
    _log: SegmentLog,
}

impl Run {
    /// Appends records of these sizes, and syncs after those that say so.
    fn of(sizes: &[(usize, bool)]) -> Run {
        let (dir, mut log, medium) = faulty();
        let mut safe = 0;
        for (n, (size, sync)) in sizes.iter().enumerate() {
            log.append(&TOPIC, &[record(n as u64, *size)]).unwrap();
            if *sync {
                assert_eq!(log.sync(&[TOPIC]), [Ok(())]);
                safe = n + 1;
            }
        }
        Run { dir, medium, safe, _log: log }
    }

    /// What is there if the machine dies now, and of what no sync covered, these pages had not reached the medium.
    fn after_a_crash(&self, lost: impl Fn(usize) -> bool) -> Vec<u64> {
        let after = tempfile::tempdir().unwrap();
        let to = after.path().join("log").join(hex(TOPIC.as_bytes()));
        fs::create_dir_all(&to).unwrap();
        for path in segments(self.dir.path()) {
            let (mut bytes, ino) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().ino());
            let old = &lock(&self.medium.safe)[&ino];
            for (i, page) in bytes.chunks_mut(PAGE).enumerate().filter(|(i, _)| lost(*i)) {
                page.copy_from_slice(&old[i * PAGE..i * PAGE + page.len()]);
            }
            fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
        }
        everything(&mut open(after.path()))
    }
}

/// The group that says what a sync made safe is itself written after that sync. Lost with its page, it was taken for
/// damage to something safe once a later group, which had vouched for it too, reached the medium.
#[test]
fn a_lost_page_with_what_a_sync_was_vouched_by_is_no_damage() {
    let sizes = [8, 21775, 20823, 27551, 30911, 48865, 22177, 34858, 54362, 35463, 16509, 1292];
    let synced = [1, 2, 4, 5, 7, 9];
    let sizes: Vec<_> = sizes.into_iter().enumerate().map(|(n, size)| (size, synced.contains(&n))).collect();
    let run = Run::of(&sizes);
    for lost in 0..LIMITS.max_bytes as usize / 16 / PAGE {
        let found = run.after_a_crash(|page| page == lost);
        assert!((run.safe..=sizes.len()).contains(&found.len()), "without page {lost}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The machine dies: of what no sync covered, each page may be there or not.
    #[test]
    fn a_crash_of_the_machine_keeps_what_a_sync_covered(
        sizes in prop::collection::vec((8usize..70_000, any::<bool>()), 1..40),
        pages in prop::collection::vec(any::<bool>(), 256),
    ) {
        let run = Run::of(&sizes);
        let found = run.after_a_crash(|page| pages[page % pages.len()]);
        prop_assert!(found.len() >= run.safe, "{} of {}", found.len(), run.safe);
        prop_assert_eq!(&found, &(0..found.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), keep in 0usize..200) {
        let (dir, good) = one_good_file();
        let keep = keep.min(bytes.len());
        bytes[..keep].copy_from_slice(&good[..keep]);
        fs::write(segments(dir.path()).remove(0), &bytes).unwrap();
        let _ = open(dir.path()).read(&TOPIC, &LogQuery::default());
    }
}

#[test]
fn a_batch_of_the_longest_kind_fits() {
    let (_dir, mut log) = fresh();
    let long = LogRecord { at: UnixMillis(1), messages: 1, bytes: Bytes::from(vec![1; 100 << 10]) };
    stored(&mut log, std::slice::from_ref(&long));
    let round: Vec<LogRecord> = (0..50).map(|_| long.clone()).collect();
    stored(&mut log, &round);
    assert_eq!(all(&mut log, LogQuery::default()).len(), 51);
}
