//! What a subscriber sees, as JSON lines.

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::json;
use tidings::Item;

#[derive(Serialize)]
struct MessageLine<'a> {
    topic: &'a str,
    author: String,
    /// The agent the node speaks for, if that is proven.
    agent: Option<String>,
    epoch: u64,
    seq: u64,
    id: String,
    at: u64,
    late: bool,
    history: bool,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content<'a> {
    Text(&'a str),
    Base64(String),
    /// A large message: where its content is, and how long.
    #[serde(rename = "content")]
    Apart {
        id: String,
        size: usize,
    },
}

pub(super) fn content(payload: &[u8]) -> Content<'_> {
    match std::str::from_utf8(payload) {
        Ok(text) => Content::Text(text),
        Err(_) => Content::Base64(BASE64.encode(payload)),
    }
}

/// The line for one item, line feed included; `None` for items this version does not know.
pub(super) fn of(topic: &str, item: &Item) -> Option<String> {
    let mut line = match item {
        Item::Message(m) => serde_json::to_string(&MessageLine {
            topic,
            author: m.author.to_string(),
            agent: m.agent.map(|id| id.to_string()),
            epoch: m.epoch,
            seq: m.seq,
            id: m.id().to_string(),
            at: m.at.0,
            late: m.late,
            history: m.history,
            content: match &m.large {
                Some(large) => Content::Apart { id: large.id().to_string(), size: large.size() },
                None => content(&m.payload),
            },
        })
        .ok()?,
        Item::Gap { author, epoch, from, to } => {
            json!({ "gap": { "author": author.to_string(), "epoch": epoch, "from": from, "to": to } }).to_string()
        }
        Item::Unavailable { author, epoch, seq, size } => {
            let what = json!({ "author": author.to_string(), "epoch": epoch, "seq": seq, "size": size });
            json!({ "unavailable": what }).to_string()
        }
        Item::Lagged { missed } => json!({ "lagged": missed }).to_string(),
        _ => return None,
    };
    line.push('\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_the_rest_is_base64() {
        let shown = |payload: &[u8]| serde_json::to_value(content(payload)).unwrap();
        assert_eq!(shown("höhe".as_bytes()), json!({ "text": "höhe" }));
        assert_eq!(shown(b""), json!({ "text": "" }));
        assert_eq!(shown(&[0xff, 0x00]), json!({ "base64": "/wA=" }));
    }
}
