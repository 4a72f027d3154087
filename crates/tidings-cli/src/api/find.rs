//! Where an agent is, over the API.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{AgentId, RuntimeError};

use super::{Refusal, Shared, routes};

/// By what means to look.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    /// Holders first, then friends of friends.
    #[default]
    Any,
    /// Holders of its shard alone.
    Rendezvous,
    /// Friends of friends alone.
    Foaf,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    how: How,
}

pub(super) async fn find(
    State(shared): State<Shared>,
    agent: Result<Path<String>, PathRejection>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Path(text) = agent.map_err(|e| bad(e.to_string()))?;
    let agent: AgentId = text.parse().map_err(|e| bad(format!("{text:?} is no agent's id: {e}")))?;
    let Query(choice) = choice.map_err(|_| bad("how is any, rendezvous or foaf, such as ?how=foaf".to_owned()))?;
    let handle = shared.agent.handle();
    let found = match choice.how {
        How::Any => handle.find_agent(agent).await,
        How::Rendezvous => handle.rendezvous().lookup(agent).await,
        How::Foaf => handle.discovery().find_agent(agent).await,
    };
    let found = found.map_err(|e: RuntimeError| routes::refuse(e.into()))?;
    Ok(Json(json!({ "agent": agent.to_string(), "found": found.unwrap_or_default() })))
}
