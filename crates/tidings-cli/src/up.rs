//! `tidings up`: a node that runs until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::Serialize;
use tidings::{
    Addr, Agent, AgentEvent, Card, CoordinatorMode, JoinTarget, Lan, LanError, Network, PeerAddr, load_config,
    parse_join,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::api;
use crate::args::UpArgs;
use crate::error::CliError;
use crate::events;
use crate::names::Book;
use crate::out::{self, Paint};
use crate::rundir::{ApiFile, data_dir, fresh_token};

#[derive(Serialize)]
struct Ready {
    event: &'static str,
    node_id: String,
    agent_id: String,
    addrs: Vec<String>,
    ticket: String,
    api: String,
    /// There is no dashboard yet.
    dashboard: Option<String>,
}

/// Runs the node.
pub(crate) async fn run(args: &UpArgs, json: bool) -> Result<(), CliError> {
    api::check_address(args.api)?;
    let way_in = WayIn::new(args)?;
    let dir = data_dir(&args.data)?;
    // Before anything is opened, so that no signal finds the node half up.
    let mut stop = Stop::new()?;
    let agent = build(args, way_in.network, &dir).await?;
    let outcome = serve(&agent, (way_in.peers, way_in.cards), args, &dir, &mut stop, json).await;
    // A second signal does not wait for the goodbyes.
    tokio::select! {
        () = agent.shutdown() => outcome,
        why = stop.wait() => Err(CliError::Failed(format!("{why} again: stopped without saying goodbye"))),
    }
}

/// Whom to join, and the network they are in.
struct WayIn {
    network: Option<Network>,
    peers: Vec<PeerAddr>,
    /// Those among them that came by a card: whom to expect.
    cards: Vec<Card>,
}

impl WayIn {
    fn new(args: &UpArgs) -> Result<Self, CliError> {
        let wrong = |option: &str, e: &dyn std::fmt::Display| CliError::Usage(format!("{option}: {e}"));
        let mut network = match &args.network {
            Some(name) => Some(name.parse::<Network>().map_err(|e| wrong("--network", &e))?),
            None => None,
        };
        let (mut peers, mut cards) = (Vec::new(), Vec::new());
        for text in &args.join {
            let target: JoinTarget = parse_join(text).map_err(|e| wrong("--join", &e))?;
            if let Some(theirs) = target.network() {
                if network.as_ref().is_some_and(|ours| ours != theirs) {
                    let why = "the ticket is for another network: leave out --network, or get a ticket of that one";
                    return Err(wrong("--join", &why));
                }
                network = Some(theirs.clone());
            }
            peers.extend_from_slice(target.peers());
            if let JoinTarget::Card(card) = target {
                cards.push(*card);
            }
        }
        Ok(WayIn { network, peers, cards })
    }
}

async fn build(args: &UpArgs, network: Option<Network>, dir: &Path) -> Result<Agent, CliError> {
    let failed = |e: &dyn std::fmt::Display| CliError::Node(e.to_string());
    let mut builder = Agent::builder().data_dir(dir).bind(args.bind).advertise(args.advertise.iter().copied());
    builder = builder
        .findable(!args.hidden)
        .presence(!args.no_presence)
        .serve_index(!args.no_index)
        .outgoing_only(args.outgoing_only);
    if let Some(file) = &args.config {
        builder = builder.config(load_config(file).map_err(|e| failed(&e))?);
    }
    if let Some(network) = network {
        builder = builder.network(network);
    }
    builder.build().await.map_err(|e| failed(&e))
}

async fn serve(
    agent: &Agent,
    (peers, cards): (Vec<PeerAddr>, Vec<Card>),
    args: &UpArgs,
    dir: &Path,
    stop: &mut Stop,
    json: bool,
) -> Result<(), CliError> {
    let (listener, url) = api::listen(args.api).await?;
    let mut events = agent.events();
    if !peers.is_empty() {
        agent.join_network(peers).await.map_err(|e| CliError::Node(e.to_string()))?;
    }
    let mode = match (args.coordinator, args.no_coordinator) {
        (true, _) => CoordinatorMode::Always,
        (_, true) => CoordinatorMode::Never,
        _ => CoordinatorMode::Auto,
    };
    agent.handle().coordinators().set_mode(mode).await.map_err(|e| CliError::Node(e.to_string()))?;
    let _lan = lan(agent, args);
    let file = ApiFile { url, token: fresh_token()?, pid: std::process::id() };
    file.write(dir)?;
    let outcome = async {
        announce(agent, args, &file, dir, json)?;
        let mut asked = open(listener, agent, &file);
        let (paint, book) = (Paint::stdout(), Book::open(&args.data)?);
        loop {
            let why = tokio::select! {
                why = stop.wait() => why,
                // The channel closes only with the API, and then nobody can ask.
                Ok(_) = asked.wait_for(|down| *down) => "asked to stop",
                Some(event) = events.recv() => {
                    meet(&book, &cards, &event, json)?;
                    if !json {
                        tell(paint, &book, &event)?;
                    }
                    continue;
                }
            };
            if !json {
                out::line(&format!("{why}: saying goodbye"))?;
            }
            return Ok(());
        }
    }
    .await;
    file.remove(dir);
    outcome
}

/// The search on the local network, unless nobody there could reach the node or it is not wanted. A node does without.
fn lan(agent: &Agent, args: &UpArgs) -> Option<Lan> {
    if args.no_lan || args.bind.ip().is_loopback() {
        return None;
    }
    match Lan::start(agent) {
        Ok(lan) => Some(lan),
        Err(LanError::Loopback) => None,
        Err(error) => {
            eprintln!("tidings: no search on the local network: {error}");
            None
        }
    }
}

fn open(listener: TcpListener, agent: &Agent, file: &ApiFile) -> watch::Receiver<bool> {
    let (down, asked) = watch::channel(false);
    tokio::spawn(api::serve(listener, agent.clone(), file.token.clone(), down));
    asked
}

fn announce(agent: &Agent, args: &UpArgs, file: &ApiFile, dir: &Path, json: bool) -> Result<(), CliError> {
    let addrs = if args.advertise.is_empty() { reachable(agent.addrs(), args.bind) } else { agent.addrs() };
    let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
    let (node_id, ticket) = (agent.node_id().to_string(), agent.ticket().to_string());
    let agent_id = agent.agent_id().to_string();
    if json {
        let api = file.url.clone();
        return out::json(&Ready { event: "ready", node_id, agent_id, addrs, ticket, api, dashboard: None });
    }
    let paint = Paint::stdout();
    for (name, value) in [
        ("agent", agent_id.as_str()),
        ("node", node_id.as_str()),
        ("addresses", &addrs.join(" ")),
        ("directory", &dir.display().to_string()),
        ("api", &file.url),
        ("ticket", &paint.bold(&ticket)),
    ] {
        out::line(&format!("{} {value}", paint.dim(&format!("{name:<10}"))))?;
    }
    out::line("running: others join with tidings up --join TICKET; Ctrl-C stops")
}

/// Where the node can be reached, from this machine too: bound to all interfaces, it names those others can see.
fn reachable(mut addrs: Vec<Addr>, bind: SocketAddr) -> Vec<Addr> {
    let bound = addrs.iter().find_map(|addr| match addr {
        Addr::Socket(addr) => Some(addr.port()),
        _ => None,
    });
    let port = bound.unwrap_or(bind.port());
    if bind.ip().is_unspecified() && port != 0 {
        let loopback = match bind {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        let here = Addr::Socket(SocketAddr::new(loopback, port));
        if !addrs.contains(&here) {
            addrs.push(here);
        }
    }
    addrs
}

/// Tells people what happens in the network's own overlay; topics would say the same again.
fn tell(paint: Paint, book: &Book, event: &AgentEvent) -> Result<(), CliError> {
    let mut event = serde_json::json!(event);
    book.add(&mut event);
    match event["overlay"].as_str() {
        Some("root") | None => out::line(&events::for_people(paint, &event)),
        Some(_) => Ok(()),
    }
}

/// Says whether a node that was joined by its card is the agent on it, once that is proven.
fn meet(book: &Book, cards: &[Card], event: &AgentEvent, json: bool) -> Result<(), CliError> {
    let AgentEvent::Agent { peer, agent } = event else { return Ok(()) };
    for card in cards.iter().filter(|card| card.node() == *peer) {
        let (node, met) = (peer.to_string(), agent.map(|id| id.to_string()));
        let mut said = serde_json::json!({
            "event": "met", "peer": node, "agent": met, "as_on_the_card": *agent == Some(card.agent),
        });
        book.add(&mut said);
        if json { out::json(&said)? } else { out::line(&events::for_people(Paint::stdout(), &said))? }
    }
    Ok(())
}

/// What ends a node from outside.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|e| CliError::Node(format!("can't listen for signals: {e}")));
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "terminated",
        }
    }
}
