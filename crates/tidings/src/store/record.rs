//! The bytes of the journal, and of a segment of the message log.
//!
//! ```text
//! file    magic     16  "tidings journal\n", or "tidings msg log\n"
//!         version    4  u32 little endian
//!         salt      32  drawn for this file; keys every check below
//!         check     16  BLAKE3-keyed(salt, magic ‖ version)
//!         groups     …
//! group   mark       4  "grp:"
//!         length     4  u32 little endian, of the body
//!         synced     8  u64 little endian: up to here the file was on the medium when this group was written
//!         check     16  BLAKE3-keyed(salt, offset of the group ‖ mark ‖ length ‖ synced ‖ body)
//!         body       …  records: key length u32, value length u32 (all ones: deleted), key, value
//! ```
//!
//! Because a check covers the place and the file's salt, bytes inside a value never pass for a group. Because a group
//! says what was safe before it, a bad group is told apart: if a later good one vouches for it, the medium has lost
//! something it had; if none does, the writer died before it was safe.

use bytes::{BufMut, Bytes};

/// Opens every segment of a message log.
pub(super) const LOG_MAGIC: &[u8; 16] = b"tidings msg log\n";
/// Opens every journal.
pub(super) const MAGIC: &[u8; 16] = b"tidings journal\n";
/// The version this crate writes, and the newest it reads.
pub(super) const VERSION: u32 = 1;
/// Length of the file's header.
pub(super) const FILE_HEADER: usize = 16 + 4 + 32 + 16;
/// Longest body of a group: far more than a turn of the core writes (a guess).
pub(super) const MAX_GROUP: usize = 64 << 20;

const MARK: &[u8; 4] = b"grp:";
/// What a group takes up beside its records.
pub(super) const GROUP_HEADER: usize = 4 + 4 + 8 + 16;
const RECORD_HEADER: usize = 8;
const DELETED: u32 = u32::MAX;

/// What a record takes up.
pub(super) fn record_len(key: &[u8], value: &[u8]) -> usize {
    RECORD_HEADER + key.len() + value.len()
}

/// The check key of one file.
#[derive(Clone)]
pub(super) struct Salt(pub(super) [u8; 32]);

impl Salt {
    /// The header of a new file.
    pub(super) fn file_header(&self, magic: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEADER);
        out.extend_from_slice(magic);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.0);
        out.extend_from_slice(&self.check(&[magic, &VERSION.to_le_bytes()]));
        out
    }

    fn check(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        let mut check = [0; 16];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        check
    }

    /// Appends a group that will stand at `offset`. `false` if it is too long; `out` is as before then.
    pub(super) fn put_group<'a>(
        &self,
        out: &mut Vec<u8>,
        offset: u64,
        synced: u64,
        records: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> bool {
        let start = out.len();
        out.resize(start + GROUP_HEADER, 0);
        for (key, value) in records {
            let value_len = value.map_or(Some(DELETED), |v| u32::try_from(v.len()).ok().filter(|l| *l != DELETED));
            let (Ok(key_len), Some(value_len)) = (u32::try_from(key.len()), value_len) else {
                out.truncate(start);
                return false;
            };
            out.put_u32_le(key_len);
            out.put_u32_le(value_len);
            out.put_slice(key);
            out.put_slice(value.unwrap_or_default());
            if out.len() - start - GROUP_HEADER > MAX_GROUP {
                out.truncate(start);
                return false;
            }
        }
        let length = (out.len() - start - GROUP_HEADER) as u32;
        let group = &mut out[start..];
        group[..4].copy_from_slice(MARK);
        group[4..8].copy_from_slice(&length.to_le_bytes());
        group[8..16].copy_from_slice(&synced.to_le_bytes());
        let check = self.check(&[&offset.to_le_bytes(), &group[..16], &group[GROUP_HEADER..]]);
        group[16..GROUP_HEADER].copy_from_slice(&check);
        true
    }

    /// The group at `offset` of `file`, if there is a good one.
    pub(super) fn group_at<'a>(&self, file: &'a [u8], offset: usize) -> Option<Group<'a>> {
        self.group_in(file, 0, offset)
    }

    /// As [`Salt::group_at`], where `part` is the file from `start` on, and `offset` a place in it.
    pub(super) fn group_in<'a>(&self, part: &'a [u8], start: u64, offset: usize) -> Option<Group<'a>> {
        let (head, rest) = part.get(offset..)?.split_at_checked(GROUP_HEADER)?;
        let length = u32_at(head, 4)? as usize;
        if &head[..4] != MARK || length > MAX_GROUP {
            return None;
        }
        let body = rest.get(..length)?;
        let check = self.check(&[&(start + offset as u64).to_le_bytes(), &head[..16], body]);
        if check != head[16..] {
            return None;
        }
        let synced = u64::from_le_bytes(*head.get(8..16)?.first_chunk()?);
        Some(Group { synced, body, end: offset + GROUP_HEADER + length })
    }

    /// The furthest place that a good group behind `offset` vouches for.
    pub(super) fn vouched_behind(&self, file: &[u8], offset: usize) -> u64 {
        let mut furthest = 0;
        let mut at = offset + 1;
        while let Some(found) = file.get(at..).and_then(|rest| rest.windows(MARK.len()).position(|w| w == MARK)) {
            match self.group_at(file, at + found) {
                Some(group) => {
                    furthest = furthest.max(group.synced);
                    at = group.end;
                }
                None => at += found + 1,
            }
        }
        furthest
    }
}

/// Why a file's header is not one of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Another kind of file.
    Foreign,
    /// Made by a newer version.
    Newer(u32),
    /// Damaged.
    Damaged,
}

/// Reads a file's header.
pub(super) fn read_header(file: &[u8], magic: &[u8; 16]) -> Result<Salt, BadHeader> {
    if !file.starts_with(magic) {
        return Err(BadHeader::Foreign);
    }
    let version = u32_at(file, 16).ok_or(BadHeader::Damaged)?;
    if version > VERSION {
        return Err(BadHeader::Newer(version));
    }
    let (salt, check) = file
        .get(20..FILE_HEADER)
        .and_then(|rest| Some((*rest.first_chunk::<32>()?, rest.get(32..)?)))
        .ok_or(BadHeader::Damaged)?;
    let salt = Salt(salt);
    if version == 0 || salt.check(&[magic, &version.to_le_bytes()]) != check {
        return Err(BadHeader::Damaged);
    }
    Ok(salt)
}

/// A good group.
pub(super) struct Group<'a> {
    /// Up to here the file was on the medium when this was written.
    pub(super) synced: u64,
    body: &'a [u8],
    /// Where the next group begins.
    pub(super) end: usize,
}

impl Group<'_> {
    /// Its records, copied; `None` if they do not fill the body exactly, which no writer of ours does.
    pub(super) fn records(&self) -> Option<Vec<(Bytes, Option<Bytes>)>> {
        let mut records = Vec::new();
        let mut body = self.body;
        while !body.is_empty() {
            let (key_len, value_len) = (u32_at(body, 0)? as usize, u32_at(body, 4)?);
            let rest = body.get(RECORD_HEADER..)?;
            let (key, rest) = rest.split_at_checked(key_len)?;
            let value_here = if value_len == DELETED { 0 } else { value_len as usize };
            let (value, rest) = rest.split_at_checked(value_here)?;
            let value = (value_len != DELETED).then(|| Bytes::copy_from_slice(value));
            records.push((Bytes::copy_from_slice(key), value));
            body = rest;
        }
        Some(records)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
