//! What each request does.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{AgentError, CommandError, Item, PublishError, RuntimeError, SubscribeOptions};
use tokio::sync::OwnedSemaphorePermit;

use super::{Refusal, Shared, lines, views};

/// Longest body read before it is judged (a guess: a request this long is a mistake, not a message).
const MAX_BODY: usize = 8 << 20;
/// Longest body read at all (a guess).
const MAX_DRAINED: usize = 64 << 20;

type Answer = Result<Json<Value>, Refusal>;

pub(super) async fn id(State(shared): State<Shared>) -> Answer {
    Ok(Json(json!({ "node_id": shared.agent.node_id().to_string(), "agent_id": null })))
}

pub(super) async fn ticket(State(shared): State<Shared>) -> Answer {
    Ok(Json(json!({ "ticket": shared.agent.ticket().to_string() })))
}

pub(super) async fn peers(State(shared): State<Shared>) -> Answer {
    let topics = shared.agent.topics().await.map_err(refuse)?;
    let peers = shared.agent.peers().await.map_err(refuse)?;
    let peers: Vec<Value> = peers.iter().map(|peer| views::peer(peer, &topics)).collect();
    Ok(Json(json!({ "peers": peers })))
}

pub(super) async fn topics(State(shared): State<Shared>) -> Answer {
    let topics = shared.agent.topics().await.map_err(refuse)?;
    let topics: Vec<Value> = topics.iter().map(views::topic).collect();
    Ok(Json(json!({ "topics": topics })))
}

pub(super) async fn status(State(shared): State<Shared>) -> Answer {
    let status = shared.agent.status().await.map_err(refuse)?;
    Ok(Json(json!(status)))
}

fn topic_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    path.map(|Path(topic)| topic).map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "the topic is not UTF-8: percent-encode its name byte by byte")
    })
}

/// The whole body. One that is too long is read to its end all the same, up to a point: an answer sent before that
/// would be lost with the connection.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the request's body is cut short"))?;
        seen += chunk.len();
        if seen <= MAX_BODY {
            kept.extend_from_slice(&chunk);
        } else if seen > MAX_DRAINED {
            break;
        }
    }
    if seen > MAX_BODY {
        let why = format!("the request's body is longer than {MAX_BODY} bytes: send a smaller message");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(kept.into())
}

#[derive(Deserialize)]
pub(super) struct HowToPublish {
    #[serde(default)]
    durable: bool,
}

pub(super) async fn publish(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    how: Result<Query<HowToPublish>, QueryRejection>,
    body: Body,
) -> Answer {
    let topic = topic_of(path)?;
    let Query(how) =
        how.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "durable is true or false, such as ?durable=true"))?;
    let payload = read(body).await?;
    // A queue that is full is the caller's to know: waiting here would only hide it.
    let publisher = shared.agent.publisher(&topic).await.map_err(refuse_publish)?;
    let publisher = if how.durable { publisher.durable() } else { publisher };
    let handle = publisher.try_publish(payload).map_err(refuse_publish)?;
    let published = handle.await.map_err(refuse_publish)?;
    Ok(Json(json!({
        "id": published.id.to_string(),
        "epoch": published.epoch,
        "seq": published.seq,
        "neighbors": published.neighbors,
    })))
}

#[derive(Deserialize)]
pub(super) struct Limits {
    count: Option<u64>,
    #[serde(default)]
    durable: bool,
}

pub(super) async fn subscribe(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    limits: Result<Query<Limits>, QueryRejection>,
) -> Result<Response, Refusal> {
    let topic = topic_of(path)?;
    let Query(limits) = limits.map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "count is a number of messages, such as ?count=10, durable is true or false",
        )
    })?;
    let permit = stream_permit(&shared)?;
    let options = SubscribeOptions { own: true, durable: limits.durable, ..SubscribeOptions::default() };
    let subscription = shared.agent.subscribe_with(&topic, options).await.map_err(refuse)?;
    let left = limits.count.unwrap_or(u64::MAX);
    let lines = stream::unfold((subscription, left, permit), move |(mut subscription, left, permit)| {
        let topic = topic.clone();
        async move {
            if left == 0 {
                return None;
            }
            let item = subscription.recv().await?;
            let left = left - u64::from(matches!(item, Item::Message(_)));
            let line = lines::of(&topic, &item).unwrap_or_default();
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (subscription, left, permit)))
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn stream_permit(shared: &Shared) -> Result<OwnedSemaphorePermit, Refusal> {
    shared.streams.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open on this node: close one first")
    })
}

pub(super) async fn events(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let permit = stream_permit(&shared)?;
    let lines = stream::unfold((shared.agent.events(), shared.agent, permit), |(mut events, agent, permit)| async {
        let event = events.recv().await?;
        // The names change with the topics: asked for each time.
        let topics = agent.topics().await.unwrap_or_default();
        let line = format!("{}\n", views::event(&event, &topics));
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (events, agent, permit)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

pub(super) async fn down(State(shared): State<Shared>) -> Response {
    shared.down.send_replace(true);
    let first = format!("{}\n", json!({ "pid": std::process::id() }));
    // The rest never comes: the connection ends with the process, and whoever asked can wait for that.
    let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(first))]).chain(stream::pending());
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

pub(super) async fn unknown(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {} here", uri.path()))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

fn refuse(e: AgentError) -> Refusal {
    let status = match &e {
        AgentError::Runtime(RuntimeError::Topic(_)) => StatusCode::BAD_REQUEST,
        AgentError::Runtime(RuntimeError::Refused(why)) => refused_by_core(why),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, e)
}

fn refuse_publish(e: PublishError) -> Refusal {
    let status = match &e {
        PublishError::Topic(_) => StatusCode::BAD_REQUEST,
        PublishError::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        PublishError::Refused(why) => refused_by_core(why),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, e)
}

fn refused_by_core(e: &CommandError) -> StatusCode {
    match e {
        CommandError::PayloadTooLarge { .. } | CommandError::HeadersTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CommandError::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        CommandError::TooManyTopics { .. } => StatusCode::CONFLICT,
        CommandError::NotStored(_) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
