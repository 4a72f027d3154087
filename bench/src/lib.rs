//! What the two programs share: the workloads.

/// Something to send to everybody.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// How many messages.
    pub messages: u64,
    /// Bytes in each.
    pub size: usize,
}

/// The workloads that figures are given for.
pub const WORKLOADS: [Workload; 3] = [
    Workload { name: "50 x 64 KiB", messages: 50, size: 64 << 10 },
    Workload { name: "one 64 MiB file", messages: 1, size: 64 << 20 },
    Workload { name: "20000 x 256 B", messages: 20_000, size: 256 },
];

/// The value behind `--name` on the command line, or `default`.
pub fn option<T: std::str::FromStr>(name: &str, default: T) -> Result<T, String> {
    let mut args = std::env::args().skip_while(|a| a != name).skip(1);
    match args.next() {
        Some(text) => text.parse().map_err(|_| format!("{name} does not take {text:?}")),
        None if std::env::args().any(|a| a == name) => Err(format!("{name} wants a value")),
        None => Ok(default),
    }
}
