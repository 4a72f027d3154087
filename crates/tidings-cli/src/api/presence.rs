//! Who is here, over the API.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{OnlineAgent, PresenceInfo};

use super::{Refusal, Shared, routes};

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    follow: bool,
}

/// Who is here, or who comes and goes from now on.
pub(super) async fn list(
    State(shared): State<Shared>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(choice) =
        choice.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "follow is true or false, such as ?follow=true"))?;
    let presence = shared.agent.presence();
    if !choice.follow {
        let agents = presence.get_online_agents().await.map_err(|e| routes::refuse(e.into()))?;
        return Ok(Json(listed(agents)).into_response());
    }
    let permit = routes::stream_permit(&shared)?;
    let events = presence.subscribe_presence().map_err(|e| routes::refuse(e.into()))?;
    let lines = stream::unfold((events, permit), |(mut events, permit)| async {
        let event = events.recv().await?;
        let line = format!("{}\n", json!(event));
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (events, permit)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// This node's status from now on.
pub(super) async fn say(State(shared): State<Shared>, status: String) -> Result<Json<Value>, Refusal> {
    shared.agent.presence().broadcast_presence(&status).await.map_err(|e| routes::refuse(e.into()))?;
    Ok(Json(json!({ "status": status })))
}

/// The agents that are here, each with its nodes' ids, and the nodes.
fn listed(agents: Vec<OnlineAgent>) -> Value {
    let short = |a: &OnlineAgent| {
        let nodes: Vec<String> = a.nodes.iter().map(|n| n.node.to_string()).collect();
        json!({ "agent": a.agent.map(|a| a.to_string()), "proven": a.proven, "nodes": nodes })
    };
    let by_agent: Vec<Value> = agents.iter().map(short).collect();
    let online: Vec<PresenceInfo> = agents.into_iter().flat_map(|a| a.nodes).collect();
    json!({ "agents": by_agent, "online": online })
}
