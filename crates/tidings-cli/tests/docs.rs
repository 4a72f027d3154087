//! The documents' commands: each parses, and CI runs what it promises to run.

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The lines of a document's `sh` blocks.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            l if inside && !l.is_empty() => lines.push(l.to_owned()),
            _ => {}
        }
    }
    lines
}

#[test]
fn every_tidings_command_in_the_readme_is_understood() {
    let mut seen = 0;
    for line in commands("README.md") {
        let Some(args) = line.strip_prefix("tidings ") else { continue };
        // What a shell would put in place of a substitution does not matter for parsing.
        let args = args.replace("\"$(tidings ticket --data /tmp/a)\"", "TICKET");
        let args = args.replace("\"$(tidings id --card --data /tmp/a)\"", "CARD").replace('"', "");
        let done = Command::new(env!("CARGO_BIN_EXE_tidings")).args(args.split(' ')).arg("--help").output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} commands were found in the README");
}

#[test]
fn ci_runs_the_two_commands_and_the_shell_session() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    for command in ["cargo run --release -- demo", "cargo test --workspace", ".ci/shells"] {
        assert!(ci.contains(command), ".ci/run does not run {command}");
    }
    let shells = std::fs::read_to_string(root().join(".ci/shells")).unwrap();
    for line in commands("README.md") {
        let mut words = line.split(' ');
        if words.next() == Some("tidings") {
            let verb = words.next().unwrap();
            let run = shells.contains(&format!("tidings {verb} "))
                || (verb == "up" && shells.contains("\"$bin\" up "))
                || ci.contains(&format!("\"$tidings\" {verb} "));
            assert!(run, "CI runs no `tidings {verb}`");
        }
    }
}

#[test]
fn the_architecture_names_every_signal_and_request() {
    let layer = std::fs::read_to_string(root().join("crates/tidings-proto/src/layer.rs")).unwrap();
    let tables = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in ["Signal", "Request"] {
        let body = layer.split(&format!("pub enum {name} {{")).nth(1).unwrap().split("\n}").next().unwrap();
        let variants = body.lines().filter_map(|l| {
            let l = l.strip_prefix("    ")?;
            l.starts_with(|c: char| c.is_ascii_uppercase()).then(|| l.split([' ', '(', ',', '{']).next().unwrap())
        });
        let variants: Vec<&str> = variants.collect();
        assert!(variants.len() >= 2, "{name}: {variants:?}");
        for v in variants {
            assert!(tables.contains(&format!("`{v}")), "ARCHITECTURE.md does not name {name}::{v}");
        }
    }
}
