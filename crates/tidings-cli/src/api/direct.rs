//! Direct messages, over the API.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{AgentId, CommandError, DirectMessage, EnvelopeId, SendError};

use super::{Refusal, Shared, lines, routes};

pub(super) async fn send(
    State(shared): State<Shared>,
    agent: Result<Path<String>, PathRejection>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Path(text) = agent.map_err(|e| bad(e.to_string()))?;
    let agent: AgentId = text.parse().map_err(|e| bad(format!("{text:?} is no agent's id: {e}")))?;
    let sent = shared.agent.send(agent, body).await.map_err(refuse)?;
    let mut answer = json!(sent);
    answer["status"] = if sent.kept.is_none() { "delivered" } else { "relayed" }.into();
    answer["agent"] = agent.to_string().into();
    Ok(Json(answer))
}

fn refuse(error: SendError) -> Refusal {
    let status = match &error {
        SendError::NotFound | SendError::Refused(CommandError::NoCertificate) => StatusCode::NOT_FOUND,
        SendError::Refused(CommandError::PayloadTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        SendError::Refused(CommandError::QueueFull { .. }) => StatusCode::TOO_MANY_REQUESTS,
        SendError::Refused(CommandError::ToOneself) => StatusCode::BAD_REQUEST,
        SendError::Refused(CommandError::NoReceipt) => StatusCode::GATEWAY_TIMEOUT,
        SendError::Refused(_) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error)
}

/// How far a message of this node's has come.
pub(super) async fn progress(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Path(text) = id.map_err(|e| bad(e.to_string()))?;
    let id: EnvelopeId = text.parse().map_err(|e| bad(format!("{text:?} is no message's id: {e}")))?;
    let progress = shared.agent.messaging().progress(id).await.map_err(|e| routes::refuse(e.into()))?;
    match progress {
        Some(p) => Ok(Json(json!(p))),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "no such message is remembered".to_owned())),
    }
}

#[derive(Deserialize)]
pub(super) struct Tell {
    read: bool,
}

/// Whether an agent is told which of its messages were read.
pub(super) async fn tell(
    State(shared): State<Shared>,
    agent: Result<Path<String>, PathRejection>,
    tell: Result<Json<Tell>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Path(text) = agent.map_err(|e| bad(e.to_string()))?;
    let agent: AgentId = text.parse().map_err(|e| bad(format!("{text:?} is no agent's id: {e}")))?;
    let Json(tell) = tell.map_err(|_| bad("the body is {\"read\": true} or {\"read\": false}".to_owned()))?;
    shared.agent.messaging().tell_read(agent, tell.read).await.map_err(|e| routes::refuse(e.into()))?;
    Ok(Json(json!({ "agent": agent.to_string(), "read": tell.read })))
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    follow: bool,
}

/// What is unread, one JSON object a line; with `follow` what comes from now on behind it.
pub(super) async fn inbox(
    State(shared): State<Shared>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(choice) =
        choice.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "follow is true or false, such as ?follow=true"))?;
    let messaging = shared.agent.messaging();
    let failed = |e: tidings::RuntimeError| routes::refuse(e.into());
    // Listening first: what comes meanwhile is in both, and said once.
    let permit = choice.follow.then(|| routes::stream_permit(&shared)).transpose()?;
    let coming = messaging.subscribe().map_err(failed)?;
    let unread = messaging.inbox().await.map_err(failed)?;
    let said: Vec<EnvelopeId> = unread.iter().map(|m| m.id).collect();
    let first = stream::iter(unread.into_iter().map(|m| Ok::<_, Infallible>(Bytes::from(line(&m)))));
    let then = stream::unfold((coming, permit, said), |(mut coming, permit, said)| async {
        permit.as_ref()?;
        loop {
            let m = coming.recv().await?;
            if !said.contains(&m.id) {
                return Some((Ok::<_, Infallible>(Bytes::from(line(&m))), (coming, permit, said)));
            }
        }
    });
    let lines = futures_util::StreamExt::chain(first, then);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn line(m: &DirectMessage) -> String {
    let mut line = json!(m);
    let content = json!(lines::content(&m.payload));
    if let (Value::Object(line), Value::Object(content)) = (&mut line, content) {
        line.extend(content);
    }
    format!("{line}\n")
}

#[derive(Deserialize)]
pub(super) struct Read {
    ids: Vec<String>,
}

/// These were read.
pub(super) async fn read(
    State(shared): State<Shared>,
    read: Result<Json<Read>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Json(read) = read.map_err(|_| bad("the body is {\"ids\": [\"…\"]}".to_owned()))?;
    let ids: Result<Vec<EnvelopeId>, _> = read.ids.iter().map(|id| id.parse()).collect();
    let ids = ids.map_err(|e: tidings::IdError| bad(format!("not a message's id: {e}")))?;
    let count = ids.len();
    shared.agent.messaging().mark_read(ids).await.map_err(|e| routes::refuse(e.into()))?;
    Ok(Json(json!({ "read": count })))
}
