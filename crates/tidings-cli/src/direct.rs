//! `send` and `inbox`: messages from one agent to another.

use std::io::Read;

use serde_json::Value;

use crate::args::{InboxArgs, SendArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::names::{Book, shown};
use crate::out::{self, Paint};

/// `tidings send`.
pub(crate) async fn send(args: &SendArgs, json: bool) -> Result<(), CliError> {
    let book = Book::open(&args.data)?;
    let agent = book.agent(&args.data, &args.agent).await?.to_string();
    let body = match args.text.as_deref() {
        Some(text) if text != "-" => text.as_bytes().to_vec(),
        _ => {
            let mut body = Vec::new();
            let most = tidings::MAX_DIRECT as u64 + 1;
            let read = std::io::stdin().lock().take(most).read_to_end(&mut body);
            read.map_err(|e| CliError::Failed(format!("can't read standard input: {e}")))?;
            body
        }
    };
    let mut answer = Client::open(&args.data)?.send_direct(&agent, body).await?;
    book.add(&mut answer);
    if json {
        return out::json(&answer);
    }
    let ms = answer["took_ms"].as_f64().unwrap_or(0.0);
    let node: String = answer["node"].as_str().unwrap_or("?").chars().take(10).collect();
    let short = |v: &Value| v.as_str().unwrap_or("?").chars().take(10).collect::<String>();
    if let Some(until) = answer["kept_until"].as_u64() {
        let keepers: Vec<String> = answer["kept_by"].as_array().into_iter().flatten().map(short).collect();
        let hours = until.saturating_sub(crate::roles::now_ms()).div_ceil(3_600_000);
        return out::line(&format!(
            "{} is away: kept by {} for {hours} h at most, and delivered when it is back",
            shown(&answer),
            keepers.join(" and "),
        ));
    }
    let via: Vec<String> = answer["via"].as_array().into_iter().flatten().map(short).collect();
    let via = if via.is_empty() { "directly".to_owned() } else { format!("via {}", via.join(" and ")) };
    out::line(&format!("delivered {via} to node {node} of {} in {ms:.1} ms", shown(&answer)))
}

/// `tidings inbox`.
pub(crate) async fn inbox(args: &InboxArgs, json: bool) -> Result<(), CliError> {
    let (client, book) = (Client::open(&args.data)?, Book::open(&args.data)?);
    let mut lines = client.inbox(args.follow).await?;
    let (paint, mut left, mut any) = (Paint::stdout(), args.count, false);
    while left != Some(0) {
        let Some((_, mut message)) = lines.value_or_end().await? else { break };
        any = true;
        left = left.map(|n| n - 1);
        book.add(&mut message);
        if json {
            out::json(&message)?
        } else {
            out::line(&for_people(paint, &message))?
        }
        if !args.keep {
            // Only what was shown is read.
            client.mark_read(&message["id"]).await?;
        }
    }
    if !any && !json {
        out::note("nothing unread");
    }
    Ok(())
}

fn for_people(paint: Paint, m: &Value) -> String {
    let text = match m["text"].as_str() {
        Some(text) => out::harmless(text),
        None => format!("{} bytes", m["base64"].as_str().map_or(0, |b| b.len() / 4 * 3)),
    };
    format!("{} {text}", paint.dim(&format!("{}:", shown(m))))
}
