//! `find`: where an agent is.

use std::time::Duration;

use serde_json::Value;

use crate::args::FindAgentArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::names::Book;
use crate::out::{self, Paint};

/// `tidings find`.
pub(crate) async fn run(args: &FindAgentArgs, json: bool) -> Result<(), CliError> {
    let book = Book::open(&args.data)?;
    let agent = book.agent(&args.data, &args.agent).await?.to_string();
    let mut answer = Client::open(&args.data)?.find(&agent, args.how.as_str()).await?;
    book.add(&mut answer);
    let found: Vec<&Value> = answer["found"].as_array().into_iter().flatten().collect();
    if json {
        out::json(&answer)?;
    } else if !found.is_empty() {
        let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
        return out::table(Paint::stdout(), &["NODE", "ADDRESSES", "FOUND BY", "SAID", "HOLDS FOR"], &rows);
    }
    if answer["found"].as_array().is_none_or(Vec::is_empty) {
        return Err(CliError::Refused(
            "not found: nobody that was asked knows the agent; is it up, in this network, and not started with --hidden?"
                .to_owned(),
        ));
    }
    Ok(())
}

fn row(f: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().map_or("-".to_owned(), out::harmless);
    let seconds =
        |v: &Value| humantime::format_duration(Duration::from_secs(v.as_u64().unwrap_or(0) / 1_000)).to_string();
    let addrs: Vec<String> = f["addrs"].as_array().into_iter().flatten().map(text).collect();
    let said = format!("{} ago", seconds(&f["age_ms"]));
    vec![text(&f["node"]), addrs.join(","), text(&f["how"]), said, seconds(&f["expires_in_ms"])]
}
