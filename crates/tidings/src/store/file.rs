//! Files that are replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a replacement is prepared.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Removes what a replacement that was cut short left behind.
pub(super) fn remove_leftover(path: &Path) -> io::Result<()> {
    match fs::remove_file(beside(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes a replacement of `path` beside it and forces it to the medium.
pub(super) fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    remove_leftover(path)?;
    let mut options = OpenOptions::new();
    let mut file = options.create_new(true).read(true).write(true).mode(mode).open(beside(path))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes a rename in the directory of `path` survive the death of the machine.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// Writes `bytes` to a new file, forces them to the medium, and puts the file at `path`: whoever looks sees the old
/// one or the new one, whole.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let file = write_beside(path, bytes, mode)?;
    fs::rename(beside(path), path)?;
    sync_parent(path)?;
    Ok(file)
}
