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
    let rows = rows(&answer);
    if rows.is_empty() {
        return out::line("nobody is here yet: join somebody with tidings up --join TICKET");
    }
    out::table(Paint::stdout(), &["AGENT", "NODE", "STATUS", "ADDRESSES", "SEEN", "LEARNED"], &rows)
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

fn rows(answer: &Value) -> Vec<Vec<String>> {
    let online: Vec<&Value> = answer["online"].as_array().into_iter().flatten().collect();
    let same =
        |a: &Value, b: &Value| a["agent"].is_string() && (&a["agent"], &a["proven"]) == (&b["agent"], &b["proven"]);
    let again = |i: usize| i > 0 && same(online[i], online[i - 1]);
    (0..online.len()).map(|i| row(online[i], again(i))).collect()
}

/// The row of a node; `again`: its agent's name stands above.
fn row(p: &Value, again: bool) -> Vec<String> {
    let addrs: Vec<String> = p["addrs"].as_array().into_iter().flatten().map(text).collect();
    let learned = match p["learned"].as_str() {
        Some("relayed") => format!("relayed by {}", short(&p["via"])),
        _ => text(&p["learned"]),
    };
    let seen = Duration::from_secs(p["seen_ms"].as_u64().unwrap_or(0) / 1_000);
    let seen = format!("{} ago", humantime::format_duration(seen));
    let agent = match p["proven"].as_bool() {
        Some(false) if p["agent"].is_string() => format!("{} (unproven)", shown(p)),
        _ => shown(p),
    };
    // The nodes of an agent follow each other.
    let agent = if again { String::new() } else { agent };
    vec![agent, short(&p["node"]), text(&p["status"]), addrs.join(","), seen, learned]
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
        Some("node_offline") => format!("{} {who}: {}, still here elsewhere", paint.dim("~"), text(&event["reason"])),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(node: &str, agent: Option<&str>, proven: bool) -> Value {
        json!({ "node": node, "agent": agent, "proven": proven, "status": "", "addrs": [], "learned": "direct" })
    }

    #[test]
    fn an_agent_stands_above_its_nodes_and_who_only_says_so_apart() {
        let online = [
            node("n1", Some("a"), true),
            node("n2", Some("a"), true),
            node("n3", Some("a"), false),
            node("n4", None, false),
        ];
        let rows = rows(&json!({ "online": online }));
        let first: Vec<&str> = rows.iter().map(|r| &r[0][..]).collect();
        assert_eq!(first, ["a", "", "a (unproven)", "-"]);
    }

    #[test]
    fn a_node_of_an_agent_that_is_still_here_is_told_as_such() {
        let event = json!({ "event": "node_offline", "node": "n", "agent": "a", "reason": "died" });
        assert_eq!(for_people(Paint::plain(), &event), "~ a on n: died, still here elsewhere");
    }
}
