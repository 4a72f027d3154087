//! `presence`: who is here, and who comes and goes.

use std::time::Duration;

use serde_json::Value;

use crate::args::PresenceArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::names::{Book, shown};
use crate::out::{self, Paint};

/// `tidings presence`.
pub(crate) async fn run(args: &PresenceArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(&args.data)?;
    if let Some(status) = &args.say {
        let answer = client.say(status).await?;
        return if json { out::json(&answer) } else { out::line("everybody is told") };
    }
    let book = Book::open(&args.data)?;
    if args.follow {
        return follow(&client, &book, args.count, json).await;
    }
    let mut answer = client.get("/v1/presence").await?;
    book.add(&mut answer);
    if json {
        return out::json(&answer);
    }
    let rows: Vec<Vec<String>> = answer["online"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return out::line("nobody is here yet: join somebody with tidings up --join TICKET");
    }
    out::table(Paint::stdout(), &["NODE", "AGENT", "STATUS", "ADDRESSES", "SEEN", "LEARNED"], &rows)
}

async fn follow(client: &Client, book: &Book, mut left: Option<u64>, json: bool) -> Result<(), CliError> {
    let mut lines = client.presence().await?;
    out::note("listening to who comes and goes");
    let paint = Paint::stdout();
    while left != Some(0) {
        let (_, mut event) = lines.next_value().await?;
        book.add(&mut event);
        left = left.map(|n| n - 1);
        if json { out::json(&event)? } else { out::line(&for_people(paint, &event))? }
    }
    Ok(())
}

fn row(p: &Value) -> Vec<String> {
    let addrs: Vec<String> = p["addrs"].as_array().into_iter().flatten().map(text).collect();
    let learned = match p["learned"].as_str() {
        Some("relayed") => format!("relayed by {}", short(&p["via"])),
        _ => text(&p["learned"]),
    };
    let seen = Duration::from_secs(p["seen_ms"].as_u64().unwrap_or(0) / 1_000);
    let seen = format!("{} ago", humantime::format_duration(seen));
    vec![short(&p["node"]), shown(p), text(&p["status"]), addrs.join(","), seen, learned]
}

fn for_people(paint: Paint, event: &Value) -> String {
    let who = match event["agent"].as_str() {
        Some(_) => format!("{} on {}", shown(event), short(&event["node"])),
        None => short(&event["node"]),
    };
    let status = match text(&event["status"]) {
        s if s == "-" || s.is_empty() => String::new(),
        s => format!(": {s}"),
    };
    match event["event"].as_str() {
        Some("agent_online") => format!("{} {who}{status}", paint.good("+")),
        Some("agent_changed") => format!("{} {who}{status}", paint.dim("~")),
        Some("agent_offline") => format!("{} {who}: {}", paint.bad("-"), text(&event["reason"])),
        Some("missed") => paint.bad(&format!("{} missed: they came faster than they were read", event["events"])),
        _ => who,
    }
}

fn text(value: &Value) -> String {
    match value.as_str() {
        Some(s) => out::harmless(s),
        None => "-".to_owned(),
    }
}

fn short(value: &Value) -> String {
    text(value).chars().take(10).collect()
}
