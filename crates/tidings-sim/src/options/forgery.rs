//! How members forge adverts of the index.

use super::OptionsError;

/// What members do that forge adverts of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forgery {
    /// Fill the set, with keys drawn to stay in it.
    Fill,
    /// Stand before honest nodes in their own places, with higher versions and keys drawn to come first.
    Displace,
    /// Claim two thousand prefixes in which nobody is.
    Prefixes,
    /// Draw prefixes in which nobody is to be the first in one shard, and few enough to go unnoticed elsewhere.
    Grind,
    /// Attest each other's false adverts, and vouch for them.
    Ring,
    /// Many keys that listen, in the attackers' own prefixes, beside false ones.
    Mixed,
    /// That of these with which fewest agents are found.
    #[default]
    Best,
}

impl Forgery {
    /// All of them, but for the best.
    pub const ALL: [Forgery; 6] =
        [Forgery::Fill, Forgery::Displace, Forgery::Prefixes, Forgery::Grind, Forgery::Ring, Forgery::Mixed];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Forgery::Fill => "fill",
            Forgery::Displace => "displace",
            Forgery::Prefixes => "prefixes",
            Forgery::Grind => "grind",
            Forgery::Ring => "ring",
            Forgery::Mixed => "mixed",
            Forgery::Best => "best",
        }
    }
}

impl std::str::FromStr for Forgery {
    type Err = OptionsError;

    fn from_str(s: &str) -> Result<Forgery, OptionsError> {
        let all = Forgery::ALL.into_iter().chain([Forgery::Best]);
        let hint = "fill, displace, prefixes, grind, ring, mixed, or best";
        let unknown = || OptionsError { what: "--strategy", value: s.to_owned(), hint };
        all.into_iter().find(|f| f.name() == s).ok_or_else(unknown)
    }
}
