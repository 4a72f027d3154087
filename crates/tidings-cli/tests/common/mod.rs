//! Runs the real binary: commands that must end in time, and nodes that are killed when a test ends.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod proxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing in these tests may take longer; far more than a loaded machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command
        .args(args)
        .env_remove("TIDINGS_DATA")
        .env_remove("TIDINGS_LOG")
        .env_remove("TIDINGS_PASSPHRASE")
        .env("RUST_BACKTRACE", "0");
    command
}

/// What a command that has ended said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ok: bool,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The one JSON object of a command that succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(self.ok, "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The one line of a command that failed.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        assert!(!self.ok, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.stderr.trim_end()
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn tidings(args: &[&str]) -> Ended {
    tidings_with(args, b"")
}

/// Runs a command to its end, with `input` on its standard input.
#[track_caller]
pub(crate) fn tidings_with(args: &[&str], input: &[u8]) -> Ended {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The command need not read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let pid = child.id();
    let (done, ended) = channel();
    thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    match ended.recv_timeout(DEADLINE) {
        Ok(output) => Ended::new(output),
        Err(_) => {
            signal(pid, rustix::process::Signal::KILL);
            panic!("tidings {args:?} does not end");
        }
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may be gone.
    let _ = rustix::process::kill_process(pid, signal);
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if line.is_err() || send.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receive
}

/// A command that goes on, killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Receiver<String>,
    pub(crate) stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child =
            command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    /// The next line of its output, as JSON.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        match self.stdout.recv_timeout(DEADLINE) {
            Ok(line) => serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}")),
            Err(RecvTimeoutError::Timeout) => panic!("nothing comes"),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("it ended: {:?}", self.stderr.try_iter().collect::<Vec<_>>())
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, which: rustix::process::Signal) {
        signal(self.child.id(), which);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::yield_now();
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node on loopback.
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) ready: Value,
    pub(crate) process: Running,
}

impl Node {
    /// Starts a node on `dir` and waits until it is ready.
    #[track_caller]
    pub(crate) fn up(dir: &Path, more: &[&str]) -> Self {
        let dir_text = dir.to_str().unwrap();
        let bind: &[&str] = if more.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        let mut process = Running::start(&[&["up", "--json", "--data", dir_text], bind, more].concat());
        let ready = process.next();
        assert_eq!(ready["event"], "ready");
        Node { dir: dir.to_owned(), ready, process }
    }

    pub(crate) fn ticket(&self) -> &str {
        self.ready["ticket"].as_str().unwrap()
    }

    /// Runs a command that speaks to this node.
    #[track_caller]
    pub(crate) fn ask(&self, args: &[&str]) -> Ended {
        tidings(&[args, &["--data", self.dir.to_str().unwrap()]].concat())
    }

    /// Publishes a text.
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, text: &str) -> Value {
        self.ask(&["pub", topic, text, "--json"]).json()
    }

    /// Subscribes, and returns once the node listens.
    #[track_caller]
    pub(crate) fn subscribe(&self, topic: &str) -> Running {
        let running = Running::start(&["sub", topic, "--json", "--data", self.dir.to_str().unwrap()]);
        let said = running.stderr.recv_timeout(DEADLINE).unwrap();
        assert_eq!(said, format!("listening on {topic}"));
        running
    }

    /// Waits until the node has `n` neighbours in the topic.
    #[track_caller]
    pub(crate) fn wait_for_neighbors(&self, topic: &str, n: u64) {
        self.wait_for(topic, "neighbors", n);
    }

    /// Waits until a figure of the topic is `n` at least.
    #[track_caller]
    pub(crate) fn wait_for(&self, topic: &str, figure: &str, n: u64) {
        let start = Instant::now();
        loop {
            let topics = self.ask(&["topics", "--json"]).json();
            let entry = topics["topics"].as_array().unwrap().iter().find(|t| t["topic"] == topic).cloned();
            if entry.as_ref().is_some_and(|t| t[figure].as_u64() >= Some(n)) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{figure} of {topic} stays below {n}: {topics}");
        }
    }

    /// Kills the process as a power cut would, and returns its directory.
    pub(crate) fn kill(mut self) -> PathBuf {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.ended();
        self.dir.clone()
    }

    /// Ends the process as a user does, and returns its directory.
    pub(crate) fn quit(mut self) -> PathBuf {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.ended();
        self.dir.clone()
    }

    /// `(url without scheme, token)` from `api.json`.
    pub(crate) fn api(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.dir.join("api.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let url = file["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        (url, file["token"].as_str().unwrap().to_owned())
    }
}
