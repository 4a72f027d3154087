//! The other end of the local API: how a command asks the running node.

use std::path::PathBuf;

use futures_util::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use crate::args::{DataArgs, SubArgs};
use crate::error::{CliError, one_line};
use crate::rundir::{ApiFile, data_dir};

/// A way to the node of one data directory.
pub(crate) struct Client {
    dir: PathBuf,
    api: ApiFile,
    base: Url,
    http: reqwest::Client,
}

impl Client {
    /// Finds the node; it need not answer yet.
    pub(crate) fn open(args: &DataArgs) -> Result<Self, CliError> {
        let dir = data_dir(args)?;
        let api = ApiFile::read(&dir)?.ok_or_else(|| CliError::NotRunning { dir: dir.clone() })?;
        let base = Url::parse(&api.url).map_err(|_| CliError::NotRunning { dir: dir.clone() })?;
        // The client wants a TLS library even where all it speaks is plain HTTP; one set already does as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A proxy from the environment must not get between a command and the node beside it.
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|e| CliError::Node(format!("can't speak HTTP: {}", one_line(&e.to_string()))))?;
        Ok(Client { dir, api, base, http })
    }

    /// The node's process.
    pub(crate) fn pid(&self) -> u32 {
        self.api.pid
    }

    /// The node's directory.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).bearer_auth(&self.api.token)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    fn messages_url(&self, topic: &str) -> Result<Url, CliError> {
        self.topic_url(topic, "messages")
    }

    fn topic_url(&self, topic: &str, what: &str) -> Result<Url, CliError> {
        // URLs swallow these two as path segments, however they are written.
        if matches!(topic, "" | "." | "..") {
            return Err(CliError::Usage(format!("{topic:?} can't be used as a topic here: choose another name")));
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(["v1", "topics", topic, what]);
        }
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let gone = || CliError::NotRunning { dir: self.dir.clone() };
        let response = request.send().await.map_err(|e| if e.is_connect() { gone() } else { CliError::NodeLeft })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // A token this run's node does not know: the file is a dead node's, and its port has found another owner.
        if status == StatusCode::UNAUTHORIZED {
            return Err(gone());
        }
        let body = response.bytes().await.map_err(|_| CliError::NodeLeft)?;
        let said = serde_json::from_slice::<Value>(&body).ok();
        match said.as_ref().and_then(|v| v["error"].as_str()) {
            Some(error) => Err(CliError::Refused(one_line(error))),
            None => Err(gone()),
        }
    }

    async fn value(&self, request: RequestBuilder) -> Result<Value, CliError> {
        let body = self.send(request).await?.bytes().await.map_err(|_| CliError::NodeLeft)?;
        serde_json::from_slice(&body).map_err(|_| CliError::NotRunning { dir: self.dir.clone() })
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.value(self.request(Method::GET, self.url(path))).await
    }

    /// Publishes one message.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        payload: impl Into<reqwest::Body>,
        durable: bool,
    ) -> Result<Value, CliError> {
        let url = self.publish_url(topic, durable)?;
        self.value(self.request(Method::POST, url).body(payload)).await
    }

    fn publish_url(&self, topic: &str, durable: bool) -> Result<Url, CliError> {
        let mut url = self.messages_url(topic)?;
        if durable {
            url.query_pairs_mut().append_pair("durable", "true");
        }
        Ok(url)
    }

    /// Publishes one message of `size` bytes, which is sent to the node as it is read.
    pub(crate) async fn publish_stream(
        &self,
        topic: &str,
        size: u64,
        payload: reqwest::Body,
        durable: bool,
    ) -> Result<Value, CliError> {
        let request = self.request(Method::POST, self.publish_url(topic, durable)?);
        self.value(request.header(reqwest::header::CONTENT_LENGTH, size).body(payload)).await
    }

    /// The content of a large message, as it comes.
    pub(crate) async fn content(&self, id: &str) -> Result<Response, CliError> {
        self.send(self.request(Method::GET, self.url(&format!("/v1/contents/{id}")))).await
    }

    /// Lets an agent publish on a topic for so long.
    pub(crate) async fn grant(&self, topic: &str, agent: &str, life: std::time::Duration) -> Result<Value, CliError> {
        let url = self.topic_url(topic, "capabilities")?;
        let for_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let body = serde_json::json!({ "agent": agent, "for_ms": for_ms }).to_string();
        let request = self.request(Method::POST, url).header(reqwest::header::CONTENT_TYPE, "application/json");
        self.value(request.body(body)).await
    }

    /// Keeps a capability.
    pub(crate) async fn accept(&self, capability: &str) -> Result<Value, CliError> {
        self.value(self.request(Method::POST, self.url("/v1/capabilities")).body(capability.to_owned())).await
    }

    /// Sends a direct message and waits for its receipt.
    pub(crate) async fn send_direct(&self, agent: &str, body: Vec<u8>) -> Result<Value, CliError> {
        let mut url = self.url("/v1/agents");
        url.path_segments_mut()
            .map_err(|()| CliError::Node("the node's API has no address".to_owned()))?
            .extend([agent, "messages"]);
        self.value(self.request(Method::POST, url).body(body)).await
    }

    /// Direct messages that are unread, and those that come.
    pub(crate) async fn inbox(&self, follow: bool) -> Result<Lines, CliError> {
        let mut url = self.url("/v1/inbox");
        url.query_pairs_mut().append_pair("follow", if follow { "true" } else { "false" });
        Ok(Lines::new(self.send(self.request(Method::GET, url)).await?))
    }

    /// One direct message was read.
    pub(crate) async fn mark_read(&self, id: &Value) -> Result<Value, CliError> {
        let body = serde_json::json!({ "ids": [id] });
        self.value(self.request(Method::POST, self.url("/v1/inbox/read")).json(&body)).await
    }

    /// Finds out where an agent is.
    pub(crate) async fn find(&self, agent: &str, how: &str) -> Result<Value, CliError> {
        let mut url = self.url("/v1/find");
        url.path_segments_mut().map_err(|()| CliError::Node("the node's API has no address".to_owned()))?.push(agent);
        url.query_pairs_mut().append_pair("how", how);
        self.value(self.request(Method::GET, url)).await
    }

    /// Compares a topic's log with the neighbours'.
    pub(crate) async fn reconcile(&self, topic: &str) -> Result<Value, CliError> {
        let url = self.topic_url(topic, "reconcile")?;
        self.value(self.request(Method::POST, url)).await
    }

    /// Subscribes; the node listens by the time this returns. `since` is in milliseconds since 1970.
    pub(crate) async fn messages(&self, args: &SubArgs, since: Option<u128>) -> Result<Lines, CliError> {
        let mut url = self.messages_url(&args.topic)?;
        let asked = [
            ("count", args.count.map(|n| n.to_string())),
            ("since", since.map(|ms| ms.to_string())),
            ("last", args.last.map(|n| n.to_string())),
            ("durable", args.durable.then(|| "true".to_owned())),
        ];
        for (name, value) in asked.into_iter().filter_map(|(n, v)| Some((n, v?))) {
            url.query_pairs_mut().append_pair(name, &value);
        }
        let response = self.send(self.request(Method::GET, url)).await?;
        Ok(Lines::new(response))
    }

    /// Who comes and goes from now on.
    pub(crate) async fn presence(&self) -> Result<Lines, CliError> {
        let mut url = self.url("/v1/presence");
        url.query_pairs_mut().append_pair("follow", "true");
        Ok(Lines::new(self.send(self.request(Method::GET, url)).await?))
    }

    /// Tells everybody a status.
    pub(crate) async fn say(&self, status: &str) -> Result<Value, CliError> {
        self.value(self.request(Method::PUT, self.url("/v1/presence")).body(status.to_owned())).await
    }

    /// Certifies that a node of the agent speaks for it no longer.
    pub(crate) async fn revoke(&self, node: &str) -> Result<Value, CliError> {
        self.value(self.request(Method::POST, self.url(&format!("/v1/nodes/{node}/revoke")))).await
    }

    /// What happens to the node from now on.
    pub(crate) async fn events(&self) -> Result<Lines, CliError> {
        let response = self.send(self.request(Method::GET, self.url("/v1/events"))).await?;
        Ok(Lines::new(response))
    }

    /// Asks the node to stop and waits until it no longer holds the connection.
    pub(crate) async fn down(&self) -> Result<(), CliError> {
        let response = self.send(self.request(Method::POST, self.url("/v1/down"))).await?;
        let mut rest = response.bytes_stream();
        // The answer ends, or breaks off, when the process does.
        while let Some(Ok(_)) = rest.next().await {}
        Ok(())
    }
}

/// A streamed answer, line by line.
pub(crate) struct Lines {
    chunks: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<axum::body::Bytes>> + Send>>,
    pending: Vec<u8>,
}

impl Lines {
    fn new(response: Response) -> Self {
        Lines { chunks: Box::pin(response.bytes_stream()), pending: Vec::new() }
    }

    /// The next line that is not empty, and the JSON it holds. The end of the answer, or of its sense, is the node's.
    pub(crate) async fn next_value(&mut self) -> Result<(String, Value), CliError> {
        loop {
            let line = self.next().await.ok_or(CliError::NodeLeft)?;
            if !line.is_empty() {
                let value = serde_json::from_str(&line).map_err(|_| CliError::NodeLeft)?;
                return Ok((line, value));
            }
        }
    }

    /// The next line that is not empty, and the JSON it holds; `None` at the end of the answer.
    pub(crate) async fn value_or_end(&mut self) -> Result<Option<(String, Value)>, CliError> {
        loop {
            let Some(line) = self.next().await else { return Ok(None) };
            if !line.is_empty() {
                let value = serde_json::from_str(&line).map_err(|_| CliError::NodeLeft)?;
                return Ok(Some((line, value)));
            }
        }
    }

    /// The next line, without its line feed; `None` at the end of the answer.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.pending.extend_from_slice(&chunk),
                Some(Err(_)) | None => return None,
            }
        }
    }
}
