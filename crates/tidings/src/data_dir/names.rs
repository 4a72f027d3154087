//! Names that this machine's user gives to agents: the file `names` of a data directory.
//!
//! A line that says what it is and in which version, then a line for each agent: its id, a space, the name. Nobody else sees the
//! names, and nobody else can choose them. The file may change while the node runs; who changes it holds `names.lock`.
//!
//! Invariants: one name an agent, one agent a name, capitals aside; a name is never like an id; at most [`MAX_NAMES`].

use std::collections::BTreeMap;
#[cfg(test)]
use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tidings_proto::identity::AgentId;

use super::{DataDirError, io_at, read, replace};

const FILE: &str = "names";
/// The file's first line, but for the version.
const HEAD: &str = "tidings names ";
/// The version this one writes, and the newest it understands.
const VERSION: u32 = 1;
/// Longest name, in bytes (a guess: a column of a table).
pub const MAX_NAME: usize = 64;
/// Most names (a guess: more than anybody remembers).
pub const MAX_NAMES: usize = 4_096;
/// As many hexadecimal digits are shown of an id: a name must not pass for one.
const LIKE_AN_ID: usize = 10;

/// Why a name cannot be given or taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is no name.
    #[error("{0:?} can't be a name: use up to {MAX_NAME} bytes of letters, digits, spaces inside, and . _ - '")]
    Refused(String),
    /// It looks like something else.
    #[error("{0:?} looks like an id, a ticket or a card: choose another name")]
    Ambiguous(String),
    /// Another agent has it.
    #[error("{name} is the name of {agent} already: choose another, or remove that one first")]
    Taken {
        /// The name.
        name: String,
        /// Whose it is.
        agent: AgentId,
    },
    /// There are too many.
    #[error("there are {MAX_NAMES} names already: remove some first")]
    Full,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] DataDirError),
}

/// Local names for agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    by_agent: BTreeMap<AgentId, String>,
}

impl Names {
    /// The names in the directory at `dir`, where a node may be running; none if there are none.
    pub fn load(dir: impl AsRef<Path>) -> Result<Names, DataDirError> {
        let path = dir.as_ref().join(FILE);
        let Some(text) = read(&path)? else { return Ok(Names::default()) };
        let damaged = |what| DataDirError::Damaged { path: path.clone(), what };
        let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let version: Option<u32> = head.strip_prefix(HEAD).and_then(|v| v.trim().parse().ok());
        match version {
            None => return Err(damaged("it does not begin as a file of names does")),
            Some(found) if found > VERSION => {
                return Err(DataDirError::NewerFile { path, found, newest: VERSION });
            }
            Some(_) => {}
        }
        let mut names = Names::default();
        for line in rest.lines().filter(|l| !l.is_empty()) {
            let (id, name) = line.split_once(' ').ok_or_else(|| damaged("a line should hold an id and a name"))?;
            let id = id.parse().map_err(|_| damaged("a line should begin with an agent's id"))?;
            names.set(id, name).map_err(|_| damaged("it holds a name that can't be one, or one twice"))?;
        }
        Ok(names)
    }

    /// Changes the names in the directory at `dir`, one after the other with whoever else does. If `change` fails, nothing is
    /// written.
    pub fn change<T>(
        dir: impl AsRef<Path>,
        change: impl FnOnce(&mut Names) -> Result<T, NameError>,
    ) -> Result<T, NameError> {
        let dir = dir.as_ref();
        let path = dir.join("names.lock");
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|e| io_at(&path, e))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| io_at(&path, e.into()))?;
        let mut names = Names::load(dir)?;
        let before = names.clone();
        let done = change(&mut names)?;
        if names != before {
            let mut text = format!("{HEAD}{VERSION}\n");
            for (agent, name) in &names.by_agent {
                text.push_str(&format!("{agent} {name}\n"));
            }
            replace(&dir.join(FILE), text.as_bytes(), 0o600)?;
        }
        // Kept: who waits for the lock has it open.
        drop(lock);
        Ok(done)
    }

    /// An agent's name.
    pub fn of(&self, agent: &AgentId) -> Option<&str> {
        self.by_agent.get(agent).map(String::as_str)
    }

    /// The agent of this name, capitals aside.
    pub fn find(&self, name: &str) -> Option<AgentId> {
        let name = name.to_lowercase();
        self.by_agent.iter().find(|(_, n)| n.to_lowercase() == name).map(|(agent, _)| *agent)
    }

    /// All of them, in the order of the agents' ids.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentId, &str)> {
        self.by_agent.iter().map(|(agent, name)| (agent, name.as_str()))
    }

    /// Names an agent; it loses the name it had.
    pub fn set(&mut self, agent: AgentId, name: &str) -> Result<(), NameError> {
        check(name)?;
        match self.find(name) {
            Some(other) if other != agent => return Err(NameError::Taken { name: name.to_owned(), agent: other }),
            _ => {}
        }
        if self.by_agent.len() >= MAX_NAMES && !self.by_agent.contains_key(&agent) {
            return Err(NameError::Full);
        }
        self.by_agent.insert(agent, name.to_owned());
        Ok(())
    }

    /// Takes an agent's name away. The name, if it had one.
    pub fn remove(&mut self, agent: &AgentId) -> Option<String> {
        self.by_agent.remove(agent)
    }
}

fn check(name: &str) -> Result<(), NameError> {
    let fits = |c: char| c.is_alphanumeric() || " ._-'".contains(c);
    let bare = name.trim() == name && !name.is_empty();
    if !bare || name.len() > MAX_NAME || !name.chars().all(fits) || name.starts_with('-') {
        return Err(NameError::Refused(name.to_owned()));
    }
    let hex = name.len() >= LIKE_AN_ID && name.bytes().all(|b| b.is_ascii_hexdigit());
    if hex || name.to_lowercase().starts_with("tidings") {
        return Err(NameError::Ambiguous(name.to_owned()));
    }
    Ok(())
}

/// The file's permissions.
#[cfg(test)]
fn mode(dir: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(dir.join(FILE)).map_or(0, |m| m.mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AgentId = AgentId([1; 32]);
    const BOB: AgentId = AgentId([2; 32]);

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn named(names: &mut Names, agent: AgentId, name: &str) -> Result<(), NameError> {
        names.set(agent, name)
    }

    #[test]
    fn names_are_kept_for_their_owner_alone() {
        let dir = dir();
        Names::change(&dir, |n| named(n, ALICE, "alice")).unwrap();
        Names::change(&dir, |n| named(n, BOB, "Bob's node")).unwrap();
        let names = Names::load(&dir).unwrap();
        assert_eq!((names.of(&ALICE), names.of(&BOB)), (Some("alice"), Some("Bob's node")));
        assert_eq!(mode(dir.path()), 0o600);
    }

    #[test]
    fn a_name_is_found_whatever_its_capitals() {
        let mut names = Names::default();
        named(&mut names, ALICE, "Alice").unwrap();
        assert_eq!((names.find("aLICE"), names.find("alic")), (Some(ALICE), None));
    }

    #[test]
    fn a_name_stands_for_one_agent() {
        let mut names = Names::default();
        named(&mut names, ALICE, "alice").unwrap();
        assert!(matches!(named(&mut names, BOB, "ALICE"), Err(NameError::Taken { agent: ALICE, .. })));
        named(&mut names, ALICE, "Alice").unwrap();
        named(&mut names, ALICE, "eve").unwrap();
        named(&mut names, BOB, "alice").unwrap();
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let mut names = Names::default();
        for name in ["", " a", "a ", "a\nb", "a\x1b[2J", "\u{202e}a", "a/b", "a@b", "--force", &"x".repeat(65)] {
            assert!(matches!(named(&mut names, ALICE, name), Err(NameError::Refused(_))), "{name:?}");
        }
        for name in ["0123456789", "abcdefabcdef", "tidings1abc", "TidingsCard1"] {
            assert!(matches!(named(&mut names, ALICE, name), Err(NameError::Ambiguous(_))), "{name:?}");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let mut names = Names::default();
        for n in 0..MAX_NAMES {
            let mut id = [7; 32];
            id[..8].copy_from_slice(&(n as u64).to_le_bytes());
            names.by_agent.insert(AgentId(id), format!("n{n}"));
        }
        assert!(matches!(named(&mut names, ALICE, "alice"), Err(NameError::Full)));
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let dir = dir();
        Names::change(&dir, |n| named(n, ALICE, "alice")).unwrap();
        let failed = Names::change(&dir, |n| {
            n.remove(&ALICE);
            named(n, BOB, "")
        });
        assert!(failed.is_err());
        assert_eq!(Names::load(&dir).unwrap().of(&ALICE), Some("alice"));
    }

    #[test]
    fn files_of_another_kind_or_a_newer_version_are_not_taken_for_names() {
        let dir = dir();
        let path = dir.path().join(FILE);
        for text in ["", "alice\n", "tidings names 1\nx alice\n", "tidings names 1\nalice\n"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Names::load(&dir), Err(DataDirError::Damaged { .. })), "{text:?}");
        }
        fs::write(&path, "tidings names 2\n").unwrap();
        assert!(matches!(Names::load(&dir), Err(DataDirError::NewerFile { found: 2, .. })));
    }
}
