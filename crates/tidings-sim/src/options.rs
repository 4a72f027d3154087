//! What to simulate.

mod scenario;

use std::str::FromStr;

pub use scenario::{Forgery, RelayFault, RoleLie, Scenario, Talk};

use crate::latency::Latency;

/// Which crypto port the nodes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CryptoKind {
    /// Simulated: the same sizes and refusals, nearly free. Traces repeat.
    #[default]
    Sim,
    /// The production port.
    Real,
}

/// Who publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publishers {
    /// One node publishes everything.
    #[default]
    One,
    /// Another random node each time.
    Rotating,
}

/// A range of seeds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Seeds {
    /// Every seed.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..=self.last
    }
}

/// A text or a number that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is {value}: {hint}")]
pub struct OptionsError {
    what: &'static str,
    value: String,
    hint: &'static str,
}

/// Refuses a number outside of `range`.
fn within(
    what: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    hint: &'static str,
) -> Result<(), OptionsError> {
    if range.contains(&value) { Ok(()) } else { Err(OptionsError { what, value: value.to_string(), hint }) }
}

impl FromStr for Seeds {
    type Err = OptionsError;

    fn from_str(s: &str) -> Result<Self, OptionsError> {
        let wrong = || OptionsError {
            what: "--seeds",
            value: format!("{s:?}"),
            hint: "say one seed, or FIRST..LAST, such as 1..20 (both are run)",
        };
        let n = |t: &str| t.parse::<u64>().map_err(|_| wrong());
        let (first, last) = match s.split_once("..") {
            Some((a, b)) => (n(a)?, n(b)?),
            None => (n(s)?, n(s)?),
        };
        if first > last || last - first > 100_000 {
            return Err(wrong());
        }
        Ok(Seeds { first, last })
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}..{}", self.first, self.last) }
    }
}

/// Nodes that all know of each other who is here, unless it is said.
const MOST_PRESENT: usize = 2_000;

/// Everything that names a run besides its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What happens.
    pub scenario: Scenario,
    /// How many nodes.
    pub nodes: usize,
    /// Which seeds.
    pub seeds: Seeds,
    /// One-way delays.
    pub latency: Latency,
    /// Each frame takes up to this share longer than its pair's delay.
    pub jitter: f64,
    /// The share of packets lost.
    pub loss: f64,
    /// The share of nodes that nobody can dial: they dial others, and two of them never meet.
    pub unreachable: f64,
    /// Whether nodes say that they are here. Of all at each takes more memory than machines have where nodes are many.
    pub presence: bool,
    /// The crypto port.
    pub crypto: CryptoKind,
    /// Who publishes.
    pub publishers: Publishers,
}

impl Options {
    /// The seeds run when none are named: twenty, or fewer for many nodes, so that a run takes minutes.
    pub fn default_seeds(nodes: usize) -> Seeds {
        Seeds { first: 1, last: (10_000 / nodes.max(1) as u64).clamp(1, 20) }
    }

    /// Whether nodes say that they are here when nothing else is said: up to two thousand do, and where it matters. What each
    /// knows of every other is some 1.5 kB, 150 GB in a network of ten thousand.
    pub fn default_presence(scenario: Scenario, nodes: usize) -> bool {
        nodes <= MOST_PRESENT || !scenario.is_of_membership()
    }

    /// The defaults of a scenario.
    pub fn new(scenario: Scenario) -> Self {
        Options {
            scenario,
            nodes: 100,
            seeds: Options::default_seeds(100),
            latency: Latency::default(),
            jitter: 0.0,
            loss: scenario.default_loss(),
            unreachable: scenario.default_unreachable(),
            presence: true,
            crypto: CryptoKind::default(),
            publishers: Publishers::default(),
        }
    }

    /// Checks every number.
    pub fn validate(&self) -> Result<(), OptionsError> {
        within("--nodes", self.nodes as f64, 2.0..=200_000.0, "from 2 to 200000")?;
        within("--jitter", self.jitter, 0.0..=10.0, "a share from 0 to 10, such as 0.2")?;
        within("--loss", self.loss, 0.0..=0.9, "a share from 0 to 0.9, such as 0.05")?;
        within("--unreachable", self.unreachable, 0.0..=0.9, "a share from 0 to 0.9, such as 0.2")?;
        self.scenario.validate()
    }

    /// The command that runs one seed again.
    pub fn replay(&self, seed: u64) -> String {
        let mut c = format!("tidings sim {} --nodes {} --seeds {seed}", self.scenario.name(), self.nodes);
        c += &self.scenario.flags();
        c += &format!(" --latency {} --jitter {} --loss {}", self.latency, self.jitter, self.loss);
        if self.unreachable != self.scenario.default_unreachable() {
            c += &format!(" --unreachable {}", self.unreachable);
        }
        if self.presence != Options::default_presence(self.scenario, self.nodes) {
            c += if self.presence { " --presence on" } else { " --presence off" };
        }
        if self.publishers == Publishers::Rotating {
            c += " --publishers rotating";
        }
        if self.crypto == CryptoKind::Real {
            c += " --crypto real";
        }
        c
    }
}
