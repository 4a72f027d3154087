//! Letting others publish, and being let, over the API.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{AgentId, Capability};

use super::{Refusal, Shared, routes};

type Answer = Result<Json<Value>, Refusal>;

#[derive(Deserialize)]
pub(super) struct Grant {
    agent: String,
    for_ms: u64,
}

fn answer(c: &Capability) -> Value {
    json!({
        "topic_id": c.topic().to_string(),
        "owner": c.owner().to_string(),
        "agent": c.agent().to_string(),
        "expires_ms": c.expires().0,
    })
}

/// Lets an agent publish on a topic.
pub(super) async fn grant(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Json<Grant>, JsonRejection>,
) -> Answer {
    let bad = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, why);
    let topic = routes::topic_of(path)?;
    let Json(Grant { agent, for_ms }) =
        body.map_err(|_| bad("the body is JSON, such as {\"agent\":\"64 hexadecimal digits\",\"for_ms\":86400000}"))?;
    let agent: AgentId = agent.parse().map_err(|e: tidings::IdError| bad(&e.to_string()))?;
    let life = Duration::from_millis(for_ms);
    let issued = shared.agent.grant(&topic, agent, life).await.map_err(routes::refuse)?;
    let mut said = answer(&issued);
    said["capability"] = json!(issued.to_string());
    Ok(Json(said))
}

/// The body is a capability this node's agent was given.
pub(super) async fn accept(State(shared): State<Shared>, text: String) -> Answer {
    let capability = Capability::parse(&text).map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, e))?;
    shared.agent.accept(&capability).await.map_err(routes::refuse)?;
    Ok(Json(answer(&capability)))
}
