//! Where a node lives, and how the other commands find it: `DIR/api.json`.
//!
//! The file holds the local API's address and this run's token, mode 0600. It appears when the node is ready and goes
//! when it stops; after a SIGKILL it stays, and nobody answers at its address: that is how a stale one is known. The
//! token is drawn afresh at every start, so a stale one opens nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::args::DataArgs;
use crate::error::CliError;

/// The data directory meant by `--data`, the environment, or nothing.
pub(crate) fn data_dir(args: &DataArgs) -> Result<PathBuf, CliError> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = args.data.clone().or_else(|| set("TIDINGS_DATA")) {
        return Ok(dir);
    }
    match set("HOME") {
        Some(home) => Ok(home.join(".local/share/tidings")),
        None => Err(CliError::Usage("there is no home directory: say where the node lives with --data DIR".to_owned())),
    }
}

/// What `api.json` says.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ApiFile {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// The bearer token of this run.
    pub(crate) token: String,
    /// The node's process.
    pub(crate) pid: u32,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("api.json")
}

impl ApiFile {
    /// Reads the file; `None` if there is none, or none that makes sense.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, CliError> {
        let path = path(dir);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(CliError::file("can't read", path, e)),
        }
    }

    /// Writes the file whole or not at all.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CliError> {
        let path = path(dir);
        let fresh = dir.join(".api.json.new");
        let text = serde_json::to_string(self).map_err(|e| CliError::file("can't write", &path, e))?;
        let write = || -> io::Result<()> {
            match fs::remove_file(&fresh) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| CliError::file("can't write", &path, e))
    }

    /// Removes the file, if it is still this run's.
    pub(crate) fn remove(&self, dir: &Path) {
        let ours = ApiFile::read(dir).ok().flatten().is_some_and(|f| f.token == self.token);
        if ours {
            // It may be gone already; a stale one does no harm.
            let _ = fs::remove_file(path(dir));
        }
    }
}

/// 256 bits from the operating system, in hexadecimal.
pub(crate) fn fresh_token() -> Result<String, CliError> {
    let source = "/dev/urandom";
    let mut bits = [0_u8; 32];
    fs::File::open(source)
        .and_then(|mut f| f.read_exact(&mut bits))
        .map_err(|e| CliError::file("can't draw a random token from", source, e))?;
    Ok(HEXLOWER.encode(&bits))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(token: &str) -> ApiFile {
        ApiFile { url: "http://127.0.0.1:1".to_owned(), token: token.to_owned(), pid: 1 }
    }

    #[test]
    fn only_the_owner_can_read_the_token() {
        let dir = tempfile::tempdir().unwrap();
        file("a").write(dir.path()).unwrap();
        let mode = fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(ApiFile::read(dir.path()).unwrap().unwrap().token, "a");
    }

    #[test]
    fn a_later_run_s_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        file("later").write(dir.path()).unwrap();
        file("earlier").remove(dir.path());
        assert!(ApiFile::read(dir.path()).unwrap().is_some());
        file("later").remove(dir.path());
        assert!(ApiFile::read(dir.path()).unwrap().is_none());
    }

    #[test]
    fn tokens_differ() {
        let (a, b) = (fresh_token().unwrap(), fresh_token().unwrap());
        assert_eq!(a.len(), 64);
        assert_ne!(a, b);
    }
}
