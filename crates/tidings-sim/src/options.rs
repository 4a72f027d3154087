//! What to simulate.

use std::str::FromStr;

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

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scenario {
    /// Messages on one topic that everybody subscribed.
    Broadcast {
        /// Messages before the measured ones.
        warmup: usize,
        /// Messages measured.
        messages: usize,
        /// Share of the nodes that crash while they are published.
        crash: f64,
    },
    /// Many nodes crash at once.
    Crash {
        /// Which share.
        fraction: f64,
        /// They start again 5 s later with the same keys and disks.
        restart: bool,
    },
}

impl Scenario {
    /// The scenario's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Scenario::Broadcast { .. } => "broadcast",
            Scenario::Crash { .. } => "crash",
        }
    }
}

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

    /// The defaults of a scenario.
    pub fn new(scenario: Scenario) -> Self {
        Options {
            scenario,
            nodes: 100,
            seeds: Options::default_seeds(100),
            latency: Latency::default(),
            jitter: 0.0,
            loss: 0.0,
            crypto: CryptoKind::default(),
            publishers: Publishers::default(),
        }
    }

    /// Checks every number.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let err = |what, value: String, hint| Err(OptionsError { what, value, hint });
        if !(2..=200_000).contains(&self.nodes) {
            return err("--nodes", self.nodes.to_string(), "from 2 to 200000");
        }
        let share = |what, v: f64, most: f64, hint| {
            if (0.0..=most).contains(&v) { Ok(()) } else { err(what, v.to_string(), hint) }
        };
        share("--jitter", self.jitter, 10.0, "a share from 0 to 10, such as 0.2")?;
        share("--loss", self.loss, 0.9, "a share from 0 to 0.9, such as 0.05")?;
        match self.scenario {
            Scenario::Broadcast { messages, warmup, crash } => {
                share("--crash", crash, 0.9, "a share from 0 to 0.9, such as 0.1")?;
                if messages == 0 || messages + warmup > 1_000_000 {
                    return err("--messages", messages.to_string(), "from 1 to 1000000, warm-up included");
                }
            }
            Scenario::Crash { fraction, .. } => {
                share("--fraction", fraction, 0.99, "a share from 0 to 0.99, such as 0.5")?;
            }
        }
        Ok(())
    }

    /// The command that runs one seed again.
    pub fn replay(&self, seed: u64) -> String {
        let mut c = format!("tidings sim {} --nodes {} --seeds {seed}", self.scenario.name(), self.nodes);
        match self.scenario {
            Scenario::Broadcast { warmup, messages, crash } => {
                c += &format!(" --warmup {warmup} --messages {messages}");
                if crash > 0.0 {
                    c += &format!(" --crash {crash}");
                }
            }
            Scenario::Crash { fraction, restart } => {
                c += &format!(" --fraction {fraction}");
                if restart {
                    c += " --restart";
                }
            }
        }
        c += &format!(" --latency {} --jitter {} --loss {}", self.latency, self.jitter, self.loss);
        if self.publishers == Publishers::Rotating {
            c += " --publishers rotating";
        }
        if self.crypto == CryptoKind::Real {
            c += " --crypto real";
        }
        c
    }
}
