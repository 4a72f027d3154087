//! `pub` and `sub`.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::args::{PubArgs, SubArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::out::{self, Paint};

/// Most bytes read from a file or standard input; the node refuses far less, in its own words.
const MAX_INPUT: u64 = 4 << 20;

/// `tidings pub`.
pub(crate) async fn publish(args: &PubArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(&args.data)?;
    let payload = match (&args.file, args.text.as_deref()) {
        (Some(file), _) => {
            let opened = std::fs::File::open(file).map_err(|e| CliError::file("can't read", file, e))?;
            whole(opened, file)?
        }
        (None, Some("-") | None) => whole(std::io::stdin().lock(), Path::new("standard input"))?,
        (None, Some(text)) => text.as_bytes().to_vec(),
    };
    let size = payload.len();
    let answer = client.publish(&args.topic, payload, args.durable).await?;
    if json {
        return out::json(&answer);
    }
    let neighbors = answer["neighbors"].as_u64().unwrap_or(0);
    let to = match neighbors {
        0 => "nobody to send it to yet".to_owned(),
        1 => "sent to 1 neighbour".to_owned(),
        n => format!("sent to {n} neighbours"),
    };
    let id: String = answer["id"].as_str().unwrap_or("?").chars().take(10).collect();
    out::line(&format!("{id}: {size} bytes, number {} of epoch {}, {to}", answer["seq"], answer["epoch"]))
}

fn whole(input: impl Read, from: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(|e| CliError::file("can't read", from, e))?;
    if bytes.len() as u64 > MAX_INPUT {
        let why = format!("it has more than {MAX_INPUT} bytes: split it, or send it as a file elsewhere");
        return Err(CliError::file("can't publish", from, why));
    }
    Ok(bytes)
}

/// `tidings sub`.
pub(crate) async fn subscribe(args: &SubArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(&args.data)?;
    let mut lines = client.messages(&args.topic, args.count, args.durable).await?;
    out::note(&format!("listening on {}", out::harmless(&args.topic)));
    let paint = Paint::stdout();
    let mut left = args.count;
    while left != Some(0) {
        let (line, value) = lines.next_value().await?;
        if value.get("author").is_some() {
            left = left.map(|n| n - 1);
        }
        if json { out::line(&line)? } else { out::line(&for_people(paint, &value))? }
    }
    Ok(())
}

/// A line for people.
fn for_people(paint: Paint, line: &Value) -> String {
    let short = |v: &Value| v.as_str().unwrap_or("?").chars().take(10).collect::<String>();
    if let Some(gap) = line.get("gap") {
        let (from, to) = (&gap["from"], &gap["to"]);
        return paint.bad(&format!("messages {from} to {to} of {} could not be had", short(&gap["author"])));
    }
    if let Some(missed) = line.get("lagged") {
        return paint.bad(&format!("{missed} messages missed: they came faster than they were read"));
    }
    let text = match line["text"].as_str() {
        Some(text) => out::harmless(text),
        None => {
            let digits = line["base64"].as_str().unwrap_or_default();
            format!("[{} bytes that are not text]", digits.trim_end_matches('=').len() * 3 / 4)
        }
    };
    let late = if line["late"] == Value::Bool(true) { " (late)" } else { "" };
    format!("{}{} {text}", paint.dim(&short(&line["author"])), paint.dim(late))
}
