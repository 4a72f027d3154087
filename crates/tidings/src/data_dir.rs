//! A node's directory: its key, its agent's, its network, its settings, its journal and its message log.
//!
//! One process at a time holds it, by a lock that ends with the process. Secrets are readable by their owner only.
//! Small files are replaced whole: written beside, forced to the medium, renamed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tidings_proto::config::{ConfigError, GossipConfig};
use tidings_proto::identity::{Network, NodeId, SecretKey, hex};

use crate::store::{Journal, JournalError, LogLimits, SegmentLog};

mod agent;
mod names;

pub use names::{MAX_NAME, MAX_NAMES, NameError, Names};

/// How often a directory in use is tried again, and after how long: a fifth of a second in all.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// The layout this version makes, and the newest it understands.
const VERSION: u32 = 1;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process has it open.
    #[error("{} is in use by another tidings node (process {holder}): stop that one, or choose another directory with --data", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Which process, as far as it said so.
        holder: String,
    },
    /// It is something else.
    #[error("{} is not a directory: choose another with --data", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// Made by a newer version.
    #[error("directory was made by a newer tidings: {} has layout {found}, this one knows up to {newest}", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest this version knows.
        newest: u32,
    },
    /// A file made by a newer version.
    #[error("{} was made by a newer tidings: it has version {found}, this one knows up to {newest}", path.display())]
    NewerFile {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this version knows.
        newest: u32,
    },
    /// The operating system said no.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Others may read a secret.
    #[error("{} can be read by others (mode {mode:o}): run `chmod 600` on it, and consider the key known", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file does not say what it should.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The configuration cannot be read.
    #[error("{}: {error}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and field.
        error: String,
    },
    /// A setting cannot be used.
    #[error("{}: {error}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        error: ConfigError,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// An open data directory. The lock is held until this, the journals and the logs opened from it are dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<File>,
}

impl DataDir {
    /// Opens the directory at `path` and locks it; makes it, for its owner only, if there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<DataDir, DataDirError> {
        let path = path.as_ref().to_path_buf();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        match fs::metadata(&path) {
            Ok(meta) if !meta.is_dir() => return Err(DataDirError::NotADirectory { path }),
            Ok(_) => {}
            Err(error) => {
                // A file in the middle of the path says "not a directory" as well.
                let error = made.err().unwrap_or(error);
                return Err(match error.kind() {
                    io::ErrorKind::NotADirectory => DataDirError::NotADirectory { path },
                    _ => DataDirError::Io { path, error },
                });
            }
        }
        let dir = DataDir { lock: Arc::new(take_lock(&path)?), path };
        dir.check_version()?;
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_version(&self) -> Result<(), DataDirError> {
        let path = self.path.join("version");
        let Some(text) = read(&path)? else {
            return replace(&path, format!("{VERSION}\n").as_bytes(), 0o644);
        };
        let found = text
            .trim()
            .parse::<u32>()
            .map_err(|_| DataDirError::Damaged { path, what: "it should hold the number of the layout" })?;
        if found > VERSION {
            return Err(DataDirError::Newer { path: self.path.clone(), found, newest: VERSION });
        }
        Ok(())
    }

    /// The node's key, drawn from the operating system the first time.
    pub fn secret(&self) -> Result<SecretKey, DataDirError> {
        self.secret_file("key").map(SecretKey::from_bytes)
    }

    /// The node's network. What is `given` is remembered; without, it is what was remembered; without that, a new
    /// network that only its tickets open.
    pub fn network(&self, given: Option<Network>) -> Result<Network, DataDirError> {
        let path = self.path.join("network");
        if let Some(network) = given {
            let text = format!("{}\n", hex(network.expose()));
            if read(&path)?.as_deref() != Some(&text) {
                replace(&path, text.as_bytes(), 0o600)?;
            }
            return Ok(network);
        }
        self.secret_file("network").map(Network::from_key)
    }

    /// The settings in `node.toml`; the defaults if there is none.
    pub fn config(&self) -> Result<GossipConfig, DataDirError> {
        let path = self.path.join("node.toml");
        if path.exists() { load_config(&path) } else { Ok(GossipConfig::default()) }
    }

    /// The journal.
    pub fn journal(&self) -> Result<Journal, DataDirError> {
        Ok(Journal::open_guarded(&self.path.join("journal"), Some(self.lock.clone()))?)
    }

    /// The durable message log, in the directory `log`.
    pub fn log(&self, config: &GossipConfig) -> SegmentLog {
        SegmentLog::guarded(&self.path.join("log"), LogLimits::from(config), Some(self.lock.clone()))
    }

    /// 32 secret bytes in a file of their own, drawn the first time.
    fn secret_file(&self, name: &str) -> Result<[u8; 32], DataDirError> {
        let path = self.path.join(name);
        if let Some(text) = read(&path)? {
            let mode = fs::metadata(&path).map_err(|e| io_at(&path, e))?.mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(DataDirError::Exposed { path, mode });
            }
            // Ids are written the same way: 64 hexadecimal digits.
            return match text.trim().parse::<NodeId>() {
                Ok(bytes) => Ok(bytes.0),
                Err(_) => Err(DataDirError::Damaged { path, what: "it should hold 64 hexadecimal digits" }),
            };
        }
        let secret = crate::os_random().map_err(|e| io_at(&path, io::Error::other(e)))?;
        replace(&path, format!("{}\n", hex(&secret)).as_bytes(), 0o600)?;
        Ok(secret)
    }
}

/// Reads settings from a TOML file; what it leaves out is at its default. Errors name the file and the field.
pub fn load_config(path: impl AsRef<Path>) -> Result<GossipConfig, DataDirError> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(|e| io_at(path, e))?;
    let config: GossipConfig = toml::from_str(&text)
        .map_err(|e| DataDirError::Toml { path: path.to_path_buf(), error: e.to_string().trim_end().to_owned() })?;
    config.validate().map_err(|error| DataDirError::Config { path: path.to_path_buf(), error })?;
    Ok(config)
}

fn take_lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(|e| io_at(&path, e))?;
    // A process that was just forked from one that had it open has it until it becomes another program.
    let mut locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    for _ in 0..LOCK_TRIES {
        if locked != Err(rustix::io::Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(LOCK_WAIT);
        locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    }
    match locked {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Only for the message: a holder that has not written its number yet is an unknown one.
            let known =
                Read::by_ref(&mut file).take(20).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
            return Err(DataDirError::InUse { path: dir.to_path_buf(), holder });
        }
        Err(errno) => return Err(io_at(&path, errno.into())),
    }
    let number = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(number.as_bytes())).map_err(|e| io_at(&path, e))?;
    Ok(file)
}

fn io_at(path: &Path, error: io::Error) -> DataDirError {
    DataDirError::Io { path: path.to_path_buf(), error }
}

fn read(path: &Path) -> Result<Option<String>, DataDirError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            Err(DataDirError::Damaged { path: path.to_path_buf(), what: "it is no text" })
        }
        Err(e) => Err(io_at(path, e)),
    }
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
    crate::store::replace_file(path, bytes, mode).map(drop).map_err(|e| io_at(path, e))
}
