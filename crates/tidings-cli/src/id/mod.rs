//! `id`: who the node and its agent are.

mod card;
mod keys;

use std::path::Path;

use serde_json::{Value, json};
use tidings::proto::crypto::{AwsLc, Crypto};
use tidings::{AgentId, DataDir, DataDirError};

use crate::args::{DataArgs, IdArgs, IdCommand};
use crate::client::Client;
use crate::error::CliError;
use crate::names::Book;
use crate::out::{self, Paint};

/// `tidings id`, and what is under it.
pub(crate) async fn run(args: &IdArgs, json: bool) -> Result<(), CliError> {
    match &args.what {
        None if args.card || args.qr => card::show(&args.data(), args.qr, json).await,
        Some(IdCommand::Read { card }) => card::read(&args.data(), card, json),
        Some(IdCommand::Revoke { node }) => card::revoke(&args.data(), node, json).await,
        None => show(&args.data(), json).await,
        Some(IdCommand::Export(export)) => keys::export(&args.data(), export, json),
        Some(IdCommand::Import(import)) => keys::import(&args.data(), import, json),
    }
}

async fn show(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let mut answer = match ask(args).await {
        // A node keeps its ids when it does not run.
        Err(CliError::NotRunning { dir }) => kept(&dir)?,
        answered => answered?,
    };
    let agent: Option<AgentId> = answer["agent_id"].as_str().and_then(|id| id.parse().ok());
    Book::open(args)?.add(&mut answer);
    answer["words"] = json!(agent.map(|id| id.words()));
    if json {
        return out::json(&answer);
    }
    let paint = Paint::stdout();
    for (name, key) in [("agent", "agent_id"), ("name", "agent_name"), ("words", "words"), ("node", "node_id")] {
        if key == "agent_name" && answer[key].is_null() {
            continue;
        }
        let value = answer[key].as_str().map_or_else(|| "-".to_owned(), out::harmless);
        out::line(&format!("{} {value}", paint.dim(&format!("{name:<6}"))))?;
    }
    Ok(())
}

async fn ask(args: &DataArgs) -> Result<Value, CliError> {
    Client::open(args)?.get("/v1/id").await
}

/// The ids of the keys in `dir`; makes nothing.
fn kept(dir: &Path) -> Result<Value, CliError> {
    if !dir.join("key").try_exists().map_err(|e| CliError::file("can't read", dir, e))? {
        return Err(CliError::NotRunning { dir: dir.to_owned() });
    }
    let failed = |e: DataDirError| CliError::Node(e.to_string());
    let unusable = |file| CliError::file("can't use", dir.join(file), "it is no key");
    let open = DataDir::open(dir).map_err(failed)?;
    let secret = open.secret().map_err(failed)?;
    let agent = if open.has_agent().map_err(failed)? { Some(open.agent_secret().map_err(failed)?) } else { None };
    let crypto = match agent {
        Some(agent) => AwsLc::with_agent(&secret, &agent).ok_or_else(|| unusable("agent"))?,
        None => AwsLc::new(&secret).ok_or_else(|| unusable("key"))?,
    };
    let agent = AgentId::own(&crypto).map(|id| id.to_string());
    Ok(json!({ "node_id": crypto.node_id().to_string(), "agent_id": agent }))
}
