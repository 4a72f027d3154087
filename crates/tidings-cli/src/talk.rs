//! `pub` and `sub`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use futures_util::stream;
use serde_json::Value;
use tidings::proto::large::MAX_LARGE;

use crate::args::{PubArgs, SubArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::names::Book;
use crate::out::{self, Paint, Progress};
use crate::save::Save;

/// Bytes of a file read at once.
const PIECE: usize = 256 * 1024;

/// `tidings pub`.
pub(crate) async fn publish(args: &PubArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(&args.data)?;
    let (size, answer) = match (&args.file, args.text.as_deref()) {
        (Some(file), _) => publish_file(&client, args, file, json).await?,
        (None, Some("-") | None) => {
            let payload = whole(std::io::stdin().lock(), Path::new("standard input"))?;
            (payload.len() as u64, client.publish(&args.topic, payload, args.durable).await?)
        }
        (None, Some(text)) => (text.len() as u64, client.publish(&args.topic, text.to_owned(), args.durable).await?),
    };
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

fn too_long(from: &Path) -> CliError {
    CliError::file("can't publish", from, format!("it has more than {MAX_LARGE} bytes: split it"))
}

/// Sends a file to the node as it is read. One that is too long is not begun.
async fn publish_file(client: &Client, args: &PubArgs, path: &Path, json: bool) -> Result<(u64, Value), CliError> {
    let cannot = |e: std::io::Error| CliError::file("can't read", path, e);
    let mut file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if !meta.is_file() {
        let payload = whole(file, path)?;
        return Ok((payload.len() as u64, client.publish(&args.topic, payload, args.durable).await?));
    }
    let size = meta.len();
    if size > MAX_LARGE as u64 {
        return Err(too_long(path));
    }
    let mut progress = Progress::new(json);
    let mut sent = 0;
    let pieces = std::iter::from_fn(move || {
        let mut piece = Vec::with_capacity(PIECE);
        // No more than was said there would be, should it grow meanwhile.
        let left = (size - sent).min(PIECE as u64);
        match file.by_ref().take(left).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(n) => {
                sent += n as u64;
                progress.show(&format!("{sent} of {size} bytes handed to the node"));
                Some(Ok(Bytes::from(piece)))
            }
            Err(e) => Some(Err(e)),
        }
    });
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    Ok((size, client.publish_stream(&args.topic, size, body, args.durable).await?))
}

fn whole(input: impl Read, from: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    input.take(MAX_LARGE as u64 + 1).read_to_end(&mut bytes).map_err(|e| CliError::file("can't read", from, e))?;
    if bytes.len() > MAX_LARGE {
        return Err(too_long(from));
    }
    Ok(bytes)
}

/// `tidings sub`.
pub(crate) async fn subscribe(args: &SubArgs, json: bool) -> Result<(), CliError> {
    let save = args.save.as_deref().map(Save::into_dir).transpose()?;
    let (client, book) = (Client::open(&args.data)?, Book::open(&args.data)?);
    let since = args.since.map(|ago| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(ago).as_millis()
    });
    let mut lines = client.messages(args, since).await?;
    out::note(&format!("listening on {}", out::harmless(&args.topic)));
    let paint = Paint::stdout();
    let mut left = args.count;
    while left != Some(0) {
        let (_, mut value) = lines.next_value().await?;
        book.add(&mut value);
        if value.get("author").is_some() {
            left = left.map(|n| n - 1);
            if let Some(save) = &save {
                save.message(&client, &mut value, &mut Progress::new(json)).await?;
            }
        }
        if json { out::json(&value)? } else { out::line(&for_people(paint, &value))? }
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
    if let Some(gone) = line.get("unavailable") {
        let (seq, size) = (&gone["seq"], &gone["size"]);
        return paint.bad(&format!("the {size} bytes of message {seq} of {} could not be had", short(&gone["author"])));
    }
    if let Some(missed) = line.get("lagged") {
        return paint.bad(&format!("{missed} messages missed: they came faster than they were read"));
    }
    let text = match (line["text"].as_str(), line["saved"].as_str()) {
        (Some(text), _) => out::harmless(text),
        (None, Some(file)) => format!("{} bytes in {}", line["size"], out::harmless(file)),
        (None, None) if line["content"].is_object() => {
            format!("[{} bytes: --save DIR writes them to a file]", line["content"]["size"])
        }
        (None, None) => {
            let digits = line["base64"].as_str().unwrap_or_default();
            format!("[{} bytes that are not text]", digits.trim_end_matches('=').len() * 3 / 4)
        }
    };
    let late = match (&line["late"], &line["history"]) {
        (Value::Bool(true), _) => " (late)",
        (_, Value::Bool(true)) => " (before)",
        _ => "",
    };
    // By name where the author's agent is proven and has one.
    let author = line["agent_name"].as_str().map_or_else(|| short(&line["author"]), out::harmless);
    format!("{}{} {text}", paint.dim(&author), paint.dim(late))
}
