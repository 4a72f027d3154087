//! Peers and topics as the API shows them: with names where the node knows them.

use serde_json::{Value, json};
use tidings::proto::topology::PeerState;
use tidings::{AgentEvent, Overlay, PeerInfo, TopicStatus};

/// A topic: its name as `topic` (its id, if the node does not know the name), its id as `topic_id`.
pub(super) fn topic(status: &TopicStatus) -> Value {
    let mut shown = json!(status);
    if let Value::Object(fields) = &mut shown {
        let name = fields.remove("name").filter(Value::is_string);
        if let Some(id) = fields.remove("topic") {
            fields.insert("topic".to_owned(), name.unwrap_or_else(|| id.clone()));
            fields.insert("topic_id".to_owned(), id);
        }
    }
    shown
}

/// A peer: `state` is `neighbor`, `suspected` (a neighbour that does not answer), `linked` or `known`; `topics` those it is a neighbour in.
pub(super) fn peer(info: &PeerInfo, topics: &[TopicStatus]) -> Value {
    let mut shown = json!(info);
    let name = |overlay: &Overlay| match overlay {
        Overlay::Root => None,
        Overlay::Topic(id) => Some(name_of(&id.to_string(), topics).unwrap_or_else(|| id.to_string())),
    };
    let state = match (info.active_in.is_empty(), info.linked) {
        (false, _) if info.state == PeerState::Suspected => "suspected",
        (false, _) => "neighbor",
        (true, true) => "linked",
        (true, false) => "known",
    };
    if let Value::Object(fields) = &mut shown {
        let topics: Vec<String> = info.active_in.iter().filter_map(name).collect();
        fields.insert("topics".to_owned(), json!(topics));
        fields.insert("state".to_owned(), json!(state));
    }
    shown
}

/// An event, with the name of its topic as `topic` where the node knows it.
pub(super) fn event(event: &AgentEvent, topics: &[TopicStatus]) -> Value {
    let mut shown = json!(event);
    if let Value::Object(fields) = &mut shown {
        let name = fields.get("overlay").and_then(Value::as_str).and_then(|id| name_of(id, topics));
        if let Some(name) = name {
            fields.insert("topic".to_owned(), json!(name));
        }
    }
    shown
}

/// The name of the topic with this id, if the node knows it.
fn name_of(id: &str, topics: &[TopicStatus]) -> Option<String> {
    let topic = topics.iter().find(|t| t.info.topic.to_string() == id)?;
    topic.name.as_deref().map(str::to_owned)
}
