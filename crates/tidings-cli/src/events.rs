//! `events`, and what happens to a node in words.

use serde_json::Value;

use crate::args::EventsArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::names::{Book, shown};
use crate::out::{self, Paint};

/// `tidings events`.
pub(crate) async fn follow(args: &EventsArgs, json: bool) -> Result<(), CliError> {
    let (client, book) = (Client::open(&args.data)?, Book::open(&args.data)?);
    let mut lines = client.events().await?;
    out::note("listening to the node's events");
    let paint = Paint::stdout();
    let mut left = args.count;
    while left != Some(0) {
        let (_, mut event) = lines.next_value().await?;
        book.add(&mut event);
        left = left.map(|n| n - 1);
        if json { out::json(&event)? } else { out::line(&for_people(paint, &event))? }
    }
    Ok(())
}

/// An event as people read it.
pub(crate) fn for_people(paint: Paint, event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("?");
    let peer: String = text("peer").chars().take(10).collect();
    let place = match (event["topic"].as_str(), event["overlay"].as_str()) {
        (Some(topic), _) => format!(" in {}", out::harmless(topic)),
        (None, Some("root") | None) => String::new(),
        (None, Some(id)) => format!(" in topic {}", id.chars().take(10).collect::<String>()),
    };
    match text("event") {
        "peer_joined" => format!("{} {peer}{place}", paint.good("+ neighbour")),
        "peer_left" => format!("{} {peer}{place}: {}", paint.bad("- neighbour"), words(&event["reason"])),
        "peer_suspected" => format!("{} {peer}: it does not answer", paint.bad("? neighbour")),
        "peer_recovered" => format!("{} {peer}: it answers again", paint.good("! neighbour")),
        "agent" if event["agent"].is_string() => format!("{} {peer}: agent {}", paint.dim("="), shown(event)),
        "agent" => format!("{} {peer}: it speaks for nobody any more", paint.bad("=")),
        "role_promoted" | "role_demoted" => role(paint, &peer, event),
        "local_role_changed" => {
            let score = event["score"].as_f64().unwrap_or(0.0);
            paint.good(&format!("* this node is a {} now: score {score:.1}", out::harmless(text("role"))))
        }
        "cast_out" => paint.bad("the agent has revoked this node: it speaks for nobody any more"),
        "met" => met(paint, &peer, event),
        "clone_seen" => paint.bad(&format!("{peer} runs twice: its key may have been stolen")),
        "storage_failed" => {
            let error = out::harmless(text("error"));
            paint.bad(&format!("{error}: messages flow on, but a restart may repeat or miss some"))
        }
        "missed" => paint.bad(&format!("{} events missed: they came faster than they were read", event["events"])),
        other => format!("{} {peer}{place}", other.replace('_', " ")),
    }
}

/// Whether somebody is a relay, and who says so.
fn role(paint: Paint, peer: &str, event: &Value) -> String {
    let relay = event["event"] == "role_promoted";
    let is = if relay { "is a relay" } else { "is a relay no longer" };
    let score = event["score"].as_f64().unwrap_or(0.0);
    match event["source"].as_str() {
        Some("claimed") if relay => paint.dim(&format!("* {peer} says that it is a relay: score {score:.1}")),
        Some("claimed") => paint.dim(&format!("* {peer} says no longer that it is a relay")),
        Some("believed") => format!("* {peer} {is}, as others say: {score:.1}"),
        _ => format!("* {peer} {is}: score {score:.1}"),
    }
}

/// Whether a node that was joined by its card is the agent on it.
fn met(paint: Paint, peer: &str, event: &Value) -> String {
    match event["as_on_the_card"].as_bool() {
        Some(true) => format!("{} agent {} on {peer}, as on the card", paint.good("= met"), shown(event)),
        _ => paint.bad(&format!("= {peer} is not the agent on its card: do not take it for that one")),
    }
}

/// Why a neighbour is one no longer: the names of the reasons, as words.
fn words(reason: &Value) -> String {
    let name = match reason {
        Value::Object(link) => link.values().filter_map(Value::as_str).collect(),
        Value::String(name) => name.clone(),
        _ => String::new(),
    };
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_in_words() {
        let told = |event: Value| for_people(Paint::plain(), &event);
        let peer = "0123456789abcdef";
        let joined = json!({ "event": "peer_joined", "peer": peer, "overlay": "root" });
        assert_eq!(told(joined), "+ neighbour 0123456789");
        let left = json!({ "event": "peer_left", "peer": peer, "overlay": "ff", "topic": "news", "reason": { "link": "wrong_peer" } });
        assert_eq!(told(left), "- neighbour 0123456789 in news: wrong peer");
        let role =
            |event: &str, source: &str| told(json!({ "event": event, "peer": peer, "score": 12.34, "source": source }));
        assert_eq!(role("role_promoted", "judged"), "* 0123456789 is a relay: score 12.3");
        assert_eq!(role("role_promoted", "claimed"), "* 0123456789 says that it is a relay: score 12.3");
        assert_eq!(role("role_demoted", "believed"), "* 0123456789 is a relay no longer, as others say: 12.3");
        let unknown = json!({ "event": "something_new", "peer": peer });
        assert_eq!(told(unknown), "something new 0123456789");
    }
}
