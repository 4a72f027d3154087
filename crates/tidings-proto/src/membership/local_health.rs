//! Lifeguard's local health (Dadgar, Phillips, Currey, DSN 2018): a slow *me* is not a dead *you*.
//!
//! A counter of evidence that this node itself is slow or cut off. The worse it is, the longer others may take to
//! answer before this node suspects and removes them. It never delays what follows from a suspicion.
//!
//! What differs: the paper multiplies time-outs by (1 + score), up to nine times. Here they grow by a quarter a point,
//! up to threefold: a node that stands in the middle of many real deaths scores as badly as a sick one, and nine times
//! half a second would make it the last to notice.

use crate::time::Span;

/// The worst score (the paper's S).
const WORST: u8 = 8;

/// The local health multiplier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LocalHealth {
    score: u8,
}

impl LocalHealth {
    /// So much evidence against this node.
    pub(super) fn worse(&mut self, by: u8) {
        self.score = self.score.saturating_add(by).min(WORST);
    }

    /// A probe was answered in time.
    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// From 0, well, to 8.
    pub(super) fn score(self) -> u8 {
        self.score
    }

    /// How long others may take instead of `span`.
    pub(super) fn stretch(self, span: Span) -> Span {
        span + Span(span.0.saturating_mul(u64::from(self.score)) / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_node_waits_no_longer() {
        assert_eq!(LocalHealth::default().stretch(Span(100)), Span(100));
    }

    #[test]
    fn the_worst_health_waits_three_times_as_long() {
        let mut h = LocalHealth::default();
        h.worse(200);
        assert_eq!((h.score(), h.stretch(Span(100))), (8, Span(300)));
    }

    #[test]
    fn each_answer_makes_up_for_one_failure() {
        let mut h = LocalHealth::default();
        h.worse(2);
        h.better();
        assert_eq!(h.stretch(Span(100)), Span(125));
        h.better();
        h.better();
        assert_eq!(h.score(), 0);
    }
}
