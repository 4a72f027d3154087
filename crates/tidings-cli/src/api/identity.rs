//! Whose the node is, over the API.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tidings::NodeId;

use super::{Refusal, Shared, routes};

/// A card to hand to others.
pub(super) async fn card(State(shared): State<Shared>) -> Result<Json<Value>, Refusal> {
    let agent = &shared.agent;
    let card = agent.card().await.map_err(routes::refuse)?;
    let (node_id, agent_id) = (agent.node_id().to_string(), agent.agent_id().to_string());
    Ok(Json(json!({ "card": card, "node_id": node_id, "agent_id": agent_id })))
}

/// The agent has another of its nodes no longer.
pub(super) async fn revoke(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let node = path.ok().and_then(|Path(id)| id.parse::<NodeId>().ok());
    let node = node.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "a node's id has 64 hexadecimal digits"))?;
    shared.agent.revoke_node(node).await.map_err(routes::refuse)?;
    Ok(Json(json!({ "revoked": node.to_string() })))
}
