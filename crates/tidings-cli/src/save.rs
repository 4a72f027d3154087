//! `sub --save`: each message in a file of its own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::out::{self, Progress};

/// The directory that messages are written into.
pub(crate) struct Save {
    dir: PathBuf,
}

impl Save {
    /// Makes the directory if there is none.
    pub(crate) fn into_dir(dir: &Path) -> Result<Self, CliError> {
        std::fs::create_dir_all(dir).map_err(|e| CliError::file("can't make", dir, e))?;
        Ok(Save { dir: dir.to_path_buf() })
    }

    /// Writes a message, and puts the file's name and length into its line in the place of its content. Under its name
    /// the file is always whole. A content that cannot be had is said to be so, and is no error: the next message may.
    pub(crate) async fn message(
        &self,
        client: &Client,
        line: &mut Value,
        progress: &mut Progress,
    ) -> Result<(), CliError> {
        // The node's words: digits, whoever the author is.
        let author: String =
            line["author"].as_str().unwrap_or("?").chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("{:.10}-{}-{}", author, line["epoch"], line["seq"]);
        let (path, part) = (self.dir.join(&name), self.dir.join(format!("{name}.part")));
        let failed = |e: std::io::Error| CliError::file("can't write", &part, e);
        let mut file = File::create(&part).map_err(failed)?;
        let size = match (line["text"].as_str(), line["base64"].as_str(), line["content"]["id"].as_str()) {
            (Some(text), _, _) => {
                file.write_all(text.as_bytes()).map_err(failed)?;
                text.len() as u64
            }
            (_, Some(digits), _) => {
                let bytes = BASE64.decode(digits.as_bytes()).map_err(|_| CliError::NodeLeft)?;
                file.write_all(&bytes).map_err(failed)?;
                bytes.len() as u64
            }
            (_, _, Some(id)) => {
                let size = line["content"]["size"].as_u64().unwrap_or(0);
                let mut have = 0;
                // A content the node no longer has is as good as one that breaks off.
                if let Ok(response) = client.content(id).await {
                    let mut chunks = response.bytes_stream();
                    while let Some(Ok(chunk)) = chunks.next().await {
                        file.write_all(&chunk).map_err(failed)?;
                        have += chunk.len() as u64;
                        progress.show(&format!("{name}: {have} of {size} bytes"));
                    }
                    progress.clear();
                }
                if have != size {
                    out::note(&format!("{name}: only {have} of {size} bytes could be had; they are in {name}.part"));
                    line["unavailable"] = json!({
                        "author": line["author"], "epoch": line["epoch"], "seq": line["seq"], "size": size,
                    });
                    return Ok(());
                }
                size
            }
            _ => return Ok(()),
        };
        drop(file);
        std::fs::rename(&part, &path).map_err(|e| CliError::file("can't write", &path, e))?;
        if let Some(fields) = line.as_object_mut() {
            for content in ["text", "base64", "content"] {
                fields.remove(content);
            }
            fields.insert("saved".into(), json!(path.display().to_string()));
            fields.insert("size".into(), json!(size));
        }
        Ok(())
    }
}
