//! An agent's key moves from one directory to another, and who has it is told.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Ended, Node, tidings, tidings_with};

const PHRASE: &str = "correct horse";

/// A directory with keys in it, where no node runs any more.
fn used(dir: &Path) -> String {
    let node = Node::up(dir, &[]);
    let agent = node.ready["agent_id"].as_str().unwrap().to_owned();
    node.kill();
    agent
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file with a passphrase.
fn phrase(dir: &Path, phrase: &str) -> String {
    let path = dir.join(format!("phrase {phrase}"));
    fs::write(&path, format!("{phrase}\n")).unwrap();
    text(&path).to_owned()
}

/// Two directories and a file between them.
struct Stage {
    tmp: tempfile::TempDir,
    agent: String,
}

impl Stage {
    /// The first directory's key is exported.
    fn exported() -> Stage {
        let tmp = tempfile::tempdir().unwrap();
        let agent = used(&tmp.path().join("a"));
        let stage = Stage { tmp, agent };
        let done = stage.id("export", "a", PHRASE, &[]).json();
        assert_eq!(done["agent_id"], stage.agent.as_str());
        stage
    }

    fn path(&self, name: &str) -> String {
        text(&self.tmp.path().join(name)).to_owned()
    }

    fn id(&self, what: &str, dir: &str, with: &str, more: &[&str]) -> Ended {
        let (file, dir, with) = (self.path("key"), self.path(dir), phrase(self.tmp.path(), with));
        tidings(&[&["id", what, &file, "--json", "--data", &dir, "--passphrase-file", &with], more].concat())
    }
}

#[test]
fn a_key_that_was_exported_makes_another_node_the_same_agent() {
    let stage = Stage::exported();
    let done = stage.id("import", "b", PHRASE, &[]).json();
    assert_eq!((done["agent_id"].as_str(), done["changed"].as_bool()), (Some(&*stage.agent), Some(true)));
    let b = Node::up(&stage.tmp.path().join("b"), &[]);
    assert_eq!(b.ready["agent_id"], stage.agent.as_str());
}

#[test]
fn keys_are_written_for_their_owner_alone() {
    let stage = Stage::exported();
    stage.id("import", "b", PHRASE, &[]).json();
    for file in ["key", "b/agent"] {
        let mode = fs::metadata(stage.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let word = fs::read_to_string(stage.path("key")).unwrap();
    let secret = fs::read_to_string(stage.path("a/agent")).unwrap();
    assert!(!word.contains(secret.lines().nth(1).unwrap()));
}

#[test]
fn a_wrong_passphrase_is_named() {
    let stage = Stage::exported();
    let refused = stage.id("import", "b", "incorrect horse", &[]);
    assert!(refused.error().ends_with("the passphrase is wrong"), "{refused:?}");
    assert!(!Path::new(&stage.path("b/agent")).exists());
}

#[test]
fn a_damaged_file_is_named() {
    let stage = Stage::exported();
    let word = fs::read_to_string(stage.path("key")).unwrap();
    fs::write(stage.path("key"), &word[..word.len() - 4]).unwrap();
    let refused = stage.id("import", "b", PHRASE, &[]);
    assert!(refused.error().contains("the exported key is damaged"), "{refused:?}");
}

#[test]
fn another_agent_s_key_is_not_replaced_unless_forced_and_then_kept() {
    let stage = Stage::exported();
    let other = used(&stage.tmp.path().join("b"));
    let before = fs::read_to_string(stage.path("b/agent")).unwrap();
    let refused = stage.id("import", "b", PHRASE, &[]);
    assert!(refused.error().contains(&other[..10]) && refused.error().contains("--force"), "{refused:?}");
    assert_eq!(fs::read_to_string(stage.path("b/agent")).unwrap(), before);
    let done = stage.id("import", "b", PHRASE, &["--force"]).json();
    assert_eq!(fs::read_to_string(done["set_aside"].as_str().unwrap()).unwrap(), before);
}

#[test]
fn the_same_key_again_changes_nothing() {
    let stage = Stage::exported();
    let done = stage.id("import", "a", PHRASE, &[]).json();
    assert_eq!((done["changed"].as_bool(), done["set_aside"].is_null()), (Some(false), true));
}

#[test]
fn a_file_that_is_there_is_not_overwritten_unless_forced() {
    let stage = Stage::exported();
    let before = fs::read(stage.path("key")).unwrap();
    let refused = stage.id("export", "a", PHRASE, &[]);
    assert!(refused.error().contains("there already"), "{refused:?}");
    assert_eq!(fs::read(stage.path("key")).unwrap(), before);
    stage.id("export", "a", PHRASE, &["--force"]).json();
    assert_ne!(fs::read(stage.path("key")).unwrap(), before);
}

#[test]
fn a_node_that_runs_gives_its_key_and_takes_none() {
    let tmp = tempfile::tempdir().unwrap();
    let node = Node::up(&tmp.path().join("a"), &[]);
    let with = phrase(tmp.path(), PHRASE);
    let word = node.ask(&["id", "export", "-", "--passphrase-file", &with]);
    assert!(word.ok && word.stdout.starts_with("tidingskey1"), "{word:?}");
    let dir = text(&node.dir);
    let refused =
        tidings_with(&["id", "import", "-", "--data", dir, "--passphrase-file", &with], word.stdout.as_bytes());
    assert!(refused.error().contains("in use by another tidings node"), "{refused:?}");
}

#[test]
fn there_is_nothing_to_export_where_no_node_ever_was() {
    let tmp = tempfile::tempdir().unwrap();
    let with = phrase(tmp.path(), PHRASE);
    let dir = tmp.path().join("nothing");
    let refused = tidings(&["id", "export", "-", "--data", text(&dir), "--passphrase-file", &with]);
    assert!(refused.error().contains("there is no agent's key"), "{refused:?}");
    assert!(!dir.exists());
}
