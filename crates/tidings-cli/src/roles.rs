//! `roles`: who is a relay, and why.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::args::RolesArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::names;
use crate::out::{self, Paint};

/// `tidings roles`.
pub(crate) async fn run(args: &RolesArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(&args.data)?;
    let Some(node) = &args.node else {
        let answer = client.get("/v1/roles").await?;
        return if json { out::json(&answer) } else { list(&answer) };
    };
    let node = if node.len() == 64 { node.clone() } else { beginning(&client, args, node).await? };
    let answer = client.get(&format!("/v1/roles/{node}")).await?;
    if json {
        return out::json(&answer);
    }
    for line in explained(&answer, now_ms()) {
        out::line(&line)?;
    }
    Ok(())
}

/// The one node that begins so: of those with a role, or else of those that are here.
async fn beginning(client: &Client, args: &RolesArgs, text: &str) -> Result<String, CliError> {
    let known = client.get("/v1/roles").await?;
    let ids = known["roles"].as_array().into_iter().flatten().filter_map(|r| r["node_id"].as_str());
    let mut found = ids.filter(|id| text.len() >= 10 && id.starts_with(&text.to_ascii_lowercase()));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.to_owned()),
        _ => names::beginning(&args.data, text, "node").await,
    }
}

fn list(answer: &Value) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = answer["roles"].as_array().into_iter().flatten().map(|r| row(r, answer)).collect();
    if rows.is_empty() {
        return out::line("nobody has carried anything for this node yet, and nobody says to be a relay");
    }
    out::table(Paint::stdout(), &["NODE", "ROLE", "SCORE", "RELAYED", "FAILED", "BYTES", "SAYS", "OF THAT"], &rows)
}

fn row(r: &Value, answer: &Value) -> Vec<String> {
    let me = if r["node_id"] == answer["node_id"] { " (this node)" } else { "" };
    let claim = &r["claim"];
    let (says, covered) = match claim.as_object() {
        Some(_) => (format!("{} {:.1}", text(&claim["role"]), number(&claim["score"])), number(&claim["covered"])),
        None => ("-".to_owned(), f64::NAN),
    };
    vec![
        format!("{}{me}", short(&r["node_id"])),
        text(&r["role"]),
        format!("{:.1}", number(&r["score"])),
        r["relay_count"].to_string(),
        r["failures"].to_string(),
        bytes(&r["bytes_relayed"]),
        says,
        if covered.is_nan() { "-".to_owned() } else { format!("{covered:.1}") },
    ]
}

/// A score, term by term.
fn explained(r: &Value, now: u64) -> Vec<String> {
    let t = &r["terms"];
    let term = |key: &str, why: String| format!("  {:>8.2}  {why}", number(&t[key]));
    let keys = ["messages", "success", "uptime", "bandwidth", "ratio"];
    let sum: f64 = keys.iter().map(|k| number(&t[*k])).sum();
    let ago = |v: &Value| match v.as_u64() {
        Some(ms) => {
            let since = Duration::from_secs(now.saturating_sub(ms) / 1_000);
            format!("{} ago", humantime::format_duration(since))
        }
        None => "never".to_owned(),
    };
    let mut lines = vec![
        format!("{} is taken for a {}, score {:.2}", text(&r["node_id"]), text(&r["role"]), number(&r["score"])),
        term("messages", format!("{} messages relayed (1 each, less what has faded)", r["relay_count"])),
        term(
            "success",
            format!(
                "{:.1} % of attempts succeeded, {} failed (5 for all)",
                100.0 * number(&r["success_rate"]),
                r["failures"]
            ),
        ),
        term("uptime", format!("{:.2} h seen to be up (0.5 an hour)", number(&r["uptime_hours"]))),
        term("bandwidth", format!("{} relayed (0.2 a MiB)", bytes(&r["bytes_relayed"]))),
        term("ratio", format!("{:.2} bytes relayed for each received, 10 at most (1.5 each)", number(&r["ratio"]))),
        format!("  {sum:>8.2}  together, 1000 at most"),
        format!("  x {:>6.3}  last work {}", number(&t["decay"]), ago(&r["last_activity_ms"])),
        format!("  first seen {}", ago(&r["first_seen_ms"])),
    ];
    let claim = &r["claim"];
    lines.push(match claim.as_object() {
        None => "  it says nothing of itself".to_owned(),
        Some(_) => format!(
            "  it says: {}, score {:.2}, with {} customers' words, {}; {:.2} of that can have come to this node",
            text(&claim["role"]),
            number(&claim["score"]),
            claim["vouches"],
            ago(&claim["timestamp_ms"]),
            number(&claim["covered"]),
        ),
    });
    lines
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn bytes(value: &Value) -> String {
    let n = number(value);
    match n {
        n if n >= 1_048_576.0 => format!("{:.1} MiB", n / 1_048_576.0),
        n if n >= 1_024.0 => format!("{:.1} KiB", n / 1_024.0),
        n => format!("{n} B"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or("-".to_owned(), out::harmless)
}

fn short(value: &Value) -> String {
    text(value).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn relay() -> Value {
        json!({
            "node_id": "0123456789abcdef", "role": "relay", "score": 33.5, "relay_count": 1, "failures": 0,
            "terms": { "messages": 1.0, "success": 5.0, "uptime": 0.0, "bandwidth": 20.0, "ratio": 7.5, "decay": 1.0 },
            "success_rate": 1.0, "bytes_relayed": 104_857_600, "bytes_received": 20_971_520, "ratio": 5.0,
            "uptime_hours": 0.0, "first_seen_ms": 1_000, "last_activity_ms": 1_000,
            "claim": { "role": "relay", "score": 900.0, "covered": 12.25, "vouches": 3, "timestamp_ms": 31_000 },
        })
    }

    #[test]
    fn a_score_is_explained_term_by_term() {
        let lines = explained(&relay(), 61_000);
        assert_eq!(lines[0], "0123456789abcdef is taken for a relay, score 33.50");
        assert_eq!(lines[4], "     20.00  100.0 MiB relayed (0.2 a MiB)");
        assert_eq!(lines[6], "     33.50  together, 1000 at most");
        assert_eq!(lines[7], "  x  1.000  last work 1m ago");
        assert!(lines[9].contains("score 900.00, with 3 customers' words, 30s ago; 12.25 of that"), "{}", lines[9]);
    }

    #[test]
    fn what_is_seen_and_what_is_said_stand_apart() {
        let answer = json!({ "node_id": "0123456789abcdef", "roles": [] });
        let row = row(&relay(), &answer);
        assert_eq!(row, ["0123456789 (this node)", "relay", "33.5", "1", "0", "100.0 MiB", "relay 900.0", "12.2"]);
        let mut silent = relay();
        silent["claim"] = Value::Null;
        assert_eq!(self::row(&silent, &answer)[6..], ["-", "-"]);
    }
}
