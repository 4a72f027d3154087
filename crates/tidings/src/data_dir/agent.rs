//! The agent's key in a data directory: the file `agent`, a line that says what it is and in which version, and a line of
//! 64 hexadecimal digits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidings_proto::identity::{AgentSecret, NodeId, hex};

use super::{DataDir, DataDirError, io_at, read, replace};

/// The file's first line, but for the version.
const HEAD: &str = "tidings agent key ";
/// The version this one writes, and the newest it understands.
const VERSION: u32 = 1;
const FILE: &str = "agent";

impl DataDir {
    /// The agent's key, drawn from the operating system the first time.
    pub fn agent_secret(&self) -> Result<AgentSecret, DataDirError> {
        if let Some(secret) = read_secret(&self.path.join(FILE))? {
            return Ok(secret);
        }
        let drawn = crate::os_random().map_err(|e| io_at(&self.path.join(FILE), std::io::Error::other(e)))?;
        let secret = AgentSecret::from_bytes(drawn);
        self.set_agent_secret(&secret)?;
        Ok(secret)
    }

    /// Whether the directory holds an agent's key.
    pub fn has_agent(&self) -> Result<bool, DataDirError> {
        Ok(read_secret(&self.path.join(FILE))?.is_some())
    }

    /// The agent's key in the directory at `path`, while a node may be running there; none if there is none.
    pub fn peek_agent_secret(path: impl AsRef<Path>) -> Result<Option<AgentSecret>, DataDirError> {
        read_secret(&path.as_ref().join(FILE))
    }

    /// As [`DataDir::set_agent_secret`]; a key that was there is kept beside, in the file that is returned.
    pub fn exchange_agent_secret(&self, secret: &AgentSecret) -> Result<Option<PathBuf>, DataDirError> {
        let path = self.path.join(FILE);
        let aside = match read_secret(&path)? {
            Some(old) if old.expose() != secret.expose() => Some(self.set_aside(&path, &old)?),
            _ => None,
        };
        self.set_agent_secret(secret)?;
        Ok(aside)
    }

    /// Copies the key's file to one that is named after the key.
    fn set_aside(&self, path: &Path, old: &AgentSecret) -> Result<PathBuf, DataDirError> {
        // A hash of the key, so that the same key is kept once.
        let name = hex(&blake3::derive_key("tidings 1 key set aside", old.expose())[..5]);
        let aside = self.path.join(format!("{FILE}-{name}"));
        let text = fs::read(path).map_err(|e| io_at(path, e))?;
        replace(&aside, &text, 0o600)?;
        Ok(aside)
    }

    /// Makes this directory's node one of another agent's. What was there is replaced.
    pub fn set_agent_secret(&self, secret: &AgentSecret) -> Result<(), DataDirError> {
        let text = format!("{HEAD}{VERSION}\n{}\n", hex(secret.expose()));
        replace(&self.path.join(FILE), text.as_bytes(), 0o600)
    }
}

fn read_secret(path: &Path) -> Result<Option<AgentSecret>, DataDirError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let mode = fs::metadata(path).map_err(|e| io_at(path, e))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::Exposed { path: path.to_path_buf(), mode });
    }
    let damaged = |what| DataDirError::Damaged { path: path.to_path_buf(), what };
    let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let version: Option<u32> = head.strip_prefix(HEAD).and_then(|v| v.trim().parse().ok());
    match version {
        None => Err(damaged("it does not begin as an agent's key does")),
        Some(found) if found > VERSION => {
            Err(DataDirError::NewerFile { path: path.to_path_buf(), found, newest: VERSION })
        }
        // Ids are written the same way: 64 hexadecimal digits.
        Some(_) => match rest.trim().parse::<NodeId>() {
            Ok(bytes) => Ok(Some(AgentSecret::from_bytes(bytes.0))),
            Err(_) => Err(damaged("its second line should hold 64 hexadecimal digits")),
        },
    }
}
