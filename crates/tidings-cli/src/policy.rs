//! `topic`, `grant` and `accept`: topics that are more than a name, and who may publish on them.

use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings::{TopicTicket, TopicTicketError};

use crate::args::{AcceptArgs, GrantArgs, TopicArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::out;

/// Most that is read of what should be a capability.
const MAX_TEXT: u64 = 64 * 1024;

/// `tidings topic`.
pub(crate) fn topic(args: &TopicArgs, json: bool) -> Result<(), CliError> {
    if args.open && args.owner.is_none() && args.publisher.is_empty() {
        let why =
            "an open topic on which everyone may publish needs no ticket: its name does, or say --owner or --publisher";
        return Err(CliError::Usage(why.into()));
    }
    let ticket = ticket(args).map_err(|error| CliError::Usage(error.to_string()))?;
    let id = ticket.id().map_err(|error| CliError::Usage(error.to_string()))?;
    let text = ticket.to_string();
    if json {
        return out::json(&json!({ "topic": args.name, "ticket": text, "id": id.to_string() }));
    }
    out::line(&text)
}

fn ticket(args: &TopicArgs) -> Result<TopicTicket, TopicTicketError> {
    let mut ticket = if args.open { TopicTicket::open(&args.name)? } else { TopicTicket::generate(&args.name)? };
    if !args.publisher.is_empty() {
        ticket = ticket.publishers(args.publisher.iter().copied())?;
    }
    match args.owner {
        Some(owner) => ticket.owner(owner),
        None => Ok(ticket),
    }
}

/// `tidings grant`.
pub(crate) async fn grant(args: &GrantArgs, json: bool) -> Result<(), CliError> {
    let answer = Client::open(&args.data)?.grant(&args.topic, &args.agent.to_string(), args.life).await?;
    if json { out::json(&answer) } else { out::line(answer["capability"].as_str().unwrap_or_default()) }
}

/// `tidings accept`.
pub(crate) async fn accept(args: &AcceptArgs, json: bool) -> Result<(), CliError> {
    let mut text = args.capability.clone();
    if text == "-" {
        text.clear();
        let read = std::io::stdin().lock().take(MAX_TEXT).read_to_string(&mut text);
        read.map_err(|e| CliError::file("can't read", "standard input", e))?;
    }
    let answer = Client::open(&args.data)?.accept(&text).await?;
    if json {
        return out::json(&answer);
    }
    let topic: String = answer["topic_id"].as_str().unwrap_or("?").chars().take(10).collect();
    out::line(&format!("may publish on topic {topic} until {}", time(&answer["expires_ms"])))
}

fn time(ms: &Value) -> String {
    let since = Duration::from_millis(ms.as_u64().unwrap_or_default());
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs())).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(at).to_string()
}
