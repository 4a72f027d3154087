//! The command line explains itself, and says in one line what is wrong with it.

mod common;

use common::tidings;

const COMMANDS: [&str; 13] =
    ["demo", "sim", "up", "id", "name", "ticket", "peers", "topics", "status", "pub", "sub", "events", "down"];

#[test]
fn every_command_has_help_with_an_example_and_takes_json() {
    for command in COMMANDS {
        let help = tidings(&[command, "--help"]);
        assert!(help.ok, "{help:?}");
        let (_, examples) = help.stdout.split_once("Example").unwrap_or_else(|| panic!("{command} has no example"));
        assert!(examples.contains(&format!("tidings {command}")) || command == "ticket", "{command}: {examples}");
        assert!(help.stdout.contains("--json"), "{command}");
    }
}

#[test]
fn the_program_names_all_its_commands_and_its_version() {
    let help = tidings(&["--help"]);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(tidings(&["--version"]).stdout.starts_with("tidings "));
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_2() {
    let nowhere = "/nonexistent/directory";
    for (args, says) in [
        (&["demo", "--nods", "3"][..], "--nods"),
        (&["demo", "--nodes", "1"], "1 is not in 2..=1000"),
        (&["demo", "--messages", "0"], "0 is not in 1..="),
        (&["demo", "--messages", "many"], "many"),
        (&["demo", "--size", "15"], "16 bytes at least"),
        (&["demo", "--size", "67108865"], "67108864 bytes at most"),
        (&["demo", "--rate", "0"], "or max"),
        (&["demo", "--rate", "NaN"], "or max"),
        (&["demo", "--rate", "inf"], "or max"),
        (&["demo", "--publishers", "all"], "one, rotating"),
        (&["up", "--bind", "127.0.0.1"], "--bind"),
        (&["up", "--api", "0.0.0.0:0", "--data", nowhere], "this machine only"),
        (&["up", "--api", "[::]:0", "--data", nowhere], "this machine only"),
        (&["up", "--join", "nonsense", "--data", nowhere], "neither a ticket nor a card nor NODE@ADDR:PORT"),
        (&["up", "--join", "tidings1", "--data", nowhere], "cut short"),
        (&["up", "--join", "tidings1aaaaaaaaaaaaaaaaaaaaaaaa", "--data", nowhere], "altered"),
        (&["up", "--join", "aa@127.0.0.1:1", "--data", nowhere], "64 hexadecimal digits"),
        (&["up", "--join", "tidingscard1aaaaaaaaaaaaaaaa", "--data", nowhere], "altered or cut short"),
        (&["id", "read", "tidings1aaaa"], "a card begins with tidingscard1"),
        (&["id", "read", "tidingscard1aaaa"], "altered or cut short"),
        (&["name", "nobody", "alice", "--data", nowhere], "there is no agent"),
        (&["up", "--network", "", "--data", nowhere], "network"),
        (&["up", "--network", "secret:", "--data", nowhere], "network"),
        (&["pub"], "<TOPIC>"),
        (&["pub", "t"], "<TEXT|->"),
        (&["pub", "t", "a", "--file", "b"], "--file"),
        (&["sub", "t", "--count", "0"], "--count"),
        (&["subscribe", "t"], "subscribe"),
    ] {
        let ended = tidings(args);
        let error = ended.error();
        assert!(error.starts_with("tidings: ") && error.contains(says), "{args:?}: {error}");
        assert_eq!(ended.code, Some(2), "{args:?}");
    }
}

#[test]
fn output_in_a_pipe_has_no_colour() {
    let help = tidings(&["--help"]);
    assert!(!help.stdout.contains('\x1b'));
}
