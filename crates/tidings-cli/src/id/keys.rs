//! `id export` and `id import`: an agent's key on its way to another node, or to where it is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tidings::proto::crypto::AwsLc;
use tidings::{AgentId, AgentSecret, DataDir, DataDirError, SecretKey, open_agent_key, seal_agent_key};

use crate::args::{DataArgs, ExportArgs, ImportArgs};
use crate::error::CliError;
use crate::out;
use crate::rundir::data_dir;

/// Longest file that is read as a key or a passphrase; both have a hundred characters or so.
const MAX_FILE: u64 = 4_096;
const PASSPHRASE: &str = "TIDINGS_PASSPHRASE";

/// `tidings id export`.
pub(super) fn export(data: &DataArgs, args: &ExportArgs, json: bool) -> Result<(), CliError> {
    let dir = data_dir(data)?;
    let secret = DataDir::peek_agent_secret(&dir).map_err(|e| failed(&e))?;
    let secret = secret
        .ok_or_else(|| CliError::Node(format!("there is no agent's key in {}: tidings up makes one", dir.display())))?;
    let agent = agent_of(&secret)?;
    let to_stdout = args.file == Path::new("-");
    // Before anybody is asked for anything.
    if !to_stdout && !args.force && args.file.try_exists().unwrap_or(true) {
        return Err(CliError::file("can't write", &args.file, "it is there already: choose another, or add --force"));
    }
    let passphrase = passphrase(args.passphrase_file.as_deref(), true)?;
    let sealed = seal_agent_key(&secret, &passphrase).map_err(|e| CliError::Node(e.to_string()))?;
    if to_stdout {
        return if json {
            out::json(&json!({ "agent_id": agent.to_string(), "key": sealed }))
        } else {
            out::line(&sealed)
        };
    }
    write(&args.file, &sealed, args.force).map_err(|e| CliError::file("can't write", &args.file, e))?;
    if json {
        return out::json(&json!({ "agent_id": agent.to_string(), "file": args.file }));
    }
    out::line(&format!("the key of agent {} is in {}", agent.short(), args.file.display()))
}

/// `tidings id import`.
pub(super) fn import(data: &DataArgs, args: &ImportArgs, json: bool) -> Result<(), CliError> {
    let text = match args.file.to_str() {
        Some("-") => read(io::stdin().lock(), Path::new("standard input"))?,
        _ => read(open(&args.file)?, &args.file)?,
    };
    let passphrase = passphrase(args.passphrase_file.as_deref(), false)?;
    let secret = open_agent_key(&text, &passphrase).map_err(|e| CliError::file("can't use", &args.file, e))?;
    let agent = agent_of(&secret)?;
    let dir = DataDir::open(data_dir(data)?).map_err(|e| failed(&e))?;
    let before = DataDir::peek_agent_secret(dir.path()).map_err(|e| failed(&e))?;
    let changed = before.as_ref().is_none_or(|old| old.expose() != secret.expose());
    if let Some(old) = before.filter(|_| changed && !args.force) {
        return Err(CliError::Node(format!(
            "{} holds the key of another agent, {}: add --force to keep that one beside it and use this",
            dir.path().display(),
            agent_of(&old)?.short(),
        )));
    }
    let aside = dir.exchange_agent_secret(&secret).map_err(|e| failed(&e))?;
    if json {
        return out::json(&json!({ "agent_id": agent.to_string(), "changed": changed, "set_aside": aside }));
    }
    let here = dir.path().display();
    match (changed, aside) {
        (false, _) => out::line(&format!("the node on {here} is agent {} already", agent.short())),
        (true, None) => out::line(&format!("the node on {here} is agent {} from now on", agent.short())),
        (true, Some(aside)) => {
            let kept = aside.display();
            out::line(&format!(
                "the node on {here} is agent {} from now on; the other's key is in {kept}",
                agent.short()
            ))
        }
    }
}

fn failed(e: &DataDirError) -> CliError {
    CliError::Node(e.to_string())
}

/// Whose key this is. What the node signs with does not matter for that.
fn agent_of(secret: &AgentSecret) -> Result<AgentId, CliError> {
    let crypto = AwsLc::with_agent(&SecretKey::from_bytes([0; 32]), secret);
    let agent = crypto.as_ref().and_then(|c| AgentId::own(c));
    agent.ok_or_else(|| CliError::Node("the agent's key cannot be used".to_owned()))
}

/// The passphrase: of the file, of the environment, or asked for.
fn passphrase(file: Option<&Path>, new: bool) -> Result<String, CliError> {
    if let Some(path) = file {
        let text = read(open(path)?, path)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if let Some(value) = std::env::var_os(PASSPHRASE) {
        let wrong = || CliError::Usage(format!("{PASSPHRASE} is no text"));
        return value.into_string().map_err(|_| wrong());
    }
    let ask = |what: &str| {
        rpassword::prompt_password(what).map_err(|e| {
            CliError::Usage(format!(
                "can't ask for the passphrase ({e}): set {PASSPHRASE}, or give it in a file with --passphrase-file"
            ))
        })
    };
    let first = ask("passphrase: ")?;
    if new && ask("the same again: ")? != first {
        return Err(CliError::Usage("the passphrases differ: nothing was written".to_owned()));
    }
    Ok(first)
}

fn open(path: &Path) -> Result<File, CliError> {
    File::open(path).map_err(|e| CliError::file("can't read", path, e))
}

fn read(from: impl Read, path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    from.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| CliError::file("can't read", path, e))?;
    match text.len() as u64 {
        0..=MAX_FILE => Ok(text),
        _ => Err(CliError::file("can't read", path, "it is too long for what it should be")),
    }
}

/// Writes a secret for its owner alone; a file that is replaced stays whole until the new one is.
fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let at = if replace { PathBuf::from(beside) } else { path.to_owned() };
    if replace
        && let Err(e) = fs::remove_file(&at)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    if replace { fs::rename(&at, path) } else { Ok(()) }
}
