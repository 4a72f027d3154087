//! The data directory: what it keeps, and whom it turns away.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use support::{network, within};
use tidings::store::JournalError;
use tidings::{Agent, AgentError, AgentSecret, DataDir, DataDirError, GossipConfig, load_config};

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn secrets_are_for_their_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep").join("node");
    let dir = DataDir::open(&path).unwrap();
    dir.secret().unwrap();
    dir.agent_secret().unwrap();
    dir.network(None).unwrap();
    drop(dir.journal().unwrap());
    assert_eq!(mode(&path), 0o700);
    for file in ["key", "agent", "network", "journal", "lock"] {
        assert_eq!(mode(path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn key_and_network_stay_the_same() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    let (secret, net) = (*dir.secret().unwrap().expose(), dir.network(None).unwrap());
    drop(dir);
    let dir = DataDir::open(tmp.path()).unwrap();
    assert_eq!(*dir.secret().unwrap().expose(), secret);
    assert_eq!(dir.network(None).unwrap(), net);
    assert_eq!(dir.network(Some(network("village"))).unwrap(), network("village"));
    assert_eq!(dir.network(None).unwrap(), network("village"));
}

#[test]
fn two_directories_have_different_keys_and_networks() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (DataDir::open(a.path()).unwrap(), DataDir::open(b.path()).unwrap());
    assert_ne!(a.secret().unwrap().expose(), b.secret().unwrap().expose());
    assert_ne!(a.network(None).unwrap(), b.network(None).unwrap());
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_let_go() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    let refused = DataDir::open(tmp.path()).unwrap_err();
    assert!(matches!(&refused, DataDirError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    let journal = dir.journal().unwrap();
    drop(dir);
    assert!(matches!(DataDir::open(tmp.path()), Err(DataDirError::InUse { .. })), "its journal is still open");
    drop(journal);
    DataDir::open(tmp.path()).unwrap();
}

#[test]
fn a_newer_layout_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    drop(DataDir::open(tmp.path()).unwrap());
    fs::write(tmp.path().join("version"), "7\n").unwrap();
    let refused = DataDir::open(tmp.path()).unwrap_err();
    assert!(matches!(refused, DataDirError::Newer { found: 7, .. }));
    assert!(refused.to_string().starts_with("directory was made by a newer tidings: "), "{refused}");
}

#[test]
fn a_newer_journal_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    drop(dir.journal().unwrap());
    let path = tmp.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 2;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(dir.journal(), Err(DataDirError::Journal(JournalError::Newer { found: 2, .. }))));
}

#[test]
fn a_file_is_no_directory() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = DataDir::open(&path).unwrap_err();
        assert!(matches!(refused, DataDirError::NotADirectory { .. }), "{refused}");
    }
}

#[test]
fn an_unreadable_part_is_an_error_that_names_it() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    // Permissions do not stop the superuser; a directory in a file's place stops everybody.
    fs::create_dir(tmp.path().join("key")).unwrap();
    let refused = dir.secret().unwrap_err();
    assert!(matches!(refused, DataDirError::Io { .. }), "{refused}");
    assert!(refused.to_string().contains("key"), "{refused}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    dir.secret().unwrap();
    fs::set_permissions(tmp.path().join("key"), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = dir.secret().err().unwrap();
    assert!(matches!(refused, DataDirError::Exposed { mode: 0o640, .. }), "{refused}");
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[test]
fn a_damaged_key_is_refused_and_kept() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    dir.secret().unwrap();
    let path = tmp.path().join("key");
    fs::write(&path, "half a ke").unwrap();
    assert!(matches!(dir.secret(), Err(DataDirError::Damaged { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "half a ke");
}

#[test]
fn a_partial_configuration_takes_defaults() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    assert_eq!(dir.config().unwrap(), GossipConfig::default());
    fs::write(tmp.path().join("node.toml"), "max_links = 64\n").unwrap();
    assert_eq!(dir.config().unwrap(), GossipConfig { max_links: 64, ..GossipConfig::default() });
}

#[test]
fn a_wrong_configuration_names_file_and_field() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("node.toml");
    for (text, field) in [
        ("max_links = 1", "max_links"),
        ("max_links = \"many\"", "max_links"),
        ("max_lnks = 64", "max_lnks"),
        ("gap_wait = \"soon\"", "gap_wait"),
    ] {
        fs::write(&path, text).unwrap();
        let message = load_config(&path).unwrap_err().to_string();
        assert!(message.contains("node.toml") && message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn an_agent_comes_back_as_itself_and_never_repeats_an_epoch() {
    let tmp = tempfile::tempdir().unwrap();
    let first = Agent::builder().data_dir(tmp.path()).build().await.unwrap();
    let before = first.publish("t", "x").await.unwrap();
    let refused = Agent::builder().data_dir(tmp.path()).build().await.err().unwrap();
    assert!(matches!(refused, AgentError::DataDir(DataDirError::InUse { .. })), "{refused}");
    within("shutdown", first.shutdown()).await;
    // A clone is still here: shutdown alone lets go of the directory.
    let second = Agent::builder().data_dir(tmp.path()).build().await.unwrap();
    assert_eq!(second.node_id(), first.node_id());
    assert_eq!(second.network(), first.network());
    assert!(second.publish("t", "x").await.unwrap().epoch > before.epoch);
}

#[tokio::test]
async fn an_agent_finds_back_to_the_peers_it_knew() {
    let tmp = tempfile::tempdir().unwrap();
    let other = Agent::builder().network(network("x")).build().await.unwrap();
    let agent = Agent::builder().network(network("x")).data_dir(tmp.path()).build().await.unwrap();
    agent.join_network([other.peer_addr()]).await.unwrap();
    let mut events = agent.events();
    within("a neighbour", events.recv()).await.unwrap();
    agent.shutdown().await;
    drop(agent);

    let mut joins = other.events();
    let back = Agent::builder().data_dir(tmp.path()).build().await.unwrap();
    let id = back.node_id();
    within("its return", async {
        loop {
            if let tidings::AgentEvent::PeerJoined { peer, .. } = joins.recv().await.unwrap()
                && peer == id
            {
                return;
            }
        }
    })
    .await;
}

#[test]
fn an_agents_key_stays_the_same_until_it_is_replaced() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    assert!(!dir.has_agent().unwrap());
    let first = *dir.agent_secret().unwrap().expose();
    assert!(dir.has_agent().unwrap());
    assert_eq!(*dir.agent_secret().unwrap().expose(), first);
    dir.set_agent_secret(&AgentSecret::from_bytes([7; 32])).unwrap();
    assert_eq!(dir.agent_secret().unwrap().expose(), &[7; 32]);
}

#[test]
fn an_agents_key_of_a_newer_version_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    dir.agent_secret().unwrap();
    fs::write(tmp.path().join("agent"), "tidings agent key 2\nwho knows\n").unwrap();
    assert!(matches!(dir.agent_secret(), Err(DataDirError::NewerFile { found: 2, newest: 1, .. })));
}

#[test]
fn a_damaged_agents_key_is_refused_and_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    dir.agent_secret().unwrap();
    let path = tmp.path().join("agent");
    for text in ["", "rubbish", "tidings agent key 1\n", "tidings agent key 1\nabcd\n", "tidings agent key x\n00"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(dir.agent_secret(), Err(DataDirError::Damaged { .. })), "{text:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn an_agents_key_others_can_read_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(tmp.path()).unwrap();
    dir.agent_secret().unwrap();
    fs::set_permissions(tmp.path().join("agent"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(dir.agent_secret(), Err(DataDirError::Exposed { mode: 0o640, .. })));
}
