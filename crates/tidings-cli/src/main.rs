//! The `tidings` command: nodes, what they say to each other, and how they fare in simulation.

mod api;
mod args;
mod client;
mod commands;
mod demo;
mod direct;
mod error;
mod events;
mod find;
mod id;
mod names;
mod out;
mod policy;
mod presence;
mod roles;
mod rundir;
mod save;
mod sim;
mod talk;
mod up;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime;

use crate::args::{Cli, Command};
use crate::error::{CliError, one_line};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return command_line(&e),
    };
    // Where nobody asked for a log, errors alone are shown.
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDINGS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(e) => {
            out::note(&format!("tidings: {}", one_line(&e.to_string())));
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), CliError> {
    let json = cli.json;
    let mut runtime = match cli.command {
        Command::Demo(_) | Command::Up(_) => runtime::Builder::new_multi_thread(),
        _ => runtime::Builder::new_current_thread(),
    };
    if let Command::Demo(_) = cli.command
        && let Ok(cores) = std::thread::available_parallelism()
    {
        // Many nodes in one process: with one thread more than cores a message need not wait for a thread that waits
        // for the system (a fifth off the median latency, a twentieth more processor time).
        runtime.worker_threads(cores.get() + 1);
    }
    let runtime = runtime.enable_all().build().map_err(|e| CliError::Node(format!("can't start: {e}")))?;
    runtime.block_on(async {
        match &cli.command {
            Command::Demo(args) => demo::run(args, json).await,
            Command::Up(args) => up::run(args, json).await,
            Command::Id(args) => id::run(args, json).await,
            Command::Name(args) => names::run(args, json).await,
            Command::Topic(args) => policy::topic(args, json),
            Command::Grant(args) => policy::grant(args, json).await,
            Command::Accept(args) => policy::accept(args, json).await,
            Command::Ticket(args) => commands::ticket(args, json).await,
            Command::Send(args) => direct::send(args, json).await,
            Command::Inbox(args) => direct::inbox(args, json).await,
            Command::Find(args) => find::run(args, json).await,
            Command::Roles(args) => roles::run(args, json).await,
            Command::Coordinators(args) => commands::coordinators(args, json).await,
            Command::Peers(args) => commands::peers(args, json).await,
            Command::Topics(args) => commands::topics(args, json).await,
            Command::Status(args) => commands::status(args, json).await,
            Command::Pub(args) => talk::publish(args, json).await,
            Command::Sub(args) => talk::subscribe(args, json).await,
            Command::Reconcile(args) => commands::reconcile(args, json).await,
            Command::Presence(args) => presence::run(args, json).await,
            Command::Events(args) => events::follow(args, json).await,
            Command::Down(args) => commands::down(args, json).await,
            Command::Sim(scenario) => sim::run(scenario, json),
        }
    })
}

/// Help and version go out as they are; what is wrong with a command line becomes one line.
fn command_line(e: &clap::Error) -> ExitCode {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe is no reason to complain.
            let _ = e.print();
            ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2))
        }
        _ => {
            let text = e.render().to_string();
            let said = text.split("\n\nUsage:").next().unwrap_or(&text);
            let said = said.split("\n\nFor more information").next().unwrap_or(said);
            let said = one_line(said.strip_prefix("error: ").unwrap_or(said));
            let asked: Vec<String> = std::env::args().skip(1).take(1).filter(|a| !a.starts_with('-')).collect();
            let help = [&["tidings".to_owned()], &asked[..], &["--help".to_owned()]].concat().join(" ");
            out::note(&format!("tidings: {said}: see {help}"));
            ExitCode::from(2)
        }
    }
}
