//! Commands that ask the running node one thing.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::{DataArgs, ReconcileArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::names::{Book, shown};
use crate::out::{self, Paint};
use serde_json::{Value, json};

/// How long a node may take to be gone after it was asked to stop; it says goodbye within a second.
const DOWN_DEADLINE: Duration = Duration::from_secs(10);

/// `tidings ticket`.
pub(crate) async fn ticket(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let answer = Client::open(args)?.get("/v1/ticket").await?;
    if json { out::json(&answer) } else { out::line(&text(&answer["ticket"])) }
}

/// `tidings peers`.
pub(crate) async fn peers(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let mut answer = Client::open(args)?.get("/v1/peers").await?;
    Book::open(args)?.add(&mut answer);
    if json {
        return out::json(&answer);
    }
    let rows: Vec<Vec<String>> = list(&answer["peers"])
        .map(|p| {
            let rtt = p["rtt_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
            let at = if p["circuit"] == true { "through relays".to_owned() } else { joined(&p["addrs"]) };
            vec![short(&p["id"]), shown(p), at, rtt, joined(&p["topics"]), text(&p["state"])]
        })
        .collect();
    if rows.is_empty() {
        return out::line("no peers yet: join one with tidings up --join TICKET");
    }
    out::table(Paint::stdout(), &["PEER", "AGENT", "ADDRESS", "RTT", "TOPICS", "STATE"], &rows)
}

/// `tidings coordinators`.
pub(crate) async fn coordinators(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let mut answer = Client::open(args)?.get("/v1/coordinators").await?;
    Book::open(args)?.add(&mut answer);
    if json {
        return out::json(&answer);
    }
    let rows: Vec<Vec<String>> = list(&answer["coordinators"])
        .map(|c| {
            let rtt = c["rtt_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
            let hours = |ms: &Value| format!("{:.1} h", ms.as_f64().unwrap_or(0.0) / 3_600_000.0);
            let tried = format!(
                "{} of {}",
                c["reached"],
                c["reached"].as_u64().unwrap_or(0) + c["failed"].as_u64().unwrap_or(0)
            );
            vec![short(&c["node"]), shown(c), joined(&c["addrs"]), tried, rtt, hours(&c["expires_in_ms"])]
        })
        .collect();
    if rows.is_empty() {
        return out::line(
            "no coordinators yet: a node becomes one when two others have confirmed that they reached it",
        );
    }
    out::table(Paint::stdout(), &["NODE", "AGENT", "ADDRESS", "REACHED", "RTT", "HOLDS FOR"], &rows)
}

/// `tidings topics`.
pub(crate) async fn topics(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let answer = Client::open(args)?.get("/v1/topics").await?;
    if json {
        return out::json(&answer);
    }
    let rows: Vec<Vec<String>> = list(&answer["topics"])
        .map(|t| vec![text(&t["topic"]), text(&t["neighbors"]), text(&t["subscriptions"]), text(&t["cached_messages"])])
        .collect();
    if rows.is_empty() {
        return out::line("no topics yet: take part in one with tidings sub TOPIC");
    }
    out::table(Paint::stdout(), &["TOPIC", "NEIGHBORS", "SUBSCRIPTIONS", "MESSAGES KEPT"], &rows)
}

/// `tidings reconcile`.
pub(crate) async fn reconcile(args: &ReconcileArgs, json: bool) -> Result<(), CliError> {
    let answer = Client::open(&args.data)?.reconcile(&args.topic).await?;
    if json {
        return out::json(&answer);
    }
    let (recovered, peers) = (&answer["messages_recovered"], &answer["peers_contacted"]);
    out::line(&format!(
        "{recovered} messages were missing; compared with {peers} neighbours in {} bytes",
        answer["bytes"]
    ))
}

/// `tidings status`.
pub(crate) async fn status(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let mut answer = Client::open(args)?.get("/v1/status").await?;
    Book::open(args)?.add(&mut answer);
    if json {
        return out::json(&answer);
    }
    let mut rows = Vec::new();
    flatten("", &answer, &mut rows);
    out::table(Paint::stdout(), &["WHAT", "VALUE"], &rows)
}

/// `tidings down`.
pub(crate) async fn down(args: &DataArgs, json: bool) -> Result<(), CliError> {
    let client = Client::open(args)?;
    let pid = client.pid();
    let asked = Instant::now();
    let still = || {
        CliError::Refused(format!("the node has not stopped after {} s: kill {pid} ends it", DOWN_DEADLINE.as_secs()))
    };
    tokio::time::timeout(DOWN_DEADLINE, client.down()).await.map_err(|_| still())??;
    while alive(pid) {
        if asked.elapsed() > DOWN_DEADLINE {
            return Err(still());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if json {
        return out::json(&json!({ "stopped": true, "pid": pid }));
    }
    out::line(&format!("the node on {} has stopped", client.dir().display()))
}

/// Whether the process still runs; one that waits to be reaped does not.
fn alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("stat"));
    !stat.is_ok_and(|s| s.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(s) => out::harmless(s),
        other => other.to_string(),
    }
}

fn short(value: &Value) -> String {
    text(value).chars().take(10).collect()
}

fn joined(value: &Value) -> String {
    let all: Vec<String> = list(value).map(text).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// Turns nested objects into `a.b` and their values.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                flatten(&format!("{prefix}[{i}]"), item, rows);
            }
        }
        Value::Array(_) => rows.push(vec![prefix.to_owned(), joined(value)]),
        other => rows.push(vec![prefix.to_owned(), text(other)]),
    }
}
