//! What each request does.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::proto::large::{ContentBuilder, MAX_LARGE};
use tidings::{
    AgentError, CommandError, ContentId, HistoryQuery, Item, Outgoing, PublishError, RuntimeError, SubscribeOptions,
    UnixMillis,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{Refusal, Shared, lines, views};

/// Longest body read at all: one that is too long is read so far, so that the answer is not lost (a guess).
const MAX_DRAINED: usize = 2 * MAX_LARGE;

type Answer = Result<Json<Value>, Refusal>;

pub(super) async fn id(State(shared): State<Shared>) -> Answer {
    Ok(Json(json!({ "node_id": shared.agent.node_id().to_string(), "agent_id": shared.agent.agent_id().to_string() })))
}

pub(super) async fn ticket(State(shared): State<Shared>) -> Answer {
    Ok(Json(json!({ "ticket": shared.agent.ticket().to_string() })))
}

pub(super) async fn coordinators(State(shared): State<Shared>) -> Answer {
    let manager = shared.agent.handle().coordinators();
    let refuse = |error: tidings::RuntimeError| refuse(error.into());
    let known = manager.get_coordinators().await.map_err(refuse)?;
    let confirmed = manager.confirmed_addrs().await.map_err(refuse)?;
    let confirmed: Vec<String> = confirmed.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "coordinators": known, "confirmed_addrs": confirmed })))
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

pub(super) fn topic_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    path.map(|Path(topic)| topic).map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "the topic is not UTF-8: percent-encode its name byte by byte")
    })
}

/// The whole body, hashed as it comes. One that is too long is read to its end all the same, up to a point: an answer
/// sent before that would be lost with the connection.
async fn read(headers: &HeaderMap, body: Body) -> Result<Outgoing, Refusal> {
    let expected = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let mut chunks = body.into_data_stream();
    let (mut message, mut seen) = (Ok(ContentBuilder::new(expected)), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the request's body is cut short"))?;
        seen += chunk.len();
        message = message.and_then(|mut m| m.push(&chunk).map(|()| m));
        if message.is_err() && seen > MAX_DRAINED {
            break;
        }
    }
    message.and_then(ContentBuilder::finish).map_err(|_| {
        let why = format!("the request's body has more than {MAX_LARGE} bytes: send a smaller message");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    })
}

/// What a caller may choose when it publishes.
#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    durable: bool,
}

pub(super) async fn publish(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    choice: Result<Query<Choice>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let topic = topic_of(path)?;
    let Query(choice) = choice.map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "wait and durable are true or false, such as ?wait=true&durable=true")
    })?;
    let message = read(&headers, body).await?;
    let publisher = shared.agent.publisher(&topic).await.map_err(refuse_publish)?;
    let publisher = if choice.durable { publisher.durable() } else { publisher };
    // A queue that is full is the caller's to know, unless it asked to wait.
    let handle = match choice.wait {
        true => publisher.queue_message(message).await,
        false => publisher.try_publish_message(message),
    };
    let handle = handle.map_err(refuse_publish)?;
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
    /// Milliseconds since 1970.
    since: Option<u64>,
    last: Option<usize>,
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
            "count and last are numbers of messages, such as ?count=10, since is in milliseconds since 1970, and durable \
             is true or false",
        )
    })?;
    let permit = stream_permit(&shared)?;
    let since = limits.since.map(UnixMillis);
    let history = (since.is_some() || limits.last.is_some()).then_some(HistoryQuery { since, last: limits.last });
    let options = SubscribeOptions { own: true, history, durable: limits.durable, ..SubscribeOptions::default() };
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

pub(super) async fn reconcile(State(shared): State<Shared>, path: Result<Path<String>, PathRejection>) -> Answer {
    let topic = topic_of(path)?;
    let stats = shared.agent.reconcile(&topic).await.map_err(refuse)?;
    Ok(Json(json!(stats)))
}

pub(super) fn stream_permit(shared: &Shared) -> Result<OwnedSemaphorePermit, Refusal> {
    shared.streams.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open on this node: close one first")
    })
}

/// The content of a large message that the node has, or is getting. If it cannot be had, the answer breaks off.
pub(super) async fn content(
    State(shared): State<Shared>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let id = path.ok().and_then(|Path(id)| id.parse::<ContentId>().ok());
    let id = id.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "a content's id has 64 hexadecimal digits"))?;
    let permit = stream_permit(&shared)?;
    let found = shared.agent.pubsub().content(id).await.map_err(|e| refuse(e.into()))?;
    let Some(large) = found else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "this node does not have that content, or no longer"));
    };
    let size =
        [(header::CONTENT_TYPE, "application/octet-stream".into()), (header::CONTENT_LENGTH, large.size().to_string())];
    let chunks = large.chunks().map(move |chunk| {
        let _held = &permit;
        chunk
    });
    Ok((size, Body::from_stream(chunks)).into_response())
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

pub(super) fn refuse(e: AgentError) -> Refusal {
    let status = match &e {
        AgentError::Runtime(RuntimeError::Topic(_)) => StatusCode::BAD_REQUEST,
        AgentError::Runtime(RuntimeError::Refused(why)) => refused_by_core(why),
        AgentError::NoCard => StatusCode::CONFLICT,
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
        CommandError::PayloadTooLarge { .. }
        | CommandError::HeadersTooLarge { .. }
        | CommandError::TooLargeToStore { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CommandError::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        CommandError::TooManyTopics { .. } | CommandError::TooManyRevoked { .. } | CommandError::NoPresence => {
            StatusCode::CONFLICT
        }
        CommandError::StatusRefused { .. } | CommandError::RevokesItself | CommandError::Capability(_) => {
            StatusCode::BAD_REQUEST
        }
        CommandError::MayNotPublish { .. }
        | CommandError::NotListed { .. }
        | CommandError::NoAgent
        | CommandError::CastOut => StatusCode::FORBIDDEN,
        CommandError::NotStored(_) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
