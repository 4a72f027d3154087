//! Who is a relay, and why, over the API.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tidings::{NodeId, RuntimeError};

use super::{Refusal, Shared, routes};

fn refuse(e: RuntimeError) -> Refusal {
    routes::refuse(e.into())
}

pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, Refusal> {
    let handle = shared.agent.handle();
    let roles = handle.get_all_role_metrics().await.map_err(refuse)?;
    let own = handle.get_role_metrics(handle.node_id()).await.map_err(refuse)?;
    let role = own.map_or(tidings::roles::PeerRole::Peer, |m| m.role);
    Ok(Json(json!({ "node_id": handle.node_id().to_string(), "role": role, "roles": roles })))
}

pub(super) async fn one(
    State(shared): State<Shared>,
    node: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Path(text) = node.map_err(|e| bad(e.to_string()))?;
    let node: NodeId = text.parse().map_err(|e| bad(format!("{text:?} is no node's id: {e}")))?;
    match shared.agent.handle().get_role_metrics(node).await.map_err(refuse)? {
        Some(metrics) => Ok(Json(json!(metrics))),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("nothing is known of {text} as a relay: it carried nothing for this node, and claims nothing"),
        )),
    }
}
