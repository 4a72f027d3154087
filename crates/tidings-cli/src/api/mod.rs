//! The node's local HTTP API, on loopback, for this machine's user alone.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/id`, `/v1/card`, `/v1/ticket`, `/v1/peers`, `/v1/coordinators`, `/v1/topics`, `/v1/status` | one JSON object |
//! | `POST /v1/topics/{topic}/messages?durable=B&wait=B` | the body, published as it is: `{id, epoch, seq, neighbors}`; durable: once it is on the disk; wait: for room in the queue |
//! | `GET /v1/topics/{topic}/messages?count=N&durable=B` | the topic's messages from now on, one JSON object a line; with `since=MS` or `last=N` its history first; durable: kept on the disk meanwhile |
//! | `POST /v1/topics/{topic}/reconcile` | compares the topic's log with the neighbours': `{messages_recovered, peers_contacted, bytes, rounds}` |
//! | `POST /v1/topics/{topic}/capabilities` | the body `{agent, for_ms}`; lets the agent publish on a topic of this node's agent: `{capability, topic_id, owner, agent, expires_ms}` |
//! | `POST /v1/capabilities` | the body is a capability that this node's agent was given, which publishes by it from now on: `{topic_id, owner, agent, expires_ms}` |
//! | `GET /v1/presence` | who is here: `{agents: [{agent, proven, nodes}], online: [{node, agent, proven, addrs, status, online_ms, seen_ms, expires_in_ms, learned, via}]}`; with `follow=true` who comes and goes from now on, one JSON object a line |
//! | `PUT /v1/presence` | the body is this node's status from now on, one line of text |
//! | `POST /v1/nodes/{node}/revoke` | the agent's certificate of that node of its is revoked for good: `{revoked}` |
//! | `GET /v1/find/{agent}?how=any` | where an agent's nodes are: `{agent, found: [{agent, node, addrs, how, age_ms, expires_in_ms}]}`, the latest word first, none if nobody knows (that takes up to 30 s); how: `any`, `rendezvous`, `foaf` |
//! | `POST /v1/agents/{agent}/messages` | the body, sent to the agent, end to end: `{id, agent, node, via, status, took_ms}` once its receipt is there, `status` being `delivered`; or, if the agent is away, once relays keep it: `relayed`, with `kept_by` and `kept_until`; 504 if there is neither within 30 s |
//! | `GET /v1/inbox` | direct messages that are unread, one JSON object a line: `{id, agent, node, at, received_at, text\|base64}`; with `follow=true` those that come behind them |
//! | `POST /v1/inbox/read` | `{"ids": ["…"]}`: these were read, and are kept no longer |
//! | `GET /v1/roles`, `/v1/roles/{node}` | who carries for others: `{node_id, role, roles}`, the best first, or one of them: the score by what this node saw, its terms, and under `claim` what the node says of itself and how much of it is believed; 404 if nothing is known |
//! | `GET /v1/contents/{id}` | the content of a large message, as it comes |
//! | `GET /v1/events` | what happens to the node from now on, one JSON object a line |
//! | `POST /v1/down` | `{pid}`; the answer ends when the process does |
//!
//! A message over 1 MiB is `"content": {"id", "size"}` in a topic's lines, in the place of `text` or `base64`.
//!
//! The topic is percent-encoded. Every request carries `Authorization: Bearer TOKEN` and a loopback `Host`. Errors are
//! `{"error": "…"}` with a fitting status.

mod capabilities;
mod direct;
mod find;
mod guard;
mod identity;
mod lines;
mod presence;
mod roles;
mod routes;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use serde::Serialize;
use tidings::Agent;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::error::CliError;

/// Most answers streamed at once (a guess: far more than one user's programs hold).
const MAX_STREAMS: usize = 256;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    agent: Agent,
    down: watch::Sender<bool>,
    streams: Arc<Semaphore>,
}

/// A request that is not carried out.
struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn new(status: StatusCode, error: impl ToString) -> Self {
        Refusal { status, error: error.to_string() }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error })).into_response()
    }
}

/// An address the API may listen on.
pub(crate) fn check_address(addr: SocketAddr) -> Result<(), CliError> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the API can't listen on {addr}: it is for this machine only, use --api 127.0.0.1:{}",
        addr.port()
    )))
}

/// Opens the API's socket.
pub(crate) async fn listen(addr: SocketAddr) -> Result<(TcpListener, String), CliError> {
    check_address(addr)?;
    let failed = |e: std::io::Error| CliError::Node(format!("the API can't listen on {addr}: {e}"));
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

fn router(agent: Agent, token: &str, down: watch::Sender<bool>) -> Router {
    let shared = Shared { agent, down, streams: Arc::new(Semaphore::new(MAX_STREAMS)) };
    Router::new()
        .route("/v1/id", get(routes::id))
        .route("/v1/card", get(identity::card))
        .route("/v1/nodes/{node}/revoke", post(identity::revoke))
        .route("/v1/ticket", get(routes::ticket))
        .route("/v1/peers", get(routes::peers))
        .route("/v1/coordinators", get(routes::coordinators))
        .route("/v1/roles", get(roles::list))
        .route("/v1/roles/{node}", get(roles::one))
        .route("/v1/topics", get(routes::topics))
        .route("/v1/status", get(routes::status))
        .route("/v1/find/{agent}", get(find::find))
        .route("/v1/agents/{agent}/messages", post(direct::send))
        .route("/v1/agents/{agent}/told", put(direct::tell))
        .route("/v1/messages/{id}", get(direct::progress))
        .route("/v1/inbox", get(direct::inbox))
        .route("/v1/inbox/read", post(direct::read))
        .route("/v1/presence", get(presence::list).put(presence::say))
        .route("/v1/topics/{topic}/reconcile", post(routes::reconcile))
        .route("/v1/topics/{topic}/capabilities", post(capabilities::grant))
        .route("/v1/capabilities", post(capabilities::accept))
        .route("/v1/topics/{topic}/messages", get(routes::subscribe).post(routes::publish))
        .route("/v1/contents/{id}", get(routes::content))
        .route("/v1/events", get(routes::events))
        .route("/v1/down", axum::routing::post(routes::down))
        .fallback(routes::unknown)
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(middleware::from_fn_with_state(guard::Guard::new(token), guard::check))
        .with_state(shared)
}

/// Answers requests until the process ends. `down` turns true when somebody asks the node to stop.
pub(crate) async fn serve(listener: TcpListener, agent: Agent, token: String, down: watch::Sender<bool>) {
    // Accept errors are retried inside; the future ends only with the runtime.
    if let Err(e) = axum::serve(listener, router(agent, &token, down)).await {
        crate::out::note(&format!("the local API has stopped: {e}"));
    }
}
