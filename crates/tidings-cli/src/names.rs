//! `name`, and names wherever an agent is printed or meant.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidings::{AgentId, NameError, Names, read_card};

use crate::args::{DataArgs, NameArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::out::{self, Paint};
use crate::rundir::data_dir;

/// How many digits of an id are shown, and stand for it if they are enough to tell.
const SHORT: usize = 10;

/// The names that this machine's user has given.
pub(crate) struct Book {
    dir: PathBuf,
    names: Names,
}

impl Book {
    /// Those of the node's directory.
    pub(crate) fn open(data: &DataArgs) -> Result<Book, CliError> {
        let dir = data_dir(data)?;
        let names = Names::load(&dir).map_err(|e| CliError::Node(e.to_string()))?;
        Ok(Book { dir, names })
    }

    /// Puts `agent_name` beside each `agent` or `agent_id` that has a name, however deep.
    pub(crate) fn add(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let agent = ["agent", "agent_id"].iter().find_map(|key| fields.get(*key)?.as_str()?.parse().ok());
                if let Some(name) = agent.and_then(|id: AgentId| self.names.of(&id)) {
                    fields.insert("agent_name".to_owned(), json!(name));
                }
                fields.values_mut().for_each(|v| self.add(v));
            }
            Value::Array(items) => items.iter_mut().for_each(|v| self.add(v)),
            _ => {}
        }
    }

    /// The agent that is meant: by an id, a name, a card, or enough of an id that the running node has heard of.
    pub(crate) async fn agent(&self, data: &DataArgs, text: &str) -> Result<AgentId, CliError> {
        if let Some(agent) = self.names.find(text) {
            return Ok(agent);
        }
        if let Ok(agent) = text.parse() {
            return Ok(agent);
        }
        if text.to_ascii_lowercase().starts_with("tidingscard") {
            return read_card(text).map(|card| card.agent).map_err(|e| CliError::Usage(e.to_string()));
        }
        let found = beginning(data, text, "agent").await?;
        found.parse().map_err(|_| unknown(text, "agent"))
    }
}

fn unknown(text: &str, what: &str) -> CliError {
    let text = out::harmless(text);
    let names = if what == "agent" { ", a name (tidings name lists them), a card" } else { "" };
    CliError::Usage(format!(
        "there is no {what} {text:?} here: give its id{names}, or the first {SHORT} digits of one that tidings presence shows"
    ))
}

/// The one id, of agents or of nodes, that begins so, among those the running node knows to be here.
pub(crate) async fn beginning(data: &DataArgs, text: &str, what: &str) -> Result<String, CliError> {
    let text = text.to_ascii_lowercase();
    if text.len() < SHORT || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown(&text, what));
    }
    let client = Client::open(data)?;
    let (online, peers) = (client.get("/v1/presence").await?, client.get("/v1/peers").await?);
    let listed = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let all = [listed(&online["online"]), listed(&peers["peers"])].concat();
    let ids = all.iter().flat_map(|entry| [&entry[what], if what == "node" { &entry["id"] } else { &Value::Null }]);
    let mut found: Vec<&str> = ids.filter_map(Value::as_str).filter(|id| id.starts_with(&text)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Ok(one.to_owned()),
        [] => Err(unknown(&text, what)),
        _ => Err(CliError::Usage(format!("more than one {what} begins with {text}: give more digits"))),
    }
}

/// An agent as people read it: its name, or the beginning of its id.
pub(crate) fn shown(value: &Value) -> String {
    let text = |key: &str| value[key].as_str().map(out::harmless);
    text("agent_name")
        .or_else(|| text("agent").map(|id| id.chars().take(SHORT).collect()))
        .unwrap_or_else(|| "-".to_owned())
}

/// `tidings name`.
pub(crate) async fn run(args: &NameArgs, json: bool) -> Result<(), CliError> {
    let book = Book::open(&args.data)?;
    match (&args.agent, &args.name) {
        (None, _) => list(&book, json),
        (Some(agent), Some(name)) => {
            let id = book.agent(&args.data, agent).await?;
            Names::change(&book.dir, |names| names.set(id, name)).map_err(refused)?;
            if json {
                return out::json(&json!({ "agent": id.to_string(), "agent_name": name }));
            }
            out::line(&format!("{} is {name} from now on", id.short()))
        }
        (Some(agent), None) if args.remove => {
            let id = book.agent(&args.data, agent).await?;
            let removed = Names::change(&book.dir, |names| Ok(names.remove(&id))).map_err(refused)?;
            let Some(name) = removed else {
                return Err(CliError::Node(format!("{} has no name", id.short())));
            };
            if json {
                return out::json(&json!({ "agent": id.to_string(), "removed": name }));
            }
            out::line(&format!("{} is {name} no longer", id.short()))
        }
        (Some(agent), None) => {
            let id = book.agent(&args.data, agent).await?;
            let name = book.names.of(&id);
            if json {
                return out::json(&json!({ "agent": id.to_string(), "agent_name": name }));
            }
            out::line(&format!("{id} {}", name.unwrap_or("-")))
        }
    }
}

fn list(book: &Book, json: bool) -> Result<(), CliError> {
    if json {
        let names: Vec<Value> =
            book.names.iter().map(|(agent, name)| json!({ "agent": agent.to_string(), "agent_name": name })).collect();
        return out::json(&json!({ "names": names }));
    }
    let rows: Vec<Vec<String>> =
        book.names.iter().map(|(agent, name)| vec![name.to_owned(), agent.to_string()]).collect();
    if rows.is_empty() {
        return out::line("no names yet: give one with tidings name AGENT NAME");
    }
    out::table(Paint::stdout(), &["NAME", "AGENT"], &rows)
}

fn refused(e: NameError) -> CliError {
    match e {
        NameError::File(e) => CliError::Node(e.to_string()),
        other => CliError::Usage(other.to_string()),
    }
}
